"""VideoOneNet: a learned prior and a learned data step in unrolled ADMM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from linops_video.solvers.learned.solver import Learned


@dataclass(frozen=True)
class VideoOneNet(Learned):
    """Unrolled ADMM with a prior network on [z, u] and a data network after the exact data step.

    Source: Milacski, Póczos, Lőrincz, VideoOneNet, ICML 2020; the shipped form is described in docs/model_card.md.

    Attributes:
        weights: a file, or the name of a shipped set; "videoonet" is for real colour video.
        precision: of the network's convolutions, "float32" or "bfloat16".
        views: mirrored and turned views of the video, 1 to 4, whose mean the networks take; None: as the weights say.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import VideoOneNet, run
        >>> problem = forward_model("sr4", (4, 3, 32, 32)).measure(torch.rand(4, 3, 32, 32))
        >>> run(VideoOneNet(), problem).x.shape
        torch.Size([4, 3, 32, 32])
    """

    form: ClassVar[str] = "videoonet"

    weights: str = "videoonet"
