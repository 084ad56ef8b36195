"""Composable linear operators on video, with exact (AᴴA + ρI)⁻¹ through compositions."""

from linops_video.algebra.operator import Identity, LinearOperator, add, compose, scale
from linops_video.algebra.parameters import Shape, tensor_field
from linops_video.batch import Batch, batch
from linops_video.errors import LinopsError
from linops_video.expressions.expression import parse
from linops_video.expressions.names import OPERATORS, PROBLEMS, Name, Problem
from linops_video.expressions.storage import load_operator, save_operator
from linops_video.inverses.normal import ConvergenceWarning, NormalSolver
from linops_video.operators.circulant import Circulant, circulant
from linops_video.operators.convolution import Convolution
from linops_video.operators.cosine import Cosine
from linops_video.operators.dense import AxisMatrix, Dense
from linops_video.operators.diagonal import Diagonal
from linops_video.operators.difference import Difference, gradient
from linops_video.operators.einsum import einsum
from linops_video.operators.fourier import Fourier
from linops_video.operators.function import linear_function
from linops_video.operators.geometry import Flip, Mosaic, Roll, Transpose
from linops_video.operators.hadamard import Entries, Hadamard, random_hadamard
from linops_video.operators.imaging import Bayer, cacti, shutter
from linops_video.operators.kron import Kron, kron
from linops_video.operators.multiplier import Multiplier
from linops_video.operators.patches import Patches, block_sensing
from linops_video.operators.resample import resize
from linops_video.operators.sampling import BoxMean
from linops_video.operators.select import Select, Slice, crop, decimate, zero_pad
from linops_video.operators.stack import BlockDiagonal, Stack
from linops_video.operators.warp import Warp
from linops_video.operators.wavelet import Wavelet
from linops_video.problems.forward_model import ForwardModel, InverseProblem, collate, forward_model
from linops_video.problems.noise import estimate_noise, noise_level
from linops_video.solution import Solution

__all__ = [
    "OPERATORS",
    "PROBLEMS",
    "AxisMatrix",
    "Batch",
    "Bayer",
    "BlockDiagonal",
    "BoxMean",
    "Circulant",
    "ConvergenceWarning",
    "Convolution",
    "Cosine",
    "Dense",
    "Diagonal",
    "Difference",
    "Entries",
    "Flip",
    "ForwardModel",
    "Fourier",
    "Hadamard",
    "Identity",
    "InverseProblem",
    "Kron",
    "LinearOperator",
    "LinopsError",
    "Mosaic",
    "Multiplier",
    "Name",
    "NormalSolver",
    "Patches",
    "Problem",
    "Roll",
    "Select",
    "Shape",
    "Slice",
    "Solution",
    "Stack",
    "Transpose",
    "Warp",
    "Wavelet",
    "add",
    "batch",
    "block_sensing",
    "cacti",
    "circulant",
    "collate",
    "compose",
    "crop",
    "decimate",
    "einsum",
    "estimate_noise",
    "forward_model",
    "gradient",
    "kron",
    "linear_function",
    "load_operator",
    "noise_level",
    "parse",
    "random_hadamard",
    "resize",
    "save_operator",
    "scale",
    "shutter",
    "tensor_field",
    "zero_pad",
]
__version__ = "0.1.0"
