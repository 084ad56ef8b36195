"""`linops-video figure`: what the solvers of an evaluation make of one video, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from linops_video.cli.evaluate import (
    Data,
    EightBit,
    Frames,
    Limit,
    Noise,
    Problems,
    Root,
    Size,
    Solvers,
    Split,
    Weights,
    count_pairs,
    files_of,
    open_data,
    parse_problems,
    parse_solvers,
    tasks_of,
)
from linops_video.cli.options import Device, Seed, check_noise, check_png, check_seed, parse_device
from linops_video.cli.picture import check_channels
from linops_video.cli.progress import bar
from linops_video.cli.sheet import save_sheet
from linops_video.datasets import spread
from linops_video.media.files import check_distinct
from linops_video.media.video import check_limit
from linops_video.solvers.evaluation import example


def figure(
    data: Data,
    solvers: Solvers,
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture, a PNG file.")],
    problems: Problems = "table1",
    video: Annotated[int, typer.Option(help="Which of the evaluated videos, counted from 0.")] = 0,
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
) -> None:
    """Draw the paper's Table 2: truth, measurement and every reconstruction of one video, with its PSNR.

    The other options are those of `evaluate`: with the same ones the numbers are those of that video there.
    """
    names = parse_solvers(solvers, weights)
    check_seed(seed)
    check_noise(noise)
    check_limit(limit, "--limit")
    named = parse_problems(problems)
    check_distinct((out,), (data, root, weights, *files_of(names, named)))
    check_png(out, "-o")
    chosen = open_data(data, split, root, frames, size)
    check_channels(chosen.shape[1])
    tasks = tasks_of(named, chosen)
    count_pairs(tasks, names)
    indices = spread(len(chosen), limit)
    truth = chosen.videos(indices).to(parse_device(device))
    examples = []
    with bar("", total=len(tasks)) as advance:
        for done, task in enumerate(tasks):
            advance(done, task)
            examples.append(example(truth, video, task, names, seed, eight_bit, weights, noise))
    shown = "" if noise is None else f", noise σ = {noise:g}"
    source = chosen.sources[int(indices[video])]
    save_sheet(out, examples, names, f"{chosen.name}, {split}, {source}{shown}. PSNR in dB, the best in bold.")
    Console().print(f"figure: {out}", markup=False, soft_wrap=True)
