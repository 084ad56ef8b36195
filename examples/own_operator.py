"""An operator of your own: `_apply` is all that must be written; one fact about it makes every solve exact.

An interlaced camera, which reads out half of the rows of each frame: the even ones and the odd ones in turn.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video import Identity, InverseProblem, LinearOperator, Shape
from linops_video.media.video import demo_clip, read_video
from linops_video.metrics import psnr
from linops_video.solvers import solve
from linops_video.testing import check_operator


@dataclass(frozen=True, eq=False, repr=False)
class Interlace(LinearOperator):
    """Frame t keeps rows t % 2, t % 2 + 2, …: (T, C, H, W) -> (T, C, H // 2, W)."""

    in_shape: Shape

    @property
    def out_shape(self) -> Shape:
        frames, channels, height, width = self.in_shape
        return frames, channels, height // 2, width

    def _apply(self, x: Tensor) -> Tensor:
        fields = [x[..., t, :, t % 2 :: 2, :][..., : self.out_shape[2], :] for t in range(self.in_shape[0])]
        return torch.stack(fields, dim=-4)

    def outer(self, weight: LinearOperator | None = None) -> LinearOperator:
        return Identity(self.out_shape) if weight is None else super().outer(weight)  # no row is read twice: AAᵀ = I


def main() -> None:
    video = read_video(demo_clip(), frames=6).frames[..., 40:88, 60:124]
    A = Interlace(tuple(video.shape))

    print(check_operator(A))

    problem = InverseProblem(A, A(video))
    for name in ("pinv", "admm-tv"):
        solution = solve(problem, name)
        print(f"{name}: {psnr(solution.x, video):.2f} dB after {solution.steps} steps ({solution.status})")


if __name__ == "__main__":
    main()
