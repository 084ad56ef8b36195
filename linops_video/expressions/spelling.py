"""How operators without numbers of their own are written: the inverse of the names in named_*.py."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from linops_video.algebra.operator import Adjoint, Compose, Identity, LinearOperator, Scaled, Sum
from linops_video.algebra.text import SPELLINGS, Text, adjoint, call, call_on, join, multiple, spelled
from linops_video.operators.cosine import Cosine
from linops_video.operators.difference import Difference
from linops_video.operators.fourier import Fourier
from linops_video.operators.geometry import Flip, Roll, Transpose
from linops_video.operators.imaging import Bayer
from linops_video.operators.patches import Patches
from linops_video.operators.sampling import BoxMean
from linops_video.operators.select import Select, Slice
from linops_video.operators.stack import Stack
from linops_video.operators.wavelet import Wavelet

LONGEST = 100
"""Most frames that are listed one by one."""


def _spells(cls: type[LinearOperator]) -> Callable:
    def register(spelling: Callable[[Any], Text | None]) -> Callable[[Any], Text | None]:
        SPELLINGS[cls] = spelling
        return spelling

    return register


def _axis(axis: int, A: LinearOperator) -> str:
    return "tchw"[axis] if len(A.in_shape) == 4 else str(axis)


@_spells(Identity)
def _identity(A: Identity) -> Text:
    return call("identity", ())


@_spells(BoxMean)
def _box_mean(A: BoxMean) -> Text | None:
    n = len(A.in_shape)
    name = {(n - 2, n - 1): "sr", (n - 4,): "average"}.get(A.axes)
    return None if name is None else call(name, [str(A.factor)])


@_spells(Select)
def _select(A: Select) -> Text | None:
    first, last = A.indices[0], A.indices[-1]
    step = A.indices[1] - first if len(A.indices) > 1 else 1
    if A.axis != len(A.in_shape) - 4:
        return None
    if len(A.indices) > 2 and step > 0 and A.indices == tuple(range(first, last + 1, step)):
        return call("frames", [f"{first}:{last + 1}:{step}"])
    return call("frames", map(str, A.indices)) if len(A.indices) <= LONGEST else None


@_spells(Slice)
def _slice(A: Slice) -> Text | None:
    whole, frame = A.slices[:-2], A.slices[-2:]
    if len(frame) < 2 or any(s != slice(None) for s in whole):
        return None
    if all(s.start == 0 and s.stop is None and s.step == frame[0].step is not None for s in frame):
        step = frame[0].step
        return call("decimate", [str(step)]) if min(A.in_shape[-2:]) >= step else None
    if any(s.step is not None or s.start is None or s.stop is None or s.start < 0 for s in frame):
        return None
    return call("crop", map(str, (*(s.start for s in frame), *(s.stop - s.start for s in frame))))


@_spells(Flip)
def _flip(A: Flip) -> Text:
    return call("flip", [_axis(axis, A) for axis in A.axes])


@_spells(Roll)
def _roll(A: Roll) -> Text | None:
    if len(A.axes) != 1 or not 0 <= A.shifts[0] < A.in_shape[A.axes[0]]:
        return None
    return call("roll", [_axis(A.axes[0], A), str(A.shifts[0])])


@_spells(Transpose)
def _transpose(A: Transpose) -> Text:
    return call("transpose", [_axis(axis, A) for axis in A.axes])


@_spells(Patches)
def _patches(A: Patches) -> Text:
    return call("patches", map(str, (A.size, A.stride)))


@_spells(Bayer)
def _bayer(A: Bayer) -> Text:
    return call("bayer", [A.pattern])


@_spells(Difference)
def _difference(A: Difference) -> Text:
    return call("difference", [_axis(A.axis, A), A.scheme, A.ends])


@_spells(Fourier)
def _fourier(A: Fourier) -> Text | None:
    return call("fourier", [_axis(axis, A) for axis in A.axes]) if A.axes else None


@_spells(Cosine)
def _cosine(A: Cosine) -> Text | None:
    return call("dct", [_axis(axis, A) for axis in A.axes]) if A.axes else None


@_spells(Wavelet)
def _wavelet(A: Wavelet) -> Text | None:
    levels = A.levels if isinstance(A.levels, tuple) else (A.levels,)
    if not isinstance(A.wavelet, str) or (isinstance(A.levels, tuple) and len(levels) == 1):
        return None
    return call("wavelet", [A.wavelet, *map(str, levels)])


# --- what is put together of others --------------------------------------------------------------------------------


@_spells(Compose)
def _compose(A: Compose) -> Text | None:
    return join(spelled(A.left), "@", spelled(A.right))


@_spells(Sum)
def _sum(A: Sum) -> Text | None:
    return reduce(lambda text, term: join(text, "+", spelled(term)), A.terms[1:], spelled(A.terms[0]))


@_spells(Scaled)
def _scaled(A: Scaled) -> Text | None:
    return multiple(A.factor, spelled(A.operator))


@_spells(Adjoint)
def _adjoint(A: Adjoint) -> Text | None:
    return adjoint(spelled(A.operator), A.operator)


@_spells(Stack)
def _stack(A: Stack) -> Text | None:
    return call_on("stack", map(spelled, A.operators))
