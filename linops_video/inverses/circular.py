"""Grams that are circular convolutions of the frames."""

from __future__ import annotations

from torch import Tensor

from linops_video.algebra.operator import LinearOperator
from linops_video.operators.fourier import Fourier
from linops_video.operators.multiplier import diagonal_in


def circular_gram(A: LinearOperator) -> Tensor | None:
    """The eigenvalues w of AᴴA where that is x ↦ F⁻¹(w ⊙ F x), F the 2-D DFT of every frame and channel; else None.

    Float64, shape (*A.batch_shape, 1, 1, H, W), or 1 in the place of H and W, for videos (T, C, H, W).

    Example:
        >>> import torch
        >>> from linops_video import Convolution
        >>> circular_gram(Convolution(torch.ones(3, 3) / 9, (8, 3, 6, 5), "circular")).shape
        torch.Size([1, 1, 6, 5])
    """
    values = diagonal_in(A.gram(), Fourier((2, 3), A.in_shape)) if len(A.in_shape) == 4 else None
    if values is None or any(n != 1 for n in values.shape[-4:-2]):
        return None
    return (values if values.ndim else values.reshape(1, 1, 1, 1)).real.double()
