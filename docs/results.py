"""The tables of results.md and results_classical.md: `python docs/results.py` puts them in.

A place in a page, `<!-- NAME -->` … `<!-- end of NAME -->`, gets headline, means and standard deviations from
`benchmarks/results/NAME.md`, which `linops-video evaluate --markdown` wrote, and which has medians, SSIM and seconds.
"""

from __future__ import annotations

import re
from pathlib import Path

PAGES = [Path(__file__).parent / name for name in ("results.md", "results_classical.md")]
RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"


def filled(page: str) -> str:
    """The page with the tables that the files have."""

    def content(match: re.Match[str]) -> str:
        name = match[1]
        headline, *tables = re.split(r"\n\n(?=[^|\n]+:\n\n\|)", (RESULTS / f"{name}.md").read_text().strip())
        shown = [table for table in tables if table.startswith(("Mean PSNR", "Standard deviation"))]
        return "\n\n".join([f"<!-- {name} -->", headline, *shown, f"<!-- end of {name} -->"])

    return re.sub(r"<!-- ([\w.-]+) -->.*?<!-- end of \1 -->", content, page, flags=re.S)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text()))
