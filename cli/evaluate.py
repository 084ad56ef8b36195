"""`linops-video evaluate`: solvers on problems over a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from linops_video import OPERATORS, PROBLEMS
from linops_video.cli.comparison import Comparison
from linops_video.cli.options import Device, Seed, check_noise, check_seed, parse_device
from linops_video.cli.progress import bar
from linops_video.datasets import VideoSet, dataset, spread
from linops_video.datasets.table1 import table1_problems
from linops_video.errors import SpecError, near_names
from linops_video.expressions.source import files_named
from linops_video.media.files import check_distinct, check_writable
from linops_video.media.video import check_limit
from linops_video.problems.forward_model import problem_named
from linops_video.solvers.evaluation import evaluate as evaluate_solvers
from linops_video.solvers.methods import parse_method, split_list

TABLE1 = "table1"

Data = Annotated[str, typer.Option(help="rotated-mnist, scanned-cifar10, ucf101, video, or an archive (.npz).")]
Solvers = Annotated[
    str, typer.Option(help="Solvers with fields and baselines, as in videoonet,paper-wavelet,admm-tv(weight=0.01).")
]
Problems = Annotated[
    str, typer.Option(help="table1 for the paper's 15, or problems and expressions, as in sr4,sr(2) @ mask(0.5).")
]
Root = Annotated[
    Path | None, typer.Option(help="Folder of the data, or their .npz; default: where `data fetch` puts them.")
]
Split = Annotated[str, typer.Option(help="train, val or test; of video and archives also all.")]
Frames = Annotated[int | None, typer.Option(help="Frames of each video of video and archives, 8 unless given.")]
Size = Annotated[int | None, typer.Option(help="Height and width of crops of video and archives; else whole frames.")]
Limit = Annotated[int | None, typer.Option(help="Take at most so many videos, spread over the split.")]
Noise = Annotated[float | None, typer.Option(help="Noise σ of all measurements, in place of the problems' own.")]
EightBit = Annotated[bool, typer.Option("--eight-bit", help="Round the measurements to 8 bits.")]
Weights = Annotated[str | None, typer.Option(help="Weights of the learned solvers: file or shipped name.")]


def evaluate(
    data: Data,
    solvers: Solvers,
    problems: Problems,
    root: Root = None,
    split: Split = "test",
    frames: Frames = None,
    size: Size = None,
    limit: Limit = None,
    noise: Noise = None,
    eight_bit: EightBit = False,
    weights: Weights = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: Annotated[Path | None, typer.Option(help="Write the results to this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables to this file.")] = None,
) -> None:
    """PSNR of solvers on problems over a data set, beside the paper's Table 1 where it has numbers for them."""
    names = parse_solvers(solvers, weights)
    check_seed(seed)
    check_noise(noise)
    check_limit(limit, "--limit")
    named = parse_problems(problems)
    check_distinct((json, markdown), (data, root, weights, *files_of(names, named)))
    for path in (json, markdown):
        if path is not None:
            check_writable(path)
    videos = open_data(data, split, root, frames, size)
    tasks = tasks_of(named, videos)
    chosen = spread(len(videos), limit)

    done = 0
    pairs = count_pairs(tasks, names)
    with bar("", total=pairs * len(chosen)) as advance:

        def on_batch(problem: str, solver: str, solved: int) -> None:
            nonlocal done
            done += solved
            advance(done, f"{problem} {solver}")

        truth = videos.videos(chosen).to(parse_device(device))
        results = evaluate_solvers(truth, tasks, names, seed, eight_bit, weights, noise, on_batch)
    comparison = Comparison(Path(data).name, videos, limit, noise, eight_bit, tasks, names, results)
    comparison.print(Console())
    if json is not None:
        comparison.write_json(json)
    if markdown is not None:
        comparison.write_markdown(markdown)


def open_data(data: str, split: str, root: Path | None, frames: int | None, size: int | None) -> VideoSet:
    """The data set, with a bar while its clips are decoded for the first time."""
    with bar(f"decoding {data}", total=0) as advance:
        return dataset(data, split, root, frames, size, lambda done, total: advance(done, total=total))


def parse_solvers(text: str, weights: str | None) -> list[str]:
    """The methods of a list, each of which can be read."""
    names = split_list(text)
    for name in names:
        parse_method(name, weights)
    if not names:
        raise SpecError("--solvers names none: write them as in pinv,paper-wavelet,admm-tv")
    return list(dict.fromkeys(names))


def files_of(names: list[str], problems: list[str]) -> list[Path]:
    """The files that methods and problems name: weights, masks, kernels."""
    return [path for text in (*names, *problems) for path in files_named(text)]


def count_pairs(tasks: list[str], names: list[str]) -> int:
    """How many pairs of a problem and a solver for it there are; a `SpecError` if there are none."""
    pairs = sum(parse_method(name).applies(problem_named(task)) for task in tasks for name in names)
    if not pairs:
        raise SpecError(f"no solver of {', '.join(names)} is for {', '.join(tasks)}: add one, as admm-tv")
    return pairs


def tasks_of(problems: list[str], videos: VideoSet) -> list[str]:
    """The problems of a list, "table1" alone being those of the data set."""
    return list(table1_problems(videos.name, videos.shape[1])) if problems == [TABLE1] else problems


def parse_problems(text: str) -> list[str]:
    """The problems of a list, each of which is a name or an expression; or "table1" alone."""
    if text == TABLE1:
        return [TABLE1]
    names = list(dict.fromkeys(split_list(text)))
    if TABLE1 in names:
        raise SpecError(f"{TABLE1} stands alone: write --problems {TABLE1}, or the names of problems")
    for name in names:
        if name.isidentifier() and name not in PROBLEMS and name not in OPERATORS:
            raise SpecError(f"unknown problem {name!r}, and no expression: {near_names(name, (TABLE1, *PROBLEMS))}")
    if not names:
        raise SpecError(
            f"--problems names none: write {TABLE1} for the paper's, or names and expressions, as in sr4,pid"
        )
    return names
