"""The expression that an operator was made with, as `str(A)` gives it and `parse` reads it.

It stands beside the operator's fields, on the instance: no rule of the algebra sees it, so that it costs no structure.
`@`, `+`, `-`, `*`, `.H`, `.to` and stacks hand it on; what is made in another way has none.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

SUM, PRODUCT, MINUS, ATOM = range(4)
"""How tightly the outermost operator of a text binds."""

T = TypeVar("T")


class Text(NamedTuple):
    """Words, how tightly they bind, and for an adjoint the text of the operator it is the adjoint of."""

    words: str
    level: int = ATOM
    of: Text | None = None

    def at(self, level: int) -> str:
        """The words, in parentheses if they bind less tightly than `level`."""
        return self.words if self.level >= level else f"({self.words})"


SPELLINGS: dict[type, Callable[[Any], Text | None]] = {}
"""How operators of a type are written that carry no text of their own, from their fields; filled by spelling.py."""


def text_of(A: Any) -> Text | None:
    """The text that an operator carries, else None."""
    return vars(A).get("_text")


def spelled(A: Any) -> Text | None:
    """The text that an operator carries, or that its fields tell; None if there is none."""
    spelling = SPELLINGS.get(type(A))
    return text_of(A) or (spelling and spelling(A))


def with_text(A: T, text: Text | None) -> T:
    """The same operator with this text; A itself if it has that text already, or there is none to give."""
    if text is None or text_of(A) == text:
        return A
    twin = copy.copy(A)
    vars(twin)["_text"] = text
    return twin


def join(a: Text | None, sign: str, b: Text | None) -> Text | None:
    """The text of a sum, difference or composition."""
    if a is None or b is None:
        return None
    level = PRODUCT if sign == "@" else SUM
    return Text(f"{a.at(level)} {sign} {b.at(level + 1)}", level)


def multiple(factor: Any, a: Text | None) -> Text | None:
    """The text of a multiple by a number; those by tensors have none."""
    if a is None or not isinstance(factor, (int, float, complex)):
        return None
    return a if factor == 1 else Text(f"{number(factor)} * {a.at(MINUS)}", PRODUCT)


def negative(a: Text | None) -> Text | None:
    """The text of −A from that of A."""
    return a and Text(f"-{a.at(MINUS)}", MINUS)


def adjoint(a: Text | None, A: Any) -> Text | None:
    """The text of Aᴴ from that of A; the shape of A's input is written where it is not that of A's output, from which
    it is read."""
    if a is None or a.of is not None:
        return a and a.of
    shape = "" if A.in_shape == A.out_shape else str(list(A.in_shape))
    return Text(f"{a.at(ATOM)}{shape}.H", ATOM, a)


def call(name: str, arguments: Iterable[str]) -> Text:
    """The text of a name with its arguments."""
    listed = ", ".join(arguments)
    return Text(f"{name}({listed})" if listed else name)


def call_on(name: str, operands: Iterable[Text | None]) -> Text | None:
    """The text of a name whose arguments are operators, from theirs."""
    texts = list(operands)
    return None if None in texts else call(name, (text.words for text in texts if text))


def number(value: complex) -> str:
    """The shortest text that reads as this number: 2 for 2.0, 0.1 for 0.1."""
    if isinstance(value, complex):
        return repr(value) if value.real else f"{number(value.imag)}j"
    return str(int(value)) if abs(value) < 1e15 and value == int(value) else repr(float(value))


def handing_on(adjoint_of: Callable[[Any], Any]) -> property:
    """`H` as a property that hands the text on."""

    def H(self: Any) -> Any:
        A = adjoint_of(self)
        return A if A is self else with_text(A, adjoint(text_of(self), self))

    H.__doc__ = adjoint_of.__doc__
    return property(H)
