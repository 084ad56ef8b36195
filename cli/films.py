"""Films that are solved in windows, and folders of files, shared among the processes that torchrun starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
import typer
from rich.console import Console

from linops_video import __version__
from linops_video.cli.clip import Outputs, Request, aspect_of, check_output, solve_clip, sound_of
from linops_video.cli.progress import bar
from linops_video.cli.report import Row, Run, print_table, report_of, tuning_line, write_json
from linops_video.errors import CutError, FileError, LinopsError, SpecError
from linops_video.expressions.expression import check_names
from linops_video.expressions.source import files_named
from linops_video.films.film import Film, measured_film, open_film, simulated_film
from linops_video.films.heap import is_out_of_memory, release_freed_memory
from linops_video.films.parts import WHOLE, Finished, Parts, Share, locked
from linops_video.films.threads import behind
from linops_video.media.arrays import NUMPY, read_clip, read_measurement
from linops_video.media.files import identity_of_file, told
from linops_video.media.video import (
    FILM_SUFFIXES,
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    check_limit,
    files_of,
    stream_video,
)
from linops_video.problems.measurement import check_inputs, frame_rate_of
from linops_video.solvers.baselines import yardsticks
from linops_video.solvers.film import WINDOW, Window, identity_of, score_of, solve_film, status_of, total, windows_of
from linops_video.solvers.registry import build, check_name
from linops_video.solvers.tiles import ONE_PIECE


def is_collection(path: Path) -> bool:
    """Whether this is a folder of films, not one of the images of a single film; a `FileError` if it has both."""
    if not path.is_dir():
        return False
    films, images = films_in(path), files_of(path, IMAGE_SUFFIXES)
    if images and any(film.suffix.lower() != ".npz" for film in films):
        raise FileError(f"{path} holds films ({films[0].name}) and images ({images[0].name}): give each its own folder")
    return bool(films) and not images


def films_in(folder: Path) -> list[Path]:
    """The films of a folder, in order; other files are left alone."""
    return files_of(folder, (*FILM_SUFFIXES, ".npz"))


def solve_files(request: Request, folder: Path, out: Path | None, console: Console) -> None:
    """Solve every film of a folder into another folder; of several processes, each takes its share.

    A file that fails does not stop the others: it is named at the end, and the exit code is 1.
    """
    check_limit(request.frames)
    check_name(request.solver)
    check_names(request.op)
    check_inputs(request.op, request.mask, request.kernel)
    if request.mask is not None and not request.mask.exists():
        raise FileError(f"no such file: {request.mask}")
    films = films_in(folder)
    if out is not None:
        _check_names_of(films)
        _make_folder(out, folder)
    mine = shares_of(films)
    failed: list[tuple[Path, str]] = []
    with bar("files", len(mine)) as advance:
        for done, (file, share) in enumerate(mine):
            target = None if out is None else out / _name_of(file)
            if target is not None and target.exists() and not Parts.folder_of(target).exists():
                console.print(f"{file.name}: {target} is there already", highlight=False, markup=False, soft_wrap=True)
            else:
                try:
                    solve_file(request, file, Outputs(target), console, share)
                except (LinopsError, OSError) as error:
                    failed.append((file, str(error)))
                except (MemoryError, RuntimeError) as error:
                    if not is_out_of_memory(error):
                        raise
                    failed.append((file, "out of memory"))
            advance(done + 1)
    for file, message in failed:
        named = message if str(file) in message else f"{file}: {message}"
        print(f"error: {named}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _make_folder(out: Path, folder: Path) -> None:
    if not out.is_dir() and (out.suffix or out.exists()):
        raise FileError(f"{folder} is a folder of videos: -o needs a folder to write to, not {out}")
    if out.resolve() == folder.resolve():
        raise FileError(f"-o needs another folder than {folder}, whose files it would replace")
    with told(out):
        out.mkdir(exist_ok=True)


def _name_of(file: Path) -> str:
    """The name of the reconstruction: that of the file, with .mp4 behind it where its format is not written."""
    return file.name if file.suffix.lower() in (*VIDEO_SUFFIXES, ".npz") else f"{file.name}.mp4"


def _check_names_of(films: list[Path]) -> None:
    """Raise `FileError` if two films would become one file."""
    named: dict[str, Path] = {}
    for film in films:
        other = named.setdefault(_name_of(film), film)
        if other != film:
            raise FileError(f"{other.name} and {film.name} would both become {_name_of(film)}: rename one of them")


def solve_file(
    request: Request, input: Path | None, outputs: Outputs, console: Console, share: Share | None = None
) -> None:
    """Solve a clip in one piece, or a film of more than `WINDOW` frames in windows, of which processes take shares.

    `share`: that of this process; None: that of one file among all processes.
    """
    share = share or shares_of([input])[0][1]
    if outputs.out is None:  # nothing is written that could be put together: one process solves all
        if share.index:
            return
        share = WHOLE
    if input is None or not _is_long(request, input):
        return _solve_clip(request, input, outputs, console, share)
    try:
        film = _open(request, input)
    except CutError:
        if not _one_piece(request, input):
            raise
        return _solve_clip(request, input, outputs, console, share)
    if outputs.figure is not None:
        raise SpecError(f"--figure shows clips of at most {WINDOW} frames: give --frames {WINDOW}, or leave it out")
    with nullcontext() if outputs.out is None else locked(outputs.out, share.index):
        _solve_windows(request, input, film, outputs, share, console)


def _solve_clip(request: Request, input: Path | None, outputs: Outputs, console: Console, share: Share) -> None:
    """A clip has no windows: the first process that it belongs to solves it."""
    if share.index == 0:
        solve_clip(request, input, outputs, console)


File = TypeVar("File")


def shares_of(files: Sequence[File]) -> list[tuple[File, Share]]:
    """The files of this process of those that torchrun started; of fewer files than processes, shares of their windows.

    Example:
        >>> shares_of(["a.mkv", "b.mkv"])  # by one process
        [('a.mkv', Share(index=0, of=1)), ('b.mkv', Share(index=0, of=1))]
    """
    rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if processes <= len(files):
        return [(file, Share()) for file in files[rank::processes]]
    first = rank % len(files)
    return [(files[first], Share(rank // len(files), len(range(first, processes, len(files)))))]


def _is_long(request: Request, path: Path) -> bool:
    """Whether the video behind a file has more frames than a window: as far as needed, it is read."""
    rate = 1 if request.simulate else frame_rate_of(request.op, 1.0)
    if path.suffix.lower() in NUMPY:
        array = read_clip(path).frames if request.simulate else read_measurement(path).y
        count = len(array[: request.frames]) if array.ndim == 4 else 0
    else:
        limit = WINDOW + 1 if request.frames is None else min(request.frames, WINDOW + 1)
        count = sum(1 for _ in stream_video(path, limit))
    return count * rate > WINDOW


def _one_piece(request: Request, path: Path) -> bool:
    """Whether a film that cannot be cut is no larger than a window of one tile, and so can be solved whole."""
    shape = request.shape or open_film(path, request.frames, not request.simulate).shape
    entries = torch.Size(shape).numel()
    return entries <= ONE_PIECE


def _open(request: Request, path: Path) -> Film:
    source = open_film(path, request.frames, not request.simulate)
    given = (request.noise, request.seed, request.mask, request.kernel)
    if request.simulate:
        film = simulated_film(source, request.op, *given)
    else:
        film = measured_film(source, request.op, request.shape, *given)
    film.check(windows_of(film.shape[0]))
    return film


def _solve_windows(request: Request, input: Path, film: Film, outputs: Outputs, share: Share, console: Console) -> None:
    """Solve a share of the windows; where it is the last one, make the film, and report."""
    windows, sound = windows_of(film.shape[0]), sound_of(input)
    mine = share.windows(len(windows))
    beside = yardsticks(film.name, request.solver) if request.simulate else []
    parts, state = None, None
    if outputs.out is not None:
        parts = Parts(outputs.out, film.fps, _job(request, input, film), len(windows), share, aspect_of(input))
        if not parts.made():
            check_output(outputs.out, film.shape, sound, film.fps)
        state = parts.finished()
    first = film.problem(*windows[0])  # which chooses the fields of all
    solver = build(first, request.solver, **request.fields)
    tuning = tuning_line(first, request.solver, solver, request.fields)
    del first
    done = 0 if state is None else state.windows - mine.start
    if done:
        console.print(f"{input.name}: {done} of {len(mine)} windows are done already", markup=False, soft_wrap=True)
    with bar(f"{input.name}: windows", len(mine), done) as advance:

        def on_step(step: int, now: Any, residual: float) -> None:
            advance(None, f"{input.name}: windows, residual {residual:.1e}")

        def rounded(window: Window) -> Window:
            return window if parts is None else replace(window, frames=parts.rounded(window.frames))

        def kept(window: Window) -> Finished:
            if parts is not None:
                parts.add(window.frames, window.state)
            return replace(window.state, tail=torch.zeros(0))  # large, and no longer of use

        given = (request.solver, request.fields, request.device)
        solved = solve_film(film, *given, state, on_step, share, beside)
        for state in behind(kept, map(rounded, solved)):
            advance(state.windows - mine.start)
            release_freed_memory()
    states = parts.finish(sound) if parts is not None else [state] if state is not None else None
    if states is None and outputs.out is not None and share.of == 1:
        folder = Parts.folder_of(outputs.out)
        raise FileError(f"the windows that were solved cannot be read from {folder}: run again, or give a new name")
    if states is None:
        console.print(
            f"{input.name}: {len(mine)} windows are done, others are with other processes", markup=False, soft_wrap=True
        )
        return
    tallies = total(s.tallies for s in states)
    rows = [Row(name, score_of(tally), tally["seconds"]) for name, tally in tallies.items()]
    tally = tallies[request.solver]
    video = "×".join(map(str, film.shape))
    what = f"a {video} film in {len(windows)} windows of {int(tally['tiles'])} tiles, noise σ = {film.noise_std:.4g}"
    print_table(console, f"{request.op}: {what}", rows)
    if tuning is not None:
        console.print(tuning, highlight=False, markup=False)
    if outputs.out is not None:
        console.print(f"reconstruction: {outputs.out}", markup=False, soft_wrap=True)
    if outputs.json is not None:
        run = Run(int(tally["steps"]), status_of(tally), len(windows), int(tally["tiles"]))
        report = report_of(request.op, request.seed, film.shape, film.noise_std, rows, run, solver)
        write_json(outputs.json, report)
        console.print(f"report: {outputs.json}", markup=False, soft_wrap=True)


def _job(request: Request, input: Path, film: Film) -> dict[str, Any]:
    """What must be the same for a run to go on where an earlier one was stopped."""
    kernel = None if request.kernel is None else request.kernel.tolist()
    return {
        "version": __version__,
        "input": identity_of_file(input, IMAGE_SUFFIXES),
        "mask": identity_of_file(request.mask, IMAGE_SUFFIXES),
        "files": [identity_of_file(path) for path in files_named(request.op)],
        "kernel": kernel,
        "op": request.op,
        "simulate": request.simulate,
        "seed": request.seed,
        "shape": list(film.shape),
        "noise_std": film.noise_std,
        "device": request.device.type,
        **identity_of(request.solver, request.fields),
    }
