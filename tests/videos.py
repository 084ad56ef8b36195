"""Videos and measurements that the tests of solvers share."""

import numpy as np
import torch

from linops_video import Convolution, Diagonal, InverseProblem, forward_model
from linops_video.solvers import run


def close(a, b, tolerance):
    """Both are equal up to an absolute tolerance."""
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


def video(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def smooth_video(frames=8, channels=3, size=24):
    """A bright disk that moves over a ramp: piecewise smooth, as the priors expect of videos."""
    t = torch.arange(frames, dtype=torch.float32).reshape(-1, 1, 1, 1)
    i = torch.arange(size, dtype=torch.float32).reshape(-1, 1)
    j = torch.arange(size, dtype=torch.float32)
    disk = ((i - 8 - t / 2) ** 2 + (j - 12) ** 2 < 30).float()
    shade = torch.linspace(0.5, 1, channels).reshape(-1, 1, 1)
    return ((0.2 + 0.3 * i / size + 0.4 * disk) * shade).expand(frames, channels, size, size).contiguous()


def clip(frames=4, channels=3, height=16, width=16, batch=(2,), dtype=torch.float32) -> torch.Tensor:
    """A smooth moving pattern in [0, 1]."""
    t = torch.arange(frames, dtype=dtype).reshape(-1, 1, 1, 1)
    c = torch.arange(channels, dtype=dtype).reshape(-1, 1, 1)
    h = torch.arange(height, dtype=dtype).reshape(-1, 1)
    w = torch.arange(width, dtype=dtype)
    video = 0.5 + 0.4 * torch.sin(0.3 * h + 0.2 * w + 0.3 * t + 0.5 * c)
    return video.expand(*batch, frames, channels, height, width).contiguous()


def waves():
    """Six videos for training, uint8 (N, T, C, H, W), smooth and moving."""
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 6, (6, 1, 3, 1, 1)) + 0.3 * np.arange(5).reshape(1, 5, 1, 1, 1)
    wave = np.sin(phase + 0.4 * np.arange(24).reshape(24, 1) + 0.2 * np.arange(20))
    return torch.from_numpy((127 + 100 * wave).astype(np.uint8))


def objective(solver, problem, x):
    """The solver's objective at x, a number."""
    value = solver.objective(problem, x)
    assert value is not None
    return value.item()


def trace(solver, problem):
    """The solver's objective after each step."""
    history = run(solver, problem, history=True).history
    assert history is not None
    assert history.objective is not None
    return history.objective


def inpainting(*shape, seed=0):
    """Half of the entries of noise, float64."""
    A = Diagonal((video(*shape, seed=seed + 1) > 0.5).double(), shape[-4:])
    return InverseProblem(A, A(video(*shape, seed=seed)), 0.1)


def tv_problem(name):
    """2-D and temporal structure, noise, float64; strongly regularised, so that all methods arrive."""
    shape = (4, 1, 12, 12)
    truth = smooth_video(4, 1, 12).double()
    operators = {
        "sr2": forward_model("sr2", shape).operator.to(dtype=torch.float64),
        "mask": Diagonal((video(*shape, seed=5) > 0.3).double(), shape),
        "blur": Convolution(torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]).double() / 16, shape),
    }
    A = operators[name]
    noise = torch.randn(A.out_shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return InverseProblem(A, A(truth) + 0.02 * noise, 0.02)


def film_clip(frames: int = 50, height: int = 24, width: int = 20) -> torch.Tensor:
    """Smooth in space and time, of colour and 8 bits."""
    t, c, y, x = torch.meshgrid(*map(torch.arange, (frames, 3, height, width)), indexing="ij")
    return (127.5 + 90 * torch.sin(0.31 * x + 0.2 * y + 0.1 * t + 0.4 * c)).round() / 255
