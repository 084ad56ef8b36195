"""The laws of tests/test_expressions.py on many more random expressions, and the way from text to operator and back of
tests/test_parse.py on as many texts, from a seed that is printed.

The examples come in chunks of 100, the i-th from seed + i: hypothesis keeps all that it has tried in memory. No chunk
counts an expression twice. At a counterexample the smallest like it that hypothesis finds is printed with the command
that finds it again, and the exit code is 1.

python benchmarks/random_expressions.py --examples 20000 --jobs 2
"""

from __future__ import annotations

import argparse
import multiprocessing
import secrets
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from hypothesis.errors import UnsatisfiedAssumption

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from test_expressions import obeys_the_laws
from test_parse import text_comes_back, texts
from zoo.trees import examples

LAWS = {"expressions": (examples(), obeys_the_laws), "texts": (texts(), text_comes_back)}
CHUNK = 100

Chunk = tuple[str, int, int]
"""Expressions or texts, the seed, and how many."""


def check(chunk: Chunk) -> tuple[Chunk, int, str]:
    """How many different examples of a chunk obey the laws, and what is wrong with one that does not."""
    kind, start, number = chunk
    strategy, law = LAWS[kind]
    obeyed: set[str] = set()
    shrinking = False

    def once(example: Any) -> None:
        nonlocal shrinking
        name = str(getattr(example, "expression", example))
        assume(shrinking or name not in obeyed)
        try:
            law(example)
        except UnsatisfiedAssumption:
            raise
        except Exception:
            shrinking = True  # when another example of the same name may break the law
            raise
        obeyed.add(name)

    calm = settings(
        max_examples=number,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
    )
    try:
        seed(start)(calm(given(strategy)(once)))()
    except Exception:
        return chunk, len(obeyed), traceback.format_exc()
    return chunk, len(obeyed), ""


def calm_worker() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("error")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--jobs", type=int, default=1, help="processes, each with one thread (default: 1)")
    args = parser.parse_args()
    print(f"{args.examples} expressions and as many texts from seed {args.seed}", flush=True)
    sizes = [min(CHUNK, args.examples - first) for first in range(0, args.examples, CHUNK)]
    began, done = time.perf_counter(), dict.fromkeys(LAWS, 0)
    with multiprocessing.get_context("spawn").Pool(args.jobs, calm_worker) as pool:
        chunks = [(kind, args.seed + i, n) for kind in LAWS for i, n in enumerate(sizes)]
        for (kind, start, n), obeyed, wrong in pool.imap_unordered(check, chunks):
            if wrong:
                print(f"{wrong}\nagain with --seed {start} --examples {n}")
                return 1
            done[kind] += obeyed
            print(f"{done[kind]} {kind}, {time.perf_counter() - began:.0f} s", flush=True)
    print("no counterexample among " + " and ".join(f"{n} {kind}" for kind, n in done.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
