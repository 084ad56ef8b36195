"""Reconstruction solvers, classical and learned."""

if __name__ != "linops_video.solvers":
    raise ImportError("import linops_video.solvers, not solvers")

from linops_video.solvers.admm import Admm, AdmmTV, AdmmWavelet
from linops_video.solvers.iteration import Solver, State, run
from linops_video.solvers.learned.onenet import OneNet
from linops_video.solvers.learned.videoonet import VideoOneNet
from linops_video.solvers.pinv import Pinv
from linops_video.solvers.proximal import Prior, TotalVariation, WaveletL1
from linops_video.solvers.registry import SOLVERS, solve

__all__ = [
    "SOLVERS",
    "Admm",
    "AdmmTV",
    "AdmmWavelet",
    "OneNet",
    "Pinv",
    "Prior",
    "Solver",
    "State",
    "TotalVariation",
    "VideoOneNet",
    "WaveletL1",
    "run",
    "solve",
]
