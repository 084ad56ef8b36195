"""`linops-video ops`: the problems, or one of them in detail."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import linops_video
from linops_video import PROBLEMS, LinearOperator
from linops_video.cli.options import check_seed, parse_shape
from linops_video.description import describe
from linops_video.measurement import BLUR, model_of

BLUR_SUMMARY = "deblurring of real clips: 'valid' convolution with one's own kernel (solve --kernel), else a 4×4 disk"


def ops(
    name: Annotated[str | None, typer.Argument(help="A problem to describe; without it all are listed.")] = None,
    shape: Annotated[str, typer.Option(help="Shape T,C,H,W of the video.")] = "4,3,32,32",
    seed: Annotated[int, typer.Option(help="Seed of masks, matrices and angles.")] = 0,
) -> None:
    """List problems and operators, or describe a problem: shapes, noise, norm, condition, inverse, adjoint test."""
    check_seed(seed)
    console = Console()
    if name is None:
        problems = Table("problem (--op)", "what is measured", "noise σ")
        for key, problem in PROBLEMS.items():
            problems.add_row(key, problem.summary, f"{problem.noise_std:g}")
        problems.add_row(BLUR, BLUR_SUMMARY, "0")
        console.print(problems)
        operators = Table("operator", "what it does (from linops_video import …)")
        for cls in _operators():
            operators.add_row(cls.__name__, escape((cls.__doc__ or "").partition("\n")[0]))
        console.print(operators)
        console.print("One problem in detail: linops-video ops sr4 --shape 8,3,64,64")
        return
    model = model_of(name, parse_shape(shape), seed)
    facts = describe(model.operator, seed)
    condition = "not computed: the solve is iterative" if facts.condition is None else f"{facts.condition:.4g}"
    table = Table(
        title=f"{name}: {BLUR_SUMMARY if name == BLUR else PROBLEMS[name].summary}",
        title_justify="left",
        show_header=False,
    )
    for row in (
        ("video", "×".join(map(str, facts.in_shape))),
        ("measurement", "×".join(map(str, facts.out_shape))),
        ("noise σ", f"{model.noise_std:g}"),
        ("norm ‖A‖", f"{facts.norm:.6g}"),
        ("condition number", condition),
        ("(AᵀA + ρI)⁻¹", facts.method),
        ("adjoint test", f"|⟨Ax, y⟩ − ⟨x, Aᵀy⟩| ≤ {facts.adjoint_error:.1e} ‖A‖ ‖x‖ ‖y‖ (float64)"),
    ):
        table.add_row(*row)
    console.print(table)


def _operators() -> list[type[LinearOperator]]:
    public = (getattr(linops_video, name) for name in linops_video.__all__)
    classes = [thing for thing in public if isinstance(thing, type) and issubclass(thing, LinearOperator)]
    return [cls for cls in classes if cls is not LinearOperator]
