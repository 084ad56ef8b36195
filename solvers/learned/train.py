"""Training of unrolled networks: one function and one loop for every form."""

from __future__ import annotations

import contextlib
import copy
import math
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from linops_video import __version__
from linops_video.errors import FileError, LinopsError, SpecError
from linops_video.media.files import make_folder, remove_unfinished, replacing
from linops_video.solvers.learned.checkpoint import save_network
from linops_video.solvers.learned.config import TrainConfig
from linops_video.solvers.learned.curve import Curve, Row
from linops_video.solvers.learned.objective import (
    ColourObjective,
    Objective,
    ProjectorObjective,
    Videos,
    validate,
    validate_colours,
    validate_projector,
)
from linops_video.solvers.learned.parallel import Team
from linops_video.solvers.learned.unrolled import Unrolled


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes:
        step: optimiser steps that are done.
        done: share of the run, in [0, 1].
        loss: of the last step.
        videos: seen so far.
        seconds: spent on training steps so far, without validation.
        scores: the last validation PSNR of each problem; empty before the first.
    """

    step: int
    done: float
    loss: float
    videos: int
    seconds: float
    scores: Mapping[str, float]

    @property
    def videos_per_second(self) -> float:
        return self.videos / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float:
        return self.seconds * (1 - self.done) / max(self.done, 1e-9)


OnStep = Callable[[Progress], None]


@dataclass
class Run:
    """Everything that changes during training, so that a run continues bit for bit."""

    network: Unrolled
    average: Unrolled
    optimizer: torch.optim.Adam
    generator: torch.Generator
    step: int = 0
    videos: int = 0
    seconds: float = 0.0
    losses: float = 0.0
    best: float = -math.inf
    waited: int = 0
    rows: list[Row] = field(default_factory=list)

    NUMBERS = ("step", "videos", "seconds", "losses", "best", "waited", "rows")
    PARTS = ("network", "average", "optimizer")

    @staticmethod
    def new(config: TrainConfig, device: torch.device, start: Unrolled | None) -> Run:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = Unrolled(config.network)
        if start is not None:
            network.load_state_dict(start.state_dict())
        network = network.to(device, config.dtype)
        network.network_dtype, network.checkpointing = config.network_dtype, config.checkpointing
        network.frozen = config.frozen
        average = copy.deepcopy(network).requires_grad_(False)
        optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, betas=config.betas)
        return Run(network, average, optimizer, torch.Generator().manual_seed(config.seed + 1))

    def save(self, path: Path, config: TrainConfig) -> None:
        """Write beside `path`, then rename."""
        state: dict[str, Any] = {name: getattr(self, name) for name in self.NUMBERS}
        state |= {name: getattr(self, name).state_dict() for name in self.PARTS}
        state |= {"generator": self.generator.get_state(), "config": asdict(config)}
        with replacing(path) as temporary:
            torch.save(state, temporary)

    def load(self, path: Path, config: TrainConfig) -> None:
        """Continue the run that was saved at `path`; an error says if it is none, or one of other settings."""
        try:
            with zipfile.ZipFile(path) as archive:
                if archive.testzip() is not None:  # torch does not look at checksums
                    raise zipfile.BadZipFile
            state = torch.load(path, weights_only=True, map_location="cpu")
            _check_settings(path, state["config"], asdict(config))
            for name in self.PARTS:
                getattr(self, name).load_state_dict(state[name])
            self.generator.set_state(state["generator"])
            for name in self.NUMBERS:
                setattr(self, name, state[name])
        except (LinopsError, MemoryError):
            raise
        except Exception:  # broken bytes raise what they will
            raise FileError(
                f"cannot continue from {path}: not a training state, or a broken one; remove it to start again"
            ) from None

    def done(self, config: TrainConfig) -> float:
        """The share of the run that is done."""
        return self.step / config.steps if config.minutes is None else self.seconds / 60 / config.minutes


def train(
    config: TrainConfig,
    videos: Videos,
    validation: Tensor,
    folder: str | Path,
    name: str = "network",
    about: Mapping[str, Any] | None = None,
    start: Unrolled | None = None,
    resume: bool = False,
    team: Team | None = None,
    on_step: OnStep | None = None,
) -> Unrolled:
    """Train a network on mixed problems; the best running mean of its weights is kept as `folder/name.safetensors`.

    The folder also gets `state.pt`, from which `resume` continues bit for bit, and `curve.csv`, `curve.png` and, where
    TensorBoard is installed, `events/`: videos seen, loss, and the validation PSNR of each problem and their mean.
    On CPUs call `torch.set_flush_denormal(True)` first: outputs that are zero at the start make denormal numbers, with
    which training was seen to be 7 times as slow.

    Args:
        config: network and schedule.
        videos: where the training videos come from.
        validation: videos (N, T, C, H, W) in [0, 1].
        folder: is made if it does not exist.
        name: of the file of weights.
        about: what else its metadata shall say (data, license, …): JSON values. The license is "unknown" if not given.
        start: a network of the same config to begin with.
        resume: go on with the run in the folder.
        team: the processes that train together, from `parallel.team`; they share the groups of each step.
        on_step: called after each step.

    Returns the network with the running mean of the weights at the end.

    Raises:
        FileError: if the folder cannot be made, or holds a state that cannot be read, or `resume` finds none.
        SpecError: if the folder holds a run and `resume` is off, or a run with another config, or if the processes
            cannot share the groups equally.
    """
    team, folder = team or Team(), Path(folder)
    if config.groups % team.size:
        raise SpecError(f"{team.size} processes cannot share {config.groups} groups: groups must be a multiple of them")
    state = folder / "state.pt"
    _check_folder(folder, state, resume)
    run = Run.new(config, team.device, start)
    if resume:
        run.load(state, config)
        if team.rank == 0:
            remove_unfinished(folder)
    trainer = Trainer(config, run, videos, team)
    curve = Curve(folder, run.rows) if team.rank == 0 else None
    validation = validation.to(team.device, config.dtype)
    scores: Mapping[str, float] = {}
    saved = time.monotonic()
    while not trainer.finished():
        loss = trainer.step()
        if run.step % config.validate_every == 0 or trainer.finished():
            scores = trainer.validate(validation)
            better = trainer.note(scores)
            if curve is not None:
                curve.add(run.rows[-1])
                if better:
                    facts = {"problems": dict(config.problems), "steps": run.step, "videos": run.videos}
                    facts |= {"validation_psnr": scores, "version": __version__, "license": "unknown", **(about or {})}
                    save_network(folder / f"{name}.safetensors", run.average, facts)
                run.save(state, config)
                saved = time.monotonic()
        elif curve is not None and time.monotonic() - saved > 60 * config.save_minutes:
            run.save(state, config)
            saved = time.monotonic()
        if on_step is not None:
            on_step(Progress(run.step, min(1.0, run.done(config)), loss, run.videos, run.seconds, scores))
    if curve is not None:
        curve.close()
    run.average.network_dtype = None
    return run.average.eval()


class Trainer:
    """One step after another of a `Run`, shared by the processes of a `Team`."""

    def __init__(self, config: TrainConfig, run: Run, videos: Videos, team: Team) -> None:
        self.config, self.run, self.videos, self.team = config, run, videos, team
        kinds = {"projector": ProjectorObjective, "colour": ColourObjective}
        self.objective = kinds.get(config.objective, Objective)(run.network, config, team.device)
        # not every problem uses every parameter: without noise, for one, the last ρ does nothing
        self.model: nn.Module = (
            self.objective if team.size == 1 else DistributedDataParallel(self.objective, find_unused_parameters=True)
        )

    def finished(self) -> bool:
        return self._done() >= 1 or self.run.waited >= self.config.patience

    def step(self) -> float:
        """One step of the optimiser on `groups` groups of videos; the mean of their losses."""
        run, c, began = self.run, self.config, time.monotonic()
        rate = learning_rate(run.step, self._done(), c)
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        run.optimizer.zero_grad(set_to_none=True)
        loss, videos = self.gradient()
        norm = nn.utils.clip_grad_norm_(run.network.parameters(), c.clip)
        if bool(torch.isfinite(norm)):
            run.optimizer.step()
        decay = min(c.average, (run.step + 1) / (run.step + 10))
        with torch.no_grad():
            for mean, value in zip(run.average.parameters(), run.network.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)
        run.step, run.videos, run.losses = run.step + 1, run.videos + videos, run.losses + loss
        run.seconds += time.monotonic() - began
        return loss

    def gradient(self) -> tuple[float, int]:
        """Leave the gradient of a step's loss in the network; the loss, and the number of videos."""
        seeds = torch.randint(2**31, (self.config.groups,), generator=self.run.generator)
        own = self.team.share(seeds.tolist())
        parts = [own] if self.config.samples == 1 else [[seed] for seed in own]
        total, before = 0.0, self.objective.drawn
        for i, part in enumerate(parts):
            alone = isinstance(self.model, DistributedDataParallel) and i + 1 < len(parts)
            with self.model.no_sync() if alone else contextlib.nullcontext():  # type: ignore[operator]
                loss = self.model(self.videos, part)
                (loss / len(parts)).backward()  # processes are averaged
            total += loss.item() / len(parts) / self.team.size
        loss, videos = self.team.total([total, self.objective.drawn - before])
        return loss, round(videos)

    def validate(self, truth: Tensor) -> dict[str, float]:
        """The scores of the running mean of the weights; processes share the problems."""
        c, network = self.config, self.run.average
        if c.objective == "projector":
            return validate_projector(network, truth)
        if c.objective == "colour":
            return validate_colours(network, truth)
        names = list(c.problems)
        scores = self.team.gathered(validate(network, truth, self.team.share(names), c.noisy_blurs))
        return {name: scores[name] for name in names}

    def note(self, scores: Mapping[str, float]) -> bool:
        """Add a row to the curve; whether its mean is the best so far."""
        run = self.run
        steps = run.step - (int(run.rows[-1]["step"]) if run.rows else 0)
        mean = sum(scores.values()) / len(scores)
        rate = run.optimizer.param_groups[0]["lr"]
        plain = {"step": run.step, "videos": run.videos, "seconds": round(run.seconds, 1), "loss": run.losses / steps}
        run.rows.append({**plain, "learning_rate": rate, "mean": mean, **scores})
        better = mean > run.best
        run.losses, run.waited = 0.0, 0 if better else run.waited + 1
        run.best = max(run.best, mean)
        return better

    def _done(self) -> float:
        done = self.run.done(self.config)
        return done if self.config.minutes is None else self.team.agreed(done)


