"""The laws of tests/test_expressions.py on many more random expressions, from a seed that is printed, and the way from
text to operator and back of tests/test_parse.py on as many texts.

python benchmarks/random_expressions.py --examples 20000
"""

from __future__ import annotations

import argparse
import itertools
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from test_expressions import expressions, obeys_the_laws
from test_parse import text_comes_back, texts


def counted(law: Callable[[Any], None], what: str) -> Callable[[Any], None]:
    """The law, with a line after every 500 examples."""
    done = itertools.count(1)

    def check(example: Any) -> None:
        law(example)
        n = next(done)
        if n % 500 == 0:
            print(f"{n} {what}", flush=True)

    return check


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    args = parser.parse_args()
    print(f"{args.examples} expressions and texts from seed {args.seed}", flush=True)
    calm = settings(max_examples=args.examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    seed(args.seed)(calm(given(expressions())(counted(obeys_the_laws, "expressions"))))()
    seed(args.seed)(calm(given(texts())(counted(text_comes_back, "texts"))))()
    print("no counterexample")


if __name__ == "__main__":
    main()
