"""Data sets by name."""

from __future__ import annotations

from pathlib import Path

from linops_video.datasets.cache import data_folder
from linops_video.datasets.clips import OnItem
from linops_video.datasets.folder import video
from linops_video.datasets.rotated_mnist import RotatedMnist
from linops_video.datasets.scanned_cifar10 import ScannedCifar10
from linops_video.datasets.ucf101 import ucf101
from linops_video.datasets.video_set import SPLITS, VideoSet
from linops_video.errors import FileError, SpecError, near_names

FRAMES = 8
"""Of each video of the data set "video", where no other number is given."""

DATASETS: dict[str, str] = {
    "rotated-mnist": "digits that turn, 9 frames of 14×14 pixels (the paper's)",
    "scanned-cifar10": "images seen through four windows, 4 colour frames of 16×16 pixels (the paper's)",
    "ucf101": "people's actions, 4 colour frames of 32×32 pixels (the paper's)",
    "video": "a folder of video files, or a .npz archive",
}
"""Name -> what it is."""


def dataset(
    name: str,
    split: str = "test",
    root: str | Path | None = None,
    frames: int | None = None,
    size: int | None = None,
    on_item: OnItem | None = None,
) -> VideoSet:
    """One split of a data set; each of its videos, and each random number in them, is always the same.

    Args:
        name: a name in `DATASETS`, or the path of a `.npz` archive, which is the set "video" from there.
        split: "train", "val" or "test"; for "video" also "all".
        root: the folder or `.npz` file with the data; None: where `linops-video data fetch` puts them.
        frames: of each video, 8 where none are given; only for "video", as the others have their own number.
        size: height and width of crops, only for "video"; None: whole frames.
        on_item: told while clips are decoded (the first time only) how many are ready, and of how many.

    Raises:
        SpecError: for unknown names and splits, and what the data set does not take.
        FileError: if the data are not there or cannot be read. ShapeError: if videos are too small.

    Example:
        >>> import numpy as np
        >>> np.savez("clips.npz", video=np.zeros((20, 8, 16, 16, 3), np.uint8))
        >>> data = dataset("clips.npz", "test", frames=4, size=8)
        >>> len(data), data.videos([0, 1]).shape
        (2, torch.Size([2, 4, 3, 8, 8]))
    """
    if Path(name).suffix.lower() == ".npz":
        if root is not None:
            raise SpecError(f"{name} is a file itself: leave the root out")
        name, root = "video", name
    if name not in DATASETS:
        raise SpecError(f"unknown data set {name!r}, and no .npz archive: {near_names(name, DATASETS)}")
    if split not in SPLITS and not (name == "video" and split == "all"):
        raise SpecError(f"the splits of {name} are {', '.join(SPLITS)}{', all' * (name == 'video')}, not {split!r}")
    if name == "video":
        if root is None:
            raise SpecError("the data set video needs a root: a folder of video files, or a .npz archive")
        for what, value in (("frames", frames), ("size", size)):
            if value is not None and value < 1:
                raise SpecError(f"{what} must be 1 or more, not {value}")
        return video(split, Path(root), FRAMES if frames is None else frames, size, on_item)
    if frames is not None or size is not None:
        raise SpecError(f"the videos of {name} have their own number of frames and size: only video takes them")
    folder = data_folder(name) if root is None else Path(root)
    if not folder.exists():
        todo = (
            f"`linops-video data fetch {name}` puts the data there" if root is None else "give the folder of the data"
        )
        raise FileError(f"no such folder: {folder}; {todo}")
    if name == "rotated-mnist":
        return RotatedMnist.of(split, folder)
    if name == "scanned-cifar10":
        return ScannedCifar10.of(split, folder)
    return ucf101(split, folder, on_item)
