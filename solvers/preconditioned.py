"""The primal-dual method in the metric of a convolution, in which each step is one FFT and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import torch
from torch import Tensor

from linops_video import Cosine, InverseProblem
from linops_video.algebra.parameters import per_sample
from linops_video.algebra.slabs import slabs
from linops_video.inverses.circular import circular_gram
from linops_video.solvers.iteration import Prepared, least_pull, norm, splitting_residual
from linops_video.solvers.objective import AnyPriors, check_on_videos, check_positive, check_relaxation
from linops_video.solvers.primal_dual import pulled
from linops_video.solvers.priors.prior import VIDEO_AXES
from linops_video.solvers.start import start

PrimalStep = Callable[[Tensor, "Tensor | None", Tensor], tuple[Tensor, "Tensor | None"]]
"""(x, its spectrum or None, v) ↦ x − M⁻¹(Aᴴ(A x − y) + v) and its spectrum or None."""


@dataclass(frozen=True, eq=False)
class PreconditionedState(Prepared):
    """The reconstruction x, its spectrum where A is a circular convolution, the dual variable of each prior, Σ Kᵢᴴpᵢ,
    the primal step, N on that spectrum, a bound on N where A is none, and `least` as in `PrimalDualState`.

    In a `batch` of which some are circular there are both, zero for the samples that have the other."""

    x: Tensor
    hat: Tensor | None
    p: tuple[Tensor, ...]
    pull: Tensor
    move: PrimalStep
    metric: Tensor | None
    bound: Tensor | None
    least: Tensor

    @property
    def estimate(self) -> Tensor:
        return self.x


@dataclass(frozen=True, kw_only=True)
class PreconditionedPrimalDual(AnyPriors):
    """min_x ½‖y − A x‖² + Σ gᵢ(Kᵢ x) by projections of the dual variables and one division in the Fourier domain:

        x₊ ← x − M⁻¹(Aᴴ(A x − y) + Σ Kᵢᴴpᵢ),    pᵢ₊ ← prox_{ρgᵢ*}(pᵢ + ρKᵢ(2x₊ − x)),

    over-relaxed: (x, p) moves by `relaxation` times the change. M ⪰ AᴴA + ρ Σ KᵢᴴKᵢ has the cosine basis in time and
    the Fourier basis in space: in the place of AᴴA itself where that is a circular convolution of the frames, else
    ‖A‖²I, in that of KᴴK `Prior.spectrum`.
    That is the method of Chambolle and Pock whose primal step, in the metric N = M − AᴴA ⪰ ρ Σ KᵢᴴKᵢ, is exact,

        x₊ = argmin_z ½‖y − A z‖² + Σ ⟨pᵢ, Kᵢz⟩ + ½‖z − x‖²_N,

    so that it converges for any relaxation below 2. With total variation it needs a half to a quarter of the steps that
    `PrimalDual` takes on blurs and box means, where N = (1/τ)I must be as large as the norm of K. Source: Bredies and
    Sun, SIAM Journal on Numerical Analysis 53(1), 2015; Condat, as for `PrimalDual`.

    Attributes:
        rho: the dual step length ρ > 0; 0.2 to 0.4 suits total variation of gray videos in [0, 1], half to two
            thirds of that suits colour, whose channels share the length of p.
        relaxation: over-relaxation in (0, 2).
        prior, max_steps, tol: as of `Admm`.

    Example:
        >>> import torch
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import PreconditionedPrimalDual, TotalVariation, run
        >>> problem = forward_model("sr2", (8, 3, 16, 16)).measure(torch.rand(8, 3, 16, 16))
        >>> run(PreconditionedPrimalDual(TotalVariation(0.01), max_steps=5), problem).x.shape
        torch.Size([8, 3, 16, 16])
    """

    rho: float = 0.3
    relaxation: float = 1.6

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("rho", self.rho)
        check_relaxation(self.relaxation)

    def init(self, problem: InverseProblem) -> PreconditionedState:
        check_on_videos(problem)
        back, known = problem.operator.H(problem.y), circular_gram(problem.operator)
        x = likely(problem, back, known)
        p = tuple(torch.zeros_like(prior.analyse(x)) for prior in self.priors)
        return self._begin(problem, back, known, x, p)

    def resume(self, problem: InverseProblem, state: PreconditionedState) -> PreconditionedState:
        """x and the duals of the state, with the primal step of this problem."""
        back, known = problem.operator.H(problem.y), circular_gram(problem.operator)
        fresh = self._begin(problem, back, known, state.x, state.p)
        if fresh.metric is None or state.metric is None or not torch.equal(fresh.metric, state.metric):
            return fresh  # in a batch others may be those with a spectrum
        return replace(fresh, hat=state.hat)

    def _begin(
        self, problem: InverseProblem, back: Tensor, known: Tensor | None, x: Tensor, p: tuple[Tensor, ...]
    ) -> PreconditionedState:
        splitting = self.rho * reduce(torch.add, (prior.spectrum(problem.operator.in_shape) for prior in self.priors))
        samples = problem.samples()
        grams = [known] if samples[0] is problem else [circular_gram(sample.operator) for sample in samples]
        move, hat = primal_step(problem, back, grams, splitting, x)
        metric, bound, circular = None, None, torch.tensor([gram is not None for gram in grams])
        if hat is not None:  # half of the spectrum stands for all of it
            scale = math.prod(x.shape[-2:]) * (1 if x.is_complex() else 2)
            metric = (scale**0.5 * splitting[..., : hat.shape[-1]]).to(x.real)
        if not circular.all():
            bound = per_sample(splitting.amax().to(x.real) + problem.operator.norm().to(x.real) ** 2, VIDEO_AXES)
        if metric is not None and bound is not None:
            own = per_sample(circular.to(x.real), VIDEO_AXES)
            metric, bound = own * metric, (1 - own) * bound
        least = least_pull(back, len(problem.batch_shape))
        return PreconditionedState(x, hat, p, pulled(self.priors, p), move, metric, bound, least)

    def step(self, problem: InverseProblem, state: PreconditionedState) -> PreconditionedState:
        x, hat = state.move(state.x, state.hat, state.pull)
        ahead = state.x.lerp(x, 2.0)  # 2 x₊ − x
        duals = tuple(
            prior.dual_step(p, ahead, self.rho, self.relaxation) for prior, p in zip(self.priors, state.p, strict=True)
        )
        if self.relaxation != 1:
            x = x.lerp_(state.x, 1 - self.relaxation)
            hat = None if hat is None or state.hat is None else hat.lerp_(state.hat, 1 - self.relaxation)
        return replace(state, x=x, hat=hat, p=duals, pull=pulled(self.priors, duals))

    def residual(self, before: PreconditionedState, after: PreconditionedState) -> Tensor:
        """As of `PrimalDual`, with p/ρ in the units of x, and ‖Σ Kᵢᴴ(pᵢ₊ − pᵢ)‖ + ‖N(x₊ − x)‖, or a bound on it, as the
        dual residual."""
        batch, moved = after.least.ndim, after.x - before.x
        duals = (norm(b - a, batch) / self.rho for a, b in zip(before.p, after.p, strict=True))
        force = norm(after.pull - before.pull, batch)
        if after.bound is not None:
            force = force + norm(after.bound * moved, batch)
        if after.metric is not None and after.hat is not None and before.hat is not None:
            force = force + norm(after.metric * (after.hat - before.hat), batch)
        pull = torch.maximum(norm(after.pull, batch), after.least)
        return splitting_residual((norm(moved, batch), *duals), after.x, force, pull)


def likely(problem: InverseProblem, back: Tensor, known: Tensor | None) -> Tensor:
    """What `start` begins at, in the spectrum where AᴴA is known there: no normal solver is set up for it.

    Args:
        back: Aᴴ y.
        known: eigenvalues of AᴴA, from `circular_gram`.
    """
    noise_std = torch.as_tensor(problem.noise_std, device=back.device, dtype=torch.float64)
    if known is None or not bool((noise_std > 0).all()) or not bool(back.all()):
        return start(problem, back)[1]
    spectrum = forward(back)
    pixels = back.shape[-2] * back.shape[-1]
    inverse = 1 / (pixels * (known.to(back.device) + per_sample(noise_std**2, VIDEO_AXES)))
    return backward(spectrum * inverse[..., : spectrum.shape[-1]].to(back.real), back)


def forward(video: Tensor) -> Tensor:
    """The spectrum of every frame and channel; of real ones half of it, which is enough."""
    return torch.fft.fft2(video) if video.is_complex() else torch.fft.rfft2(video)


def backward(spectrum: Tensor, like: Tensor) -> Tensor:
    """The video of H·W times this spectrum: what is wanted has the factor 1/(H·W) in it, a pass less."""
    if like.is_complex():
        return torch.fft.ifft2(spectrum, norm="forward")
    return torch.fft.irfft2(spectrum, s=like.shape[-2:], norm="forward")


def primal_step(
    problem: InverseProblem, back: Tensor, grams: Sequence[Tensor | None], splitting: Tensor, like: Tensor
) -> tuple[PrimalStep, Tensor | None]:
    """x ↦ x − M⁻¹(Aᴴ(A x − y) + v); M has the eigenvalues of a bound on AᴴA, or its own, plus `splitting`.

    Where AᴴA is diagonal in the basis of M, the spectrum of x goes along from step to step: a transform less. The 2-D
    transforms go through a few frames at a time, which takes a quarter less time. Returned are the step and the
    spectrum of `like`, or None.

    Args:
        back: Aᴴ y.
        grams: eigenvalues of AᴴA, from `circular_gram`, or None, for each of `problem.samples()`.
        splitting: eigenvalues, shape (T, C, H, W) or 1 in the place of an axis, in the basis of `Prior.spectrum`.
        like: the video to begin with.
    """
    if problem.samples()[0] is not problem and any(gram is not None for gram in grams):
        return _of_samples(problem, back, grams, splitting, like)
    A, y, shape, known = problem.operator, problem.y, tuple(like.shape[-VIDEO_AXES:]), grams[0]
    columns = shape[-1] if like.is_complex() else shape[-1] // 2 + 1
    time = Cosine((0,), shape)

    own = per_sample(A.norm() ** 2, VIDEO_AXES) if known is None else known
    spectrum = (splitting + torch.as_tensor(own, device=splitting.device))[..., :columns]
    pixels = shape[-2] * shape[-1]
    least = 1e-6 * spectrum.detach().amax(tuple(range(-VIDEO_AXES, 0)), keepdim=True)
    tiny = torch.finfo(like.dtype).tiny
    inverse = (1 / (pixels * spectrum.clamp(min=least).clamp(min=tiny))).to(like.real)

    if known is None:

        def plain(x: Tensor, hat: Tensor | None, v: Tensor) -> tuple[Tensor, Tensor | None]:
            v = time(A.H(A(x) - y) + v)
            parts = [backward(forward(_frames(v, *some)).mul_(_frames(inverse, *some)), like) for some in slabs(v)]
            return x - time.H(_joined(parts)), hat

        return plain, None
    kept, target = 1 - known[..., :columns].to(like.real) * (pixels * inverse), forward(time(back)) * inverse

    def move(x: Tensor, hat: Tensor | None, v: Tensor) -> tuple[Tensor, Tensor]:
        assert hat is not None
        v, spectra = time(v), []
        for some in slabs(v):
            old, pull, scale, keep, add = (_frames(t, *some) for t in (hat, v, inverse, kept, target))
            spectra.append((old * keep).add_(add).sub_(forward(pull).mul_(scale)))
        return time.H(_joined([backward(part, like) for part in spectra])), _joined(spectra)

    return move, forward(time(like)) / pixels


def _of_samples(
    problem: InverseProblem, back: Tensor, grams: Sequence[Tensor | None], splitting: Tensor, like: Tensor
) -> tuple[PrimalStep, Tensor | None]:
    """`primal_step` for each sample by itself; the spectrum of one without a circular Gram is zero."""
    axis = -VIDEO_AXES - 1
    parts = zip(problem.samples(), back.unbind(axis), grams, like.unbind(axis), strict=True)
    steps = [primal_step(sample, b, [gram], splitting, x) for sample, b, gram, x in parts]
    zero = torch.zeros_like(next(hat for _, hat in steps if hat is not None))

    def move(x: Tensor, hat: Tensor | None, v: Tensor) -> tuple[Tensor, Tensor | None]:
        assert hat is not None
        before = zip(steps, x.unbind(axis), hat.unbind(axis), v.unbind(axis), strict=True)
        xs, hats = zip(*(own(*some) for (own, _), *some in before), strict=True)
        return torch.stack(xs, axis), torch.stack(hats, axis)

    return move, torch.stack([zero if hat is None else hat for _, hat in steps], axis)


def _frames(t: Tensor, first: int, stop: int) -> Tensor:
    """Some frames of t, shape (…, T, C, H, W), or t itself where it has one that stands for all."""
    return t if t.shape[-VIDEO_AXES] == 1 else t[..., first:stop, :, :, :]


def _joined(parts: list[Tensor]) -> Tensor:
    """Parts of a video, one behind the other."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, -VIDEO_AXES)
