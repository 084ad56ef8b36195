"""Composable linear operators on video, with exact (AᴴA + ρI)⁻¹ through compositions."""

from linops_video.batch import Batch, batch
from linops_video.circulant import Circulant, circulant
from linops_video.convolution import Convolution
from linops_video.cosine import Cosine
from linops_video.dense import AxisMatrix, Dense
from linops_video.diagonal import Diagonal
from linops_video.difference import Difference, gradient
from linops_video.einsum import einsum
from linops_video.errors import LinopsError
from linops_video.expression import parse
from linops_video.forward_model import ForwardModel, InverseProblem, collate, forward_model
from linops_video.fourier import Fourier
from linops_video.function import linear_function
from linops_video.geometry import Flip, Roll, Transpose
from linops_video.hadamard import Entries, Hadamard, random_hadamard
from linops_video.imaging import Bayer, cacti, shutter
from linops_video.kron import Kron, kron
from linops_video.multiplier import Multiplier
from linops_video.names import OPERATORS, PROBLEMS, Name, Problem
from linops_video.noise import estimate_noise, noise_level
from linops_video.normal import ConvergenceWarning, NormalSolver
from linops_video.operator import Identity, LinearOperator, add, compose, scale
from linops_video.parameters import Shape, tensor_field
from linops_video.patches import Patches, block_sensing
from linops_video.resample import resize
from linops_video.sampling import BoxMean
from linops_video.select import Select, Slice, crop, decimate, zero_pad
from linops_video.solution import Solution
from linops_video.stack import BlockDiagonal, Stack
from linops_video.storage import load_operator, save_operator
from linops_video.warp import Warp
from linops_video.wavelet import Wavelet

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
