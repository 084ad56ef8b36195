"""Total variation, its kin and squared differences against slow twins and the definition, float64."""

import pytest
import torch
from test_priors import iterate, video
from videos import close

from linops_video import Cosine
from linops_video.solvers import (
    GroupSparsity,
    NuclearNorm,
    SquaredDifferences,
    SquaredNorm,
    TotalVariation,
    WaveletL1,
)


def magnitude(p):
    return torch.linalg.vector_norm(p, dim=(-5, -3), keepdim=True)


def dual_twin(prior, v, t, steps=600):
    """Accelerated projected gradient on the dual ½‖v − Dᵀp‖², ‖p‖ ≤ t at every place (Beck and Teboulle 2009)."""
    L = 8 + 4 * prior.time_weight**2
    p = q = torch.zeros_like(prior.analyse(v))
    momentum = 1.0
    for _ in range(steps):
        moved = q + prior.analyse(v - prior.synthesise(q)) / L
        new = moved / (magnitude(moved) / t).clamp(min=1)
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        q, p, momentum = new + (momentum - 1) / following * (new - p), new, following
    return v - prior.synthesise(p)


@pytest.mark.parametrize(
    ("shape", "time_weight", "steps"),
    [((4, 3, 6, 5), 0.5, 800), ((4, 3, 6, 5), 3.0, 1200), ((1, 1, 5, 7), 1.0, 500), ((6, 2, 1, 4), 0.0, 500)],
)
def test_total_variation_converges_to_its_prox(shape, time_weight, steps):
    prior, step = TotalVariation(0.4, time_weight), 1.5
    v = video(2, *shape)
    x, (w, d) = iterate(prior, v, step, steps)
    t = step * prior.weight
    # optimality: v − x = Dᵀp with ‖p‖ ≤ t, and p = t Dx/‖Dx‖ where Dx is not zero
    p = prior.balance * d
    close(v - x, prior.synthesise(p), 1e-7)
    close(prior.balance * prior.analyse(x), w, 1e-7)
    assert magnitude(p).max() <= t + 1e-12
    close((p * prior.analyse(x)).sum(), t * magnitude(prior.analyse(x)).sum(), 1e-5)
    close(x, dual_twin(prior, v, t), 1e-4)


def test_total_variation_is_that_of_the_definition():
    prior = TotalVariation(0.7, 2.0)
    x = video(3, 2, 4, 5)
    total = 0.0
    for t in range(3):
        for i in range(4):
            for j in range(5):
                here = x[t, :, i, j]
                dt = 2.0 * (x[t + 1, :, i, j] - here) if t < 2 else torch.zeros(2)
                dh = x[t, :, i + 1, j] - here if i < 3 else torch.zeros(2)
                dw = x[t, :, i, j + 1] - here if j < 4 else torch.zeros(2)
                total += torch.cat((dt, dh, dw)).norm().item()
    assert prior.value(x).item() == pytest.approx(0.7 * total, rel=1e-12)


def test_gradient_has_its_adjoint_and_inverse():
    prior = TotalVariation(1.0, 1.3)
    x, p = video(2, 4, 3, 6, 5), video(2, 3, 4, 3, 6, 5, seed=1)
    close((prior.analyse(x) * p).sum(), (x * prior.synthesise(p)).sum(), 1e-11)
    close(prior.inverse(prior.balance**2, x + prior.balance**2 * prior.synthesise(prior.analyse(x))), x, 1e-12)


@pytest.mark.parametrize("shape", [(4, 2, 5, 6), (1, 1, 3, 2)])
def test_the_norm_of_the_gradient_is_exact(shape):
    prior = TotalVariation(1.0, 1.7)
    n = torch.Size(shape).numel()
    dense = torch.stack([prior.analyse(e.reshape(shape)).flatten() for e in torch.eye(n, dtype=torch.float64)], 1)
    assert prior.norm(shape) == pytest.approx(torch.linalg.matrix_norm(dense, 2).item(), rel=1e-12)
    close(
        dense.mT @ dense,
        torch.func.jacfwd(lambda x: prior.synthesise(prior.analyse(x)))(torch.zeros(shape).double()).reshape(n, n),
        1e-12,
    )


@pytest.mark.parametrize("shape", [(4, 2, 5, 6), (3, 1, 2, 7), (1, 1, 1, 2)])
def test_the_spectrum_of_a_prior_bounds_its_operator(shape):
    """By matrices: Q diag(spectrum) Qᴴ − KᴴK has no negative eigenvalue, and is zero inside of the frame."""
    n = torch.Size(shape).numel()
    unit = torch.eye(n, dtype=torch.float64).reshape(n, *shape)
    basis = torch.fft.fft2(Cosine((0,), shape)(unit), norm="ortho").reshape(n, n)
    for prior in (TotalVariation(1.0, 1.7), WaveletL1(1.0, "haar", (0, 1, 1))):
        values = prior.spectrum(shape).expand(shape).reshape(n)
        bound = (basis * values) @ basis.mH
        close(bound.imag, 0 * bound.imag, 1e-12)
        dense = prior.analyse(unit).reshape(n, -1)
        excess = bound.real - dense @ dense.mT
        assert torch.linalg.eigvalsh(excess).min() > -1e-12
        if min(shape[-2:]) > 2:
            inner = torch.zeros(shape, dtype=torch.bool)
            inner[..., 1:-1, 1:-1] = True
            assert excess[inner.flatten()][:, inner.flatten()].abs().max() < 1e-12


