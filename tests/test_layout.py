"""The package: what is listed, what is linked, what a wheel holds; nothing in it is long."""

import ast
import importlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import linops_video
from linops_video import LinearOperator

tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]


def folder(package: str) -> Path:
    """Where the sources of a package stand, by the longest entry of package-dir."""
    head = max((name for name in SETUPTOOLS["package-dir"] if f"{package}.".startswith(f"{name}.")), key=len)
    return ROOT / SETUPTOOLS["package-dir"][head] / package[len(head) + 1 :].replace(".", "/")


def sources() -> dict[str, Path]:
    """Every file that belongs in a wheel, by its path in there."""
    listed = {}
    for package in SETUPTOOLS["packages"]:
        for path in folder(package).glob("*.py"):
            listed[f"{package.replace('.', '/')}/{path.name}"] = path
        for pattern in SETUPTOOLS["package-data"].get(package, []):
            for path in folder(package).glob(pattern):
                listed[f"{package.replace('.', '/')}/{path.relative_to(folder(package)).as_posix()}"] = path
    return listed


def test_every_folder_of_modules_is_listed():
    found = set()
    for top in ("linops_video", "solvers", "cli"):
        for init in (ROOT / top).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT).parts
            if parts[:2] not in (("linops_video", "solvers"), ("linops_video", "cli")):  # the symlinks
                found.add(".".join(parts if top == "linops_video" else ("linops_video", *parts)))
    assert found == set(SETUPTOOLS["packages"])


def test_the_version_is_written_once_and_the_same():
    assert PYPROJECT["project"]["version"] == linops_video.__version__


def test_the_symlinks_are_relative_and_lead_home():
    for name in ("solvers", "cli"):
        link = ROOT / "linops_video" / name
        assert link.is_symlink()
        assert link.readlink() == Path("..") / name


def test_one_module_object_per_file():
    for package in SETUPTOOLS["packages"]:
        for path in folder(package).glob("*.py"):
            importlib.import_module(package if path.stem == "__init__" else f"{package}.{path.stem}")
    files = [Path(file).resolve() for m in list(sys.modules.values()) if (file := getattr(m, "__file__", None))]
    ours = [file for file in files if ROOT in file.parents and "tests" not in file.parts and ".venv" not in file.parts]
    assert len(ours) == len(set(ours))
    assert {file for file in ours if file.suffix == ".py"} >= {
        p.resolve() for p in sources().values() if p.suffix == ".py"
    }


def test_no_file_is_over_400_lines():
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / "linops_video").rglob("*.py")}
    assert len(lengths) > 50
    assert {path: n for path, n in lengths.items() if n > 400} == {}


def test_no_operator_is_over_60_lines():
    lengths = {}
    for path in (ROOT / "linops_video").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                found = getattr(importlib.import_module(module), node.name)
                if issubclass(found, LinearOperator) and found is not LinearOperator:  # the interface has no kernels
                    lengths[found] = (node.end_lineno or 0) - node.lineno + 1
    assert len(lengths) > 30
    assert {operator: n for operator, n in lengths.items() if n > 60} == {}


@pytest.mark.parametrize("name", ["solvers", "cli"])
def test_the_guard_refuses_the_wrong_name(name):
    done = subprocess.run([sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"ImportError: import linops_video.{name}, not {name}" in done.stderr


def test_a_wheel_holds_exactly_the_sources(tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("linops_video", "solvers", "cli"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        entry = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "linops-video = linops_video.cli:main" in archive.read(entry).decode()
        terms = {name.partition(".dist-info/licenses/")[2] for name in archive.namelist()}
        assert {"LICENSE", "solvers/learned/weights/LICENSE"} <= terms
    assert held == set(sources())
    assert "linops_video/py.typed" in held
