"""Imports point one way, and only by the full names."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tree import MODULES, ROOT

import linops_video

# A module may import modules of lower ranks, and those of its own package.
RANKS = [
    r"errors|solution",
    r"algebra(\.\w+)*",
    r"operators(\.\w+)*",
    r"inverses(\.\w+)*",
    r"batch",
    r"testing|interop|metrics",
    r"media(\.\w+)*",
    r"datasets(\.\w+)*",
    r"expressions(\.\w+)*",
    r"problems(\.\w+)*",
    r"films(\.\w+)*",
    r"solvers(\.\w+)*",
    r"cli(\.\w+)*",
]


def rank(module: str) -> int:
    return next(i for i, pattern in enumerate(RANKS) if re.fullmatch(pattern, module.removeprefix("linops_video.")))


def imports(path: Path, module: str) -> Iterator[str]:
    """Every name that a file imports, of modules and of things in them, wherever in the file it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively, line {node.lineno}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(name: str) -> str:
    """The module that an imported name is, or stands in."""
    return name if name in MODULES else name.rpartition(".")[0]


@pytest.mark.parametrize("module", [m for m in MODULES if m != "linops_video"])
def test_arrows_point_down(module):
    for name in imports(MODULES[module], module):
        assert name.split(".")[0] not in ("solvers", "cli"), f"{module} imports {name}: write linops_video.{name}"
        target = module_of(name)
        if not target.startswith("linops_video") or target == module:
            continue
        if target == "linops_video":
            assert rank(module) >= rank("solvers"), f"{module} imports the package it is part of"
        elif rank(module) == rank("solvers") or rank(module) == rank("cli"):
            assert rank(target) <= rank(module), f"{module} imports {target}"
        else:
            same_package = rank(target) == rank(module) and "." in target.removeprefix("linops_video.")
            assert rank(target) < rank(module) or same_package, f"{module} imports {target}"


def test_the_package_itself_does_not_import_solvers_or_cli():
    names = {module_of(name) for name in imports(MODULES["linops_video"], "linops_video")}
    assert not [name for name in names if re.match(r"linops_video\.(solvers|cli)", name)]


PARTS_OF_PRIORS = tuple(
    getattr(linops_video, name) for name in ("LinearOperator", "Wavelet", "Cosine", "Stack", "Mosaic")
)


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("linops_video.solvers")])
def test_solvers_know_no_leaf(module):
    """Solvers work with any operator: they import no leaf class and ask for no operator's type.

    Those that priors are made of are the exception.
    """
    path = MODULES[module]
    assert not [name for name in imports(path, module) if name.startswith("linops_video.operators")]
    for name in imports(path, module):
        thing = getattr(linops_video, name.removeprefix("linops_video."), None)
        if isinstance(thing, type) and issubclass(thing, linops_video.LinearOperator):
            assert thing in PARTS_OF_PRIORS, f"{module} imports {name}"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            assert "operator" not in ast.unparse(node.args[0]), f"{module}, line {node.lineno}"


def test_importing_the_library_is_light():
    """The command line, plots and video are not loaded by `import linops_video`, nor sympy by a solve."""
    heavy = ("typer", "rich", "matplotlib", "av", "torchmetrics", "pooch", "requests")
    code = (
        f"import sys, linops_video; print(*[m for m in {heavy} if m in sys.modules])\n"
        "import linops_video.cli; assert 'matplotlib' not in sys.modules\n"
        "import torch, linops_video.solvers as solvers\n"
        "model = linops_video.forward_model('sr2', (2, 1, 8, 8))\n"
        "solvers.solve(model.measure(torch.rand(2, 1, 8, 8)), 'admm-tv'); assert 'sympy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
