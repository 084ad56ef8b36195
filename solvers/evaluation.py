"""Scores of reconstructions, one video at a time or over a data set."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from linops_video import ForwardModel, InverseProblem, forward_model
from linops_video.errors import DtypeError, LinopsError, ShapeError
from linops_video.media.arrays import EIGHT_BIT_NOISE
from linops_video.metrics import data_misfit, psnr, ssim
from linops_video.solvers.methods import Method, parse_method
from linops_video.solvers.registry import SOLVERS

BATCH, MOST = 4, 64
"""Fewest and most videos that are solved at once."""

ENTRIES, ENTRIES_OF_OPERATORS = 400_000, 40_000_000
"""About so many entries of videos, and of operators, are solved at once: enough to fill the vector units, little enough
for memory, of which an operator's inverse takes several times as much in float64."""

CAP = 100.0
"""dB at which PSNRs are capped: a root mean square error of 1e-5, as float32 leaves after an exact solve."""


@dataclass(frozen=True)
class Score:
    """Quality of one reconstruction; `psnr` and `ssim` are None without the truth, `ssim` for small frames too."""

    psnr: float | None
    ssim: float | None
    data_misfit: float


def score(problem: InverseProblem, x: Tensor, truth: Tensor | None = None) -> Score:
    """Score a reconstruction x (no batch axes) by its measurements and, where it is known, the truth.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> problem = forward_model("sr2", (2, 3, 16, 16)).measure(torch.ones(2, 3, 16, 16))
        >>> score(problem, torch.ones(2, 3, 16, 16)).data_misfit
        0.0
    """
    misfit = data_misfit(problem.operator, x, problem.y)
    if truth is None:
        return Score(None, None, misfit)
    similarity = ssim(x, truth)
    return Score(psnr(x, truth).item(), None if similarity is None else similarity.item(), misfit)


@dataclass(frozen=True)
class Result:
    """A solver on a problem: PSNR and SSIM (None for small frames) of every video, shape (N,); seconds per video."""

    problem: str
    solver: str
    psnr: Tensor
    ssim: Tensor | None
    seconds: float

    @property
    def capped(self) -> Tensor:
        """The PSNRs, each at most `CAP`, of which means are taken: one exact video would make the mean infinite."""
        return self.psnr.clamp(max=CAP)


def summary(result: Result) -> dict[str, float | None]:
    """Mean, median and (population) standard deviation of the capped PSNRs, and the rest of a table's cell."""
    return {
        "psnr_mean": result.capped.mean().item(),
        "psnr_median": result.capped.quantile(0.5).item(),
        "psnr_std": result.capped.std(correction=0).item(),
        "ssim_mean": None if result.ssim is None else result.ssim.mean().item(),
        "seconds_per_video": result.seconds,
        "videos": len(result.psnr),
    }


def evaluate(
    videos: Tensor,
    problems: Sequence[str],
    solvers: Sequence[str],
    seed: int = 0,
    eight_bit: bool = False,
    weights: str | None = None,
    noise: float | None = None,
    on_batch: Callable[[str, str, int], None] | None = None,
) -> list[Result]:
    """Solve every problem on every video with every solver.

    Each video has its own mask, matrix or angle, and every solver sees the same measurements and is told their noise.

    Args:
        videos: (N, T, C, H, W), uint8 or float in [0, 1]; solved where they are (cpu, cuda).
        problems: names in `PROBLEMS`, or expressions as `parse` reads them.
        solvers: what `parse_method` reads; a baseline is left out where the problem has none of that name.
        seed: of masks, matrices, angles and noise.
        eight_bit: round the measurements to 8 bits, and solve them with noise of at least `EIGHT_BIT_NOISE`.
        weights: for the learned solvers, a file or the name of a shipped set; None: their default.
        noise: σ of the measurements in place of the problem's own.
        on_batch: called with problem, solver and the number of videos that one call has solved.

    Raises:
        SpecError: for unknown names and fields; all are looked at before the first video.
        ShapeError: if `videos` has not five axes, or a problem cannot be posed for their shape.
        LinopsError: for a solver that cannot take a problem; each is begun on the first video before any is solved.

    Example:
        >>> import torch
        >>> results = evaluate(torch.rand(2, 4, 3, 16, 16), ["sr2"], ["pinv", "bicubic"])
        >>> [(r.solver, tuple(r.psnr.shape)) for r in results]
        [('pinv', (2,)), ('bicubic', (2,))]
    """
    if videos.ndim != 5 or len(videos) == 0:
        raise ShapeError(f"videos to evaluate have the shape (N, T, C, H, W), not {tuple(videos.shape)}")
    methods = [parse_method(text, weights) for text in solvers]
    ways: dict[str, dict[str, Callable[[InverseProblem], Tensor]]] = {}
    for problem in problems:
        first = _pose(problem, _as_float(videos[:1]), seed, eight_bit, noise)
        suited = [method for method in methods if method.applies(first.name)]
        if any(method.name in SOLVERS for method in suited):
            first = first.prepare()  # one set-up for all that begin
        ways[problem] = {method.label: _begun(method, first, problem) for method in suited}
    results = []
    for problem in problems:
        size = batch_size(forward_model(problem, tuple(videos.shape[1:]), seed))
        found: dict[str, list[tuple[Tensor, Tensor | None, float]]] = {label: [] for label in ways[problem]}
        for batch, part in enumerate(videos.split(size)):
            truth = _as_float(part)
            posed = _pose(problem, truth, seed + batch, eight_bit, noise)
            for label, way in ways[problem].items():
                x, seconds = _timed(way, posed)
                found[label].append((psnr(x, truth), ssim(x, truth), seconds))
                if on_batch is not None:
                    on_batch(problem, label, len(part))
        results += [_result(problem, label, parts, len(videos)) for label, parts in found.items()]
    return results


