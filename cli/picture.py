"""The picture of a reconstruction: frames of truth, measurement, baseline and reconstruction side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from linops_video import InverseProblem
from linops_video.errors import ShapeError
from linops_video.media.files import replacing

ROWS = 3
DPI = 120
LEAST, MOST = 320, 640
"""Pixels of the picture across a panel: each pixel of the video takes a whole number of them, unless it is wider."""

GAP, LABEL, HEADER = 0.08, 0.9, 0.65
"""Inches between panels, left of them for the frame's number, and above them for two lines of titles."""

ZOOM = 3
"""The last row shows a window of 1/3 of the height and width, where baseline and reconstruction differ most."""

Window = tuple[int, int, int, int]
"""Top, left, height, width."""


@dataclass(frozen=True)
class Column:
    """One column: its title, the line below it, and the frame to show at each time (None: nothing was measured)."""

    title: str
    note: str
    frames: list[Tensor | None]


def measurement_column(problem: InverseProblem, sample: int | None = None) -> Column:
    """What was measured, as frames at the times of the video; of a problem with a batch, one sample of it.

    A measurement with fewer frames than the video is shown as Aᵀy / AᵀA1, as bright as the video, which leaves
    unmeasured frames out; one that is no video is shown as Aᵀy, stretched to the range that a screen shows.
    """

    def pick(batch: Tensor) -> Tensor:
        return batch if sample is None else batch[sample]

    operator, y = problem.operator, pick(problem.y)
    times = operator.in_shape[0]
    if y.ndim != 4 or y.shape[1] not in (1, 3) or y.is_complex():
        back = pick(operator.H(problem.y)).real
        low, high = back.min(), back.max()
        return Column(
            "measurement", f"{y.numel()} numbers, shown as Aᵀy", list((back - low) / (high - low).clamp(min=1e-12))
        )
    pixels = f"{y.shape[-1]}×{y.shape[-2]} pixels"
    if y.shape[0] >= times:
        return Column("measurement", pixels, [y[t] for t in range(times)])
    back = operator.T(problem.y)
    gain = operator.T(operator(torch.ones_like(back)))
    back = pick(torch.where(gain > 1e-3 * gain.max().clamp(min=1e-3), back / gain, back))
    anything = torch.rand(problem.y.shape, generator=torch.Generator().manual_seed(0)).to(y)
    seen = pick(operator.T(anything)).flatten(1).abs().amax(1) > 0
    frames = [back[t] if seen[t] else None for t in range(times)]
    made = "of" if seen.sum() == y.shape[0] else "from"  # chosen frames, or mixtures
    return Column("measurement", f"{pixels}, {y.shape[0]} {made} {times} frames", frames)


def check_channels(channels: int) -> None:
    """Raise `ShapeError` unless frames with so many channels can be drawn."""
    if channels not in (1, 3):
        raise ShapeError(f"a picture shows frames of one or three channels, not {channels}: leave out the figure")


def save_figure(path: Path, columns: list[Column], difference: Tensor) -> None:
    """Write the picture as PNG: from each third of the clip the frame with the largest `difference`, and in one of
    them the window with the largest difference enlarged.

    `difference` is `(T, H, W)`: how much the last two columns differ.
    """
    from matplotlib.figure import Figure  # here: matplotlib takes a second to import
    from matplotlib.patches import Rectangle

    times = _telling_times(difference)
    height, width = difference.shape[-2:]
    zoom_time, zoom = _busiest(difference, times)
    rows = [(t, None) for t in times] + [(zoom_time, zoom)]
    across = width * math.ceil(LEAST / width)
    across = LEAST if across > MOST else across
    panel = (across / DPI, across / DPI * height / width)
    size = (LABEL + len(columns) * (panel[0] + GAP), HEADER + len(rows) * (panel[1] + GAP))
    figure = Figure(figsize=size, dpi=DPI, facecolor="white")
    grid = figure.subplots(
        len(rows),
        len(columns),
        squeeze=False,
        gridspec_kw={
            "left": LABEL / size[0],
            "right": 1 - GAP / size[0],
            "bottom": GAP / size[1],
            "top": 1 - HEADER / size[1],
            "wspace": GAP / panel[0],
            "hspace": GAP / panel[1],
        },
    )
    for i, (time, window) in enumerate(rows):
        label = f"frame {time}" if window is None else f"frame {time}\n×{ZOOM}"
        grid[i][0].set_ylabel(label, fontsize=12, color="0.35", rotation=0, ha="right", va="center")
        for axes, column in zip(grid[i], columns, strict=True):
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_visible(False)
            _show(axes, column.frames[time], window or (0, 0, height, width), (height, width), across)
            if i == 0:
                axes.set_title(f"{column.title}\n{column.note}", fontsize=12)
            if window is None and time == zoom_time and column.frames[time] is not None:
                top, left, tall, wide = zoom
                axes.add_patch(Rectangle((left, top), wide, tall, fill=False, edgecolor="#ffb000", linewidth=1.4))
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def _show(axes, frame: Tensor | None, window: Window, size: tuple[int, int], across: int) -> None:
    """Draw the window, in pixels of the video; a smaller frame covers the video of `size` all the same."""
    if frame is None:
        axes.set_facecolor("0.93")
        axes.text(
            0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", va="center", color="0.45", fontsize=12
        )
        return
    draw(axes, pixels_of(frame), (0, size[1], size[0], 0), across)
    top, left, height, width = window
    axes.set(xlim=(left, left + width), ylim=(top + height, top))


def pixels_of(frame: Tensor) -> np.ndarray:
    """A frame (C, H, W) of one or three channels as an image (H, W, 3) in [0, 1]."""
    return frame.clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0).cpu().numpy()


def draw(axes, pixels: np.ndarray, extent: tuple[float, float, float, float], across: float) -> None:
    """An image whose pixels are seen, unless there are more than the `across` that the picture has for it."""
    interpolation = "nearest" if pixels.shape[1] <= across else "antialiased"
    axes.imshow(pixels, interpolation=interpolation, aspect="auto", extent=extent)


def _telling_times(difference: Tensor) -> list[int]:
    """From each third of the clip (of short clips: each frame) the time of the largest mean difference."""
    parts = torch.arange(len(difference)).tensor_split(min(ROWS, len(difference)))
    means = difference.mean(dim=(1, 2))
    return [int(part[means[part].argmax()]) for part in parts]


def _busiest(difference: Tensor, times: list[int]) -> tuple[int, Window]:
    """Time, and (top, left, height, width) of the window, where the mean difference is largest."""
    height, width = (max(1, n // ZOOM) for n in difference.shape[-2:])
    sums = F.pad(difference[times].double().cumsum(-2).cumsum(-1), (1, 0, 1, 0))  # of all rows and columns before
    down = sums[:, height:] - sums[:, :-height]
    means = down[..., width:] - down[..., :-width]
    best = int(means.argmax())
    index, rest = divmod(best, means[0].numel())
    top, left = divmod(rest, means.shape[-1])
    return times[index], (top, left, height, width)
