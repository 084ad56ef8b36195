"""Priors against slow twins and against the conditions of optimality, float64."""

import pytest
import torch

from linops_video import Cosine, Wavelet
from linops_video.errors import ShapeError, SpecError
from linops_video.solvers import (
    Box,
    GroupSparsity,
    NuclearNorm,
    PlugAndPlay,
    Red,
    SquaredDifferences,
    SquaredNorm,
    TotalVariation,
    WaveletL1,
)


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
    close(prior.inverse(prior.balance**2, x + prior.balance**2 * prior.gradient_adjoint(prior.gradient(x))), x, 1e-12)


@pytest.mark.parametrize("shape", [(4, 2, 5, 6), (1, 1, 3, 2)])
def test_the_norm_of_the_gradient_is_exact(shape):
    prior = TotalVariation(1.0, 1.7)
    n = torch.Size(shape).numel()
    dense = torch.stack([prior.gradient(e.reshape(shape)).flatten() for e in torch.eye(n, dtype=torch.float64)], 1)
    assert prior.norm(shape) == pytest.approx(torch.linalg.matrix_norm(dense, 2).item(), rel=1e-12)
    close(
        dense.mT @ dense,
        torch.func.jacfwd(lambda x: prior.gradient_adjoint(prior.gradient(x)))(torch.zeros(shape).double()).reshape(
            n, n
        ),
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
        dense = prior.analyse(unit).reshape(n, -1) if isinstance(prior, TotalVariation) else torch.eye(n).double()
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
    expected = p.lerp(prior.dual_prox(p + 0.7 * prior.gradient(x), 0.7), relaxation)
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
    for _ in range(800):
        x, memory = prior(v, step, memory, relaxation)

    def objective(x):
        return (x - v).square().sum((-4, -3, -2, -1)) / 2 + step * prior.value(x)

    for seed in range(5):
        direction = video(*v.shape, seed=seed + 5)
        assert (objective(x + 1e-3 * direction) > objective(x)).all()
        assert (objective(x - 1e-3 * direction) > objective(x)).all()
    # optimality: v − x = step Dᵀp with the p that belongs to D x, where φ is smooth
    if prior.huber:
        q = prior.gradient(x)
        size = magnitude(q) if prior.isotropic else q.abs()
        p = prior.weight * q / size.clamp(min=prior.huber)
        close(v - x, step * prior.gradient_adjoint(p), 1e-6)


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
    close(x + 2.0 * 0.7 * prior.gradient_adjoint(prior.gradient(x)), v, 1e-12)


# --- entries, groups, frames ---------------------------------------------------------------------------------------


def test_box_and_squared_norm_by_brute_force():
    v = video(2, 1, 2, 3)
    grid = torch.linspace(-4, 4, 80001, dtype=torch.float64)
    for prior in (Box(-0.4, 0.7), SquaredNorm(0.8)):
        x, _ = prior(v, 1.5)
        for value, found in zip(v.flatten(), x.flatten(), strict=True):
            R = prior.value(grid.reshape(-1, 1, 1, 1, 1))
            best = grid[((grid - value) ** 2 / 2 + 1.5 * R).argmin()]
            assert abs(best - found) <= 1e-4
    assert Box().value(torch.tensor([0.5, 2.0]).reshape(2, 1, 1, 1, 1)).tolist() == [0.0, float("inf")]


@pytest.mark.parametrize("axes", [(0,), (0, 1), (1, 2, 3)])
def test_group_sparsity_against_its_groups_one_by_one(axes):
    prior, v = GroupSparsity(0.9, axes), video(3, 2, 4, 3)
    x, _ = prior(v, 1.3)
    others = [a for a in range(4) if a not in axes]
    groups = v.permute(*others, *axes).flatten(len(others)).reshape(-1, torch.Size([v.shape[a] for a in axes]).numel())
    shrunk = torch.stack([g * max(1 - 1.3 * 0.9 / g.norm().item(), 0) for g in groups])
    close(x.permute(*others, *axes).flatten(), shrunk.flatten(), 1e-12)
    assert prior.value(v).item() == pytest.approx(0.9 * sum(g.norm().item() for g in groups), rel=1e-9)


def test_nuclear_norm_against_an_svd():
    prior, v = NuclearNorm(0.6), video(2, 5, 2, 4, 3)
    x, _ = prior(v, 6.0)
    U, S, Vh = torch.linalg.svd(v.flatten(-3), full_matrices=False)
    kept = (S - 6.0 * 0.6).clamp(min=0)
    assert 0 < (kept > 0).double().mean() < 1
    close(x.flatten(-3), U @ torch.diag_embed(kept) @ Vh, 1e-12)
    close(prior.value(v), 0.6 * S.sum(-1), 1e-12)


@pytest.mark.parametrize("singular", [(3.0, 2.0, 1.5, 0.5), (3.0, 3.0, 3.0, 1.0), (2.0, 2.0, 0.0, 0.0)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_nuclear_norm_has_its_gradient_at_equal_singular_values(singular, dtype):
    left, right = (torch.linalg.qr(video(n, 4, seed=n).to(dtype)).Q for n in (4, 12))
    v = ((left * torch.tensor(singular)) @ right.mH).reshape(1, 4, 3, 2, 2).requires_grad_()
    step = torch.tensor([1.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, t: NuclearNorm(0.8)(v, t)[0], (v, step), check_forward_ad=True)


def test_cycle_spinning_is_the_mean_over_shifts():
    v = video(4, 3, 8, 8)
    once, spun = WaveletL1(0.3, "haar", (1, 2, 2)), WaveletL1(0.3, "haar", (1, 2, 2), spins=4)
    dims = (-4, -2, -1)
    parts = [once(v.roll((k,) * 3, dims), 1.0)[0].roll((-k,) * 3, dims) for k in range(4)]
    close(spun(v, 1.0)[0], torch.stack(parts).mean(0), 1e-13)
    close(spun.value(v), torch.stack([once.value(v.roll((k,) * 3, dims)) for k in range(4)]).mean(), 1e-12)
    # moving the video by the period moves the result
    moved = v.roll((4, 4), (-2, -1)).roll(2, -4)
    close(spun(moved, 1.0)[0], spun(v, 1.0)[0].roll((4, 4), (-2, -1)).roll(2, -4), 1e-13)


def test_wavelet_value_is_that_of_the_definition():
    prior, x = WaveletL1(0.3, "db2", (1, 2, 2)), video(2, 4, 3, 8, 8)
    W, penalised = transform(prior, (4, 3, 8, 8))
    close(prior.value(x), 0.3 * W(x)[:, penalised].abs().sum(-1), 1e-12)


# --- denoisers -------------------------------------------------------------------------------------------------------


def test_plug_and_play_tells_the_noise_level():
    seen = []

    def denoiser(x, sigma):
        seen.append((tuple(x.shape), sigma))
        return x / 2

    v = video(2, 4, 3, 6, 5)
    close(PlugAndPlay(denoiser, 0.04)(v, 0.25)[0], v / 2, 0)
    close(PlugAndPlay(denoiser, 0.04, frames=False)(v, torch.tensor([0.25, 1.0]))[0], v / 2, 0)
    PlugAndPlay(denoiser, 0.04)(v, torch.tensor([0.25, 1.0]))
    assert seen[0][0] == (8, 3, 6, 5)
    assert seen[0][1] == pytest.approx(0.1)
    assert seen[1][0] == (2, 4, 3, 6, 5)
    close(seen[1][1], torch.tensor([0.1, 0.2]), 1e-7)
    close(seen[2][1], torch.tensor([0.1] * 4 + [0.2] * 4), 1e-7)


def test_a_module_is_a_denoiser():
    class Shrink(torch.nn.Module):
        def forward(self, x, sigma):
            return x / (1 + sigma)

    v = video(4, 1, 5, 5)
    close(PlugAndPlay(Shrink(), 1.0)(v, 4.0)[0], v / 3, 1e-15)


def test_red_of_a_linear_denoiser_is_a_quadratic():
    """D x = x/2 makes R = weight/4 ‖x‖²: prox(v) = v/(1 + step · weight/2)."""
    v, memory, x = video(2, 1, 3, 3), (), None
    prior = Red(lambda x, sigma: x / 2, 0.8)
    for _ in range(200):
        x, memory = prior(v, 1.5, memory)
    close(x, v / (1 + 1.5 * 0.8 / 2), 1e-12)


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
        (lambda: TotalVariation(1.0, huber=-0.1), SpecError, "huber must be 0 or more"),
        (lambda: GroupSparsity(-1.0), SpecError, "weight must be 0 or more"),
        (lambda: GroupSparsity(1.0, (4,)), SpecError, "axes of a group"),
        (lambda: Box(1.0, 0.0), SpecError, "low ≤ high"),
        (lambda: WaveletL1(1.0, spins=0), SpecError, "spins must be"),
        (lambda: PlugAndPlay(lambda x, s: x[:1])(torch.rand(2, 1, 4, 4), 1.0), ShapeError, "it must keep shapes"),
        (lambda: WaveletL1(1.0, "no")(torch.rand(4, 1, 4, 4), 1.0), SpecError, "unknown wavelet"),
    ],
)
def test_bad_arguments_are_told(call, error, words):
    with pytest.raises(error, match=words):
        call()
