"""Multi-scale building blocks: (2+1)-D residual blocks on Haar bands. Videos are (B, T, C, H, W) at the door."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from linops_video.algebra.slabs import slabs

Layer = TypeVar("Layer", bound=nn.Module)

ALIGNMENT = 4
"""Frames are padded to multiples of 4, for the two scales of the features (2 and 4)."""

BAND_GAIN = torch.tensor([0.5, 8.0, 8.0, 8.0])
"""Of mean, vertical, horizontal and diagonal detail. Details of video are some 20 times as small as means: brought to
one size they train many times as fast."""

OUTPUT_GAIN = 0.1
"""Corrections are small; their features need not be."""


ROWS = 4
"""Rows of large features whose running means are taken at once, without derivatives."""

FRAMES = 4
"""Frames of large features that a residual block takes at once, without derivatives."""


def frame_by_frame(function: Callable[..., Tensor], *frames: Tensor) -> Tensor:
    """function(*frames), for tensors (N, C, H, W), of which it takes each frame alone.

    Without derivatives, a few frames at a time: what the function keeps on the way is then small.
    """
    parts = slabs(frames[0])
    if torch.is_grad_enabled() or len(parts) == 1:
        return function(*frames)
    whole = None
    for first, end in parts:
        part = function(*(t[first:end] for t in frames))
        if whole is None:  # and not all parts at the end, which would be held twice
            like = torch.empty_like(part)
            whole = like.new_empty_strided((parts[-1][1], *like.shape[1:]), like.stride())
        whole[first:end] = part
    assert whole is not None
    return whole


def add_by_parts(
    onto: Tensor, function: Callable[..., Tensor], parts: list[tuple[int, int]], dim: int, *tensors: Tensor
) -> Tensor:
    """onto + function(*tensors), (N, C, H, W), in parts along an axis; without derivatives in place, to hold one."""
    if torch.is_grad_enabled():
        return onto + function(*tensors)
    for first, end in parts:
        onto.narrow(dim, first, end - first).add_(function(*(t.narrow(dim, first, end - first) for t in tensors)))
    return onto


def reversed_along(axes: tuple[int, ...], video: Tensor) -> Tensor:
    """The video seen backwards along these axes; turned back when reversed again."""
    return video.flip(axes) if axes else video


def fold(frames: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 4C, H/2, W/2), the scaled Haar bands of 2×2 pixels as channels; H and W even."""
    bands = haar(frames) * BAND_GAIN.to(frames)[:, None, None]
    return bands.flatten(1, 2).contiguous(memory_format=torch.channels_last)


def haar(frames: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 4, H/2, W/2): the orthonormal Haar bands of 2×2 pixels, in the order of `BAND_GAIN`.

    By sums and differences: several times as fast as a matrix product with the four pixels last.
    """
    upper, lower = frames.unflatten(-2, (-1, 2)).unbind(-2)
    (a, b), (c, d) = (rows.unflatten(-1, (-1, 2)).unbind(-1) for rows in (upper + lower, upper - lower))
    return torch.stack([a + b, c + d, a - b, c - d], 2).mul_(0.5)


def inverse_haar(bands: Tensor) -> Tensor:
    """(N, C, 4, H/2, W/2) -> (N, C, H, W)."""
    mean, vertical, horizontal, diagonal = bands.unbind(2)
    of_sum = torch.stack([mean + horizontal, mean - horizontal], -1).flatten(-2)
    of_difference = torch.stack([vertical + diagonal, vertical - diagonal], -1).flatten(-2)
    return torch.stack([of_sum + of_difference, of_sum - of_difference], -2).flatten(-3, -2).mul_(0.5)


def bands_of(features: Tensor) -> Tensor:
    """(N, 4C, H/2, W/2) -> (N, C, 4, H/2, W/2), in float32 at least."""
    features = features if features.dtype == torch.float64 else features.float()
    return features.contiguous().unflatten(1, (-1, 4))


def pad_frames(video: Tensor, multiple: int = ALIGNMENT) -> Tensor:
    """Repeat the last rows and columns until H and W are multiples of a number."""
    height, width = video.shape[-2:]
    padding = (0, -width % multiple, 0, -height % multiple)
    if not any(padding):
        return video
    return F.pad(video.flatten(0, 1), padding, mode="replicate").unflatten(0, video.shape[:2])


def zero_output(layer: Layer) -> Layer:
    """A layer that returns zero until it is trained: the network starts as the solver it corrects."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class TemporalConv(nn.Module):
    """Convolution over time alone, 3 taps: each frame sees the one before and the one after."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0))

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B·T, C, h, w) -> the same; memory with the channels last is read as (B, C, T, h·w), not copied."""
        if frames == 1:  # the taps before and behind see nothing
            return F.conv2d(x, self.conv.weight[:, :, 1:2], self.conv.bias)
        lines = rearrange(x, "(b t) c h w -> b c t (h w)", t=frames)
        return rearrange(self.conv(lines), "b c t (h w) -> (b t) c h w", h=x.shape[-2])

    def tap(self, x: Tensor, offset: int) -> Tensor:
        """What frames (B, C, h, w) add to those that see them before (offset −1) or behind them (1)."""
        return F.conv2d(x, self.conv.weight[:, :, [1 + offset]])


