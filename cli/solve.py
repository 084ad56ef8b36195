"""`linops-video solve`: reconstruct measured clips and films, or degrade them first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from linops_video.cli.clip import Outputs, Request
from linops_video.cli.films import is_collection, solve_file, solve_files
from linops_video.cli.options import (
    Device,
    Kernel,
    Mask,
    Noise,
    Seed,
    Shape,
    check_noise,
    check_png,
    check_seed,
    parse_device,
    parse_shape,
    read_fields,
)
from linops_video.errors import SpecError
from linops_video.expressions.source import files_named
from linops_video.films.parts import Parts
from linops_video.media.arrays import read_kernel
from linops_video.media.files import check_distinct, check_writable
from linops_video.media.video import check_video_suffix
from linops_video.solvers import SOLVERS
from linops_video.solvers.registry import fast_fields


def solve(
    op: Annotated[str, typer.Option(help="A problem, or an expression of what `linops-video ops` lists.")],
    input: Annotated[
        Path | None,
        typer.Argument(
            metavar="INPUT",
            help="The measurement, or a folder of films; with --simulate what to degrade; left out: a demo clip.",
        ),
    ] = None,
    solver: Annotated[str, typer.Option(help="The solver: " + ", ".join(SOLVERS) + ".")] = "videoonet",
    simulate: Annotated[bool, typer.Option("--simulate", help="INPUT is a whole clip: degrade it first.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Reconstruction: .mp4, .mkv, .avi, .gif, .npz, or a folder: of PNGs, or of films.",
        ),
    ] = None,
    noise: Noise = None,
    seed: Seed = 0,
    frames: Annotated[int | None, typer.Option(help="Read at most so many frames.")] = None,
    shape: Shape = None,
    mask: Mask = None,
    kernel: Kernel = None,
    device: Device = "auto",
    weights: Annotated[str | None, typer.Option(help="Weights of a learned solver: a file or a shipped name.")] = None,
    config: Annotated[
        Path | None, typer.Option(help='Fields of the solver: JSON that `tune` wrote, or {"fields": {"weight": 0.01}}.')
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the report to this file.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Write frames side by side to this .png file.")] = None,
) -> None:
    """Reconstruct INPUT, measured as --op says, with --solver."""
    check_seed(seed)
    check_noise(noise)
    if not simulate and input is not None and out is None:
        raise SpecError("say where the reconstruction goes with -o FILE, or give --simulate if INPUT is a whole clip")
    if shape is not None and (simulate or input is None):
        raise SpecError("--shape is that of the video behind a measurement: a clip that is degraded first has its own")
    if input is None and figure is None:
        words = "-".join(re.findall(r"[\w.]+", op))
        figure = Path(f"linops-video-{words[:60]}.png")
    where = parse_device(device)
    request = Request(
        op,
        solver,
        simulate or input is None,
        noise,
        seed,
        frames,
        None if shape is None else parse_shape(shape),
        mask,
        None if kernel is None else read_kernel(kernel),
        where,
        fast_fields(solver, where) | read_fields(config, solver) | ({} if weights is None else {"weights": weights}),
    )
    console = Console()
    if input is not None and is_collection(input):
        if json is not None or figure is not None or shape is not None:
            raise SpecError("--json, --figure and --shape go with one file, not with a folder of videos")
        solve_files(request, input, out, console)
        return
    check_distinct((out, json, figure), (input, mask, kernel, config, weights, *files_named(op)))
    _check_outputs(out, json, figure)
    solve_file(request, input, Outputs(out, json, figure), console)


def _check_outputs(out: Path | None, json: Path | None, figure: Path | None) -> None:
    """Fail before the work, not after it."""
    if out is not None and out.suffix.lower() != ".npz":
        check_video_suffix(out)
    if figure is not None:
        check_png(figure, "--figure")
    if out is not None and not Parts.folder_of(out).is_dir():  # of a run that goes on, the film is looked at first
        check_writable(out, folder=not out.suffix)
    if json is not None:
        check_writable(json)
