"""Inverses that are put together from others: of every block by itself, and behind a unitary operator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video.algebra.krylov import IterativeSolve, Map
from linops_video.algebra.operator import LinearOperator
from linops_video.inverses.inverse import Inverse
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
    """That of B Q with a unitary Q, from an exact one of B: (QᴴBᴴBQ + ρI)⁻¹ = Qᴴ(BᴴB + ρI)⁻¹Q."""

    operator: LinearOperator
    method: str
    inverse: Inverse
    turn: LinearOperator

    def normal(self, rho: float | Tensor, b: Tensor) -> Tensor:
        return self.turn.H(self.inverse.normal(rho, self.turn(b)))

    def change(self, rho: float | Tensor, v: Tensor, y: Tensor) -> Tensor:
        return self.turn.H(self.inverse.change(rho, self.turn(v), y))

    def correction(self, rho: float | Tensor, residual: Tensor) -> Tensor:
        return self.turn.H(self.inverse.correction(rho, residual))

    def data_step(self, rho: float | Tensor, y: Tensor) -> Map:
        step = self.inverse.data_step(rho, y)
        return lambda v: self.turn.H(step(self.turn(v)))

    def pinv(self, y: Tensor) -> Tensor:
        return self.turn.H(self.inverse.pinv(y))

    def pinv_adjoint(self, x: Tensor) -> Tensor:
        return self.inverse.pinv_adjoint(self.turn(x))

    def null(self, x: Tensor) -> Tensor:
        return self.turn.H(self.inverse.null(self.turn(x)))

    def eigenvalues(self) -> Tensor:
        return self.inverse.eigenvalues()

    def smallest(self) -> Tensor:
        return self.inverse.smallest()

    def logdet(self, rho: float | Tensor) -> Tensor:
        return self.inverse.logdet(rho)
