"""Operators from text: `parse("sr(2) @ blur(disk, 4, 2, circular)", shape)`.

Read with Python's own grammar (`ast`), nothing is evaluated: names come from the registry in names.py, the only
operators are `@`, `+`, `-`, `*` by a number, and `.H` or `.T`, and every error points at the character.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, NoReturn, Union, get_args, get_origin, get_type_hints

from linops_video.algebra.operator import LinearOperator
from linops_video.algebra.parameters import Shape, show
from linops_video.algebra.text import call, number, text_of, with_text
from linops_video.errors import LinopsError, MemoryLimitError, ShapeError, near_names
from linops_video.expressions import named_blur, named_sampling, named_sensing, spelling  # noqa: F401  # they register their names
from linops_video.expressions.names import OPERATORS, PROBLEMS, Name, Place, memory, whole_seed
from linops_video.expressions.source import Syntax, Word, plain_path


def parse(text: str, shape: Shape, seed: int = 0, batch: Shape = ()) -> LinearOperator:
    """The operator that a text describes, for inputs of one event shape.

    Names and arguments are those of `OPERATORS` and `PROBLEMS` (`linops-video ops` lists them). `A @ B` is A after B,
    so that shapes flow from right to left; `A + B`, `A - B`, `-A` and `0.5 * A` are what they are in Python. `A.H` is
    the adjoint; the shape that A itself takes is written `A[8, 3, 64, 64].H` where that of its output does not tell it.
    Equal texts are equal operators: two masks that differ are written with two seeds, `mask(0.5, seed=1)`.
    `str(A)` gives the text back, also of what `@`, `+`, `-`, `*`, `.H`, `.to` and stacks make of parsed operators.

    Args:
        text: the expression; names of files stand in it as they are, or in quotation marks.
        shape: event shape of the input, (T, C, H, W) for videos.
        seed: of the random masks, matrices and angles that have no `seed=` of their own.
        batch: batch axes of those, for new ones per sample.

    Raises:
        SpecError: if the text is no expression or has unknown names in it (near ones are listed).
        ShapeError, FileError, MemoryLimitError: if an operator cannot be made for its shape, or from its file.

    Example:
        >>> A = parse("sr(4) @ mask(0.5, seed=3)", (8, 3, 64, 64))
        >>> A.out_shape, str(A)
        ((8, 3, 16, 16), 'sr(4) @ mask(0.5, seed=3)')
    """
    reader = _Reader(text, whole_seed(seed), tuple(batch))
    return reader.operator(reader.tree, tuple(shape))


def shape_behind(text: str, y_shape: Shape) -> Shape | None:
    """The smallest input shape for which the expression measures `y_shape`; None if the output does not tell it.

    Raises the errors of `parse`, and `ShapeError` if no input has this output.

    Example:
        >>> shape_behind("sr(2) @ blur(disk, 4, 2, valid)", (8, 3, 16, 16))
        (8, 3, 35, 35)
    """
    reader = _Reader(text, 0, ())
    return reader.behind(reader.tree, tuple(y_shape))


def check_names(text: str) -> None:
    """Raise `SpecError` if the text is no expression or has unknown names in it: what can be told without a shape.

    Example:
        >>> check_names("sr(2) @ blur(disk, 4, 2, valid)")
    """
    reader = _Reader(text, 0, ())
    nodes = list(ast.walk(reader.tree))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    words = [word for node in calls for word in (node.func, *node.args)]  # may be kernels, axes, files
    for node in (*calls, *(node for node in nodes if isinstance(node, ast.Name) and node not in words)):
        reader.call(node)


def frame_stride(text: str) -> int:
    """How many times fewer frames than the video, at equal distances, the measurement of an expression has.

    Products are read; 1 for those with sums or adjoints in them, whose measurements are no frames in order. Raises
    `SpecError` as `parse` does.

    Example:
        >>> frame_stride("fi2"), frame_stride("0.5 * shutter(3, 2) @ every(3)"), frame_stride("sr(2)")
        (2, 6, 1)
    """
    reader = _Reader(text, 0, ())
    return reader.stride(reader.tree) or 1


class Call(NamedTuple):
    """A name of `OPERATORS`, the arguments that it is built with, and the seed of its random numbers."""

    name: str
    arguments: tuple[Any, ...]
    seed: int


def sole_call(text: str, seed: int = 0) -> Call | None:
    """What an expression that is one name with its arguments says, a problem being its expression; None for others.

    Raises `SpecError` as `parse` does; whether the values of the arguments make an operator, `parse` tells.

    Example:
        >>> sole_call("fi2"), sole_call("mask(0.7, seed=3)"), sole_call("0.5 * every(2)")
        (Call(name='every', arguments=(2,), seed=0), Call(name='mask', arguments=(0.7,), seed=3), None)
    """
    reader = _Reader(text, seed, ())
    return reader.sole_call(reader.tree)


def factors(text: str) -> tuple[str, str] | None:
    """The texts of A and B where the expression is A @ B; None for others.

    Raises `SpecError` as `parse` does.

    Example:
        >>> factors("mask(0.5) @ every(2) @ sr(2)"), factors("sr(2)")
        (('mask(0.5) @ every(2)', 'sr(2)'), None)
    """
    source = Syntax(text)
    match source.tree:
        case ast.BinOp(left, ast.MatMult(), right):
            return source.text_of(left), source.text_of(right)
    return None


def _once(method: Callable[..., Any]) -> Callable[..., Any]:
    """Read each node once for each shape: an adjoint tries its operand in two ways."""

    @wraps(method)
    def remembered(self: _Reader, node: ast.expr, shape: Shape) -> Any:
        key = (method.__name__, node, shape)
        if key not in self.known:
            try:
                self.known[key] = method(self, node, shape)
            except LinopsError as error:
                self.known[key] = error
        if isinstance(self.known[key], LinopsError):
            raise self.known[key]
        return self.known[key]

    return remembered


class _Reader(Syntax):
    """One text, and what its nodes stand for."""

    def __init__(self, text: str, seed: int, batch: Shape) -> None:
        super().__init__(text)
        self.seed, self.batch = seed, batch
        self.known: dict[tuple[str, ast.expr, Shape], Any] = {}

    # --- operators ---

    @_once
    def operator(self, node: ast.expr, shape: Shape) -> LinearOperator:
        """The operator of a node, for inputs of this shape."""
        if min(shape, default=1) < 1:
            self.fail(node, f"an input of shape {show(shape)} has no entries", ShapeError)
        self.check_size(node, "an input", shape)
        match node:
            case ast.BinOp(left, ast.MatMult(), right):
                B = self.operator(right, shape)
                return self.operator(left, B.out_shape) @ B
            case ast.BinOp(left, ast.Add() | ast.Sub() as sign, right):
                A, B = self.operator(left, shape), self.operator(right, shape)
                if A.out_shape != B.out_shape:
                    message = f"only outputs of equal shapes are added, not {show(A.out_shape)} and {show(B.out_shape)}"
                    self.fail(right, message, ShapeError)
                return A + B if isinstance(sign, ast.Add) else A - B
            case ast.BinOp(left, ast.Mult(), right):
                for factor, of in ((left, right), (right, left)):
                    c = self.number(factor)
                    if c is not None:
                        return self.operator(of, shape) * (float(c) if isinstance(c, int) else c)
                self.fail(right, "* takes a number and an operator: write A @ B for A after B")
            case ast.UnaryOp(ast.USub(), operand):
                return -self.operator(operand, shape)
            case ast.Attribute(value, "H" | "T" as side):
                A = self.adjoint_of(value, shape)
                return self.guarded(node, lambda: A.H if side == "H" else A.T)
            case ast.Name() | ast.Call():
                return self.named(node, shape)
            case ast.Subscript(value):
                self.fail(value, "a shape in brackets goes with an adjoint: write A[8, 3, 64, 64].H")
        self.refuse(node)

    def check_size(self, node: ast.expr, what: str, shape: Shape) -> None:
        if math.prod(shape) * 4 > memory():
            self.fail(node, f"{what} of shape {show(shape)} does not fit in memory", MemoryLimitError)

    def named(self, node: ast.expr, shape: Shape) -> LinearOperator:
        name, given = self.call(node)
        if name in PROBLEMS:
            if given:
                self.fail(node, f"{name} takes no arguments: it stands for {PROBLEMS[name].text}")
            seed = self.seed_of(node, name)
            return self.guarded(node, lambda: parse(PROBLEMS[name].text, shape, seed, self.batch))
        entry = OPERATORS[name]
        seed = self.seed_of(node, entry.usage)
        values = self.arguments(node, entry, shape)
        place = Place(shape, self.batch, seed)
        A = self.guarded(node, lambda: entry.build(place, *values), zip(given, values, strict=False))
        if _keywords(node) and not place.drawn:
            self.fail(_keywords(node)[0].value, f"{name} draws no random numbers here: leave the seed out")
        self.check_size(node, "an output", A.out_shape)
        words = [_words(value) for value in values]
        if place.drawn and seed != 0:
            words.append(f"seed={seed}")
        return with_text(A, call(name, words))

    def adjoint_of(self, node: ast.expr, shape: Shape) -> LinearOperator:
        """A for A.H to take this shape: by the shape in brackets, or the same one, or the one that it tells."""
        if isinstance(node, ast.Subscript):
            sizes = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            A = self.operator(node.value, tuple(self.whole(size) for size in sizes))
        else:
            A = self.operator(node, shape) if self.fits(node, shape) else None
            before = None if A is not None else self.behind(node, shape)
            if before is not None:
                A = self.operator(node, before)
        if A is None:
            self.fail(node, "write the shape that this operator takes before .H, as in A[8, 3, 64, 64].H")
        if A.out_shape != shape:
            message = f"this operator gives {show(A.out_shape)}, so that its adjoint does not take {show(shape)}"
            self.fail(node, message, ShapeError)
        return A

    def fits(self, node: ast.expr, shape: Shape) -> bool:
        """Whether the operator of a node keeps this shape."""
        try:
            return self.operator(node, shape).out_shape == shape
        except LinopsError:
            return False

    @_once
    def behind(self, node: ast.expr, y: Shape) -> Shape | None:
        """The smallest shape that the operator of a node takes to give this one, where that can be told."""
        match node:
            case ast.BinOp(left, ast.MatMult(), right):
                between = self.behind(left, y)
                return None if between is None else self.behind(right, between)
            case ast.BinOp(left, ast.Add() | ast.Sub(), right):
                return self.behind(left, y) or self.behind(right, y)
            case ast.BinOp(left, ast.Mult(), right):
                return self.behind(right if self.number(left) is not None else left, y)
            case ast.UnaryOp(ast.USub(), operand):
                return self.behind(operand, y)
            case ast.Attribute(value, "H" | "T"):
                return self.operator(value.value if isinstance(value, ast.Subscript) else value, y).out_shape
            case ast.Name() | ast.Call():
                name, _ = self.call(node)
                if name in PROBLEMS:
                    return self.guarded(node, lambda: shape_behind(PROBLEMS[name].text, y))
                values = self.arguments(node, OPERATORS[name], None)
                shape = self.guarded(node, lambda: OPERATORS[name].behind(y, *values))
                if shape is not None and min(shape, default=1) < 1:
                    self.fail(node, f"a measurement of shape {show(y)} is too small for {name}", ShapeError)
                return shape
        self.refuse(node)

    def stride(self, node: ast.expr) -> int | None:
        """How many times fewer frames the operator of a node gives; None for sums and adjoints."""
        match node:
            case ast.BinOp(left, ast.MatMult(), right):
                a, b = self.stride(left), self.stride(right)
                return None if a is None or b is None else a * b
            case ast.BinOp(left, ast.Mult(), right):
                return self.stride(right if self.number(left) is not None else left)
            case ast.UnaryOp(ast.USub(), operand):
                return self.stride(operand)
            case ast.Name() | ast.Call():
                name, _ = self.call(node)
                if name in PROBLEMS:
                    return frame_stride(PROBLEMS[name].text)
                values = self.arguments(node, OPERATORS[name], None)
                return self.guarded(node, lambda: OPERATORS[name].stride(*values))
        return None

    def guarded(self, node: ast.expr, make: Callable[[], Any], words: Iterable[tuple[ast.expr, Any]] = ()) -> Any:
        """What `make` gives, its errors with a pointer to the word that they name, or to the node."""
        try:
            return make()
        except LinopsError as error:
            message = str(error).partition("\n")[0]
            at = next((at for at, word in words if isinstance(word, str) and repr(word) in message), node)
            self.fail(at, message, type(error))

    def refuse(self, node: ast.expr) -> NoReturn:
        if self.number(node) is not None:
            self.fail(node, "an operator is needed here, not a number: write 0.5 * A, or identity for 1")
        what = "an operator is a name with arguments, joined by @, +, -, *, and .H"
        self.fail(node, f"this is no part of an expression: {what}")

    # --- names and arguments ---

    def call(self, node: ast.expr) -> tuple[str, list[ast.expr]]:
        """Name and arguments of a node, the name being one of the registry."""
        function, given = (node.func, node.args) if isinstance(node, ast.Call) else (node, [])
        if not isinstance(function, ast.Name) or self.place_of(function) in self.literals:
            self.refuse(function)
        if function.id not in OPERATORS and function.id not in PROBLEMS:
            self.fail(function, f"unknown name {function.id!r}: {near_names(function.id, [*OPERATORS, *PROBLEMS])}")
        return function.id, given

    def sole_call(self, node: ast.expr) -> Call | None:
        """What a node says that is a name with plain arguments."""
        if not isinstance(node, (ast.Name, ast.Call)):
            return None
        name, given = self.call(node)
        if name in PROBLEMS:
            return sole_call(PROBLEMS[name].text, self.seed_of(node, name))
        values = self.arguments(node, OPERATORS[name], None)
        return Call(name, tuple(values), self.seed_of(node, name)) if len(values) == len(given) else None

    def arguments(self, node: ast.expr, entry: Name, shape: Shape | None) -> list[Any]:
        """The values of a call's arguments, checked against the annotations; operators stay out without a shape."""
        _, given = self.call(node)
        parameters = list(inspect.signature(entry.build).parameters.values())[1:]
        hints = get_type_hints(entry.build)
        values: list[Any] = []
        for i, argument in enumerate(given):
            last = parameters[-1] if parameters else None
            parameter = parameters[i] if i < len(parameters) else last
            if parameter is None or (i >= len(parameters) and parameter.kind != parameter.VAR_POSITIONAL):
                self.fail(argument, f"one argument too many: it is written {entry.usage}")
            values += self.argument(argument, _kinds(hints[parameter.name]), entry, shape)
        needed = [p for p in parameters if p.default is p.empty and p.kind != p.VAR_POSITIONAL]
        if len(given) < len(needed):
            self.fail(node, f"an argument is missing: it is written {entry.usage}")
        return values

    def seed_of(self, node: ast.expr, usage: str) -> int:
        """The seed among the arguments of a call, else that of the whole text."""
        seed = self.seed
        for keyword in _keywords(node):
            if keyword.arg != "seed":
                self.fail(keyword.value, f"the only argument with a name is seed=, here it is {usage}")
            seed = self.whole(keyword.value)
        return seed

    def argument(self, node: ast.expr, kinds: tuple[type, ...], entry: Name, shape: Shape | None) -> list[Any]:
        if LinearOperator in kinds:
            return [] if shape is None else [self.operator(node, shape)]
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and str in kinds and Path not in kinds:
            return [node.value]
        value = self.value(node)
        if isinstance(value, Word) and str in kinds:
            return [value.name]
        if isinstance(value, int) and (int in kinds or float in kinds):
            return [value]
        if isinstance(value, (float, slice)) and type(value) in kinds:
            return [value]
        if isinstance(value, Path) and Path in kinds:
            return [value]
        wanted = " or ".join(_KINDS[kind] for kind in kinds)
        self.fail(node, f"{wanted} is needed here: it is written {entry.usage}")


_KINDS = {int: "a whole number", float: "a number", str: "a word", Path: "a file", slice: "a range a:b:c"}


def _keywords(node: ast.expr) -> list[ast.keyword]:
    return node.keywords if isinstance(node, ast.Call) else []


def _kinds(hint: Any) -> tuple[type, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _words(value: Any) -> str:
    """An argument as the text has it."""
    if isinstance(value, LinearOperator):
        text = text_of(value)
        assert text is not None
        return text.words
    if isinstance(value, slice):
        parts = (value.start, value.stop, *(() if value.step is None else (value.step,)))
        return ":".join("" if part is None else str(part) for part in parts)
    if isinstance(value, Path):
        return str(value) if plain_path(value) else repr(str(value))
    if isinstance(value, str):
        return value if value.isidentifier() else repr(value)
    return number(value)
