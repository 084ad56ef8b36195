"""The problems of training: which, how often, with how much noise; operators that are costly to set up are kept."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import torch
from torch import Tensor

from linops_video import ForwardModel, InverseProblem, NormalSolver, forward_model
from linops_video.media.arrays import EIGHT_BIT_NOISE

FRESH = ("pid", "si")
"""Problems whose operator is cheap to set up: new for every sample. All others share one in a group of videos."""

KEPT = {"cs": 6, "vcs": 4, "md": 32, "md3": 8}
"""Operators kept for each shape of large videos; 1 for problems without randomness."""

FIRST_SEED = 10**6
"""Of the operators that are kept: validation has seeds from 0 on."""

LARGE = 4096
"""Entries of a video from which on operators are kept: below, the set-up takes at most 0.1 s (cs), mostly 1 ms."""

BLURS = ("dd", "tdd", "md", "md3")
"""Solved without noise by the last data-consistency step: in training they are noisy, unless `noisy_blurs` is off."""

MIXTURE: dict[str, float] = {
    **{"pid": 4.0, "bi": 1.1, "si": 1.8, "sr2": 1.7, "sr4": 5.0, "cs": 1.6, "vcs": 0.8, "denoise": 1.2, "color": 1.2},
    **{"fi2": 1.3, "fi4": 0.8, "fp25": 1.0, "fp50": 0.8, "fp75": 1.0, "dd": 0.7, "tdd": 0.7, "md": 0.7, "md3": 0.3},
}
"""How often each problem is drawn for real video: the harder to beat the baselines, the more often."""


class ProblemPool:
    """Forward models with their normal solvers: drawn anew each time, or, for large videos, set up once and kept."""

    def __init__(self, device: torch.device | str = "cpu", solves: bool = True) -> None:
        self.device, self.solves = torch.device(device), solves
        self._kept: dict[tuple[str, tuple[int, ...], torch.dtype, int], tuple[ForwardModel, NormalSolver | None]] = {}

    def draw(
        self, spec: str, truth: Tensor, noisy: float, generator: torch.Generator, noisy_blurs: bool = True
    ) -> tuple[InverseProblem, NormalSolver | None]:
        """A measurement of `truth` (*batch, T, C, H, W) and, if the network `solves`, its operator's normal solver."""
        operator_seed, noise_seed = (int(s) for s in torch.randint(2**31, (2,), generator=generator))
        shape = tuple(truth.shape)[-4:]
        if spec in FRESH:
            model, normal = self._set_up(spec, tuple(truth.shape), operator_seed, truth.dtype)
        elif prod(shape) <= LARGE and spec in KEPT:
            model, normal = self._set_up(spec, shape, operator_seed, truth.dtype)
        else:
            index = operator_seed % KEPT.get(spec, 1)
            key = (spec, shape, truth.dtype, index)
            if key not in self._kept:
                self._kept[key] = self._set_up(spec, shape, FIRST_SEED + index, truth.dtype)
            model, normal = self._kept[key]
        noise_std = draw_noise(spec, float(model.noise_std), noisy, generator, noisy_blurs)
        return replace(model, noise_std=noise_std).measure(truth, noise_seed), normal

    def _set_up(
        self, spec: str, shape: tuple[int, ...], seed: int, dtype: torch.dtype
    ) -> tuple[ForwardModel, NormalSolver | None]:
        model = forward_model(spec, shape, seed).to(self.device, dtype)
        return model, NormalSolver.of(model.operator) if self.solves else None


def draw_noise(spec: str, own: float, noisy: float, generator: torch.Generator, noisy_blurs: bool = True) -> float:
    """The noise level of a training problem; `own` is that of the named problem."""
    chance, level = (float(v) for v in torch.rand(2, generator=generator))
    if spec == "denoise":  # uniform in [0, 0.1], with more of the low levels
        return 0.1 * level if chance < 0.7 else 10 ** (-3 + 2 * level)
    if spec in BLURS and noisy_blurs:
        return EIGHT_BIT_NOISE if chance < 0.5 else 10 ** (-3 + 1.7 * level)
    if own:
        return own
    return 10 ** (-3 + 2 * level) if chance < noisy else 0.0
