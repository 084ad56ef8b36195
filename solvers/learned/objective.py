"""What training makes small: the error of the reconstruction, of the prior alone as a projector, or of colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import log10, prod
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from linops_video import NormalSolver, collate, forward_model
from linops_video.batch import BatchNormal
from linops_video.media.arrays import EIGHT_BIT_NOISE
from linops_video.metrics import psnr
from linops_video.solvers.learned.colour import luma
from linops_video.solvers.learned.config import TrainConfig
from linops_video.solvers.learned.data import central
from linops_video.solvers.learned.pool import BLURS, FRESH, ProblemPool
from linops_video.solvers.learned.projector import perturb
from linops_video.solvers.learned.unrolled import Unrolled

MOST_PSNR = 60.0
"""dB at which the validation scores of noise-free problems level off."""

CS_SHAPE = (4, 3, 32, 32)
"""(T, C, H, W) of the largest videos for which `cs`, with its dense matrix, is trained and validated."""

FLOOR, COLOUR_FLOOR = 3e-6, 2e-4
"""Mean squared errors at which losses level off: at 55 dB, of colours alone at 37 dB. What has no colours would else
count more than all that is gained on what has, and gray would be the answer to all."""

Group = tuple[Tensor, Any, "NormalSolver | None"]
"""The true videos, what the network sees of them, which is their problem, and the normal solver of that."""


class Videos(Protocol):
    """Where training videos come from."""

    def for_problem(self, spec: str, count: int, frames: int, generator: torch.Generator) -> Tensor:
        """About `count` videos (B, T, C, H, W) in [0, 1] for the problem `spec`, of `frames` frames if that is free."""
        ...

    def scenes(self, count: int, frames: int, generator: torch.Generator) -> Tensor:
        """About `count` videos that are upright, to learn colours from."""
        ...


class Objective(nn.Module):
    """The mean loss of groups of videos; what is random in a group is drawn from a generator with its seed.

    Groups of a single video go through the network together, each with its own operator (`batch`), if their shapes are
    the same: the paper's networks train 1.4 times as fast as one after another.
    """

    def __init__(self, network: Unrolled, config: TrainConfig, device: torch.device) -> None:
        super().__init__()
        self.network, self.config, self.device = network, config, device
        self.names = list(config.problems)
        self.shares = torch.tensor([float(share) for share in config.problems.values()])
        self.pool = ProblemPool(device, network.solves)
        self.drawn = 0  # videos so far, in this process

    def forward(self, videos: Videos, seeds: Sequence[int]) -> Tensor:
        """The mean loss of groups with these seeds: of one group, or of several with one video each."""
        alike: dict[torch.Size, list[Group]] = {}
        for seed in seeds:
            group = self._group(videos, torch.Generator().manual_seed(seed))
            alike.setdefault(group[0].shape, []).append(group)
        losses = [len(groups) * self._loss(groups) for groups in alike.values()]
        return torch.stack(losses).sum() / len(seeds)

    def _group(self, videos: Videos, generator: torch.Generator) -> Group:
        c, (spec, truth) = self.config, self._drawn(videos, generator)
        if len(truth) == 1:  # without a batch axis, so that `batch` takes its operator
            truth = truth[0]
        return truth, *self.pool.draw(spec, truth, c.noisy, generator, c.noisy_blurs)

    def _drawn(self, videos: Videos, generator: torch.Generator) -> tuple[str, Tensor]:
        """A problem, and true videos for it."""
        c = self.config
        spec = self.names[int(torch.multinomial(self.shares, 1, generator=generator))]
        choice = int(torch.randint(len(c.frames), (), generator=generator))
        truth = videos.for_problem(spec, c.samples, c.frames[0 if spec == "cs" else choice], generator)
        truth = truth.to(self.device, c.dtype)
        self.drawn += len(truth)
        return spec, truth

    def _loss(self, groups: Sequence[Group]) -> Tensor:
        """The mean loss of groups of one shape."""
        truth, problem, normal = groups[0]
        if len(groups) > 1:
            truth = torch.stack([truth for truth, *_ in groups])
            problem = collate([problem for _, problem, _ in groups])
            ready = [normal for *_, normal in groups if normal is not None]
            normal = BatchNormal.join(ready) if ready else None
        x = self.network(problem, normal)
        x, truth = x.reshape(-1, *x.shape[-4:]), truth.reshape(-1, *x.shape[-4:])
        return mse(x, truth) if self.config.objective == "mse" else log_mse(x, truth)


class ProjectorObjective(Objective):
    """That of the prior alone, on perturbed videos, which stand in the place of their problem."""

    def _group(self, videos: Videos, generator: torch.Generator) -> Group:
        _, truth = self._drawn(videos, generator)
        return truth, perturb(truth, generator), None

    def _loss(self, groups: Sequence[Group]) -> Tensor:
        truth, perturbed, _ = zip(*groups, strict=True)
        return mse(self.network.project(torch.cat(perturbed)), torch.cat(truth))


class ColourObjective(Objective):
    """That of the network of colours alone: the luma stands in the place of its problem."""

    def _group(self, videos: Videos, generator: torch.Generator) -> Group:
        c = self.config
        truth = videos.scenes(c.samples, c.frames[0], generator).to(self.device, c.dtype)
        self.drawn += len(truth)
        return truth, luma(truth), None

    def _loss(self, groups: Sequence[Group]) -> Tensor:
        truth, luminance, _ = zip(*groups, strict=True)
        gray = torch.cat(luminance)
        return log_mse(gray + self.network.paint(gray), torch.cat(truth), COLOUR_FLOOR)


def mse(video: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error, the paper's loss."""
    return (video - truth).square().mean()


