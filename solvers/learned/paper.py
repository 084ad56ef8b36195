"""The networks of the paper: encoder, bidirectional convolutional MinimalRNN, transposed convolution.

Source: Milacski, Póczos, Lőrincz, VideoOneNet, ICML 2020, section 3.2 and figure 2. Videos are (B, T, C, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linops_video.solvers.learned.blocks import zero_output


class VideoNorm(nn.Module):
    """Instance normalisation over ALL of T, H, W and features of a sample, with one scalar gain and one bias."""

    def __init__(self, eps: float = 1e-3) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.bias = nn.Parameter(torch.zeros(()))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, F, H, W) -> the same."""
        channels = x.shape[1] * x.shape[2]
        gain, bias = self.gain.expand(channels), self.bias.expand(channels)
        return F.group_norm(x.flatten(1, 2), 1, gain, bias, self.eps).unflatten(1, x.shape[1:3])


def smooth_elu(x: Tensor) -> Tensor:
    """softplus(2x + 2)/2 − 1, the paper's smooth, ELU-like activation."""
    return F.softplus(x + 1, beta=2) - 1


class MinimalRNN(nn.Module):
    """Convolutional MinimalRNN in both directions: h_t = (1 − g_t) h_{t−1} + g_t v_t, g_t = σ(W∗v_t + U∗h_{t−1} + b).

    Each direction has weights of its own and a state that starts at zero; the gates' W∗v + b of all frames and both
    directions are one convolution. Source: Chen, MinimalRNN, 2017; convolutional in Milacski et al., ICML 2020.
    """

    def __init__(self, features: int, kernel: int) -> None:
        super().__init__()
        self.input_gates = nn.Conv2d(features, 2 * features, kernel, padding="same")
        self.state_gates = nn.ModuleList(
            nn.Conv2d(features, features, kernel, padding="same", bias=False) for _ in range(2)
        )

    def forward(self, v: Tensor) -> Tensor:
        """(B, T, F, H, W) -> (B, T, 2F, H, W): the states of the direction ahead, then of that back, at each frame."""
        ahead, back = self.input_gates(v.flatten(0, 1)).unflatten(0, v.shape[:2]).chunk(2, dim=2)
        frames, (of_ahead, of_back) = v.unbind(1), self.state_gates
        states = _scan(frames, ahead.unbind(1), of_ahead)
        back_states = _scan(frames[::-1], back.unbind(1)[::-1], of_back)[::-1]
        return torch.cat([torch.stack(states, 1), torch.stack(back_states, 1)], dim=2)


def _scan(frames: Sequence[Tensor], gates: Sequence[Tensor], of_state: nn.Module) -> list[Tensor]:
    """The states in one direction; that before the first is zero, and so is what it adds to the first gate."""
    states = [torch.sigmoid(gates[0]) * frames[0]]
    for gate, frame in zip(gates[1:], frames[1:], strict=True):
        states.append(torch.lerp(states[-1], frame, torch.sigmoid(gate + of_state(states[-1]))))
    return states


class PaperNetwork(nn.Module):
    """p or q of the paper: 3 × [conv, norm, smooth ELU], optionally a MinimalRNN, one linear transposed convolution.

    Args:
        inputs, outputs: channels of the videos.
        features, kernel: filters and size of the encoder's convolutions (odd).
        decoder: size of the transposed convolution (odd).
        recurrent: BCRNN form (bidirectional in time) or CNN form (each frame alone but for the norm).
        zero: start with an output of zero, for networks whose output is a correction.
    """

    def __init__(
        self, inputs: int, outputs: int, features: int, kernel: int, decoder: int, recurrent: bool, zero: bool
    ) -> None:
        super().__init__()
        sizes = (inputs, features, features)
        self.convs = nn.ModuleList(nn.Conv2d(n, features, kernel, padding="same") for n in sizes)
        self.norms = nn.ModuleList(VideoNorm() for _ in sizes)
        self.recurrence = MinimalRNN(features, kernel) if recurrent else None
        width = 2 * features if recurrent else features
        self.decoder = nn.ConvTranspose2d(width, outputs, decoder, padding=decoder // 2)
        if zero:
            zero_output(self.decoder)

    def forward(self, video: Tensor) -> Tensor:
        """(B, T, inputs, H, W) -> (B, T, outputs, H, W)."""
        batch = video.shape[:2]
        v = video
        for conv, norm in zip(self.convs, self.norms, strict=True):
            v = smooth_elu(norm(conv(v.flatten(0, 1)).unflatten(0, batch)))
        if self.recurrence is not None:
            v = self.recurrence(v)
        return self.decoder(v.flatten(0, 1)).unflatten(0, batch)
