"""Operators in files: the same to the bit, and nothing but operators."""

from __future__ import annotations

import dataclasses
import json
import pickle
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from zoo import Animal, animal
from zoo.paths import PATHS, asked_of

from linops_video import Diagonal, LinearOperator, Shape, load_operator, parse, save_operator
from linops_video.errors import FileError
from linops_video.expressions.storage import FORMAT


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, LinearOperator):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))  # type: ignore[arg-type]
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a.dtype == b.dtype and torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.fixture
def path(tmp_path):
    return tmp_path / "A.safetensors"


@asked_of(PATHS)
def test_every_operator_comes_back_to_the_bit(entry: Animal, path):
    A = animal(entry)
    for operator in (A, A.to(dtype=torch.float32), A.H):
        if not savable(operator):
            with pytest.raises(FileError, match="cannot be saved"):
                save_operator(path, operator)
            assert not path.exists()
            return
        save_operator(path, operator)
        assert same(load_operator(path), operator)


def savable(A: LinearOperator) -> bool:
    """Functions stay out of files."""
    values = [getattr(A, f.name) for f in dataclasses.fields(A)]  # type: ignore[arg-type]
    items = [item for value in values for item in (value if isinstance(value, tuple) else (value,))]
    return all(savable(item) if isinstance(item, LinearOperator) else not callable(item) for item in items)


def test_the_text_comes_back_too(path):
    A = parse("(sr(2) @ mask(0.5, seed=2)).H @ sr(2)", (4, 3, 8, 8))
    save_operator(path, A)
    B = load_operator(path)
    assert str(B) == str(A)
    assert str(B.H) == str(A.H)
    save_operator(path, A.H)
    assert str(load_operator(path).H) == str(A)


def test_complex_and_batched_tensors_and_views(path):
    d = torch.randn(2, 5, 4, dtype=torch.complex128).mT
    A = (0.5j * Diagonal(d, (4, 5))).H  # type: ignore[operator]
    save_operator(path, A)
    assert same(load_operator(path), A)
    trainable = Diagonal(torch.ones(3, requires_grad=True), (3,))
    save_operator(path, trainable)
    assert torch.equal(load_operator(path)(torch.ones(3)), torch.ones(3))


@dataclass(frozen=True, eq=False, repr=False)
class Mine(LinearOperator):
    in_shape: Shape
    out_shape: Shape

    def _apply(self, x):
        return x


def test_what_cannot_be_saved(path):
    with pytest.raises(FileError, match=r"only this library's operators .* Mine"):
        save_operator(path, parse("identity", (3,)) + Mine((3,), (3,)))
    with pytest.raises(FileError, match=r"\.safetensors files, not to A\.pt"):
        save_operator(path.with_suffix(".pt"), parse("identity", (3,)))
    assert list(path.parent.iterdir()) == []
    with pytest.raises(FileError, match="does not exist"):
        save_operator(path.parent / "nowhere" / "A.safetensors", parse("identity", (3,)))


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"operator": "Mine", "fields": {"in_shape": [3], "out_shape": [3]}}, "has no operator 'Mine'"),
        ({"operator": "os.system", "fields": {}}, "has no operator"),
        ({"operator": "Identity", "fields": {"shape": [3]}}, "TypeError"),
        ({"operator": "Identity"}, "KeyError"),
        ({"operator": "BoxMean", "fields": {"factor": 9, "in_shape": [3, 3]}}, "ShapeError"),
        ({"operator": "Diagonal", "fields": {"diagonal": {"tensor": "other"}, "in_shape": [3]}}, "KeyError"),
        ({"lambda": 3}, "KeyError"),
        ({"operator": "Identity", "fields": {"in_shape": [3]}, "text": [3, 9, None]}, "ValueError"),
        ([1, 2], "holds no operator but a tuple"),
        (3, "holds no operator but a int"),
    ],
)
def test_files_that_are_no_operator(path, tree, words):
    save_file({"tensor0": torch.ones(3)}, path, {"format": FORMAT, "operator": json.dumps(tree)})
    with pytest.raises(FileError, match=words):
        load_operator(path)


def test_other_files(path):
    with pytest.raises(FileError, match="no such file"):
        load_operator(path)
    save_file({"x": torch.ones(3)}, path)
    with pytest.raises(FileError, match="holds no operator"):
        load_operator(path)
    save_file({}, path, {"format": FORMAT, "operator": "[" * 100_000})
    with pytest.raises(FileError, match="cannot read the operator"):
        load_operator(path)
    for content in (b"", b"not safetensors", pickle.dumps({"a": 1})):
        path.write_bytes(content)
        with pytest.raises(FileError, match=r"no \.safetensors file"):
            load_operator(path)


def test_the_file_says_what_it_is(path):
    save_operator(path, parse("sr(2) @ mask(0.5)", (4, 3, 8, 8)))
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == FORMAT
    assert json.loads(metadata["operator"])["operator"] == "Compose"
