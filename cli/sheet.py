"""The paper's Table 2 as a picture: strips of frames, a column for each problem, a row for each method."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from linops_video.cli.picture import draw, measurement_column, pixels_of
from linops_video.media.files import replacing
from linops_video.solvers.evaluation import Example

ACROSS = 5
"""Problems side by side, as in the paper."""

DPI = 200
STRIP_INCHES, LABEL_INCHES, TITLE_INCHES, MARGIN_INCHES = 3.2, 1.5, 0.3, 0.1
LETTER_INCHES, LINE_INCHES = 0.075, 0.16
"""Of text of 9 points: about the mean letter, and what one more line takes."""


@dataclass(frozen=True)
class Strip:
    """The frames of a cell, None where nothing was measured, and the text in its corner."""

    frames: Sequence[Tensor | None]
    note: str = ""
    best: bool = False


def strips(example: Example, solvers: Sequence[str]) -> list[Strip | None]:
    """Truth, measurement and each solver's reconstruction (None where it has none) with its PSNR, the best marked."""
    values = {solver: example.psnr(solver) for solver in example.reconstructions}
    best = max(values.values(), default=0.0)
    cells: list[Strip | None] = [Strip(list(example.truth))]
    cells.append(Strip(measurement_column(example.batch, example.place).frames))
    for solver in solvers:
        if solver in values:
            note = f"{values[solver]:.1f}"
            cells.append(Strip(list(example.reconstructions[solver]), note, values[solver] == best))
        else:
            cells.append(None)
    return cells


def save_sheet(path: Path, examples: Sequence[Example], solvers: Sequence[str], title: str) -> None:
    """Write the picture as PNG. A solver that is for none of the problems side by side has no row there."""
    from matplotlib.figure import Figure  # here: matplotlib takes a second to import

    times, _, height, width = examples[0].truth.shape
    across = min(ACROSS, len(examples))
    blocks = [examples[i : i + across] for i in range(0, len(examples), across)]
    rows = [[s for s in solvers if any(s in e.reconstructions for e in block)] for block in blocks]
    strip = STRIP_INCHES / times * height / width
    wide = LABEL_INCHES + across * STRIP_INCHES
    title = textwrap.fill(title, int(wide / LETTER_INCHES))
    names = [[_folded(e.problem, int(STRIP_INCHES / LETTER_INCHES)) for e in block] for block in blocks]
    heads = [TITLE_INCHES + LINE_INCHES * max(name.count("\n") for name in block) for block in names]
    heights = [head + strip * (2 + len(used)) for head, used in zip(heads, rows, strict=True)]
    above = TITLE_INCHES + LINE_INCHES * title.count("\n")
    size = (wide, above + sum(heights) + MARGIN_INCHES)
    figure = Figure(figsize=size, dpi=DPI, facecolor="white")
    figure.text(0.005, 1 - 0.3 * TITLE_INCHES / size[1], title, fontsize=9, va="top", parse_math=False)
    top = size[1] - above
    for block, written, head, used, tall in zip(blocks, names, heads, rows, heights, strict=True):
        for r, label in enumerate(("truth", "measurement", *used)):
            y = (top - head - (r + 0.5) * strip) / size[1]
            place = ((LABEL_INCHES - 0.08) / size[0], y)
            figure.text(*place, _folded(label), fontsize=8, ha="right", va="center", parse_math=False)
        for c, example in enumerate(block):
            left = LABEL_INCHES + c * STRIP_INCHES
            place = (left / size[0], (top - 0.3 * TITLE_INCHES) / size[1])
            figure.text(*place, written[c], fontsize=9, va="top", parse_math=False)
            for r, cell in enumerate(strips(example, used)):
                bottom = top - head - (r + 1) * strip
                box = (left / size[0], bottom / size[1], 0.97 * STRIP_INCHES / size[0], 0.94 * strip / size[1])
                if cell is not None:
                    _draw(figure.add_axes(box), cell)
        top -= tall
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw(axes, strip: Strip) -> None:
    axes.set_axis_off()
    for t, frame in enumerate(strip.frames):
        pixels = np.full((1, 1, 3), 0.9) if frame is None else pixels_of(frame)
        draw(axes, pixels, (t + 0.02, t + 0.98, 0, 1), DPI * STRIP_INCHES / len(strip.frames))
    axes.set_xlim(0, len(strip.frames))
    axes.set_ylim(0, 1)
    if strip.note:
        look = {"color": "#ffd000", "weight": "bold"} if strip.best else {"color": "white"}
        ground = {"facecolor": "black", "alpha": 0.6, "pad": 0.6, "linewidth": 0}
        axes.text(0.05, 0.94, strip.note, fontsize=6, va="top", bbox=ground, **look)


def _folded(label: str, letters: int = 22) -> str:
    """The label in lines of at most so many letters."""
    return "\n".join(label[i : i + letters] for i in range(0, len(label), letters))
