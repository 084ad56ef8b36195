"""How to train: the settings of a run, as JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from linops_video.errors import SpecError
from linops_video.solvers.learned.form import Config
from linops_video.solvers.learned.pool import MIXTURE

CHOICES = {
    "objective": ("log-mse", "mse", "projector", "colour"),
    "precision": ("float32", "bfloat16", "float64"),
}


@dataclass(frozen=True)
class TrainConfig:
    """How to train; JSON values only.

    Attributes:
        network: the form of the network.
        problems: problem name -> how often it is drawn, relative to the others.
        steps: optimiser steps.
        minutes: end after so many minutes of training instead, the learning rate falling with time (a run that was
            cut off then ends well, but not bit for bit as it would have).
        samples: videos in a group; they share the problem.
        groups: groups in a step, each with a problem of its own; data-parallel processes share them out.
        frames: the number of frames is drawn from these where it is free; `cs`, whose matrix is dense, takes the first,
            and so does the objective "colour".
        objective: "log-mse", "mse" (the paper), "projector": the prior alone, on perturbed videos, or "colour": the
            network of colours alone, on the luma of videos.
        learning_rate: peak rate of Adam: linear warm-up over `warm_up` steps, then half a cosine.
        end_rate: what is left of the rate at the end; 1: constant.
        betas: of Adam.
        clip: norm to which gradients are clipped.
        noisy: share of the groups in which a noise-free problem gets noise of 1e-3 to 1e-1.
        noisy_blurs: blurs always have noise, since the last data-consistency step solves them without.
        average: decay of the running mean of the weights, which is validated and kept; 0: the weights themselves.
        validate_every: steps between validations.
        save_minutes: minutes between checkpoints.
        patience: stop after so many validations without a better mean PSNR.
        precision: "float32", "bfloat16" (of the networks alone, not of data steps and loss) or "float64".
        checkpointing: keep no activations within a step of ADMM: less memory, a third more time.
        frozen: the first steps, with weights of their own, that stay as they are: those of a trained network after
            which new ones are appended.
        seed: of the weights, the videos, the problems and the noise.

    Raises:
        SpecError: for values that cannot be.
    """

    network: Config = field(default_factory=Config)
    problems: Mapping[str, float] = field(default_factory=lambda: dict(MIXTURE))
    steps: int = 25000
    minutes: float | None = None
    samples: int = 4
    groups: int = 1
    frames: tuple[int, ...] = (4, 6, 8)
    objective: str = "log-mse"
    learning_rate: float = 1e-3
    warm_up: int = 100
    end_rate: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    noisy: float = 0.15
    noisy_blurs: bool = True
    average: float = 0.9985
    validate_every: int = 1000
    save_minutes: float = 3.0
    patience: int = 5
    precision: str = "float32"
    checkpointing: bool = False
    frozen: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise SpecError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if not self.problems or min(self.problems.values()) < 0 or not sum(self.problems.values()) > 0:
            raise SpecError("training needs problems with weights of 0 or more, not all 0")
        whole = ("steps", "samples", "groups", "validate_every", "patience", "warm_up", "frozen", "seed")
        given = {name: getattr(self, name) for name in whole} | {f"frames[{i}]": n for i, n in enumerate(self.frames)}
        for name, value in given.items():
            if type(value) is not int:
                raise SpecError(f"{name} must be a whole number, got {value!r}")
        if min(self.steps, self.samples, self.groups, self.validate_every, self.patience, *self.frames) < 1:
            raise SpecError("steps, samples, groups, frames, validate_every and patience must be 1 or more")
        if not self.frames or not self.learning_rate > 0 or not self.clip > 0 or not math.isfinite(self.learning_rate):
            raise SpecError("learning_rate and clip must be positive numbers, and frames one number or more")
        shares = (*self.betas, self.average, self.end_rate, self.noisy)
        if not all(0 <= share <= 1 for share in shares) or max(*self.betas, self.average) == 1:
            raise SpecError("betas and average must lie between 0 and 1, below 1, and end_rate and noisy from 0 to 1")
        if min(self.warm_up, self.save_minutes, self.seed) < 0 or self.seed >= 2**63:
            raise SpecError("warm_up, save_minutes and seed must be 0 or more")
        if self.minutes is not None and not self.minutes > 0:
            raise SpecError(f"minutes must be positive, got {self.minutes}")
        net = self.network
        if self.frozen and (net.shared or not 0 < self.frozen < net.steps):
            raise SpecError("frozen is for networks with weights of their own in each step, of which one or more train")
        if self.objective == "projector" and not (net.form == "onenet" and net.shared and net.blocks != "multiscale"):
            raise SpecError("a projector is the one prior of a onenet with the paper's blocks and shared weights")
        if self.objective == "colour" and not net.colour:
            raise SpecError('objective "colour" is for networks with a network of colours ("colour" in their config)')

    @property
    def dtype(self) -> torch.dtype:
        """The precision of data steps and loss."""
        return torch.float64 if self.precision == "float64" else torch.float32

    @property
    def network_dtype(self) -> torch.dtype | None:
        """The precision of the networks alone, if it is another."""
        return torch.bfloat16 if self.precision == "bfloat16" else None
