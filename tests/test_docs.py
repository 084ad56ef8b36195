"""What the documentation shows runs: code blocks of README and docs, examples in docstrings, links between pages."""

import ast
import doctest
import importlib
import itertools
import re
import runpy

import pytest
from tree import MODULES, ROOT

import linops_video.solvers

DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")])
BLOCKS = [
    pytest.param(page, block, id=f"{page.relative_to(ROOT)}-{i}")
    for page in PAGES
    for i, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.S))
]
PRINTED = {
    block
    for page in PAGES
    for (_, block), (kind, _) in itertools.pairwise(re.findall(r"```(python|text)\n(.*?)```", page.read_text(), re.S))
    if kind == "text"
}
"""Those that run where what they print is compared."""


@pytest.mark.parametrize(("page", "block"), [block for block in BLOCKS if block.values[1] not in PRINTED])
def test_python_blocks_run(page, block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(page), "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_print_what_the_page_shows(page, tmp_path, monkeypatch, capsys):
    """A block of text is what the block of Python before it prints, but for the digits of rounding errors."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(python|text)\n(.*?)```", page.read_text(), re.S)
    for (_, code), (kind, shown) in itertools.pairwise(blocks):
        if kind == "text":
            exec(compile(code, str(page), "exec"), {"__name__": "page"})
            error = re.compile(r"\de[+-]\d\d")
            assert error.sub("…", capsys.readouterr().out) == error.sub("…", shown)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_errors_are_those_that_the_page_shows(page):
    for code, shown in re.findall(r"```\n>>> (.*?)\n(\w+Error: .*?)```", page.read_text(), re.S):
        with pytest.raises(linops_video.LinopsError) as caught:
            eval(code, vars(linops_video).copy())
        assert f"{type(caught.value).__name__}: {caught.value}" == shown.rstrip()


def test_the_api_reference_has_every_public_name():
    page = (DOCS / "api.md").read_text()
    for module in (linops_video, linops_video.solvers):
        documented = [name for name in module.__all__ if callable(getattr(module, name)) and name != "Shape"]
        assert [name for name in documented if f"::: {module.__name__}.{name}\n" not in page] == []


def test_the_api_reference_has_every_name_that_the_pages_import():
    page, used = (DOCS / "api.md").read_text(), set()
    for parameters in BLOCKS:
        for node in ast.walk(ast.parse(str(parameters.values[1]))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("linops_video"):
                used |= {f"{node.module}.{alias.name}" for alias in node.names} - {"linops_video.Shape"}
    assert {name for name in used if f"::: {name}\n" not in page} == set()


def test_the_tables_of_expressions_are_those_of_the_registry():
    registry = runpy.run_path(str(ROOT / "docs" / "registry.py"))
    page = (ROOT / "docs" / "expressions.md").read_text()
    assert registry["filled"](page) == page, "python docs/registry.py writes them anew"


def test_the_tables_of_results_are_those_that_the_commands_wrote():
    filler = runpy.run_path(str(ROOT / "docs" / "results.py"))
    for page in filler["PAGES"]:
        text = page.read_text()
        assert filler["filled"](text) == text, f"python docs/results.py writes those of {page.name} anew"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
        if page.is_relative_to(DOCS):
            assert (page.parent / target).resolve().is_relative_to(DOCS), f"the built {page.name} has no {target}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_docstring_examples_run(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(module))
    assert result.failed == 0
