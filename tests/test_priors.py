"""Priors against slow twins and against the conditions of optimality, float64."""

import pytest
import torch
from videos import close

from linops_video import Wavelet
from linops_video.errors import ShapeError, SpecError
from linops_video.solvers import (
    Box,
    GroupSparsity,
    NuclearNorm,
    PlugAndPlay,
    Red,
    SquaredNorm,
    TotalVariation,
    WaveletL1,
)


def video(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def iterate(prior, v, step, steps):
    x, memory = prior(v, step)
    for _ in range(steps - 1):
        x, memory = prior(v, step, memory)
    return x, memory


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


@pytest.mark.parametrize(("shape", "spins"), [((5, 1, 7, 6), 1), ((3, 2, 4, 9), 1), ((4, 1, 8, 4), 3)])
def test_windows_and_spins_are_one_prior(shape, spins):
    """Iterated, x = argmin ½‖x − v‖² + step · R(x): no other x has less, and any other step gives one for it."""
    prior, v = WaveletL1(0.3, "db2", (1, 2, 2), spins), video(*shape)
    for step, iterations in ((0.2, 60), (1.7, 200)):
        x, memory = iterate(prior, v, step, iterations)

        def objective(x, step=step):
            return (x - v).square().sum() / 2 + step * prior.value(x)

        pull = prior.synthesise(memory[0])
        close(pull, v - x, 1e-12)
        # the dual optimum: ⟨p, x⟩ = step · R(x), and p pulls by at most step · R on any other
        assert (pull * x).sum().item() == pytest.approx(step * prior.value(x).item(), rel=1e-6)
        for seed in range(1, 8):
            other = video(*shape, seed=seed)
            assert (pull * other).sum() <= step * prior.value(other) * (1 + 1e-12)
            assert objective(x + 1e-3 * other) > objective(x)


def test_the_duals_of_windows_serve_another_step():
    prior, v, factor = WaveletL1(0.3, "haar", 1), video(2, 3, 1, 5, 4), torch.tensor([1.0, 3.0]).double()
    x, memory = iterate(prior, v, 1.0, 400)
    rescaled = prior.rescaled(memory, factor)
    close(prior(x + factor.reshape(2, 1, 1, 1, 1) * (v - x), factor, rescaled)[0], x, 1e-10)
    assert prior.changes((), memory) == (0.0, 0.0)
    apart = prior.changes(memory, rescaled)[1]
    moved = 2 * memory[0][1]
    expected = moved.shape[0] * moved.square().sum() - moved.sum(0).square().sum()
    close(apart, torch.stack((0 * expected, expected)), 1e-12)


def test_batches_and_channels_are_independent():
    prior = WaveletL1(0.2, "haar", (1, 2, 2))
    v = video(2, 3, 5, 3, 6, 7)
    together = prior(v, 1.0)[0]
    close(together[1, 2], prior(v[1, 2], 1.0)[0], 1e-15)
    close(together[..., 1:2, :, :], prior(v[..., 1:2, :, :], 1.0)[0], 1e-15)


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
    assert torch.autograd.gradcheck(
        lambda v, t: NuclearNorm(0.8)(v, t)[0], (v, step), check_forward_ad=True, fast_mode=True
    )


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
        (lambda: TotalVariation(1.0, huber=-0.1), SpecError, "huber must be one finite number, 0 or more"),
        (lambda: GroupSparsity(-1.0), SpecError, "weight must be one finite number, 0 or more"),
        (lambda: NuclearNorm(float("inf")), SpecError, "weight must be one finite number, 0 or more, got inf"),
        (lambda: GroupSparsity(1.0, (4,)), SpecError, "distinct and in 0 … 3"),
        (lambda: GroupSparsity(1.0, ()), SpecError, "one axis or more"),
        (lambda: Box(1.0, 0.0), SpecError, "low ≤ high"),
        (lambda: WaveletL1(1.0, spins=0), SpecError, "spins must be"),
        (lambda: PlugAndPlay(lambda x, s: x[:1])(torch.rand(2, 1, 4, 4), 1.0), ShapeError, "it must keep shapes"),
        (lambda: WaveletL1(1.0, "no")(torch.rand(4, 1, 4, 4), 1.0), SpecError, "unknown wavelet"),
    ],
)
def test_bad_arguments_are_told(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_details_along_an_axis_of_one_entry_are_none():
    prior, x = WaveletL1(1.0, "haar", (1, 0, 0)), torch.full((1, 1, 4, 4), 0.5, dtype=torch.float64)
    assert prior.value(x) == 0
    close(prior(x, 0.2)[0], x, 0)
    assert WaveletL1(1.0, levels=0).value(x) == 8
