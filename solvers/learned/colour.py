"""The colours of videos of which only the luma was measured: a network that sees whole scenes, at their coarse scales.

What has which colour is told by what it is, not by the pixels around it: the priors of the unrolled network, which
look at a few of them, predict little. This one looks at frames alone, on four scales and as a whole, and is trained
alone, on photographs (objective "colour").
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linops_video import LinearOperator
from linops_video.expressions.named_sampling import LUMA
from linops_video.solvers.learned.blocks import OUTPUT_GAIN, bands_of, fold, inverse_haar, pad_frames, zero_output

COARSE = 3
"""Residual blocks on the coarsest scale."""

SCENES = (32, 64)
"""Shorter sides, in pixels, of the reduced frames that the network sees: the sizes that it was trained on."""

FAINT = 0.01
"""Root mean square of the colour differences of a video below which it is taken for gray. From validation clips."""

TOLD = 1e-5
"""Share of what a measurement says of gray below which it is taken to say nothing of a colour difference."""


def luma(video: Tensor) -> Tensor:
    """0.299 R + 0.587 G + 0.114 B: (..., 3, H, W) -> (..., 1, H, W)."""
    red, green, blue = video.split(1, -3)
    return torch.add(LUMA[0] * red, green, alpha=LUMA[1]).add(blue, alpha=LUMA[2])


def colour_differences(like: Tensor) -> Tensor:
    """An orthonormal basis (2, 3) of the RGB values without luma."""
    weights = torch.tensor(LUMA, dtype=torch.float64)
    weights = weights / weights.norm()
    red = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64) - weights[0] * weights
    red = red / red.norm()
    return torch.stack([red, torch.linalg.cross(weights, red)]).to(like)


class PlaneBlock(nn.Module):
    """x + conv(relu(conv(x))) on single frames."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():  # near the identity at the start
            self.second.weight.mul_(0.2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


class ColourNetwork(nn.Module):
    """Colours of single frames from their luma: a residual U-Net on Haar bands.

    Args:
        widths: channels on each scale, from half the resolution on.
        blocks: residual blocks on each scale but the coarsest, on the way down and again on the way up.
    """

    def __init__(self, widths: tuple[int, ...], blocks: int = 1) -> None:
        super().__init__()
        steps = list(pairwise(widths))
        finer = [width for width in widths[:-1] for _ in range(blocks)]
        self.blocks = blocks
        self.alignment = 2 ** len(widths)
        self.stem = nn.Conv2d(4, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(PlaneBlock(width) for width in finer)
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in steps)
        self.coarse = nn.ModuleList(PlaneBlock(widths[-1]) for _ in range(COARSE))
        self.scene = nn.Linear(widths[-1], widths[-1])
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in steps)
        self.decoder = nn.ModuleList(PlaneBlock(width) for width in finer)
        self.head = zero_output(nn.Conv2d(widths[0], 8, 3, padding=1))

    def forward(self, gray: Tensor) -> Tensor:
        """Luma (B, T, 1, H, W) in [0, 1] -> colour differences (B, T, 3, H, W), whose luma is zero."""
        height, width = gray.shape[-2:]
        x, finer = self.stem(fold(pad_frames(gray, self.alignment).flatten(0, 1))), []
        for scale, down in enumerate(self.down):
            finer.append(self._on_scale(self.encoder, scale, x))
            x = down(finer[-1])
        for block in self.coarse:
            x = block(x)
        x = x + self.scene(F.relu(x).mean((-2, -1)))[:, :, None, None]
        for scale, up in reversed(list(enumerate(self.up))):
            x = self._on_scale(self.decoder, scale, finer[scale] + up(x))
        two = inverse_haar(OUTPUT_GAIN * bands_of(self.head(F.relu(x))))[..., :height, :width]
        return torch.einsum("kc,nkhw->nchw", colour_differences(two), two).unflatten(0, gray.shape[:2])

    def _on_scale(self, blocks: nn.ModuleList, scale: int, x: Tensor) -> Tensor:
        for block in blocks[scale * self.blocks : (scale + 1) * self.blocks]:
            x = block(x)
        return x

    def of_scenes(self, gray: Tensor) -> Tensor:
        """The same for frames of any size: the mean over the reduced frames of `SCENES` and their mirror images.

        Exactly zero for a video whose colours would be fainter than `FAINT`: a gray film stays gray.
        """
        height, width = gray.shape[-2:]
        ratios = {min(1.0, side / min(height, width)) for side in SCENES}
        total = torch.zeros_like(gray)
        for ratio in ratios:
            small = _resized(gray, (round(ratio * height), round(ratio * width)))
            colours = self(small) + self(small.flip(-1)).flip(-1)
            total = total + _resized(colours, (height, width)) / (2 * len(ratios))
        seen = total.square().mean((1, 2, 3, 4), keepdim=True) > FAINT**2
        return torch.where(seen, total, 0.0)


def _resized(video: Tensor, size: tuple[int, int]) -> Tensor:
    if size == tuple(video.shape[-2:]):
        return video
    frames = F.interpolate(video.flatten(0, 1), size, mode="bilinear", align_corners=False, antialias=True)
    return frames.unflatten(0, video.shape[:2])


def without_colours(A: LinearOperator, like: Tensor) -> Tensor:
    """For which samples A tells nothing of colour differences: shape `A.batch_shape`.

    AᵀA is given a random field of gray, and one of colour differences; of `like` are device and precision.
    """
    frames, _, *plane = A.in_shape
    fields = torch.rand(3, frames, *plane, generator=torch.Generator().manual_seed(0)).to(like) + 0.5
    colours = torch.einsum("kc,kthw->tchw", colour_differences(like), fields[:2])

    def told(video: Tensor) -> Tensor:
        return A.T(A(video.expand(*A.batch_shape, *A.in_shape))).abs().amax((-4, -3, -2, -1))

    return told(colours) <= TOLD * told(fields[2].unsqueeze(1))
