"""A trained network with more steps or blocks, to train further: `append_steps.py WEIGHTS STEPS OUT.safetensors`.

The networks of the new steps return zero, so that at first they are plain steps of ADMM; their inner weights are those
of the last trained step. Random matrices (`cs`, `vcs`) want more than the two steps of the network for real video.

`--motion`: the last step is told the mean of the video along its motion, and goes `TOWARDS` it before any training. New
steps of a network that has such a step are told it, too, and are copies of the last: each follows a better video.
`--coarse N`: each prior gets so many residual blocks at a quarter of the resolution, the new ones identities at first.
`--scan`: start and networks see the four windows of Scanned CIFAR-10 as the image that they are cut from.
`--colour 32 64 96 120`: it gets a network of colours (`ColourNetwork`) with so many channels on its scales, which says
gray until it is trained. `--colour WEIGHTS --share 0.8`: it gets that of other weights, which says so much less.
`--colour-blocks 2`: this has so many residual blocks on each finer scale, the new ones identities at first.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from linops_video.datasets.scanned_cifar10 import GRID
from linops_video.errors import SpecError
from linops_video.solvers.learned.checkpoint import describe, load_network, save_network
from linops_video.solvers.learned.unrolled import Unrolled

Tensors = dict[str, torch.Tensor]

TOWARDS = 0.7
"""Of the way to the mean along the motion: most problems gain by it before any training, missing frames lose."""


def appended(network: Unrolled, steps: int, motion: bool = False, scan: bool = False) -> Unrolled:
    """The network with `steps` steps: the trained ones, then copies of the last; zero outputs unless it has motion."""
    old, last = network.config.steps, network.config.steps - 1
    follows = network.config.motion
    motions = follows + steps - old if follows else int(motion)
    mosaic = GRID if scan else network.config.mosaic
    longer = Unrolled(replace(network.config, steps=steps, motion=motions, mosaic=mosaic))
    values = network.state_dict()
    with torch.no_grad():
        for name, value in longer.state_dict().items():
            if name == "spread":  # one row a step, and one for the consistency at the end
                trained, final = values[name][:-1], values[name][-1:]
                value.copy_(torch.cat([trained, *[trained[last:]] * (steps - old), final]))
                continue
            part, number, *rest = name.split(".")
            if part not in ("prior", "data") or int(number) <= last:
                value.copy_(values[name])
                continue
            trained = values[".".join([part, str(last), *rest])]
            value.zero_()
            if follows or rest[0] != "head":
                value[tuple(slice(n) for n in trained.shape)] = trained  # of one more video the stem is zero
        if motion and not follows:
            bias = longer.get_submodule(f"prior.{steps - 1}.head").bias
            assert isinstance(bias, torch.Tensor)
            bias[-4:] = TOWARDS  # the last candidate's four Haar bands
    return longer


def deepened(network: Unrolled, coarse: int) -> Unrolled:
    """The network with `coarse` residual blocks at a quarter of the resolution; the new ones are identities."""
    deeper, values = Unrolled(replace(network.config, coarse=coarse)), network.state_dict()
    with torch.no_grad():
        for name, value in deeper.state_dict().items():
            if name in values:
                value.copy_(values[name])
            elif ".temporal." in name:  # the block's last convolution
                value.zero_()
    return deeper


def coloured(network: Unrolled, given: list[str], share: float, blocks: int | None) -> Unrolled:
    """The network with a new network of colours, of the given widths, or with a share of what that of others says."""
    if all(width.isdecimal() for width in given):
        source = Unrolled(replace(network.config, colour=tuple(map(int, given)), colour_blocks=blocks or 1))
    else:
        source = load_network(given[0])
    old = source.config.colour_blocks
    blocks = blocks or old
    if blocks < old:
        raise SpecError(f"{given[0]} has a network of colours with {old} blocks on a scale: take as many, or more")
    more = Unrolled(replace(network.config, colour=source.config.colour, colour_blocks=blocks))
    colours, trained = (
        {name: value for name, value in whole.state_dict().items() if name.startswith("colour.")}
        for whole in (more, source)
    )
    colours = deepened_colours(colours, trained, blocks, old)
    for name in ("colour.head.weight", "colour.head.bias"):
        colours[name] = share * colours[name]
    others = {name: value for name, value in network.state_dict().items() if name not in colours}
    more.load_state_dict(others | colours)
    return more


def deepened_colours(values: Tensors, trained: Tensors, blocks: int, old: int) -> Tensors:
    """`trained` with `blocks` residual blocks on each finer scale in place of `old`; the new ones are identities."""
    moved = {}
    for name, value in trained.items():
        colour, part, number, *rest = name.split(".")
        if part in ("encoder", "decoder"):
            scale, block = divmod(int(number), old)
            number = str(scale * blocks + block)
        moved[".".join([colour, part, number, *rest])] = value
    return {
        name: moved.get(name, torch.zeros_like(value) if ".second." in name else value)
        for name, value in values.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", help="a file, or the name of a shipped set")
    parser.add_argument("steps", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--motion", action="store_true")
    parser.add_argument("--scan", action="store_true")
    parser.add_argument("--coarse", type=int)
    parser.add_argument("--colour", nargs="+", metavar="WIDTH")
    parser.add_argument("--colour-blocks", type=int, metavar="N")
    parser.add_argument("--share", type=float, default=1.0)
    args = parser.parse_args()
    if args.colour_blocks is not None and (args.colour_blocks < 1 or not args.colour):
        parser.error("--colour-blocks is 1 or more, with --colour")
    network = load_network(args.weights)
    torch.manual_seed(0)  # for the inner weights of new blocks
    coarse = network.config.coarse if args.coarse is None else args.coarse
    if network.config.shared or args.steps < network.config.steps or coarse < network.config.coarse:
        parser.error(
            f"the network must have steps of its own, at most {args.steps}, with at most {coarse} coarse blocks"
        )
    if coarse > network.config.coarse:
        network = deepened(network, coarse)
    if args.steps > network.config.steps:
        network = appended(network, args.steps, args.motion, args.scan)
    if args.colour:
        network = coloured(network, args.colour, args.share, args.colour_blocks)
    about = {name: value for name, value in describe(args.weights).items() if name != "config"}
    save_network(args.out, network, about)


if __name__ == "__main__":
    main()