class ResidualBlock(nn.Module):
    """x + temporal(relu(spatial(x))), a (2+1)-D residual block (Tran et al., CVPR 2018) without normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels, 3, padding=1)
        self.temporal = TemporalConv(channels)
        with torch.no_grad():  # near the identity at the start, so that many blocks can follow each other
            self.temporal.conv.weight.mul_(0.2)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B·T, C, h, w) -> the same; large features without derivatives in place, a few frames at a time."""
        clip = x.unflatten(0, (-1, frames))
        if torch.is_grad_enabled() or len(parts := slabs(clip, 1, FRAMES)) == 1:
            return x + self.temporal(self._activated(x), frames)
        last = None
        for first, end in parts:
            part = clip[:, first:end]
            seen = self._activated(part.flatten(0, 1))
            part += self.temporal(seen, end - first).unflatten(0, part.shape[:2])
            seen = seen.unflatten(0, part.shape[:2])
            if last is not None:
                part[:, 0] += self.temporal.tap(last, -1)
                clip[:, first - 1] += self.temporal.tap(seen[:, 0], 1)
            last = seen[:, -1]
        return x

    def _activated(self, x: Tensor) -> Tensor:
        return F.relu(self.spatial(x), inplace=True)


class TemporalMemory(nn.Module):
    """Gated running means of the features at each place, ahead and back in time: every frame sees all others.

    h_t = (1 − g_t) h_{t−1} + g_t v_t with v = V x and g = σ(G x): the paper's MinimalRNN with gates that do not look at
    the state, so that all frames' gates are one matrix product; the state starts at v of its first frame.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.gate = nn.Linear(features, 2 * features)
        self.value = nn.Linear(features, features)
        self.out = zero_output(nn.Linear(2 * features, features))
        nn.init.constant_(self.gate.bias, -1.0)  # means over some four frames before training

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B·T, F, h, w) -> the same, added to x; without derivatives in place."""
        return add_by_parts(x, partial(self._of_rows, frames), slabs(x, -2, ROWS), -2, x)

    def _of_rows(self, frames: int, x: Tensor) -> Tensor:
        last = rearrange(x, "(b t) f h w -> b t h w f", t=frames)
        ahead_gate, back_gate = torch.sigmoid(self.gate(last)).chunk(2, dim=-1)
        value = self.value(last)
        states = torch.cat([_scan(ahead_gate, value, False), _scan(back_gate, value, True)], dim=-1)
        return rearrange(self.out(states), "b t h w f -> (b t) f h w")


def _scan(gate: Tensor, value: Tensor, backward: bool) -> Tensor:
    """h_t = h_{t−1} + g_t (v_t − h_{t−1}) along axis 1."""
    gates, values = gate.unbind(1), value.unbind(1)
    order = range(len(values))[::-1] if backward else range(len(values))
    state = values[order[0]]
    states = [state] * len(values)
    for t in order[1:]:
        state = torch.lerp(state, values[t], gates[t])
        states[t] = state
    return torch.stack(states, dim=1)


