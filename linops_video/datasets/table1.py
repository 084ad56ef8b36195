"""The numbers that Milacski, Póczos and Lőrincz print: Table 1 of "VideoOneNet", ICML 2020. Mean PSNR in dB."""

from __future__ import annotations

_FIRST = ("pid", "bi", "si", "sr2", "sr4", "cs", "vcs", "dd", "tdd", "md3")
MNIST_COLUMNS = (*_FIRST, "fi2", "fi4", "fp25", "fp50", "fp75")
COLOR_COLUMNS = (*_FIRST, "fi2", "fp25", "fp50", "fp75", "color")
"""Their "FI (4/3)×" is a prediction, fp25, as their Table 2 says."""

ROWS = ("3-D wavelet", "OneNet CNN", "OneNet BCRNN", "VideoOneNet CNN", "VideoOneNet BCRNN")

_PRINTED = {
    "rotated-mnist": (
        MNIST_COLUMNS,
        (13.0, 21.6, 20.0, 17.1, 10.3, 10.1, 10.7, 24.2, 24.5, 29.5, 12.8, 11.3, 17.0, 13.8, 12.0),
        (23.4, 30.3, 32.4, 27.4, 16.4, 24.2, 22.1, 28.7, 28.9, 32.4, 15.2, 13.6, 19.2, 16.1, 14.3),
        (23.9, 32.0, 32.7, 27.6, 17.8, 25.5, 25.0, 28.9, 29.4, 32.5, 22.2, 17.1, 26.6, 20.3, 17.0),
        (23.0, 30.0, 31.8, 26.9, 16.5, 24.0, 22.9, 31.4, 32.8, 34.4, 15.4, 13.8, 19.3, 16.2, 14.4),
        (26.3, 36.1, 35.0, 29.7, 21.8, 27.9, 27.7, 39.9, 39.0, 41.5, 28.4, 20.2, 31.2, 22.3, 18.0),
    ),
    "scanned-cifar10": (
        COLOR_COLUMNS,
        (8.6, 14.3, 11.6, 13.9, 6.2, 5.7, 7.2, 20.0, 19.6, 24.3, 8.8, 11.7, 8.9, 7.2, 7.2),
        (24.2, 27.4, 26.1, 25.2, 19.6, 21.8, 19.6, 27.3, 26.4, 31.6, 16.9, 20.0, 16.8, 14.7, 23.1),
        (24.9, 28.8, 26.8, 26.0, 20.4, 22.9, 20.5, 29.1, 28.5, 34.3, 18.7, 22.4, 18.5, 15.7, 24.1),
        (25.0, 29.9, 28.4, 27.2, 21.5, 23.8, 21.5, 38.2, 36.8, 39.1, 17.2, 20.9, 17.1, 14.9, 24.6),
        (25.1, 29.9, 28.4, 27.2, 21.5, 24.0, 21.9, 38.9, 37.8, 40.5, 19.3, 22.8, 18.6, 15.9, 24.4),
    ),
    "ucf101": (
        COLOR_COLUMNS,
        (10.1, 15.4, 12.5, 14.6, 7.6, 7.1, 8.6, 22.7, 20.2, 25.6, 10.3, 13.2, 10.3, 8.5, 8.7),
        (24.2, 23.1, 22.3, 23.7, 18.3, 22.3, 18.5, 25.6, 27.7, 28.2, 16.5, 19.2, 16.5, 14.7, 22.0),
        (26.4, 25.2, 27.0, 26.7, 20.6, 24.7, 30.4, 29.0, 33.9, 33.7, 33.8, 35.4, 32.4, 30.2, 24.1),
        (23.2, 25.1, 24.1, 26.4, 21.6, 20.7, 20.6, 31.0, 32.3, 32.4, 17.8, 20.7, 17.8, 16.0, 24.4),
        (27.3, 26.4, 31.2, 27.5, 22.1, 27.1, 31.6, 38.6, 40.2, 41.0, 35.5, 36.9, 33.4, 30.7, 24.7),
    ),
}

PUBLISHED: dict[str, dict[str, dict[str, float]]] = {
    name: {row: dict(zip(columns, values, strict=True)) for row, values in zip(ROWS, rows, strict=True)}
    for name, (columns, *rows) in _PRINTED.items()
}
"""Data set -> method -> problem -> dB."""


def table1_problems(name: str, channels: int) -> tuple[str, ...]:
    """The 15 problems of Table 1 for a data set; for others than the paper's those of its gray or colour sets.

    Example:
        >>> table1_problems("rotated-mnist", 1)[-2:], table1_problems("video", 3)[-2:]
        (('fp50', 'fp75'), ('fp75', 'color'))
    """
    if name in _PRINTED:
        return _PRINTED[name][0]
    return COLOR_COLUMNS if channels == 3 else MNIST_COLUMNS
