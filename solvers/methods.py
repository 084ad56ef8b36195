"""Solvers as text, with their fields: what a comparison compares."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from linops_video import InverseProblem
from linops_video.errors import SpecError, near_names
from linops_video.solvers.baselines import BASELINE_NAMES, BASELINES
from linops_video.solvers.iteration import Solver, run
from linops_video.solvers.registry import SOLVERS, build, check_fields

PAPER_WAVELET = {"levels": 0, "rho": 0.3, "weight": 0.05, "max_steps": 13, "tol": 0.0}
NAMED: dict[str, tuple[str, Mapping[str, Any]]] = {"paper-wavelet": ("admm-wavelet", PAPER_WAVELET)}
"""Name -> solver and fields. `paper-wavelet` is the row "3-D wavelet sparsity" of Milacski et al. (ICML 2020): their
wavelet transform had no level, which leaves soft thresholding of pixels."""


@dataclass(frozen=True)
class Method:
    """A solver with fields, or a baseline; `label` names it in tables.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> problem = forward_model("sr2", (2, 3, 16, 16)).measure(torch.rand(2, 3, 16, 16))
        >>> parse_method("admm-tv(max_steps=3)").built(problem)(problem).shape, parse_method("linear").applies("sr2")
        (torch.Size([2, 3, 16, 16]), False)
    """

    label: str
    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def applies(self, problem: str | None) -> bool:
        """Whether the method is for problems of this name (None: of no name): a baseline is for some only."""
        return self.name in SOLVERS or self.name in BASELINES.get(problem or "", {})

    def built(self, problem: InverseProblem) -> Callable[[InverseProblem], Tensor]:
        """What reconstructs this problem and others of its name and noise: weights are loaded, fields checked."""
        if self.name not in SOLVERS:
            return BASELINES[problem.name or ""][self.name]
        return _running(build(problem, self.name, **self.fields))

    def begun(self, problem: InverseProblem) -> Callable[[InverseProblem], Tensor]:
        """As `built`, and the solver has begun with this problem, so that what it cannot take is told here."""
        if self.name not in SOLVERS:
            return self.built(problem)
        solver = build(problem, self.name, **self.fields)
        with torch.no_grad():
            solver.init(problem)
        return _running(solver)


def _running(solver: Solver) -> Callable[[InverseProblem], Tensor]:
    return lambda posed: run(solver, posed).real().x


def parse_method(text: str, weights: str | None = None) -> Method:
    """The method of a text: a solver or baseline, or a name in `NAMED`, and fields in brackets.

    Args:
        text: as in "pinv", "bicubic", "paper-wavelet", "admm-tv(weight=0.01, max_steps=50)"; values are numbers,
            tuples, texts in quotes.
        weights: for solvers that are trained and have none in their text: a file, or the name of a shipped set.

    Raises:
        SpecError: for unknown names and fields, and text that cannot be read; the message shows which.
    """
    match = re.fullmatch(r"\s*([\w-]+)\s*(\(.*\))?\s*", text, re.DOTALL)
    if match is None:
        raise SpecError(f"cannot read the solver {text!r}: write it as in admm-tv(weight=0.01, max_steps=50)")
    name, (solver, fields) = match[1], NAMED.get(match[1], (match[1], {}))
    if solver not in SOLVERS and solver not in BASELINE_NAMES:
        raise SpecError(f"unknown solver {name!r}: {near_names(name, (*SOLVERS, *NAMED, *BASELINE_NAMES))}")
    fields = {**fields, **(_fields(text, match[2]) if match[2] else {})}
    if solver not in SOLVERS:
        if fields:
            raise SpecError(f"the baseline {name} has no fields, and {text!r} gives it some")
        return Method(text.strip(), name)
    check_fields(SOLVERS[solver], fields)
    if weights is not None and "weights" in {f.name for f in dataclasses.fields(SOLVERS[solver])}:
        fields = {"weights": weights, **fields}
    return Method(text.strip(), solver, fields)


def _fields(text: str, brackets: str) -> dict[str, Any]:
    """The keywords in brackets, whose values are literals."""
    try:
        call = ast.parse(f"f{brackets}", mode="eval").body
        if not isinstance(call, ast.Call) or call.args or any(keyword.arg is None for keyword in call.keywords):
            raise ValueError("fields have names")
        return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError):
        raise SpecError(
            f"cannot read the fields of {text!r}: write them as in admm-tv(weight=0.01), texts in quotes"
        ) from None


def split_list(text: str) -> list[str]:
    """The parts of "a(b, c), d" at the commas outside brackets and quotes.

    Example:
        >>> split_list("sr(2) @ blur(disk, 4, 2), pid, ")
        ['sr(2) @ blur(disk, 4, 2)', 'pid']
    """
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        depth += (letter in "([{") - (letter in ")]}") if not quote else 0
        if letter == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]
