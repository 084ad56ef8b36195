"""The source tree, for the tests that read it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def modules() -> dict[str, Path]:
    found = {}
    for top, prefix in (("linops_video", ""), ("solvers", "linops_video."), ("cli", "linops_video.")):
        for path in sorted((ROOT / top).rglob("*.py")):
            if not (top == "linops_video" and {"solvers", "cli"} & set(path.relative_to(ROOT / top).parts)):
                name = prefix + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
                found[name] = path
    return found


MODULES = modules()
