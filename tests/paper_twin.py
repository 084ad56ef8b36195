"""A plain transcription of the paper's algorithms 2 and 3: dense matrices, their pseudoinverses, loops.

Slow twin of `Unrolled` with `paper_config`, for tests and `benchmarks/training_step.py`. Weights come as a state dict.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = Mapping[str, Tensor]


def network(weights: Weights, name: str, video: Tensor) -> Tensor:
    """p or q on (B, T, C, H, W): three encoder layers, a recurrence in both directions, a decoder."""

    def w(key: str) -> Tensor:
        return weights[f"{name}.{key}"]

    batch, frames = video.shape[:2]
    v = video.reshape(batch * frames, *video.shape[2:])
    for i in range(3):
        v = F.conv2d(v, w(f"convs.{i}.weight"), w(f"convs.{i}.bias"), padding="same")
        v = v.reshape(batch, frames, *v.shape[1:])
        mean = v.mean(dim=(1, 2, 3, 4), keepdim=True)
        variance = ((v - mean) ** 2).mean(dim=(1, 2, 3, 4), keepdim=True)
        v = w(f"norms.{i}.gain") * (v - mean) / torch.sqrt(variance + 1e-3) + w(f"norms.{i}.bias")
        v = F.softplus(2 * v + 2) / 2 - 1
        v = v.reshape(batch * frames, *v.shape[2:])
    v = v.reshape(batch, frames, *v.shape[1:])
    if f"{name}.recurrence.input_gates.weight" in weights:
        features, directions = v.shape[2], []
        for i, order in enumerate((range(frames), range(frames - 1, -1, -1))):
            own = slice(i * features, (i + 1) * features)
            of_input, bias = w("recurrence.input_gates.weight")[own], w("recurrence.input_gates.bias")[own]
            h = torch.zeros_like(v[:, 0])
            states = {}
            for t in order:
                gate = F.conv2d(v[:, t], of_input, bias, padding="same")
                gate = gate + F.conv2d(h, w(f"recurrence.state_gates.{i}.weight"), padding="same")
                gate = torch.sigmoid(gate)
                h = (1 - gate) * h + gate * v[:, t]
                states[t] = h
            directions.append(torch.stack([states[t] for t in range(frames)], dim=1))
        v = torch.cat(directions, dim=2)
    weight = w("decoder.weight")
    out = F.conv_transpose2d(
        v.reshape(batch * frames, *v.shape[2:]), weight, w("decoder.bias"), padding=weight.shape[-1] // 2
    )
    return out.reshape(batch, frames, *out.shape[1:])


def inverses(matrices: list[Tensor], rho: float) -> tuple[list[Tensor], list[Tensor]]:
    """The pseudoinverses of A and of [A; √ρ I], for every sample."""
    eye = torch.eye(matrices[0].shape[1]).to(matrices[0])
    stacked = [torch.cat([A, rho**0.5 * eye]) for A in matrices]
    return [torch.linalg.pinv(A) for A in matrices], [torch.linalg.pinv(A) for A in stacked]


def reconstruct(
    weights: Weights,
    video_form: bool,
    steps: int,
    rho: float,
    matrices: list[Tensor],
    measurements: list[Tensor],
    ready: tuple[list[Tensor], list[Tensor]],
    shape: tuple[int, ...],
) -> Tensor:
    """The last z of every sample, (B, T, C, H, W): algorithm 3 if `video_form` (VideoOneNet), else 2 (OneNet)."""
    pinvs, steppers = ready
    z0 = torch.stack([P @ y for P, y in zip(pinvs, measurements, strict=True)]).reshape(-1, *shape)
    adjoint = torch.stack([A.T @ y for A, y in zip(matrices, measurements, strict=True)]).reshape(-1, *shape)
    z, u = z0, torch.zeros_like(z0)
    for _ in range(steps):
        x = network(weights, "prior.0", torch.cat([z, u], dim=2) if video_form else z - u)
        v = x + u
        z_new = []
        for i, (P, y) in enumerate(zip(steppers, measurements, strict=True)):
            z_new.append(P @ torch.cat([y, rho**0.5 * v[i].reshape(-1)]))
        z_old, u_old = z, u
        z = torch.stack(z_new).reshape(-1, *shape)
        u = u + x - z
        if video_form:
            z, u = network(weights, "data.0", torch.cat([x, z0, adjoint, z_old, z, u_old, u], dim=2)).chunk(2, dim=2)
    return z
