"""Windows of moving crops from whole films, to train with beside archives of them: `crops.py ARCHIVE FOLDER OUT.npz`.

An archive such as `video32.npz` has a few windows of each clip, each the whole frame reduced to 32×32. This takes
others of the same clips, from their files in FOLDER at full resolution: any stretch of time, and a part of the frame of
any size from 96 pixels on, whose sides differ in scale by up to a third. Each value is the mean of a whole number of
pixels along either side, as in the archive. Only clips are used that ARCHIVE has under "train", by the path in their
`source`; those of the category ucf five times as often. Windows without motion are left out. The windows that ARCHIVE
itself has of this category are added, those under "val" too, in halves.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from rich.progress import track
from torch import Tensor

from linops_video.datasets.archive import load_archive
from linops_video.media.files import replacing
from linops_video.media.video import read_video

FRAMES, SIZE = 8, 32
LEAST = 3
"""Pixels of the film along each side of a pixel of the window, at least."""

ASPECT = 4 / 3
STILL = 0.06 / 255
"""Mean absolute difference of frames below which a window has no motion: that of the archive."""

CATEGORY, TIMES = "ucf", 5


class Cropper:
    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def window(self, film: Tensor) -> Tensor | None:
        """One window (T, 3, H, W) of a film (T, 3, H, W), None if it stands still."""
        height, width = (side // SIZE for side in film.shape[-2:])
        down = self._between(LEAST, height)
        across = self._between(max(LEAST, round(down / ASPECT)), min(width, round(down * ASPECT)))
        first = self._between(0, len(film) - FRAMES)
        top = self._between(0, film.shape[-2] - down * SIZE)
        left = self._between(0, film.shape[-1] - across * SIZE)
        part = film[first : first + FRAMES, :, top : top + down * SIZE, left : left + across * SIZE]
        small = F.avg_pool2d(part.float(), (down, across))
        return small if small.diff(dim=0).abs().mean() >= STILL else None

    def _between(self, least: int, most: int) -> int:
        return int(torch.randint(least, max(least, most) + 1, (), generator=self.generator))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, help=".npz with `source`, `split` and `category`")
    parser.add_argument("folder", type=Path, help="with the files that `source` names after its colon")
    parser.add_argument("out", type=Path)
    parser.add_argument("--windows", type=int, default=12000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    known = load_archive(args.archive)
    train = known["split"] == "train"
    found = zip(known["source"][train], known["category"][train], strict=True)
    paths = {args.folder / source.split(":", 1)[1]: str(category) for source, category in found}
    films = {path: TIMES if category == CATEGORY else 1 for path, category in paths.items() if path.exists()}
    if not films:
        parser.error(f"{args.folder} has none of the clips of {args.archive}")
    cropper, windows = Cropper(args.seed), []
    each = args.windows / sum(films.values())
    for path, weight in track(films.items(), "films"):
        film = read_video(path).frames.half()
        if len(film) < FRAMES or min(film.shape[-2:]) < LEAST * SIZE or film.shape[-3] != 3:
            continue
        drawn = [cropper.window(film) for _ in range(round(each * weight))]
        windows += [(w * 255).round().byte().permute(0, 2, 3, 1).numpy() for w in drawn if w is not None]
    own = known["video"][known["category"] == CATEGORY, : 2 * FRAMES]
    of_own = known["split"][known["category"] == CATEGORY]
    kept = np.isin(of_own, ("train", "val"))
    halves = rearrange(own[kept], "n (half t) ... -> (n half) t ...", t=FRAMES)
    split = np.concatenate([np.full(len(windows), "train"), of_own[kept].repeat(own.shape[1] // FRAMES)])
    with replacing(args.out) as temporary:
        np.savez(temporary, video=np.concatenate([np.stack(windows), halves]), split=split)
    print(f"{len(windows)} windows of {len(films)} films, and {len(halves)} of the archive")


if __name__ == "__main__":
    main()
