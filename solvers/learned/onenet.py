"""OneNet: a learned prior in unrolled ADMM, the data step as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from linops_video.solvers.learned.solver import Learned


@dataclass(frozen=True)
class OneNet(Learned):
    """Unrolled ADMM with a prior network on z − u, trained end to end.

    Source: Chang et al., One Network to Solve Them All, ICCV 2017; end to end and for video in Milacski, Póczos,
    Lőrincz, VideoOneNet, ICML 2020.

    Attributes:
        weights: a file, or the name of a shipped set; "onenet" is for real colour video.
        precision: of the network's convolutions, "float32" or "bfloat16".
        views: mirrored and turned views of the video, 1 to 4, whose mean the networks take; None: as the weights say.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import OneNet, run
        >>> problem = forward_model("si", (4, 3, 32, 32)).measure(torch.rand(4, 3, 32, 32))
        >>> run(OneNet(), problem).x.shape
        torch.Size([4, 3, 32, 32])
    """

    form: ClassVar[str] = "onenet"

    weights: str = "onenet"
