"""Your own array: a numpy video, a measurement composed of parts, noise, and two solvers."""

import numpy as np
import torch

from linops_video import BoxMean, ForwardModel, NormalSolver, Select
from linops_video.metrics import data_misfit, psnr
from linops_video.solvers import solve


def moving_disks(frames: int, height: int, width: int) -> np.ndarray:
    """Two disks of different colours that move across a gradient: (T, H, W, 3), float64 in [0, 1]."""
    t, y, x = np.ogrid[:frames, :height, :width]
    video = np.empty((frames, height, width, 3))
    video[:] = (0.2 + 0.4 * x / width)[..., None]
    video[(y - 20 - t) ** 2 + (x - 10 - 2 * t) ** 2 < 80] = (0.9, 0.3, 0.1)
    video[(y - 34) ** 2 + (x - 50 + 2 * t) ** 2 < 120] = (0.1, 0.4, 0.8)
    return video


def main() -> None:
    array = moving_disks(8, 48, 64)
    video = torch.from_numpy(array).permute(0, 3, 1, 2).float()  # (T, C, H, W)
    shape = tuple(video.shape)

    every_second = Select(tuple(range(0, 8, 2)), axis=0, in_shape=shape)
    camera = BoxMean(2, every_second.out_shape) @ every_second  # few frames, of low resolution
    print(f"{shape} measured as {camera.out_shape}; normal solve: {NormalSolver.of(camera).method}")

    problem = ForwardModel(camera, noise_std=0.01).measure(video, seed=1)
    for name, fields in (("pinv", {}), ("admm-tv", {"weight": 0.005, "max_steps": 200})):
        x = solve(problem, name, **fields).x
        print(f"{name}: {psnr(x, video):.2f} dB, data misfit {data_misfit(camera, x, problem.y):.3f} (noise 0.01)")


if __name__ == "__main__":
    main()
