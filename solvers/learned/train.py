"""Training of unrolled networks: one function and one loop for every form."""

from __future__ import annotations

import copy
import csv
import math
import os
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from linops_video import InverseProblem, NormalSolver, forward_model
from linops_video.errors import FileError, SpecError
from linops_video.media.arrays import EIGHT_BIT_NOISE
from linops_video.metrics import psnr
from linops_video.solvers.learned.checkpoint import save_network
from linops_video.solvers.learned.data import Crops
from linops_video.solvers.learned.unrolled import Config, Unrolled

FRESH = ("pid", "si")
"""Problems whose operator is cheap to set up: new for every sample. All others come from a pool, one for a batch."""

HOLES = ("bi", "si")
"""Problems whose holes grow with the frame: half as many crops, twice as large where the archives allow it."""

POOL = {"cs": 6, "vcs": 4, "md": 32, "md3": 8}
"""Operators kept for each shape; 1 for problems without randomness."""

BLURS = ("dd", "tdd", "md", "md3")
"""Always noisy in training: the last data-consistency step solves them without noise."""

MIXTURE: dict[str, float] = {
    **{"pid": 4.0, "bi": 1.1, "si": 1.8, "sr2": 1.7, "sr4": 5.0, "cs": 1.6, "vcs": 0.8, "denoise": 1.2, "color": 1.2},
    **{"fi2": 1.3, "fi4": 0.8, "fp25": 1.0, "fp50": 0.8, "fp75": 1.0, "dd": 0.7, "tdd": 0.7, "md": 0.7, "md3": 0.3},
}
"""How often each problem is drawn, relative to the others: the harder to beat the baselines, the more often."""


@dataclass(frozen=True)
class TrainConfig:
    """How to train; JSON values only.

    Attributes:
        network: the form of the network.
        problems: problem name -> how often it is drawn, relative to the others.
        steps: optimiser steps.
        samples: videos in a step; they share the problem.
        frames: the number of frames is drawn from these; `cs`, whose matrix is dense, always takes the first.
        learning_rate: peak rate of Adam: linear warm-up over `warm_up` steps, then half a cosine down to 1 % of it.
        betas: of Adam.
        clip: norm to which gradients are clipped.
        noisy: share of the steps in which a noise-free problem gets noise of 1e-3 to 1e-1.
        average: decay of the running mean of the weights, which is validated and kept.
        validate_every: steps between validations and checkpoints.
        patience: stop after so many validations without a better mean PSNR.
        bfloat16: run the networks (not the data step) in bfloat16.
        seed: of the weights, the crops, the problems and the noise.
    """

    network: Config = field(default_factory=Config)
    problems: Mapping[str, float] = field(default_factory=lambda: dict(MIXTURE))
    steps: int = 25000
    samples: int = 4
    frames: tuple[int, ...] = (4, 6, 8)
    learning_rate: float = 1e-3
    warm_up: int = 100
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    noisy: float = 0.15
    average: float = 0.9985
    validate_every: int = 1000
    patience: int = 5
    bfloat16: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.problems or min(self.problems.values()) < 0 or not sum(self.problems.values()) > 0:
            raise SpecError("training needs problems with weights of 0 or more, not all 0")
        if min(self.steps, self.samples, self.validate_every, self.patience, *self.frames) < 1:
            raise SpecError("steps, samples, frames, validate_every and patience must be 1 or more")


class ProblemPool:
    """Forward models with their normal solvers, drawn at random and set up once for each problem and shape."""

    def __init__(self) -> None:
        self._normals: dict[tuple[str, tuple[int, ...], int], tuple[Any, NormalSolver]] = {}

    def draw(
        self, spec: str, truth: Tensor, noisy: float, generator: torch.Generator
    ) -> tuple[InverseProblem, NormalSolver]:
        """A measurement of `truth` (B, T, C, H, W) and the normal solver of its operator."""
        operator_seed, noise_seed = (int(s) for s in torch.randint(2**31, (2,), generator=generator))
        shape = tuple(truth.shape)
        if spec in FRESH:
            model = forward_model(spec, shape, operator_seed)
            normal = NormalSolver.of(model.operator)
        else:
            index = operator_seed % POOL.get(spec, 1)
            key = (spec, shape[1:], index)
            if key not in self._normals:
                model = forward_model(spec, shape[1:], index)
                self._normals[key] = model, NormalSolver.of(model.operator)
            model, normal = self._normals[key]
        noise_std = draw_noise(spec, model.noise_std, noisy, generator)
        return replace(model, noise_std=noise_std).measure(truth, noise_seed), normal


