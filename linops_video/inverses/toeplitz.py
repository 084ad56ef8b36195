"""Zero-padded convolutions inverted exactly at full frame size: FFTs and one small system on the margin."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from linops_video.algebra.krylov import Map, lanczos_norm
from linops_video.algebra.parameters import by_parts, double, like, per_sample
from linops_video.algebra.shapes import broadcast
from linops_video.errors import SpecError
from linops_video.operators.toeplitz import Toeplitz

MARGIN_LIMIT = 6400
"""Largest margin whose dense system is solved, in pixels: that of a kernel of 9×9 on frames of 320×448, which takes
300 MB and some 3 seconds of one core per ρ."""


@dataclass(frozen=True, eq=False)
class ToeplitzInverse:
    """(G + ρI)⁻¹ for G = PᵀMP, M circulant: with N = (M + ρI)⁻¹ and R the pixels of the margin,

        (G + ρI)⁻¹ = Pᵀ N P − Pᵀ N R (Rᵀ N R)⁻¹ Rᵀ N P,

    the inverse of a block by the Schur complement of the other one. N is pointwise in the spectrum; Rᵀ N R has as many
    rows as the margin has pixels, a few hundred to a few thousand, and its entries are N's impulse response. Computed
    in float64.
    """

    operator: Toeplitz
    margin: Tensor  # row and column of every margin pixel, shape (2, pixels)
    known: tuple[float | Tensor, Map] | None = None  # a ρ, and b ↦ (G + ρI)⁻¹ b for it

    @staticmethod
    def of(G: Toeplitz) -> ToeplitzInverse:
        """The inverse of G + ρI for any ρ; nothing is computed yet but the places of the margin."""
        outside = torch.ones(G.grid, dtype=torch.bool, device=G.device)
        outside[: G.in_shape[-2], : G.in_shape[-1]] = False
        return ToeplitzInverse(G, outside.nonzero().T)

    def solve(self, rho: float | Tensor, b: Tensor) -> Tensor:
        """(G + ρI)⁻¹ b; ρ is a positive number, or a tensor with one number per sample.

        With a ρ that requires a gradient as S(ρ₀)b − S(ρ)(ρ − ρ₀)S(ρ₀)b, S(ρ) = (G + ρI)⁻¹ and ρ₀ the number that ρ is:
        the same, and its gradient one more solve. That of RᵀNR loses digits by (w + ρ)⁻² where w is near zero.
        """
        if not (isinstance(rho, Tensor) and rho.requires_grad and torch.is_grad_enabled()):
            return self.known[1](b) if self.known is not None and self.known[0] is rho else self.at(rho)(b)
        x = self.solve(rho.detach(), b)
        moved = per_sample(like(rho - rho.detach(), x.real), len(self.operator.in_shape)) * x
        return x - self.at(rho)(moved)

    def prepared(self, rho: float | Tensor) -> ToeplitzInverse:
        """The same, with the margin system made and factored once for all solves with this ρ."""
        ready = self.known is not None and self.known[0] is rho
        trained = isinstance(rho, Tensor) and rho.requires_grad
        return self if ready or trained else replace(self, known=(rho, self.at(rho)))

    def at(self, rho: float | Tensor) -> Map:
        """b ↦ (G + ρI)⁻¹ b."""
        G, shift = self.operator, per_sample(rho, len(self.operator.in_shape))
        block, inverse = self._margin_system(rho)
        root = torch.linalg.cholesky(block)

        def solve(b: Tensor) -> Tensor:
            target = b.double()
            x = self._by_complement(root, inverse, target)
            # refined: where w has zeros, RᵀNR has a condition number of ‖w‖/ρ, and x loses half as many digits
            return (x + self._by_complement(root, inverse, target - G._apply(x) - shift * x)).to(b.dtype)

        return lambda b: by_parts(solve, b)

    def _by_complement(self, root: Tensor, inverse: Tensor, b: Tensor) -> Tensor:
        """The formula above, with RᵀNR as the product of `root` and its transpose."""
        G, (rows, columns) = self.operator, self.margin
        padded = G._pad(b)
        on_margin = G._filter(inverse, padded)[..., rows, columns]
        batch = broadcast(root.shape[:-2], on_margin.shape[: on_margin.ndim - len(G.in_shape) + 1])
        flat = on_margin.expand(*batch, *on_margin.shape[len(on_margin.shape) - len(G.in_shape) + 1 :])
        flat = flat.reshape(*batch, -1, flat.shape[-1])
        weights = torch.cholesky_solve(flat.mT, root).mT
        source = padded.expand(*batch, *G.in_shape[:-2], *G.grid).flatten(-2)
        outside = -weights.reshape(*batch, *G.in_shape[:-2], flat.shape[-1])
        source = source.index_copy(-1, rows * G.grid[1] + columns, outside).unflatten(-1, G.grid)
        return G._crop(G._filter(inverse, source))

    def _margin_system(self, rho: float | Tensor) -> tuple[Tensor, Tensor]:
        """RᵀNR, and N in the half spectrum."""
        G, (rows, columns) = self.operator, self.margin
        height, width = G.grid
        inverse = 1 / (G.transfer + per_sample(rho, 2))
        impulse = torch.fft.irfft2(inverse, s=G.grid)
        return impulse[..., (rows.unsqueeze(1) - rows) % height, (columns.unsqueeze(1) - columns) % width], inverse

    def occurrences(self) -> tuple[Tensor, Tensor]:
        """Not known: the solve needs no eigenvalues."""
        raise SpecError(
            f"the eigenvalues of {self.operator!r} are not known, only solves, norm() and condition_number()"
        )

    def smallest(self) -> Tensor:
        """The smallest eigenvalue of each sample, as the largest one of (G + δI)⁻¹ by the Lanczos iteration; δ = 1e-12
        of the largest, as a smaller one would cost more digits than it gains."""
        G = self.operator
        delta = _least_shift(G.transfer)
        frame = ToeplitzInverse.of(Toeplitz(G.transfer, G.in_shape[-2:], G.grid))
        like = torch.empty(*G.batch_shape, *G.in_shape[-2:], dtype=torch.float64, device=G.device)
        return (lanczos_norm(lambda x: frame.solve(delta, x), like, 2) ** -2 - delta).clamp(min=0)

    def logdet(self, rho: float | Tensor) -> Tensor:
        """log det(G + ρI) = log det(M + ρI) + log det RᵀNR, for every frame."""
        block, inverse = self._margin_system(rho)
        half = -torch.log(inverse)
        columns = torch.full(half.shape[-1:], 2.0, dtype=half.dtype, device=half.device)
        columns[0] = 1
        if self.operator.grid[1] % 2 == 0:
            columns[-1] = 1
        frame = (half * columns).sum((-2, -1)) + torch.linalg.slogdet(block).logabsdet
        return math.prod(self.operator.in_shape[:-2]) * frame

    def solve_in_range(self, rho: float | Tensor, b: Tensor) -> Tensor:
        """(G + ρI)⁻¹ b for a b in the range of G; ρ = 0 is allowed and gives G⁺ b.

        G⁺ by three Tikhonov steps x ← x + (G + δI)⁻¹(b − G x), with δ = 1e-12 of the largest eigenvalue: eigenvalues
        above it are inverted to (δ/λ)³.
        """
        return self.solve(rho, b) if isinstance(rho, Tensor) or rho else self.pseudoinverse()(b)

    def pseudoinverse(self) -> Map:
        """b ↦ G⁺ b, with the margin system made and factored once for all b."""
        delta = _least_shift(self.operator.transfer)
        near = self.prepared(delta)

        def solve(b: Tensor) -> Tensor:
            target = double(b)
            x = near.solve(delta, target)
            for _ in range(2):
                x = x + near.solve(delta, target - self.operator._apply(x))
            return x.to(b.dtype)

        return solve


def _least_shift(transfer: Tensor) -> Tensor:
    """1e-12 of the largest eigenvalue of each sample, and 1 where all are zero."""
    largest = transfer.amax((-2, -1))
    return torch.where(largest > 0, 1e-12 * largest, 1.0)