@pytest.mark.parametrize("relaxation", [1.0, 1.6])
@pytest.mark.parametrize("prior", [TotalVariation(0.4, 1.5), TotalVariation(0.4, 1.0, False, 0.2)])
def test_a_dual_step_in_pieces_is_that_of_the_definition(prior, relaxation, monkeypatch):
    x, p = video(2, 5, 3, 4, 6), 0.3 * video(2, 3, 5, 3, 4, 6, seed=1)
    expected = p.lerp(prior.dual_prox(p + 0.7 * prior.analyse(x), 0.7), relaxation)
    for cached in (0, 300, 10**6):
        monkeypatch.setattr("linops_video.algebra.slabs.CACHED", cached)
        close(prior.dual_step(p, x, 0.7, relaxation), expected, 1e-14)
        close(prior.dual_step(p, x.clone().requires_grad_(), 0.7, relaxation), expected, 1e-14)


HUBER = [
    TotalVariation(0.4, 1.5, huber=0.3),
    TotalVariation(0.4, 1.5, isotropic=False),
    TotalVariation(0.4, 0.5, False, 0.2),
]


@pytest.mark.parametrize("relaxation", [1.0, 1.8])
@pytest.mark.parametrize("prior", HUBER, ids=["huber", "anisotropic", "both"])
def test_the_kin_of_total_variation_converge_to_their_prox(prior, relaxation):
    """Against a slow twin, and against the value: the objective is convex and x is where it is smallest."""
    v, step = video(2, 4, 2, 5, 6), 1.5
    memory = ()
    for _ in range(400):
        x, memory = prior(v, step, memory, relaxation)

    def objective(x):
        return (x - v).square().sum((-4, -3, -2, -1)) / 2 + step * prior.value(x)

    for seed in range(5):
        direction = video(*v.shape, seed=seed + 5)
        assert (objective(x + 1e-3 * direction) > objective(x)).all()
        assert (objective(x - 1e-3 * direction) > objective(x)).all()
    # optimality: v − x = step Dᵀp with the p that belongs to D x, where φ is smooth
    if prior.huber:
        q = prior.analyse(x)
        size = magnitude(q) if prior.isotropic else q.abs()
        p = prior.weight * q / size.clamp(min=prior.huber)
        close(v - x, step * prior.synthesise(p), 1e-6)


@pytest.mark.parametrize("prior", [TotalVariation(0.4, 1.5), *HUBER, SquaredDifferences(0.4, 1.5)])
def test_dual_prox_is_that_of_the_conjugate(prior):
    """Moreau: dual_prox(q) = q − σ prox_{g/σ}(q/σ), the prox by minimisation of its own strictly convex objective."""
    q, sigma = 2 * video(3, 2, 1, 2, 3), 0.7
    p = prior.dual_prox(q, sigma)
    w = ((q - p) / sigma).requires_grad_()

    def penalty(w):
        if isinstance(prior, SquaredDifferences):
            return prior.weight / 2 * w.square().sum()
        size = magnitude(w) if prior.isotropic else w.abs()
        over = size > prior.huber
        return prior.weight * torch.where(over, size - prior.huber / 2, size.square() / (2 * prior.huber or 1)).sum()

    def objective(w):
        return (w - q / sigma).square().sum() / 2 + penalty(w) / sigma

    for seed in range(20):
        assert objective(w + 1e-3 * video(*q.shape, seed=seed)) > objective(w)


def test_huber_without_a_weight_is_no_prior():
    v = video(2, 1, 4, 4)
    for step in (1.0, torch.tensor(1.0, dtype=torch.float64)):
        close(TotalVariation(0.0, huber=0.05)(v, step)[0], v, 1e-12)
    q = video(3, 2, 1, 4, 4)
    close(TotalVariation(0.0, huber=0.05).dual_prox(q, 1.0), torch.zeros_like(q), 1e-12)


def test_a_rescaled_memory_continues_for_another_step():
    """The dual variable of the prior, which does not depend on the step, is the same before and after."""
    prior, v = TotalVariation(0.3, 1.0), video(2, 4, 1, 5, 5)
    _, memory = iterate(prior, v, 1.0, 600)
    factor = torch.tensor([1.0, 3.0]).double()
    x, _ = prior(v, 1.0, memory)
    rescaled = prior.rescaled(memory, factor)
    close(rescaled[1][1], 3 * memory[1][1], 1e-15)
    # v − x = step Dᵀp: the same p and x with another step belong to x + step Dᵀp
    moved = x + factor.reshape(2, 1, 1, 1, 1) * (v - x)
    close(prior(moved, factor, rescaled)[0], x, 1e-6)


@pytest.mark.parametrize(
    "prior",
    [
        TotalVariation(0.4, 1.5, huber=0.1),
        SquaredDifferences(0.3),
        GroupSparsity(0.4),
        NuclearNorm(0.5),
        WaveletL1(0.2, "haar", (1, 1, 1)),
        WaveletL1(0.2, "haar", 2, spins=2),
        SquaredNorm(0.3),
    ],
)
def test_one_step_length_per_sample(prior):
    v = video(2, 4, 2, 6, 4)
    together, _ = prior(v, torch.tensor([0.5, 2.0]).double())
    for i, step in enumerate((0.5, 2.0)):
        close(together[i], prior(v[i], step)[0], 1e-13)


def test_squared_differences_solve_their_normal_equations():
    prior, v = SquaredDifferences(0.7, 1.6), video(2, 4, 3, 6, 5)
    x, memory = prior(v, 2.0)
    assert memory == ()
    close(x + 2.0 * 0.7 * prior.synthesise(prior.analyse(x)), v, 1e-12)