def draw_noise(spec: str, own: float, noisy: float, generator: torch.Generator) -> float:
    """The noise level of a training problem; `own` is that of the named problem."""
    chance, level = (float(v) for v in torch.rand(2, generator=generator))
    if spec == "denoise":  # uniform in [0, 0.1], with more of the low levels
        return 0.1 * level if chance < 0.7 else 10 ** (-3 + 2 * level)
    if spec in BLURS:
        return EIGHT_BIT_NOISE if chance < 0.5 else 10 ** (-3 + 1.7 * level)
    if own:
        return own
    return 10 ** (-3 + 2 * level) if chance < noisy else 0.0


def loss_of(video: Tensor, truth: Tensor) -> Tensor:
    """Mean of log(MSE + 3e-6) over the samples: minus their PSNR, in units of 4.3 dB, levelling off at 55 dB.

    A dB gained counts the same at 20 dB as at 40 dB; with MSE the hardest problems would be trained alone.
    """
    return ((video - truth) ** 2).flatten(1).mean(1).add(3e-6).log().mean()


def learning_rate(step: int, config: TrainConfig) -> float:
    """The rate of a step (from 0)."""
    if step < config.warm_up:
        return config.learning_rate * (step + 1) / config.warm_up
    done = (step - config.warm_up) / max(1, config.steps - config.warm_up)
    return config.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


@torch.no_grad()
def validate(network: Unrolled, truth: Tensor, problems: Mapping[str, float], batch: int = 4) -> dict[str, float]:
    """Mean PSNR of each problem over videos (N, T, C, H, W), clipped at 60 dB each: always the same measurements.

    Blurs are measured with the noise of 8 bits, `denoise` with 0.05. `cs` sees the central 32×32 of four frames.
    """
    scores = {}
    for spec in problems:
        videos = _central(truth[:, :4], 32) if spec == "cs" else truth
        total = 0.0
        for first in range(0, len(videos), batch):
            part = videos[first : first + batch]
            shape = tuple(part.shape) if spec in FRESH else tuple(part.shape[1:])
            model = forward_model(spec, shape, seed=first).to(part.device)
            noise_std = EIGHT_BIT_NOISE if spec in BLURS else 0.05 if spec == "denoise" else model.noise_std
            problem = replace(model, noise_std=noise_std).measure(part, seed=first)
            total += sum(psnr(x, t).clamp(max=60).item() for x, t in zip(network(problem), part, strict=True))
        scores[spec] = total / len(videos)
    return scores


