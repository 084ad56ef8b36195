"""The tables of expressions.md, from the registry: `python docs/registry.py` writes them into the page."""

from __future__ import annotations

import re
from pathlib import Path

from linops_video import OPERATORS, PROBLEMS
from linops_video.expressions.named_blur import KERNELS

PAGE = Path(__file__).parent / "expressions.md"


def table(heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def tables() -> dict[str, str]:
    """Table by the name of its place in the page."""
    code = "`{}`".format
    operators = [
        (code(e.usage).replace(" or ", "` or `"), e.summary, e.example and code(e.example)) for e in OPERATORS.values()
    ]
    problems = [(code(n), code(p.text), f"{p.noise_std:g}", p.summary) for n, p in PROBLEMS.items()]
    return {
        "operators": table(("name", "what it does", "example"), operators),
        "kernels": table(("kernel",), [(code(usage),) for usage, _ in KERNELS.values()]),
        "problems": table(("problem", "stands for", "noise σ", "what is measured"), problems),
    }


def filled(page: str) -> str:
    """The page with its tables as the registry has them."""
    for name, content in tables().items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        new = f"{start}\n\n{content}\n\n{end}"
        page = re.sub(f"{start}.*?{end}", lambda _, new=new: new, page, flags=re.S)
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
