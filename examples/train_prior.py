"""Train the denoiser of a plug-and-play solver through its fixed point: memory for one step, however many are run."""

import torch
from torch import nn

from linops_video import forward_model
from linops_video.media.video import demo_clip, read_video
from linops_video.metrics import psnr
from linops_video.solvers import Admm, PlugAndPlay, implicit, solve


class Denoiser(nn.Module):
    """Half of x, half of its local mean, and a small network of bounded slope: the iteration has a fixed point."""

    def __init__(self) -> None:
        super().__init__()
        normalised = nn.utils.parametrizations.spectral_norm
        first, last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)
        self.layers = nn.Sequential(normalised(first), nn.Softplus(), normalised(last))

    def forward(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        local_mean = nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return (x + local_mean) / 2 + 0.1 * self.layers(x)


def main() -> None:
    torch.manual_seed(0)
    video = read_video(demo_clip(), frames=4).frames[..., :32, :32]
    problem = forward_model("pid", tuple(video.shape)).measure(video)
    denoiser = Denoiser()
    solver = Admm(PlugAndPlay(denoiser), rho=0.3, relaxation=1.0, max_steps=200, tol=1e-4)
    optimiser = torch.optim.Adam(denoiser.parameters(), 1e-2)
    for step in range(10):
        x = implicit(solver, problem, gradient_steps=200, gradient_tol=1e-3)
        loss = (x - video).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 5 == 0:
            print(f"step {step}: {psnr(x.detach(), video).item():.2f} dB")
    with torch.no_grad():
        print(f"trained: {psnr(solve(problem, solver).x, video).item():.2f} dB")


if __name__ == "__main__":
    main()