def _central(videos: Tensor, size: int) -> Tensor:
    height, width = videos.shape[-2:]
    top, left = max(0, (height - size) // 2), max(0, (width - size) // 2)
    return videos[..., top : top + size, left : left + size].contiguous()


@dataclass
class Run:
    """Everything that changes during training, so that a run continues bit for bit."""

    network: Unrolled
    average: Unrolled
    optimizer: torch.optim.Adam
    generator: torch.Generator
    step: int = 0
    best: float = -math.inf
    waited: int = 0
    seconds: float = 0.0

    @staticmethod
    def new(config: TrainConfig, start: Unrolled | None) -> Run:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = Unrolled(config.network)
        if start is not None:
            network.load_state_dict(start.state_dict())
        average = copy.deepcopy(network).requires_grad_(False)
        optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, betas=config.betas)
        return Run(network, average, optimizer, torch.Generator().manual_seed(config.seed + 1))

    def save(self, path: Path, config: TrainConfig) -> None:
        """Write beside `path`, then rename."""
        state = {name: getattr(self, name) for name in ("step", "best", "waited", "seconds")}
        state |= {name: getattr(self, name).state_dict() for name in ("network", "average", "optimizer")}
        state |= {"generator": self.generator.get_state(), "config": asdict(config)}
        temporary = path.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, path)

    def load(self, path: Path, config: TrainConfig) -> None:
        """Continue the run that was saved at `path`."""
        if not zipfile.is_zipfile(path):
            raise FileError(f"cannot continue from {path}: not a training state; remove it to start again")
        state = torch.load(path, weights_only=True)
        saved = state["config"]
        if saved != asdict(config):
            changed = [name for name, value in asdict(config).items() if saved.get(name) != value]
            raise SpecError(
                f"{path} was trained with another {', '.join(changed)}: use another folder, or the same values"
            )
        for name in ("network", "average", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.generator.set_state(state["generator"])
        self.step, self.best, self.waited, self.seconds = (state[n] for n in ("step", "best", "waited", "seconds"))


OnProgress = Callable[[int, float], None]


def train(
    config: TrainConfig,
    crops: Crops,
    validation: Tensor,
    folder: str | Path,
    name: str = "network",
    about: Mapping[str, Any] | None = None,
    start: Unrolled | None = None,
    on_step: OnProgress | None = None,
) -> Unrolled:
    """Train a network on mixed problems; the best running mean of its weights is kept as `folder/name.safetensors`.

    The folder also gets `state.pt`, from which the same call continues bit for bit, and `curve.csv`: step, seconds,
    loss, and the validation PSNR of each problem and their mean.

    Args:
        config: network and schedule.
        crops: where the training videos come from.
        validation: videos (N, T, C, H, W) in [0, 1].
        folder: is made if it does not exist.
        name: of the file of weights.
        about: what else its metadata shall say (data, licence, …): JSON values.
        start: a network of the same config to begin with.
        on_step: called after each step with its number and loss.

    Returns the network with the running mean of the weights at the end.

    Raises:
        FileError: if the folder cannot be made, or holds a state that cannot be read.
        SpecError: if the state in the folder belongs to another config.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot make the folder {folder}: {(error.strerror or str(error)).lower()}") from None
    run = Run.new(config, start)
    if (folder / "state.pt").exists():
        run.load(folder / "state.pt", config)
    if config.bfloat16:
        run.network.network_dtype = run.average.network_dtype = torch.bfloat16
    pool = ProblemPool()
    names, shares = list(config.problems), torch.tensor([float(v) for v in config.problems.values()])
    began, losses = time.monotonic() - run.seconds, 0.0
    while run.step < config.steps and run.waited < config.patience:
        loss = _train_step(run, config, crops, pool, names, shares)
        losses += loss
        if on_step is not None:
            on_step(run.step, loss)
        if run.step % config.validate_every == 0 or run.step == config.steps:
            run.seconds = time.monotonic() - began
            scores = validate(run.average, validation, config.problems)
            mean = sum(scores.values()) / len(scores)
            _append(folder / "curve.csv", run, losses / config.validate_every, mean, scores)
            losses = 0.0
            run.waited += 1
            if mean > run.best:
                run.best, run.waited = mean, 0
                facts = {"problems": dict(config.problems), "steps": run.step, "validation_psnr": scores}
                save_network(folder / f"{name}.safetensors", run.average, {**facts, **(about or {})})
            run.save(folder / "state.pt", config)
    run.average.network_dtype = None
    return run.average.eval()


def _train_step(
    run: Run, config: TrainConfig, crops: Crops, pool: ProblemPool, names: list[str], shares: Tensor
) -> float:
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(run.step, config)
    spec = names[int(torch.multinomial(shares, 1, generator=run.generator))]
    choice = int(torch.randint(len(config.frames), (), generator=run.generator))
    frames = config.frames[0 if spec == "cs" else choice]
    if spec in HOLES:
        truth = crops.doubled().batch((config.samples + 1) // 2, frames, run.generator)
    else:
        truth = crops.batch(config.samples, frames, run.generator)
    if spec == "cs" and float(torch.rand((), generator=run.generator)) < 0.6:
        truth = _central(truth, crops.size // 2)  # the matrix has 16 times fewer entries
    problem, normal = pool.draw(spec, truth, config.noisy, run.generator)
    loss = loss_of(run.network(problem, normal), truth)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(run.network.parameters(), config.clip)
    if bool(torch.isfinite(norm)):
        run.optimizer.step()
    decay = min(config.average, (run.step + 1) / (run.step + 10))
    with torch.no_grad():
        for mean, value in zip(run.average.parameters(), run.network.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)
    run.step += 1
    return loss.item()


def _append(path: Path, run: Run, loss: float, mean: float, scores: Mapping[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["step", "seconds", "loss", "mean", *scores])
        values = [f"{value:.3f}" for value in (mean, *scores.values())]
        writer.writerow([run.step, round(run.seconds), f"{loss:.6f}", *values])