class PriorBlock(nn.Module):
    """Residual U-Net of one prior step: videos in, correction out; its features go on to the next step.

    The correction is a part of the network's own and a step towards each of the candidates, videos that other priors
    find likely: its length is chosen for each place and Haar band, the same for all channels.

    Args:
        inputs, outputs: channels of the videos.
        candidates: number of candidates.
        features: channels of the features at half resolution; twice as many at a quarter.
        coarse, fine: numbers of residual blocks at a quarter and then at half the resolution.
    """

    def __init__(self, inputs: int, outputs: int, candidates: int, features: int, coarse: int, fine: int) -> None:
        super().__init__()
        self.outputs, self.candidates = outputs, candidates
        self.stem = nn.Conv2d(4 * inputs, features, 3, padding=1)
        self.memory = TemporalMemory(features)
        self.down = nn.Conv2d(features, 2 * features, 2, stride=2)
        self.coarse = nn.ModuleList(ResidualBlock(2 * features) for _ in range(coarse))
        self.up = nn.ConvTranspose2d(2 * features, features, 2, stride=2)
        self.fine = nn.ModuleList(ResidualBlock(features) for _ in range(fine))
        self.head = zero_output(nn.Conv2d(features, 4 * (outputs + candidates), 3, padding=1))

    def forward(
        self, videos: Sequence[Tensor], candidates: Sequence[Tensor], features: Tensor, axes: tuple[int, ...] = ()
    ) -> tuple[Tensor, Tensor]:
        """Videos (B, T, C, H, W), of the first of which the correction is, and features (B·T, ·, H/2, W/2) -> the
        correction (B, T, outputs, H, W) and new features; without derivatives these take the place of the old ones.

        `axes`: along which the videos are reversed before, and the output again; the features are those of that view.
        """
        frames = videos[0].shape[1]
        videos, candidates = ([v.flatten(0, 1) for v in given] for given in (videos, candidates))

        def seen(*given: Tensor) -> Tensor:
            return self.stem(fold(reversed_along(axes, torch.cat(given, 1))))

        features = self.memory(add_by_parts(features, seen, slabs(videos[0]), -4, *videos), frames)
        low = frame_by_frame(lambda fine: F.relu(self.down(fine), inplace=True), features)
        for block in self.coarse:
            low = block(low, frames)
        features = add_by_parts(features, self.up, slabs(features), -4, low)
        for block in self.fine:
            features = block(features, frames)
        output = frame_by_frame(partial(self._correction, axes), features, videos[0], *candidates)
        return output.unflatten(0, (-1, frames)), features

    def _correction(self, axes: tuple[int, ...], features: Tensor, video: Tensor, *candidates: Tensor) -> Tensor:
        own, lengths = self.head(F.relu(features)).split([4 * self.outputs, 4 * self.candidates], 1)
        steps = torch.cat([candidate - video for candidate in candidates], 1)
        towards = haar(reversed_along(axes, steps)).unflatten(1, (self.candidates, self.outputs))
        bands = OUTPUT_GAIN * bands_of(own) + (bands_of(lengths).unsqueeze(2) * towards).sum(1)
        return reversed_along(axes, inverse_haar(bands))


class DataBlock(nn.Module):
    """The light residual network of one data step: it sees the seven videos of q and the features of the prior."""

    def __init__(self, inputs: int, outputs: int, features: int) -> None:
        super().__init__()
        width = features // 2
        self.stem = nn.Conv2d(4 * inputs, width, 1)
        self.context = nn.Conv2d(features, width, 1, bias=False)
        self.head = zero_output(nn.Conv2d(width, 4 * outputs, 3, padding=1))

    def forward(self, videos: Sequence[Tensor], features: Tensor, axes: tuple[int, ...] = ()) -> Tensor:
        """Videos (B, T, C, H, W) and features (B·T, ·, H/2, W/2) -> (B, T, outputs, H, W); `axes` as for the prior."""
        output = frame_by_frame(partial(self._of_frames, axes), features, *(v.flatten(0, 1) for v in videos))
        return output.unflatten(0, videos[0].shape[:2])

    def _of_frames(self, axes: tuple[int, ...], features: Tensor, *videos: Tensor) -> Tensor:
        seen = reversed_along(axes, torch.cat(videos, 1))
        hidden = F.relu(self.stem(fold(seen)) + self.context(features))
        return reversed_along(axes, inverse_haar(OUTPUT_GAIN * bands_of(self.head(hidden))))


class Context(nn.Module):
    """What stays the same during all steps, as the first features: the start, the measurement, the noise level."""

    def __init__(self, inputs: int, features: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4 * inputs, features, 3, padding=1)
        self.noise = nn.Linear(2, features)

    def forward(self, videos: Sequence[Tensor], noise_std: Tensor, axes: tuple[int, ...] = ()) -> Tensor:
        """Videos (B, T, C, H, W) -> features (B·T, ·, H/2, W/2); `noise_std`: shape (B,); `axes` as for the prior."""
        level = torch.stack([10 * noise_std, torch.log10(noise_std + 1e-4) / 2 + 1], -1)
        bias = self.noise(level).repeat_interleave(videos[0].shape[1], 0)[:, :, None, None]
        return frame_by_frame(partial(self._of_frames, axes), *(v.flatten(0, 1) for v in videos), bias)

    def _of_frames(self, axes: tuple[int, ...], *given: Tensor) -> Tensor:
        *videos, bias = given
        features = self.stem(fold(reversed_along(axes, torch.cat(videos, 1))))
        return features + bias.to(features.dtype)
