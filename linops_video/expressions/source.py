"""The text of an expression: what of it Python's grammar cannot read is set aside, and errors point into it."""

from __future__ import annotations

import ast
import cmath
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from linops_video.errors import LinopsError, SpecError

MAX_LENGTH = 2000
MAX_DEPTH = 50
"""Longest and deepest expression that is read, so that no text exhausts the interpreter's stack."""

_SUFFIXES = "npy|npz|png|jpe?g|bmp|tiff?|gif|mp4|mkv|avi|mov|m4v|webm|mpe?g|safetensors"
_FILE = re.compile(rf"(?<=[(,])(?P<space>\s*)(?P<value>[^\s(),'\"][^(),'\"]*\.(?:{_SUFFIXES}))(?=\s*[,)])", re.I)
_RANGE = re.compile(r"(?<=[(,])(?P<space>\s*)(?P<value>(?:-?\d+)?(?::(?:-?\d+)?){1,2})(?=\s*[,)])")


@dataclass(frozen=True)
class Word:
    """A bare name among the arguments: circular, haar, t."""

    name: str


def files_named(text: str) -> list[Path]:
    """The files that an expression names, in its order; none for a text that is no expression."""
    try:
        source = Syntax(text)
    except SpecError:
        return []
    quoted = (node.value for node in ast.walk(source.tree) if isinstance(node, ast.Constant))
    named = [path for path in source.literals.values() if isinstance(path, Path)]
    return named + [Path(word) for word in quoted if isinstance(word, str) and Path(word).is_file()]


class Syntax:
    """A text, read with Python's own grammar; nothing in it is evaluated.

    Names of files and ranges a:b:c, which that grammar does not know, are replaced by names of the same length, so that
    all places stay what they are.

    Attributes:
        text: the expression, with spaces for white space of other kinds.
        tree: its syntax tree.

    Raises:
        SpecError: if it is no Python expression, too long or too deep.
    """

    def __init__(self, text: str) -> None:
        self.text = re.sub(r"\s", " ", text)
        self.literals: dict[int, Path | slice] = {}
        if not text.strip():
            raise SpecError("an empty expression: write for example sr(2)")
        if len(text) > MAX_LENGTH:
            raise SpecError(f"an expression has at most {MAX_LENGTH} characters, this one has {len(text)}")
        source = _FILE.sub(lambda m: self._literal(m, Path), self.text)
        source = _RANGE.sub(lambda m: self._literal(m, _slice), source)
        self.indent = len(source) - len(source.lstrip())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of doubtful escapes and numbers
                self.tree = ast.parse(source.strip(), mode="eval").body
        except SyntaxError as error:
            at = len(source.rstrip()) if not error.offset else self.indent + error.offset - 1
            self.fail(at, f"cannot read this expression ({error.msg})")
        except (ValueError, RecursionError, MemoryError):
            self.fail(0, "cannot read this expression")
        if _depth(self.tree) > MAX_DEPTH:
            self.fail(0, f"an expression is at most {MAX_DEPTH} deep: give parts of it to parse, and compose them")

    def _literal(self, match: re.Match, convert: Callable[[str], Any]) -> str:
        """Keep what `ast` cannot read, and put a name of the same length in its place."""
        start = len(match.string[: match.start("value")].encode())
        self.literals[start] = convert(match["value"])
        return match["space"] + "_" * len(match["value"].encode())

    def place_of(self, node: ast.expr) -> int:
        """The byte of the text at which a node starts."""
        return node.col_offset + self.indent

    def text_of(self, node: ast.expr) -> str:
        """The part of the text that a node was read from."""
        assert node.end_col_offset is not None
        return self.text.encode()[self.place_of(node) : node.end_col_offset + self.indent].decode()

    def fail(self, at: int | ast.expr, message: str, kind: type[LinopsError] = SpecError) -> NoReturn:
        """Raise an error that points at the character; a text that is only a name needs no pointer."""
        if self.text.strip().isidentifier():
            raise kind(message) from None
        at = self.place_of(at) if isinstance(at, ast.expr) else at
        at = len(self.text.encode()[:at].decode(errors="ignore"))
        start, end = max(0, at - 50), at + 50
        shown = "…" * (start > 0) + re.sub(r"[\0-\x1f]", "�", self.text[start:end]) + "…" * (end < len(self.text))
        raise kind(f"{message}\n  {shown}\n  {' ' * (at - start + (start > 0))}^") from None

    def value(self, node: ast.expr) -> Any:
        """A number, word, file or range; None for anything else."""
        if isinstance(node, ast.Name):
            return self.literals.get(self.place_of(node), Word(node.id))
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return Path(node.value)
        return self.number(node)

    def number(self, node: ast.expr) -> complex | None:
        """The value of a number, or of a sum, difference or product of numbers; None for anything else."""
        match node:
            case ast.Constant(bool()):
                return None
            case ast.Constant(int() | float() | complex() as c):
                return c if _is_finite(c) else self.fail(node, "this number is too large")
            case ast.UnaryOp(ast.USub(), operand):
                c = self.number(operand)
                return None if c is None else -c
            case ast.BinOp(left, ast.Add() | ast.Sub() | ast.Mult() as sign, right):
                a, b = self.number(left), self.number(right)
                if a is None or b is None:
                    return None
                c = a + b if isinstance(sign, ast.Add) else a - b if isinstance(sign, ast.Sub) else a * b
                return c if _is_finite(c) else self.fail(node, "this number is too large")
        return None

    def whole(self, node: ast.expr) -> int:
        value = self.number(node)
        if not isinstance(value, int) or value < 0:
            self.fail(node, "a whole number, 0 or more, is needed here")
        return value


def plain_path(path: Path) -> bool:
    """Whether the name of a file can stand in a text without quotation marks."""
    match = _FILE.search(f"({path})")
    return match is not None and match["value"] == str(path)


def _is_finite(c: complex) -> bool:
    try:
        return cmath.isfinite(c)
    except OverflowError:  # a whole number beyond all floats
        return False


def _depth(tree: ast.AST) -> int:
    """The height of a tree, found without recursion."""
    depth, level = 0, [tree]
    while level:
        depth, level = depth + 1, [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _slice(text: str) -> slice:
    return slice(*(int(part) if part else None for part in text.split(":")))
