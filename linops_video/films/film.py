"""Films of any length as inverse problems of windows: frames are read, measured and forgotten one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from linops_video.algebra.parameters import Shape
from linops_video.errors import CutError, ShapeError
from linops_video.expressions.names import PROBLEMS, stream
from linops_video.films.cut import cut_problem, whole
from linops_video.films.film_model import FilmModel, Footage, Rolling, film_model
from linops_video.media.arrays import EIGHT_BIT_NOISE, NUMPY, read_clip, read_measurement
from linops_video.media.video import frame_rate, stream_video
from linops_video.problems.forward_model import InverseProblem, problem_named
from linops_video.problems.measurement import check_range, frame_rate_of, gray_of, infer_shape
from linops_video.problems.noise import estimate_noise, reached

SAMPLES = 8
"""Frames, spread over the film, from which the noise is estimated."""


@dataclass(frozen=True)
class Source:
    """Where the frames of a film come from.

    Attributes:
        frames: gives them.
        shape: (T, C, H, W), found by counting.
        fps: frames per second.
        noise_floor: the noise that the file format leaves in them.
        samples: the numbers of some frames that are spread over the film, and these frames (`SAMPLES`, C, H, W).
    """

    frames: Footage
    shape: Shape
    fps: float
    noise_floor: float
    samples: tuple[tuple[int, ...], Tensor]


def open_film(path: str | Path, frames: int | None = None, measured: bool = True) -> Source:
    """Count the frames of a file or folder by decoding it once, so that a broken one is refused before the work.

    Arrays (.npz, .npy) are read whole. `measured`: the array is a measurement "y", else a video "x".

    Raises what `read_measurement` or `read_clip` raise.
    """
    if Path(path).suffix.lower() in NUMPY:
        if measured:
            array = read_measurement(path, frames)
            video, fps, floor = array.y, array.fps, array.noise_floor
        else:
            clip = read_clip(path, frames)
            video, fps, floor = clip.frames, clip.fps, 0.0
        if video.ndim != 4:
            raise ShapeError(f"a film in {path} must have the shape (T, C, H, W), not {tuple(video.shape)}")
        at = tuple(range(0, len(video), -(-len(video) // SAMPLES)))
        return Source(lambda: iter(video), tuple(video.shape), fps, floor, (at, video[list(at)]))
    kept: list[tuple[int, Tensor]] = []
    count, step = 0, 1
    for frame in stream_video(path, frames):
        if count % step == 0:
            kept.append((count, frame))
        if len(kept) == 2 * SAMPLES:
            kept, step = kept[::2], 2 * step
        count += 1
    at, samples = zip(*kept[:: -(-len(kept) // SAMPLES)], strict=True)
    shape = (count, *samples[0].shape)
    return Source(
        lambda: stream_video(path, frames), shape, frame_rate(path), EIGHT_BIT_NOISE, (at, torch.stack(samples))
    )


class Film:
    """A film as the inverse problems of its windows, which go forward; made by `measured_film` and `simulated_film`.

    Attributes:
        shape: (T, C, H, W) of the film that is looked for.
        fps: its frames per second.
        noise_std: σ, the same for all windows.
        name: that of the problem, None for other expressions.
    """

    def __init__(self, model: FilmModel, source: Source, spec: str, noise_std: float, seed: int | None) -> None:
        self.model, self.shape, self.noise_std = model, model.shape, noise_std
        self.name = problem_named(spec)
        self.fps = source.fps
        self._gray, self._simulated = spec == "color", seed is not None
        self._frames = Rolling(source.frames)
        self._seed = seed or 0
        self._noise: Rolling | None = None

    def check(self, windows: Sequence[tuple[int, int]]) -> None:
        """Raise `CutError` if one of these windows cannot be cut, or they go back in y, before any is solved."""
        first = 0
        for start, stop in [] if self.model.frame_by_frame else windows:
            _, ((begin, _), *_) = self.model.part(start, stop)
            if begin < first:
                raise CutError("a film is solved in windows that go forward in time, and its measurements go backward")
            first = begin

    def problem(self, start: int, stop: int) -> InverseProblem:
        """The inverse problem of frames start … stop − 1: what the film's measurements say that see nothing else.

        Raises `ShapeError` and `MeasurementError` where the frames of a measured film cannot be its measurements.
        """
        A, box = self.model.part(start, stop)
        (first, last), *_ = box
        if self._simulated:
            y = A(self._frames.window(start, stop)) + self._noise_at(first, last, A.out_shape[1:])
        else:
            y = self._frames.window(first, last)
            y = (gray_of(y) if self._gray else y)[(..., *(slice(a, b) for a, b in box[1:]))]
            if tuple(y.shape) != A.out_shape:
                raise ShapeError(f"{A!r} measures {A.out_shape}, but these frames of the film are {tuple(y.shape)}")
        problem = InverseProblem(A, y, self.noise_std, self.name)
        if not self._simulated:
            for part in _frames_of(problem) if self.model.frame_by_frame else [problem]:
                part.y.mul_(reached(part.operator, part.y))  # what a file holds at lost entries means nothing
                check_range(part)
        return problem

    def truth(self, start: int, stop: int) -> Tensor | None:
        """The true frames, if the measurement is simulated; not before the start of the last `problem`."""
        return self._frames.window(start, stop) if self._simulated else None

    def _noise_at(self, start: int, stop: int, frame: Shape) -> Tensor:
        if self.noise_std == 0:
            return torch.zeros(())
        if self._noise is None:
            self._noise = Rolling(lambda: _draws(frame, self._seed))
        return self.noise_std * self._noise.window(start, stop)


def measured_film(
    source: Source,
    spec: str,
    shape: Shape | None = None,
    noise_std: float | None = None,
    seed: int = 0,
    mask: str | Path | None = None,
    kernel: Tensor | None = None,
) -> Film:
    """A film of which `source` is the measurement, as `inverse_problem` takes a clip; noise is estimated from samples.

    A film of which every 2nd or 4th frame was measured (fi2, fi4) has as many times their rate.

    Raises what `inverse_problem` and `film_model` raise.
    """
    frames = gray_of(source.samples[1]) if spec == "color" else source.samples[1]
    shape = shape or infer_shape(spec, (source.shape[0], *frames.shape[1:]), kernel)
    model = film_model(spec, shape, seed, mask, kernel)
    if model.out_shape[0] != source.shape[0]:
        raise ShapeError(
            f"{spec} measures {shape[0]} frames as {model.out_shape[0]}, but this film has {source.shape[0]}"
        )
    std = max(noise_std or 0.0, source.noise_floor)
    if noise_std is None and source.noise_floor:
        seen = _seen(film_model(spec, shape, seed, mask, kernel), *source.samples)
        std = max(std, estimate_noise(frames, seen))
    return Film(model, replace(source, fps=frame_rate_of(spec, source.fps)), spec, std, None)


def simulated_film(
    source: Source,
    spec: str,
    noise_std: float | None = None,
    seed: int = 0,
    mask: str | Path | None = None,
    kernel: Tensor | None = None,
) -> Film:
    """A film that is degraded first: `source` is the truth, the noise is the problem's unless given.

    Raises what `film_model` raises.
    """
    name = problem_named(spec)
    if noise_std is None:
        noise_std = PROBLEMS[name].noise_std if name in PROBLEMS else 0.0
    return Film(film_model(spec, source.shape, seed, mask, kernel), source, spec, noise_std, seed)


def _frames_of(problem: InverseProblem) -> list[InverseProblem]:
    """The problem of each frame, of its part of y: so that no more than a frame is in memory once again."""
    frame = whole(problem.operator.in_shape)[1:]
    try:
        return [cut_problem(problem, ((i, i + 1), *frame)) for i in range(problem.operator.in_shape[0])]
    except CutError:
        return [problem]


def _draws(frame: Shape, seed: int) -> Iterator[Tensor]:
    """Frames of the noise of a simulation, of standard deviation 1."""
    generator = stream(seed, 1)
    while True:
        yield torch.randn(frame, generator=generator)


def _seen(model: FilmModel, at: Sequence[int], frames: Tensor) -> Tensor | None:
    """Where the sampled frames of y are measured, for models that measure frame by frame."""
    if not model.frame_by_frame:
        return None
    return torch.cat([reached(model.part(i, i + 1)[0], frames) for i in at])
