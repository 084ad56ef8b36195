"""Networks and training settings by the solver's name and the data set: the paper's forms, and ours."""

from __future__ import annotations

from dataclasses import replace

from linops_video.datasets.table1 import table1_problems
from linops_video.errors import SpecError, near_names
from linops_video.solvers.learned.config import TrainConfig
from linops_video.solvers.learned.form import Config, paper_config
from linops_video.solvers.learned.pool import BLURS, MIXTURE

RECIPES: dict[str, str] = {
    "videoonet": "our form",
    "onenet": "our form without the data network",
    "videoonet-bcrnn": "the paper's VideoOneNet BCRNN",
    "videoonet-cnn": "the paper's VideoOneNet CNN",
    "onenet-bcrnn": "the paper's OneNet BCRNN, end to end",
    "onenet-cnn": "the paper's OneNet CNN, end to end",
    "onenet-projector": "OneNet as first published: a projector trained alone, in 300 iterations of ADMM",
}
"""Name -> what it is."""

BATCH = {"rotated-mnist": 8, "scanned-cifar10": 4, "ucf101": 2}
"""Videos in a step of the paper's training."""

OURS = {"pid": 2.0, "sr4": 1.5, "cs": 2.5, "vcs": 2.0, "bi": 1.0, "denoise": 0.5}
"""How often our form draws problems on the paper's data sets, where it is not once; blurs 0.4 times."""


def recipe(solver: str, data: str, channels: int) -> TrainConfig:
    """The settings that a network is trained with, but for steps, seed and the like.

    The paper's forms are trained as in the paper: squared error, Adam at 1e-4 with betas (0, 0.9), gradient norm
    clipped at 1, patience 5, the last weights and not their mean, the problem of every video drawn anew and uniformly
    from the columns of Table 1, without noise but for `pid`.

    Args:
        solver: a name in `RECIPES`.
        data: the data set; sizes for Rotated MNIST are its own, all others have those of the paper's colour sets.
        channels: C of its videos.

    Raises:
        SpecError: for an unknown solver; the near ones are listed.

    Example:
        >>> recipe("videoonet-bcrnn", "rotated-mnist", 1).network.features
        64
    """
    if solver not in RECIPES:
        raise SpecError(f"unknown solver to train {solver!r}: {near_names(solver, RECIPES)}")
    columns = table1_problems(data, channels)
    if solver in ("videoonet", "onenet"):
        network = Config(form=solver, channels=channels)
        if data not in BATCH:
            return TrainConfig(network, {name: MIXTURE[name] for name in MIXTURE if channels > 1 or name != "color"})
        shares = {name: OURS.get(name, 0.4 if name in BLURS else 1.0) for name in (*columns, "denoise")}
        return TrainConfig(network, shares)
    form, _, variant = solver.partition("-")
    sizes = {} if data == "rotated-mnist" else {"features": 256, "kernel": 5, "decoder": 7}
    network = paper_config(form, variant == "bcrnn", channels, **sizes)
    settings = TrainConfig(
        network,
        dict.fromkeys(columns, 1.0),
        samples=1,
        groups=BATCH.get(data, 2),
        objective="mse",
        learning_rate=1e-4,
        warm_up=0,
        end_rate=1.0,
        betas=(0.0, 0.9),
        noisy=0.0,
        noisy_blurs=False,
        average=0.0,
    )
    if variant == "projector":
        return replace(settings, network=replace(network, steps=300), objective="projector")
    return settings
