"""Where data sets live, and decoded copies of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from linops_video.errors import FileError
from linops_video.media.files import make_folder, replacing, told

VARIABLE = "LINOPS_VIDEO_DATA"
"""Environment variable with the folder of the data sets."""

ADVICE = f"; set {VARIABLE} to another folder"
"""For a folder that cannot be written."""


def data_folder(name: str = "") -> Path:
    """The folder of fetched data sets, or of one of them: `$LINOPS_VIDEO_DATA`, else in the user's cache folder."""
    import pooch  # here: with requests it takes half a second to import

    return Path(os.environ.get(VARIABLE) or pooch.os_cache("linops-video")) / name


def cached(source: Path, form: str, decode: Callable[[], Iterable[np.ndarray]]) -> Path:
    """A `.npy` file with the arrays that `decode` gives, all of one shape, stacked; the first call makes it.

    They are written one by one, and the file appears whole or not at all. It is kept in `data_folder("decoded")` by
    path, size and time of `source` and the name of the `form`: a source that changes is decoded again.
    """
    facts = source.stat()
    text = f"{source.resolve()}\n{facts.st_size}\n{facts.st_mtime_ns}\n{form}"
    key = hashlib.sha256(text.encode()).hexdigest()[:24]
    path = data_folder("decoded") / key[:2] / f"{source.stem[:60]}-{key}.npy"
    if not path.is_file():
        make_folder(path.parent, ADVICE)
        with replacing(path) as temporary, told(path, advice=ADVICE):
            _write(temporary, decode())
    return path


def _write(path: Path, arrays: Iterable[np.ndarray]) -> None:
    """Write a stack whose length is known at its end: NumPy's headers have room for the first axis to grow."""
    with path.open("wb") as file:
        count, header = 0, None
        for array in arrays:
            header = header or {"descr": array.dtype.str, "fortran_order": False, "shape": (0, *array.shape)}
            if count == 0:
                np.lib.format.write_array_header_1_0(file, header)
                start = file.tell()
            file.write(np.ascontiguousarray(array).data)
            count += 1
        if header is None:
            raise FileError(f"there is nothing to decode for {path.name}")
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, header | {"shape": (count, *header["shape"][1:])})
        if file.tell() != start:
            raise FileError("this version of NumPy has no room in its headers: 1.26 and later have")
