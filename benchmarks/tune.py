"""Tunes admm-tv and admm-wavelet for every named problem and noise level, and compares them with the paper's setting.

    python benchmarks/tune.py search video64.npz video32.npz
    python benchmarks/tune.py test video64.npz video32.npz

`search`: coordinate search by mean PSNR on a few windows of the val split (8 frames, the central 32×32 of 64×64; cs: 4
frames of 32×32), begun at what `solve` takes now, with factors of 2 first and of √2 then. ρ is searched as weight/κ: κ,
the threshold that the prior applies in each step, is in units of the video. The step number is the smallest within 0.02
dB of the best one on whole windows, and a row is changed only where that raises their mean PSNR by 0.02 dB. Without
noise, deblurring is left alone: its pseudoinverse is the truth. `solvers/tuned.py` is written anew after each row; rows
that are not searched (`--problems`, `--solvers`, `--levels`) stay as they are. docs/solvers.md says which were.

`test`: the mean PSNR on the test split of both, and of `AdmmWavelet(rho=0.3, weight=0.05, max_steps=13, tol=0,
levels=0)`, the paper's row "3-D wavelet sparsity".
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from record import save, write
from torch import Tensor

from linops_video import PROBLEMS, InverseProblem, forward_model
from linops_video.datasets import spread
from linops_video.media.arrays import EIGHT_BIT_NOISE
from linops_video.metrics import psnr
from linops_video.solvers import AdmmTV, AdmmWavelet, run
from linops_video.solvers.admm import AdmmBase
from linops_video.solvers.defaults import tuned
from linops_video.solvers.learned.data import load_videos
from linops_video.solvers.tuned import DB2, DB4, TUNED
from linops_video.solvers.tuning import FACTORS, coordinate_search

Point = dict[str, Any]

DEBLURRING = ("dd", "tdd", "md", "md3")
PAPER = AdmmWavelet(rho=0.3, weight=0.05, max_steps=13, tol=0.0, levels=0)
GAIN = 0.02
"""dB that a change must bring, and that a smaller number of steps may cost."""

CHOICES: dict[str, list] = {
    "wavelet": ["haar", DB2, DB4],
    "levels": [(1, 2, 2), (2, 2, 2), (3, 2, 2), (3, 3, 3), (3, 4, 4)],
}
SOLVERS = {"admm-tv": AdmmTV, "admm-wavelet": AdmmWavelet}


def clips(path: Path, split: str, frames: int, count: int) -> Tensor:
    """The first frames of at most `count` clips of a split, at equal distances: (count, frames, C, H, W) in [0, 1]."""
    videos = load_videos(path, split)
    return videos[spread(len(videos), count), :frames].float() / 255


def levels_of(name: str) -> list[float]:
    """No noise, y rounded to 8 bits, 0.02, 0.05, and the problem's own."""
    own = PROBLEMS[name].noise_std
    return [0.0, EIGHT_BIT_NOISE, 0.02, 0.05, *([own] if own not in (0.0, 0.02, 0.05) else [])]


def pose(name: str, noise_std: float, truth: Tensor) -> InverseProblem:
    """The problem, measured; "cs" and "vcs" with one matrix for all clips: its decomposition is slow."""
    shape = tuple(truth.shape[1:] if name in ("cs", "vcs") else truth.shape)
    model = replace(forward_model(name, shape), noise_std=noise_std)
    if noise_std == EIGHT_BIT_NOISE:
        y = (model.operator(truth) * 255).round() / 255
        return InverseProblem(model.operator, y, noise_std, name)
    return model.measure(truth)


class Trial:
    """A problem whose data step is set up once for all solvers."""

    def __init__(self, problem: InverseProblem, truth: Tensor) -> None:
        self.problem, self.truth = problem.prepare(), truth

    def trace(self, solver: AdmmBase) -> list[float]:
        """Mean PSNR after each step."""
        values: list[float] = []

        def note(step: int, state: Any, residual: float) -> None:
            values.append(psnr(state.estimate, self.truth).mean().item())

        run(solver, self.problem, note)
        return values