def learning_rate(step: int, done: float, config: TrainConfig) -> float:
    """The rate of a step (from 0), when a share `done` of the run is."""
    if step < config.warm_up:
        return config.learning_rate * (step + 1) / config.warm_up
    return config.learning_rate * (config.end_rate + (1 - config.end_rate) * (1 + math.cos(math.pi * done)) / 2)


def _check_settings(path: Path, saved: dict[str, Any], now: dict[str, Any]) -> None:
    for old, new in ((saved, now), (saved["network"], now["network"])):
        if old.keys() != new.keys():
            names = ", ".join(sorted(old.keys() ^ new.keys()))
            raise FileError(f"{path} was written by another version, with other settings ({names}): use another folder")
    order = [list(settings["problems"]) for settings in (saved, now)]  # which is that of the draws
    if saved != now or order[0] != order[1]:
        changed = [name for name, value in now.items() if saved[name] != value] or ["problems, in their order"]
        raise SpecError(
            f"{path} was trained with other values of {', '.join(changed)}: use another folder, or the same values"
        )


def _check_folder(folder: Path, state: Path, resume: bool) -> None:
    if resume and not state.exists():
        raise FileError(f"nothing to resume in {folder}: there is no {state.name}")
    if state.exists() and not resume:
        raise SpecError(f"{folder} holds a run: resume it, or take another folder")
    make_folder(folder)