def _begun(method: Method, problem: InverseProblem, text: str) -> Callable[[InverseProblem], Tensor]:
    """What solves a problem; an error that tells which, if the method cannot take it."""
    try:
        return method.begun(problem)
    except LinopsError as error:
        raise type(error)(f"{method.label} on {text}: {error}") from None


@dataclass(frozen=True)
class Example:
    """One video of an evaluation: the batch in which it was measured, its place there, and every reconstruction."""

    problem: str
    batch: InverseProblem
    place: int
    truth: Tensor
    reconstructions: dict[str, Tensor]

    def psnr(self, solver: str) -> float:
        """The PSNR that `evaluate` gives this video."""
        return psnr(self.reconstructions[solver], self.truth).item()


def example(
    videos: Tensor,
    index: int,
    problem: str,
    solvers: Sequence[str],
    seed: int = 0,
    eight_bit: bool = False,
    weights: str | None = None,
    noise: float | None = None,
) -> Example:
    """What `evaluate` with the same arguments does with the video `index`, to look at.

    Raises:
        ShapeError: if there is no such video, and what `evaluate` raises.

    Example:
        >>> import torch
        >>> videos = torch.rand(6, 4, 3, 16, 16)
        >>> shown = example(videos, 5, "pid", ["pinv"])
        >>> shown.psnr("pinv") == evaluate(videos, ["pid"], ["pinv"])[0].psnr[5].item()
        True
    """
    if not 0 <= index < len(videos):
        raise ShapeError(f"there are {len(videos)} videos, counted from 0, and no video {index}")
    methods = [parse_method(text, weights) for text in solvers]
    size = batch_size(forward_model(problem, tuple(videos.shape[1:]), seed))
    batch, place = divmod(index, size)
    truth = _as_float(videos[batch * size : (batch + 1) * size])
    first = _pose(problem, _as_float(videos[:1]), seed, eight_bit, noise)  # which chooses the fields, as in `evaluate`
    posed = _pose(problem, truth, seed + batch, eight_bit, noise)
    found = {m.label: _timed(m.built(first), posed)[0][place] for m in methods if m.applies(posed.name)}
    return Example(problem, posed, place, truth[place], found)


def batch_size(model: ForwardModel) -> int:
    """Videos that are solved at once: fewer of large ones, and where each has a large matrix of its own.

    Example:
        >>> batch_size(forward_model("sr2", (9, 1, 14, 14))), batch_size(forward_model("sr2", (8, 3, 64, 64)))
        (64, 4)
    """
    entries = math.prod(model.operator.in_shape)
    own = sum(tensor.numel() for tensor in model.operator.tensors())
    return max(BATCH, min(MOST, ENTRIES // entries, ENTRIES_OF_OPERATORS // max(own, 1)))


def _as_float(videos: Tensor) -> Tensor:
    return videos.float() / 255 if videos.dtype == torch.uint8 else videos.float()


def _pose(problem: str, truth: Tensor, seed: int, eight_bit: bool, noise: float | None) -> InverseProblem:
    model = forward_model(problem, tuple(truth.shape), seed).to(truth.device)
    posed = (model if noise is None else replace(model, noise_std=noise)).measure(truth, seed)
    if not eight_bit:
        return posed
    if posed.y.is_complex():
        raise DtypeError("complex measurements are not rounded to 8 bits: leave it out")
    y = (posed.y * 255).round() / 255
    return replace(posed, y=y, noise_std=math.hypot(float(posed.noise_std), EIGHT_BIT_NOISE))


def _timed(way: Callable[[InverseProblem], Tensor], posed: InverseProblem) -> tuple[Tensor, float]:
    """The reconstruction, and the seconds that it took, to its end on a GPU."""
    began = time.perf_counter()
    with torch.no_grad():
        x = way(posed)
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return x, time.perf_counter() - began


def _result(problem: str, label: str, parts: list[tuple[Tensor, Tensor | None, float]], videos: int) -> Result:
    similar = [s for _, s, _ in parts if s is not None]
    return Result(
        problem,
        label,
        torch.cat([p for p, _, _ in parts]).cpu(),
        torch.cat(similar).cpu() if similar else None,
        sum(seconds for _, _, seconds in parts) / videos,
    )
