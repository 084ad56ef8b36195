"""Videos cut from clips: arrays of frames, in memory or in files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from linops_video.datasets.video_set import Indices, as_array
from linops_video.errors import ShapeError

T = TypeVar("T")

OnItem = Callable[[int, int], None]
"""Called with the number of items done and the number of all."""


@dataclass(frozen=True)
class Cut:
    """Where a video is cut from its clip; the clip's frames from `start` to before `end` are its own."""

    clip: int
    first: int
    top: int
    left: int
    start: int
    end: int


class Stored(Sequence[np.ndarray]):
    """Arrays in `.npy` files, memory-mapped while they are used: thousands of them, but few open at a time."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]  # one index only, no slices
        return np.load(self._paths[index], mmap_mode="r", allow_pickle=False)

    @staticmethod
    def of(items: Sequence[T], decoded: Callable[[T], Path], on_item: OnItem | None) -> Stored:
        """The arrays that `decoded` puts into a file for each of the items; `on_item` is told how many are ready."""
        paths: list[Path] = []
        for item in items:
            paths.append(decoded(item))
            if on_item is not None:
                on_item(len(paths), len(items))
        return Stored(paths)


@dataclass(frozen=True, eq=False)
class Clips:
    """Videos (T, C, H, W) cut from clips, each of them (frames, rows, columns, C) uint8.

    `draw` cuts anywhere in the clip's frames that are the video's own, and mirrors every second video.
    Raises `ShapeError` if a clip is too small.
    """

    name: str
    split: str
    clips: Sequence[np.ndarray]
    cuts: Sequence[Cut]
    shape: tuple[int, int, int, int]
    sources: Sequence[str]
    scenes: Sequence[str]
    complete: bool
    note: str

    def __len__(self) -> int:
        return len(self.cuts)

    def videos(self, indices: Indices) -> Tensor:
        cuts = [self.cuts[i] for i in as_array(indices)]
        return _stack([self._frames(cut.clip, cut.first, cut.top, cut.left) for cut in cuts])

    def draw(self, indices: Indices, generator: torch.Generator) -> Tensor:
        chosen = as_array(indices)
        uniform = torch.rand(len(chosen), 4, generator=generator, dtype=torch.float64).tolist()
        times, _, height, width = self.shape
        videos = []
        for i, (when, down, across, mirror) in zip(chosen, uniform, strict=True):
            cut = self.cuts[i]
            rows, columns = self.clips[cut.clip].shape[1:3]
            limits = (cut.end - cut.start - times, rows - height, columns - width)
            first, top, left = (int(u * (n + 1)) for u, n in zip((when, down, across), limits, strict=True))
            video = self._frames(cut.clip, cut.start + first, top, left)
            videos.append(video[:, :, ::-1] if mirror < 0.5 else video)
        return _stack(videos)

    def _frames(self, clip: int, first: int, top: int, left: int) -> np.ndarray:
        times, _, height, width = self.shape
        return self.clips[clip][first : first + times, top : top + height, left : left + width]


def check_sizes(clips: Sequence[np.ndarray], sources: Sequence[str], shape: tuple[int, int, int, int]) -> list[int]:
    """The number of frames of each clip; a `ShapeError` for the first from which no video of the shape can be cut."""
    times, channels, height, width = shape
    lengths = []
    for clip, source in zip(clips, sources, strict=True):
        frames, rows, columns, colors = clip.shape
        if frames < times or rows < height or columns < width or colors != channels:
            raise ShapeError(
                f"{times} frames of {width}×{height} with {channels} channels cannot be cut from {source}, which has "
                f"{frames} frames of {columns}×{rows} with {colors}: take fewer frames, a smaller size, other files"
            )
        lengths.append(frames)
    return lengths


def _stack(videos: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(videos)).permute(0, 1, 4, 2, 3).float().div(255)
