"""The laws of tests/test_expressions.py on many more random expressions, from a seed that is printed, and the way from
text to operator and back of tests/test_parse.py on as many texts.

python benchmarks/random_expressions.py --examples 20000
"""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from test_expressions import expressions, obeys_the_laws
from test_parse import text_comes_back, texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    args = parser.parse_args()
    print(f"{args.examples} expressions from seed {args.seed}", flush=True)
    calm = settings(max_examples=args.examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    seed(args.seed)(calm(given(texts())(text_comes_back)))()
    print("all texts come back", flush=True)
    seed(args.seed)(calm(given(expressions())(obeys_the_laws)))()
    print("no counterexample")


if __name__ == "__main__":
    main()
