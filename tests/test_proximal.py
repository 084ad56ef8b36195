"""Priors against slow twins and against the conditions of optimality, float64."""

import pytest
import torch

from linops_video import Wavelet
from linops_video.errors import ShapeError, SpecError
from linops_video.solvers import TotalVariation, WaveletL1


def video(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(a, b, tolerance):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


# --- wavelets ----------------------------------------------------------------------------------------------------


def transform(prior, shape):
    """The transform of a prior for sizes that need no windows, and which of its coefficients are penalised."""
    levels = (prior.levels,) * 3 if isinstance(prior.levels, int) else prior.levels
    W = Wavelet(shape, prior.wavelet, (levels[0], 0, *levels[1:]))
    penalised = torch.ones(shape, dtype=torch.bool)
    if any(levels):
        penalised[tuple(slice(n) for n in W.approximation_shape)] = False
    return W, penalised


@pytest.mark.parametrize(("wavelet", "levels"), [("haar", (1, 2, 2)), ("db2", 2), ("haar", 0), ("db4", (0, 1, 3))])
def test_wavelet_prox_is_optimal(wavelet, levels):
    """0 ∈ x − v + step · weight · Wᵀ ∂‖details of W x‖₁, read off in the coefficients."""
    prior, step = WaveletL1(0.3, wavelet, levels), 1.7
    v = video(2, 4, 3, 8, 8)
    x, memory = prior(v, step)
    assert memory == ()
    W, penalised = transform(prior, (4, 3, 8, 8))
    subgradient, c = W(v - x) / (step * prior.weight), W(x)
    assert subgradient.abs().max() <= 1 + 1e-9
    close(subgradient[:, ~penalised], torch.zeros_like(subgradient[:, ~penalised]), 1e-9)
    kept = (c.abs() > 1e-9) & penalised
    assert 0.1 < kept.double().mean() < 0.9
    close(subgradient[kept], c[kept].sign(), 1e-9)


def test_wavelet_prox_against_a_dense_twin():
    """Iterative soft thresholding on ½‖x − v‖² + t‖details of M x‖₁ in the coefficients of the dense matrix M."""
    prior, t = WaveletL1(0.4, "db2", (1, 1, 2)), 0.4
    shape = (2, 1, 4, 8)
    v = video(*shape)
    W, penalised = transform(prior, shape)
    M = W.to_dense()
    c = torch.zeros(len(M), dtype=torch.float64)
    for _ in range(200):
        c = c - 0.5 * M @ (M.mT @ c - v.flatten())
        c = torch.where(penalised.flatten(), c.sign() * (c.abs() - 0.5 * t).clamp(min=0), c)
    close(prior(v, 1.0)[0].flatten(), M.mT @ c, 1e-9)


def test_no_levels_is_soft_thresholding_of_pixels():
    v = video(3, 5, 3, 7, 9)
    close(WaveletL1(0.2, "db4", 0)(v, 2.0)[0], v.sign() * (v.abs() - 0.4).clamp(min=0), 1e-15)


@pytest.mark.parametrize("shape", [(5, 1, 7, 6), (3, 2, 9, 4), (1, 1, 1, 3), (9, 1, 14, 15)])
def test_any_size_is_a_proximal_operator(shape):
    """x is prox of a convex function where it is the gradient of one and nonexpansive (Moreau 1965)."""
    prior = WaveletL1(0.3, "haar", (1, 2, 2))

    def prox(v):
        return prior(v.reshape(shape), 1.0)[0].flatten()

    n = video(*shape).numel()
    if n <= 60:
        jacobian = torch.autograd.functional.jacobian(prox, video(n, seed=3))
        close(jacobian, jacobian.mT, 1e-12)
        eigenvalues = torch.linalg.eigvalsh(jacobian)
        assert eigenvalues.min() >= -1e-12
        assert eigenvalues.max() <= 1 + 1e-12
    a, b = video(n, seed=1), video(n, seed=2)
    difference = prox(a) - prox(b)
    assert difference @ difference <= difference @ (a - b) + 1e-12
    close(WaveletL1(0.0, "haar", 2)(a.reshape(shape), 1.0)[0].flatten(), a, 1e-12)


def test_batches_and_channels_are_independent():
    prior = WaveletL1(0.2, "haar", (1, 2, 2))
    v = video(2, 3, 5, 3, 6, 7)
    together = prior(v, 1.0)[0]
    close(together[1, 2], prior(v[1, 2], 1.0)[0], 1e-15)
    close(together[..., 1:2, :, :], prior(v[..., 1:2, :, :], 1.0)[0], 1e-15)


# --- total variation -----------------------------------------------------------------------------------------------


def magnitude(p):
    return torch.linalg.vector_norm(p, dim=(-5, -3), keepdim=True)


def iterate(prior, v, step, steps):
    x, memory = prior(v, step)
    for _ in range(steps - 1):
        x, memory = prior(v, step, memory)
    return x, memory


def dual_twin(prior, v, t, steps=1000):
    """Accelerated projected gradient on the dual ½‖v − Dᵀp‖², ‖p‖ ≤ t at every place (Beck and Teboulle 2009)."""
    L = 8 + 4 * prior.time_weight**2
    p = q = torch.zeros_like(prior.gradient(v))
    momentum = 1.0
    for _ in range(steps):
        moved = q + prior.gradient(v - prior.gradient_adjoint(q)) / L
        new = moved / (magnitude(moved) / t).clamp(min=1)
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        q, p, momentum = new + (momentum - 1) / following * (new - p), new, following
    return v - prior.gradient_adjoint(p)


@pytest.mark.parametrize(
    ("shape", "time_weight"), [((4, 3, 6, 5), 0.5), ((4, 3, 6, 5), 3.0), ((1, 1, 5, 7), 1.0), ((6, 2, 1, 4), 0.0)]
)
def test_total_variation_converges_to_its_prox(shape, time_weight):
    prior, step = TotalVariation(0.4, time_weight), 1.5
    v = video(2, *shape)
    x, (w, d) = iterate(prior, v, step, 1200)
    t = step * prior.weight
    # optimality: v − x = Dᵀp with ‖p‖ ≤ t, and p = t Dx/‖Dx‖ where Dx is not zero
    p = prior.balance * d
    close(v - x, prior.gradient_adjoint(p), 1e-7)
    close(prior.balance * prior.gradient(x), w, 1e-7)
    assert magnitude(p).max() <= t + 1e-12
    close((p * prior.gradient(x)).sum(), t * magnitude(prior.gradient(x)).sum(), 1e-5)
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
    close((prior.gradient(x) * p).sum(), (x * prior.gradient_adjoint(p)).sum(), 1e-11)
    close(prior._solve(x + prior.balance**2 * prior.gradient_adjoint(prior.gradient(x))), x, 1e-12)


def test_constants_pass():
    v = torch.full((4, 3, 5, 5), 0.3, dtype=torch.float64)
    close(iterate(TotalVariation(10.0), v, 1.0, 20)[0], v, 1e-12)
    close(WaveletL1(10.0, "haar", (2, 2, 2))(v, 1.0)[0], v, 1e-12)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: TotalVariation(1.0, -1.0), SpecError, "time_weight"),
        (lambda: TotalVariation(1.0)(torch.rand(4, 4), 1.0), ShapeError, "T, C, H, W"),
        (lambda: WaveletL1(1.0)(torch.rand(4, 4), 1.0), ShapeError, "T, C, H, W"),
        (lambda: WaveletL1(1.0, "haar", (1, 2))(torch.rand(4, 1, 4, 4), 1.0), SpecError, "each of T, H, W"),  # type: ignore[arg-type]
        (lambda: WaveletL1(1.0, "no")(torch.rand(4, 1, 4, 4), 1.0), SpecError, "unknown wavelet"),
    ],
)
def test_bad_arguments_are_told(call, error, words):
    with pytest.raises(error, match=words):
        call()
