"""The curve of a training run: CSV, TensorBoard event files and a picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linops_video.media.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, float]
"""step, videos, seconds, loss, learning_rate, mean, and the PSNR of each problem."""

PLAIN = ("step", "videos", "seconds", "loss", "learning_rate")


class Curve:
    """What a run in `folder` has reached so far, written anew with every row, so that files and state agree.

    Files: `curve.csv`, `curve.png`, and `events/` for TensorBoard where that is installed (the extra `train`).
    """

    def __init__(self, folder: Path, rows: Sequence[Row] = ()) -> None:
        self.folder = folder
        self.rows = list(rows)
        self._events = _event_writer(folder / "events", int(self.rows[-1]["step"]) if self.rows else 0)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.write()
        if self._events is not None:
            step = int(row["step"])
            for name, value in row.items():
                if name != "step":
                    self._events.add_scalar(name if name in PLAIN else f"psnr/{name}", value, step)
            self._events.flush()

    def write(self) -> None:
        """The CSV file and the picture."""
        with replacing(self.folder / "curve.csv") as path, path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        with replacing(self.folder / "curve.png") as path:
            draw(self.rows).savefig(path, dpi=120)

    def close(self) -> None:
        if self._events is not None:
            self._events.close()


def draw(rows: Sequence[Row]) -> Figure:
    """Loss and validation PSNR of each problem against the videos seen."""
    from matplotlib import rcParams  # here: matplotlib takes a third of a second to import
    from matplotlib.figure import Figure
    from matplotlib.rcsetup import cycler

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 2))
    videos = [row["videos"] for row in rows]
    left.plot(videos, [row["loss"] for row in rows], color="black", marker=".")  # one validation alone is no line
    left.set(xlabel="training videos", ylabel="loss")
    right.set_prop_cycle(cycler(linestyle=["-", "--"], marker=[".", "x"]) * rcParams["axes.prop_cycle"])
    for name in rows[0]:
        if name not in PLAIN:
            mean = {"color": "black", "linewidth": 2.5, "linestyle": "-", "marker": "."}
            style: dict[str, Any] = mean if name == "mean" else {"linewidth": 1}
            right.plot(videos, [row[name] for row in rows], label=f"{name} {rows[-1][name]:.1f}", **style)
    right.set(xlabel="training videos", ylabel="validation PSNR in dB")
    right.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small", frameon=False)
    return figure


def _event_writer(folder: Path, step: int) -> Any:
    """A TensorBoard writer that goes on after `step`, or None where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
