"""The networks of the paper: encoder, bidirectional convolutional MinimalRNN, transposed convolution.

Source: Milacski, Póczos, Lőrincz, VideoOneNet, ICML 2020, section 3.2 and figure 2. Videos are (B, T, C, H, W).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class VideoNorm(nn.Module):
    """Instance normalisation over ALL of T, H, W and features of a sample, with one scalar gain and one bias."""

    def __init__(self, eps: float = 1e-3) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.bias = nn.Parameter(torch.zeros(()))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, F, H, W) -> the same."""
        variance, mean = torch.var_mean(x, dim=(1, 2, 3, 4), correction=0, keepdim=True)
        return self.gain * (x - mean) * torch.rsqrt(variance + self.eps) + self.bias


def smooth_elu(x: Tensor) -> Tensor:
    """softplus(2x + 2)/2 − 1, the paper's smooth, ELU-like activation."""
    return F.softplus(2 * x + 2) / 2 - 1


class MinimalRNN(nn.Module):
    """Convolutional MinimalRNN in one direction: h_t = (1 − g_t) h_{t−1} + g_t v_t, g_t = σ(W∗v_t + U∗h_{t−1} + b).

    The state starts at zero. Source: Chen, MinimalRNN, 2017; convolutional in Milacski et al., ICML 2020.
    """

    def __init__(self, features: int, kernel: int) -> None:
        super().__init__()
        self.input_gate = nn.Conv2d(features, features, kernel, padding="same")
        self.state_gate = nn.Conv2d(features, features, kernel, padding="same", bias=False)

    def forward(self, v: Tensor, backward: bool = False) -> Tensor:
        """(B, T, F, H, W) -> the states in the order of the frames; `backward` begins at the last frame."""
        gates = self.input_gate(v.flatten(0, 1)).unflatten(0, v.shape[:2])
        state = torch.zeros_like(v[:, 0])
        states: list[Tensor] = []
        frames = range(v.shape[1])
        for t in reversed(frames) if backward else frames:
            gate = torch.sigmoid(gates[:, t] + self.state_gate(state))
            state = state + gate * (v[:, t] - state)
            states.append(state)
        return torch.stack(states[::-1] if backward else states, dim=1)


class PaperNetwork(nn.Module):
    """p or q of the paper: 3 × [conv, norm, smooth ELU], optionally two MinimalRNNs, one linear transposed convolution.

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
        self.ahead = MinimalRNN(features, kernel) if recurrent else None
        self.back = MinimalRNN(features, kernel) if recurrent else None
        width = 2 * features if recurrent else features
        self.decoder = nn.ConvTranspose2d(width, outputs, decoder, padding=decoder // 2)
        if zero:
            nn.init.zeros_(self.decoder.weight)
            assert self.decoder.bias is not None
            nn.init.zeros_(self.decoder.bias)

    def forward(self, video: Tensor) -> Tensor:
        """(B, T, inputs, H, W) -> (B, T, outputs, H, W)."""
        batch = video.shape[:2]
        v = video
        for conv, norm in zip(self.convs, self.norms, strict=True):
            v = smooth_elu(norm(conv(v.flatten(0, 1)).unflatten(0, batch)))
        if self.ahead is not None and self.back is not None:
            v = torch.cat([self.ahead(v), self.back(v, backward=True)], dim=2)
        return self.decoder(v.flatten(0, 1)).unflatten(0, batch)