def log_mse(video: Tensor, truth: Tensor, floor: float = FLOOR) -> Tensor:
    """Mean of log(MSE + floor) over the samples: minus their PSNR, in units of 4.3 dB, which levels off at the floor.

    A dB gained counts the same at 20 dB as at 40 dB; with MSE the hardest problems would be trained alone.
    """
    return ((video - truth) ** 2).flatten(1).mean(1).add(floor).log().mean()


@torch.no_grad()
def validate(
    network: Unrolled, truth: Tensor, problems: Iterable[str], noisy_blurs: bool = True, batch: int = 4
) -> dict[str, float]:
    """Mean PSNR of each problem over videos (N, T, C, H, W), clipped at 60 dB each: always the same measurements.

    Blurs are measured with the noise of 8 bits (unless `noisy_blurs` is off), `denoise` with 0.05. Of large videos,
    `cs` sees the central 32×32 of four frames.
    """
    scores = {}
    for spec in problems:
        large = spec == "cs" and prod(truth.shape[1:]) > prod(CS_SHAPE)
        videos = central(truth[:, : CS_SHAPE[0]], CS_SHAPE[-1]) if large else truth
        total = 0.0
        for first in range(0, len(videos), batch):
            part = videos[first : first + batch]
            shape = tuple(part.shape) if spec in FRESH else tuple(part.shape[1:])
            model = forward_model(spec, shape, seed=first).to(part.device, part.dtype)
            noise_std = EIGHT_BIT_NOISE if spec in BLURS and noisy_blurs else 0.05 if spec == "denoise" else None
            model = model if noise_std is None else replace(model, noise_std=noise_std)
            total += psnr(network(model.measure(part, seed=first)), part).clamp(max=MOST_PSNR).sum().item()
        scores[spec] = total / len(videos)
    return scores


@torch.no_grad()
def validate_projector(network: Unrolled, truth: Tensor) -> dict[str, float]:
    """Mean PSNR of the projections of perturbed videos, always the same ones."""
    output = network.project(perturb(truth, torch.Generator().manual_seed(0)))
    return {"perturbed": psnr(output, truth).mean().item()}


@torch.no_grad()
def validate_colours(network: Unrolled, truth: Tensor) -> dict[str, float]:
    """Mean PSNR of videos with the colours that the network gives to their luma, clipped where the loss levels off."""
    gray, most = luma(truth), -10 * log10(COLOUR_FLOOR)
    return {"colours": psnr(gray + network.colours(gray), truth).clamp(max=most).mean().item()}