def point_of(solver: AdmmBase) -> Point:
    """The fields that are searched."""
    shown = {f.name: getattr(solver, f.name) for f in fields(solver)}
    names = ("weight", "time_weight", "wavelet", "levels")
    point = {"kappa": shown["weight"] / shown["rho"]} | {name: shown[name] for name in names if name in shown}
    return {name: float(f"{value:.3g}") if isinstance(value, float) else value for name, value in point.items()}


def solver_at(kind: type[AdmmBase], point: Point, steps: int) -> Any:
    """The solver with these fields, without a tolerance, to three digits."""
    values = {name: value for name, value in point.items() if name != "kappa"}
    rho = float(f"{point['weight'] / point['kappa']:.3g}")
    return kind(**values, rho=rho, max_steps=steps, tol=0.0)  # type: ignore[call-arg]


def around(point: Point, factor: float) -> dict[str, list]:
    """Neighbours of a point along each axis: powers of a factor for numbers, or all choices."""
    axes = {}
    for name, value in point.items():
        if name in CHOICES:
            axes[name] = CHOICES[name]
        elif name == "time_weight":
            axes[name] = [float(f"{value * factor ** (k / 2):.2g}") if k else value for k in range(-4, 5)]
        else:
            axes[name] = [float(f"{value * factor**k:.2g}") if k else value for k in range(-5, 6)]
    return axes


def search(kind: type[AdmmBase], trial: Trial, start: Point, steps: int) -> Point:
    """The point with the best PSNR at any step among its neighbours, first by factors of 2, then of √2."""
    for factor in FACTORS:
        axes = around(start, factor)
        start = coordinate_search(lambda p: max(trial.trace(solver_at(kind, p, steps))), start, axes, GAIN / 2)
    return start


def improved(kind: type[AdmmBase], name: str, noise_std: float, crops: Tensor, whole: Tensor, steps: int) -> tuple:
    """The row to be kept, and the PSNR of the one before, of the new one and of the paper on whole windows."""
    trial = Trial(pose(name, noise_std, crops), crops)
    solver = next(key for key, value in SOLVERS.items() if value is kind)
    present: Any = tuned(solver, trial.problem)
    before = solver_at(kind, point_of(present), present.max_steps)
    best = search(kind, trial, point_of(before), steps)
    final = Trial(pose(name, noise_std, whole), whole)
    old, values = final.trace(before)[-1], final.trace(solver_at(kind, best, 2 * steps))
    count = next(i for i, v in enumerate(values, 1) if v >= max(values) - GAIN)
    new = values[count - 1]
    found = before if new < old + GAIN else solver_at(kind, best, count)
    return replace(found, tol=kind().tol), old, max(old, new), final.trace(PAPER)[-1]


def source(table: dict[str, dict[str, dict[float, Any]]]) -> str:
    """The module that holds the table."""
    names = {repr(DB2): "DB2", repr(DB4): "DB4", repr("haar"): '"haar"'}
    lines = [
        '"""Fields of admm-tv and admm-wavelet for the named problems; written by `benchmarks/tune.py search`."""\n',
        "from linops_video.media.arrays import EIGHT_BIT_NOISE",
        "from linops_video.solvers.admm import AdmmTV, AdmmWavelet\n",
        f"DB2, DB4 = {str(DB2).replace(chr(39), chr(34))}, {str(DB4).replace(chr(39), chr(34))}\n",
        "TUNED: dict[str, dict[str, dict[float, AdmmTV]] | dict[str, dict[float, AdmmWavelet]]] = {",
    ]
    for solver, rows in table.items():
        lines.append(f'    "{solver}": {{')
        for name, levels in rows.items():
            lines.append(f'        "{name}": {{')
            for level, row in sorted(levels.items()):
                own = {f.name: getattr(row, f.name) for f in fields(row)}
                shown = ("weight", "rho", "max_steps", "time_weight", "wavelet", "levels")
                told = [f"{key}={names.get(repr(own[key]), repr(own[key]))}" for key in shown if key in own]
                sigma = "EIGHT_BIT_NOISE" if level == EIGHT_BIT_NOISE else repr(level)
                lines.append(f"            {sigma}: {type(row).__name__}({', '.join(told)}),")
            lines.append("        },")
        lines.append("    },")
    return "\n".join(
        [*lines, "}", '"""Solver -> problem -> noise σ of the tuning -> the solver, for real clips of 8 frames."""\n']
    )


