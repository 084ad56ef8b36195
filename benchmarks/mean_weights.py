"""The mean of two trained networks of one form: `mean_weights.py A B OUT.safetensors [--views N]`.

Of a network before and after a further run it is on most problems better than either (Wortsman et al., Model soups,
ICML 2022). `--views`: what solvers show the result to unless they are told another number.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from linops_video.errors import SpecError
from linops_video.solvers.learned.checkpoint import describe, load_network, save_network
from linops_video.solvers.learned.unrolled import Unrolled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a")
    parser.add_argument("b")
    parser.add_argument("out", type=Path)
    parser.add_argument("--views", type=int)
    args = parser.parse_args()
    a, b = load_network(args.a), load_network(args.b)
    if replace(a.config, views=b.config.views) != b.config:
        raise SpecError(f"a mean needs two networks of one form, got {a.config} and {b.config}")
    mean = Unrolled(replace(a.config, views=args.views or b.config.views))
    values, others = a.state_dict(), b.state_dict()
    mean.load_state_dict({name: torch.lerp(value, others[name], 0.5) for name, value in values.items()})
    save_network(args.out, mean, {k: v for k, v in describe(args.b).items() if k != "config"})


if __name__ == "__main__":
    main()
