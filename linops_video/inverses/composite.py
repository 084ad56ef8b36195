"""Inverses that are put together from others: of every block by itself, and behind an operator with
orthonormal rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video.algebra.krylov import IterativeSolve, Map
from linops_video.algebra.operator import LinearOperator
from linops_video.algebra.parameters import double, like, per_sample
from linops_video.inverses.inverse import Inverse, narrow
from linops_video.inverses.spectral import ZERO
from linops_video.operators.stack import BlockDiagonal, join_parts, split_parts


@dataclass(frozen=True, eq=False)
class BlockInverse(Inverse):
    """That of every block of a `BlockDiagonal`, each in its own way."""

    operator: BlockDiagonal
    blocks: tuple[Inverse, ...]

    @property
    def method(self) -> str:  # type: ignore[override]
        return "; ".join(dict.fromkeys(block.method for block in self.blocks))

    @property
    def iterative(self) -> bool:  # type: ignore[override]
        return any(block.iterative for block in self.blocks)

    def normal(self, rho: float | Tensor, b: Tensor) -> Tensor:
        return self._inwards([block.normal(rho, part) for block, part in zip(self.blocks, self._split(b), strict=True)])

    def solve(self, rho: float | Tensor, b: Tensor, start: Tensor | None = None) -> IterativeSolve:
        parts, begin = self._split(b), (None,) * len(self.blocks) if start is None else self._split(start)
        found = [block.solve(rho, part, at) for block, part, at in zip(self.blocks, parts, begin, strict=True)]
        x, iterations = self._inwards([f.x for f in found]), torch.broadcast_tensors(*(f.iterations for f in found))
        residuals = [(f.residual, part.flatten(f.residual.ndim)) for f, part in zip(found, parts, strict=True)]
        squares = torch.broadcast_tensors(*(r**2 * part.abs().square().sum(-1) for r, part in residuals))
        size = torch.linalg.vector_norm(b, dim=-1).clamp(min=torch.finfo(residuals[0][0].dtype).tiny)
        return IterativeSolve(x, torch.stack(iterations).amax(0), torch.stack(squares).sum(0).sqrt() / size)

    def correction(self, rho: float | Tensor, residual: Tensor) -> Tensor:
        parts = zip(self.blocks, self._split_outputs(residual), strict=True)
        return self._inwards([block.correction(rho, part) for block, part in parts])

    def data_step(self, rho: float | Tensor, y: Tensor) -> Map:
        parts = zip(self.blocks, self._split_outputs(y), strict=True)
        steps = [block.data_step(rho, part) for block, part in parts]
        return lambda v: self._inwards([step(part) for step, part in zip(steps, self._split(v), strict=True)])

    def pinv(self, y: Tensor) -> Tensor:
        parts = zip(self.blocks, self._split_outputs(y), strict=True)
        return self._inwards([block.pinv(part) for block, part in parts])

    def pinv_adjoint(self, x: Tensor) -> Tensor:
        parts = [block.pinv_adjoint(part) for block, part in zip(self.blocks, self._split(x), strict=True)]
        return join_parts([(part, block.operator.out_shape) for part, block in zip(parts, self.blocks, strict=True)])

    def eigenvalues(self) -> Tensor:
        values = [block.eigenvalues() for block in self.blocks]
        return join_parts([(v, v.shape[-1:]) for v in values]).sort(-1, descending=True).values

    def smallest(self) -> Tensor:
        norm = self.operator.norm()
        kept = [torch.where(s > ZERO * norm**2, s, torch.inf) for s in (block.smallest() for block in self.blocks)]
        return torch.stack(torch.broadcast_tensors(*kept)).amin(0)

    def logdet(self, rho: float | Tensor) -> Tensor:
        return torch.stack(torch.broadcast_tensors(*(block.logdet(rho) for block in self.blocks))).sum(0)

    def _split(self, x: Tensor) -> tuple[Tensor, ...]:
        return split_parts(x, [block.operator.in_shape for block in self.blocks])

    def _split_outputs(self, y: Tensor) -> tuple[Tensor, ...]:
        return split_parts(y, [block.operator.out_shape for block in self.blocks])

    def _inwards(self, parts: list[Tensor]) -> Tensor:
        return join_parts([(part, block.operator.in_shape) for part, block in zip(parts, self.blocks, strict=True)])


@dataclass(frozen=True, eq=False)
class TurnedInverse(Inverse):
    """That of L B Q with LᴴL = I and QQᴴ = c·I, from that of B:

        (QᴴBᴴBQ + ρI)⁻¹ = Qᴴ(BᴴB + ρ/c I)⁻¹Q/c² + (I − QᴴQ/c)/ρ,

    whose last term, what Q does not see, is zero where Q is square.

    Attributes:
        turn: Q.
        length: c, a number or one per sample.
        left: L, None for I.
    """

    operator: LinearOperator
    method: str
    inverse: Inverse
    turn: LinearOperator
    length: float | Tensor
    left: LinearOperator | None = None

    def normal(self, rho: float | Tensor, b: Tensor) -> Tensor:
        if self._square:
            return self._back(self.inverse.normal(rho / self._divisor, self.turn._apply(b)), 2)
        wide = double(b)  # where b is seen by Q, rounding it would be divided by ρ
        seen = self._back(self.inverse.normal(rho / self._divisor, self.turn._apply(wide)), 2)
        return narrow(seen + self._unseen(wide) / per_sample(like(rho, wide.real), len(self.operator.in_shape)), b)

    def change(self, rho: float | Tensor, v: Tensor, y: Tensor) -> Tensor:
        return self._back(self.inverse.change(rho / self._divisor, self.turn._apply(v), self._before(y)))

    def correction(self, rho: float | Tensor, residual: Tensor) -> Tensor:
        return self._back(self.inverse.correction(rho / self._divisor, self._before(residual)))

    def data_step(self, rho: float | Tensor, y: Tensor) -> Map:
        step = self.inverse.data_step(rho / self._divisor, self._before(y))
        if self._square:
            return lambda v: self._back(step(self.turn._apply(v)))

        def change(v: Tensor) -> Tensor:
            seen = self.turn._apply(v)
            return v + self._back(step(seen) - seen)

        return change

    def pinv(self, y: Tensor) -> Tensor:
        return self._back(self.inverse.pinv(self._before(y)))

    def pinv_adjoint(self, x: Tensor) -> Tensor:
        z = self.inverse.pinv_adjoint(self.turn._apply(x))
        z = z if self.left is None else self.left._apply(z)
        return z / per_sample(like(self._divisor, z.real), len(self.operator.out_shape))

    def null(self, x: Tensor) -> Tensor:
        if self._square:
            return self._back(self.inverse.null(self.turn._apply(x)))
        wide = double(x)
        return narrow(self._unseen(wide) + self._back(self.inverse.null(self.turn._apply(wide))), x)

    def eigenvalues(self) -> Tensor:
        own = self.inverse.eigenvalues() * per_sample(self.length, 1)
        return torch.nn.functional.pad(own, (0, self.turn.in_size - self.turn.out_size))

    def smallest(self) -> Tensor:
        return self.inverse.smallest() * self.length

    def logdet(self, rho: float | Tensor) -> Tensor:
        c, m = torch.as_tensor(self.length, dtype=torch.float64), self.turn.out_size
        log = torch.log(torch.as_tensor(rho, dtype=torch.float64))
        seen = self.inverse.logdet(rho / self._divisor) + m * torch.log(c)
        return torch.where(c > 0, seen, m * log) + (self.turn.in_size - m) * log

    @property
    def _square(self) -> bool:
        return self.turn.in_size == self.turn.out_size

    @property
    def _divisor(self) -> float | Tensor:
        """c, and 1 where Q, and so all that is divided, is zero."""
        return torch.where(self.length > 0, self.length, 1) if isinstance(self.length, Tensor) else self.length

    def _before(self, y: Tensor) -> Tensor:
        """Lᴴy, all that the inverse sees of it."""
        return y if self.left is None else self.left._apply_adjoint(y)

    def _back(self, z: Tensor, power: int = 1) -> Tensor:
        """Qᴴz/cᵖ."""
        x = self.turn._apply_adjoint(z)
        if not isinstance(self.length, Tensor) and self.length == 1:
            return x
        return x / per_sample(like(self._divisor, x.real), len(self.operator.in_shape)) ** power

    def _unseen(self, x: Tensor) -> Tensor:
        """(I − QᴴQ/c) x, twice, for what rounding leaves the first time."""
        for _ in range(2):
            x = x - self._back(self.turn._apply(x))
        return x