def tune(args: argparse.Namespace, record: dict) -> None:
    """Search row after row, and write the table after each."""
    whole, small = clips(args.video64, "val", 8, args.windows), clips(args.video32, "val", 4, 2 * args.windows)
    table: dict = {solver: {name: dict(levels) for name, levels in rows.items()} for solver, rows in TUNED.items()}
    for level, name, solver in itertools.product(args.levels, args.problems, args.solvers):
        if level not in levels_of(name) or (name in DEBLURRING and not level):
            continue
        begin = time.perf_counter()
        crops, windows = (small, small) if name == "cs" else (whole[..., 16:48, 16:48], whole)
        row, old, new, paper = improved(SOLVERS[solver], name, level, crops, windows, args.steps)
        table[solver][name][level] = row
        write(args.out, source(table))
        record.setdefault("val", {})[f"{solver} {name} {level:.3g}"] = {"before": old, "after": new, "paper": paper}
        save(args.json, record)
        seconds = time.perf_counter() - begin
        print(f"{solver} {name} {level:.3g}: {old:.2f} -> {new:.2f} dB, paper {paper:.2f}, {seconds:.0f} s", flush=True)


def test(args: argparse.Namespace, record: dict) -> None:
    """The tuned solvers and the paper's on the test split."""
    for level, name in itertools.product(args.levels, args.problems):
        if level not in levels_of(name):
            continue
        truth = (
            clips(args.video32, "test", 4, args.windows)
            if name == "cs"
            else clips(args.video64, "test", 8, args.windows)
        )
        trial = Trial(pose(name, level, truth), truth)
        cells = {"paper": trial.trace(PAPER)[-1]}
        for solver in args.solvers:
            cells[solver] = trial.trace(tuned(solver, trial.problem))[-1]  # type: ignore[arg-type]
        record.setdefault("test", {})[f"{name} {level:.3g}"] = cells | {"clips": len(truth)}
        save(args.json, record)
        gains = "  ".join(
            f"{solver} {cells[solver]:.2f} ({cells[solver] - cells['paper']:+.2f})" for solver in args.solvers
        )
        print(f"{name} {level:.3g}: paper {cells['paper']:.2f}  {gains}", flush=True)


def words(text: str) -> list[str]:
    return text.split(",")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("search", "test"))
    parser.add_argument("video64", type=Path)
    parser.add_argument("video32", type=Path)
    parser.add_argument("--problems", type=words, default=list(PROBLEMS))
    parser.add_argument("--solvers", type=words, default=list(SOLVERS))
    parser.add_argument("--levels", type=lambda text: [float(s) for s in text.split(",")], help="default: all")
    parser.add_argument("--windows", type=int, default=4, help="clips")
    parser.add_argument("--steps", type=int, default=60, help="of a run in the search; twice as many in the last run")
    parser.add_argument("--out", type=Path, default=Path("solvers/tuned.py"))
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/tune.json"))
    args = parser.parse_args()
    every: Sequence[float] = sorted({level for name in PROBLEMS for level in levels_of(name)})
    args.levels = [min(every, key=lambda level: abs(level - wanted)) for wanted in args.levels or every]
    torch.set_flush_denormal(True)
    record = json.loads(args.json.read_text()) if args.json.exists() else {}
    with torch.no_grad():
        (tune if args.what == "search" else test)(args, record)


if __name__ == "__main__":
    main()
