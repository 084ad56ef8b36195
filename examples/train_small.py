"""Train a small network on your own videos, keep it as a file, and solve with it: in seconds, on one core."""

import tempfile
from pathlib import Path

import torch

from linops_video import forward_model
from linops_video.media.video import demo_clip, read_video
from linops_video.metrics import psnr
from linops_video.solvers import solve
from linops_video.solvers.learned.config import TrainConfig
from linops_video.solvers.learned.data import Crops
from linops_video.solvers.learned.form import Config
from linops_video.solvers.learned.train import train


def main() -> None:
    clip = (read_video(demo_clip(), frames=48).frames * 255).byte()
    windows = torch.stack([clip[t : t + 8] for t in range(0, 40, 8)])  # (N, T, C, H, W), uint8
    held_out = clip[40:44, :, 40:88, 56:120].float() / 255

    config = TrainConfig(
        network=Config(features=16, steps=2, coarse=1, fine=1),
        problems={"sr2": 1.0, "si": 1.0},
        steps=15,
        samples=2,
        frames=(4,),
        warm_up=5,
        average=0.9,
        validate_every=15,
    )
    with tempfile.TemporaryDirectory() as folder:
        train(config, Crops((windows,), (1.0,), size=32), held_out[None], folder, name="small")
        weights = str(Path(folder) / "small.safetensors")
        for name in config.problems:
            problem = forward_model(name, tuple(held_out.shape)).measure(held_out)
            before, after = solve(problem, "pinv").x, solve(problem, "videoonet", weights=weights).x
            print(f"{name}: pinv {psnr(before, held_out):.2f} dB, trained {psnr(after, held_out):.2f} dB")


if __name__ == "__main__":
    main()
