"""`linops-video ops`: the registry of operators and problems, or one expression in detail."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from linops_video import OPERATORS, PROBLEMS
from linops_video.cli.options import check_seed, parse_shape
from linops_video.cli.progress import bar
from linops_video.expressions.named_blur import KERNELS
from linops_video.problems.description import describe
from linops_video.problems.measurement import BLUR, model_of

BLUR_SUMMARY = "deblurring of real clips: 'valid' convolution with one's own kernel (solve --kernel), else a 4×4 disk"


def ops(
    expression: Annotated[
        str | None, typer.Argument(help="A problem or expression to describe; without it all names are listed.")
    ] = None,
    shape: Annotated[str, typer.Option(help="Shape T,C,H,W of the video.")] = "4,3,32,32",
    seed: Annotated[int, typer.Option(help="Seed of masks, matrices and angles.")] = 0,
) -> None:
    """List operators and problems, or describe an expression: shapes, noise, norm, condition, inverse, adjoint test."""
    check_seed(seed)
    console = Console()
    if expression is None:
        _list(console)
        return
    model = model_of(expression, parse_shape(shape), seed)
    with bar("norm, condition and inverse", None):  # of large matrices this takes minutes
        facts = describe(model.operator, seed)
    condition = "not computed: the solve is iterative" if facts.condition is None else f"{facts.condition:.4g}"
    table = Table(show_header=False)
    summary = BLUR_SUMMARY if expression == BLUR else PROBLEMS[model.name].summary if model.name else None
    for row in (
        ("operator", Text(str(model.operator))),
        *((("problem", f"{model.name}: {summary}"),) if summary else ()),
        ("video", "×".join(map(str, facts.in_shape))),
        ("measurement", "×".join(map(str, facts.out_shape))),
        ("noise σ", f"{model.noise_std:g}"),
        ("norm ‖A‖", f"{facts.norm:.6g}"),
        ("condition number", condition),
        ("(AᴴA + ρI)⁻¹", facts.method),
        ("adjoint test", f"|⟨Ax, y⟩ − ⟨x, Aᴴy⟩| ≤ {facts.adjoint_error:.1e} ‖A‖ ‖x‖ ‖y‖ (float64)"),
    ):
        table.add_row(*row)
    console.print(table)


def _list(console: Console) -> None:
    """Everything that `--op` understands, which is what `linops_video.parse` does."""
    operators = Table("operator (--op)", "what it does")
    for entry in OPERATORS.values():
        operators.add_row(Text(entry.usage), entry.summary)
    console.print(operators)
    console.print(Text(f"KERNEL is a file (image, .npy, .npz) or {'; '.join(usage for usage, _ in KERNELS.values())}."))
    console.print("They combine with @ (the right one acts first), +, -, * by numbers, .H, stack(A, B), seed=N.\n")
    problems = Table("problem (--op)", "stands for", "noise σ", "what is measured")
    for key, problem in PROBLEMS.items():
        problems.add_row(key, Text(problem.text), f"{problem.noise_std:g}", problem.summary)
    problems.add_row(BLUR, "blur(disk, 4, 2, valid)", "0", BLUR_SUMMARY)
    console.print(problems)
    console.print('In detail: linops-video ops "sr(2) @ blur(disk, 4, 2, circular)" --shape 8,3,64,64')
