"""Reconstruction solvers, classical and learned."""

if __name__ != "linops_video.solvers":
    raise ImportError("import linops_video.solvers, not solvers")

from linops_video.solvers.admm import Admm, AdmmTV, AdmmWavelet
from linops_video.solvers.differentiation import implicit, unrolled
from linops_video.solvers.hqs import HalfQuadratic
from linops_video.solvers.iteration import Solver, State, run
from linops_video.solvers.learned.onenet import OneNet
from linops_video.solvers.learned.videoonet import VideoOneNet
from linops_video.solvers.least_squares import Cgls, Tikhonov
from linops_video.solvers.pinv import Pinv
from linops_video.solvers.preconditioned import PreconditionedPrimalDual
from linops_video.solvers.primal_dual import PrimalDual
from linops_video.solvers.priors.denoiser import PlugAndPlay, Red
from linops_video.solvers.priors.norms import Box, GroupSparsity, NuclearNorm, SquaredNorm
from linops_video.solvers.priors.prior import Prior
from linops_video.solvers.priors.variation import SquaredDifferences, TotalVariation
from linops_video.solvers.priors.wavelet import WaveletL1
from linops_video.solvers.proximal_gradient import Fista, ProximalGradient
from linops_video.solvers.registry import SOLVERS, solve
from linops_video.solvers.tuning import tune

__all__ = [
    "SOLVERS",
    "Admm",
    "AdmmTV",
    "AdmmWavelet",
    "Box",
    "Cgls",
    "Fista",
    "GroupSparsity",
    "HalfQuadratic",
    "NuclearNorm",
    "OneNet",
    "Pinv",
    "PlugAndPlay",
    "PreconditionedPrimalDual",
    "PrimalDual",
    "Prior",
    "ProximalGradient",
    "Red",
    "Solver",
    "SquaredDifferences",
    "SquaredNorm",
    "State",
    "Tikhonov",
    "TotalVariation",
    "VideoOneNet",
    "WaveletL1",
    "implicit",
    "run",
    "solve",
    "tune",
    "unrolled",
]
