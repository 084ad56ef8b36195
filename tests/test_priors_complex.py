"""Priors of complex videos: moduli alone count, and a complex channel is two real ones."""

import pytest
import torch
from videos import close, video

from linops_video.errors import DtypeError
from linops_video.solvers import (
    Box,
    GroupSparsity,
    NuclearNorm,
    SquaredDifferences,
    SquaredNorm,
    TotalVariation,
    WaveletL1,
)

COMPLEX = {
    "tv": TotalVariation(0.3, 2.0),
    "anisotropic": TotalVariation(0.3, isotropic=False),
    "huber": TotalVariation(0.3, huber=0.2),
    "differences": SquaredDifferences(0.3),
    "wavelet": WaveletL1(0.3, "haar", 1),
    "pixels": WaveletL1(0.3, "haar", 0),
    "group": GroupSparsity(0.5, (0,)),
    "nuclear": NuclearNorm(2.0),
    "norm": SquaredNorm(0.3),
}


@pytest.mark.parametrize("prior", COMPLEX.values(), ids=COMPLEX)
def test_priors_of_complex_videos_know_moduli_alone(prior):
    """A video times a phase has the same value, and its prox is the real video's times the phase."""
    v, phase = video(3, 2, 4, 6), torch.polar(torch.ones(()).double(), torch.tensor(0.7).double())
    expected, memory = prior(v, 0.8, relaxation=1.3)
    found, phased = prior(phase * v, 0.8, relaxation=1.3)
    close(found, phase * expected, 1e-10)
    close(prior.value(phase * v), prior.value(v), 1e-10)
    close(prior(phase * v, 0.8, phased)[0], phase * prior(v, 0.8, memory)[0], 1e-10)
    p = prior.analyse(v)
    close(prior.dual_step(phase * p, phase * v, 0.6), phase * prior.dual_step(p, v, 0.6), 1e-10)


@pytest.mark.parametrize(("prior"), [COMPLEX["tv"], COMPLEX["huber"], GroupSparsity(0.5, (0, 1)), SquaredNorm(0.3)])
def test_a_complex_channel_is_two_real_ones(prior):
    real = video(3, 2, 4, 6)
    v = torch.complex(real[:, :1], real[:, 1:])
    expected = prior(real, 0.8)[0]
    close(prior(v, 0.8)[0], torch.complex(expected[:, :1], expected[:, 1:]), 1e-10)
    close(prior.value(v), prior.value(real), 1e-10)


def test_nuclear_norm_of_complex_videos_against_singular_values():
    v = torch.complex(video(4, 2, 3, 3), video(4, 2, 3, 3, seed=1))
    U, S, V = torch.linalg.svd(v.flatten(1), full_matrices=False)
    prior = NuclearNorm(1.5)
    close(prior(v, 2.0)[0].flatten(1), (U * (S - 3.0).clamp(min=0)) @ V, 1e-10)
    close(prior.value(v), 1.5 * S.sum(), 1e-10)


def test_bounds_need_real_videos():
    with pytest.raises(DtypeError, match="real numbers"):
        Box()(torch.zeros(1, 1, 1, 1, dtype=torch.complex64), 1.0)
