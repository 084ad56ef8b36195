"""How operators without numbers of their own are written: the inverse of the names in named_*.py."""

from __future__ import annotations

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
from linops_video.operators.select import Select, Slice, evenly_spaced
from linops_video.operators.stack import Stack
from linops_video.operators.wavelet import Wavelet

LONGEST = 100
"""Most frames that are listed one by one."""


def _axes(A: Any) -> list[str]:
    return [_axis(axis, A) for axis in A.axes]


def _axis(axis: int, A: LinearOperator) -> str:
    return "tchw"[axis] if len(A.in_shape) == 4 else str(axis)


def _box_mean(A: BoxMean) -> Text | None:
    n = len(A.in_shape)
    name = {(n - 2, n - 1): "sr", (n - 4,): "average"}.get(A.axes)
    return None if name is None else call(name, [str(A.factor)])


def _select(A: Select) -> Text | None:
    if A.axis != len(A.in_shape) - 4:
        return None
    even = evenly_spaced(A.indices)
    if even is not None and len(A.indices) > 2:
        return call("frames", [f"{even.start}:{even.stop}:{even.step}"])
    return call("frames", map(str, A.indices)) if len(A.indices) <= LONGEST else None


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


def _roll(A: Roll) -> Text | None:
    if len(A.axes) != 1 or not 0 <= A.shifts[0] < A.in_shape[A.axes[0]]:
        return None
    return call("roll", [_axis(A.axes[0], A), str(A.shifts[0])])


def _wavelet(A: Wavelet) -> Text | None:
    levels = A.levels if isinstance(A.levels, tuple) else (A.levels,)
    if not isinstance(A.wavelet, str) or (isinstance(A.levels, tuple) and len(levels) == 1):
        return None
    return call("wavelet", [A.wavelet, *map(str, levels)])


SPELLINGS |= {
    Identity: lambda A: call("identity", ()),
    BoxMean: _box_mean,
    Select: _select,
    Slice: _slice,
    Flip: lambda A: call("flip", _axes(A)),
    Roll: _roll,
    Transpose: lambda A: call("transpose", _axes(A)),
    Patches: lambda A: call("patches", map(str, (A.size, A.stride))),
    Bayer: lambda A: call("bayer", [A.pattern]),
    Difference: lambda A: call("difference", [_axis(A.axis, A), A.scheme, A.ends]),
    Fourier: lambda A: call("fourier", _axes(A)) if A.axes else None,
    Cosine: lambda A: call("dct", _axes(A)) if A.axes else None,
    Wavelet: _wavelet,
    # what is put together of others
    Compose: lambda A: join(spelled(A.left), "@", spelled(A.right)),
    Sum: lambda A: reduce(lambda text, term: join(text, "+", spelled(term)), A.terms[1:], spelled(A.terms[0])),
    Scaled: lambda A: multiple(A.factor, spelled(A.operator)),
    Adjoint: lambda A: adjoint(spelled(A.operator), A.operator),
    Stack: lambda A: call_on("stack", map(spelled, A.operators)),
}
