"""Composable linear operators on video, with exact (AᴴA + ρI)⁻¹ through compositions."""

from linops_video.batch import Batch, batch
from linops_video.circulant import Circulant, circulant
from linops_video.convolution import Convolution
from linops_video.cosine import Cosine
from linops_video.dense import AxisMatrix, Dense
from linops_video.diagonal import Diagonal
from linops_video.difference import Difference
from linops_video.errors import LinopsError
from linops_video.forward_model import PROBLEMS, ForwardModel, InverseProblem, Problem, collate, forward_model
from linops_video.fourier import Fourier
from linops_video.kron import Kron, kron
from linops_video.multiplier import Multiplier
from linops_video.normal import ConvergenceWarning, NormalSolver
from linops_video.operator import Identity, LinearOperator, add, compose, scale
from linops_video.parameters import Shape, tensor_field
from linops_video.sampling import BoxMean
from linops_video.select import Flip, Select
from linops_video.solution import Solution
from linops_video.stack import BlockDiagonal, Stack
from linops_video.wavelet import Wavelet

__all__ = [
    "PROBLEMS",
    "AxisMatrix",
    "Batch",
    "BlockDiagonal",
    "BoxMean",
    "Circulant",
    "ConvergenceWarning",
    "Convolution",
    "Cosine",
    "Dense",
    "Diagonal",
    "Difference",
    "Flip",
    "ForwardModel",
    "Fourier",
    "Identity",
    "InverseProblem",
    "Kron",
    "LinearOperator",
    "LinopsError",
    "Multiplier",
    "NormalSolver",
    "Problem",
    "Select",
    "Shape",
    "Solution",
    "Stack",
    "Wavelet",
    "add",
    "batch",
    "circulant",
    "collate",
    "compose",
    "forward_model",
    "kron",
    "scale",
    "tensor_field",
]
__version__ = "0.1.0"
