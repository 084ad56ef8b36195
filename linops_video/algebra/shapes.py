"""Shapes that are broadcast."""

from __future__ import annotations

from linops_video.algebra.parameters import Shape


def broadcast(*shapes: Shape) -> Shape:
    """`torch.broadcast_shapes`, which takes longer than small operators do, of shapes that are known to fit."""
    result = list(max(shapes, key=len))
    for shape in shapes:
        for i in range(-len(shape), 0):
            if shape[i] != 1:
                result[i] = shape[i]
    return tuple(result)
