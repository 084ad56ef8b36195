"""Every operator once, small enough for a dense oracle, with the inverse that must be found for it.

A new operator is one line in the file of its family, and inherits every law of test_laws.py.
"""

from zoo import edges, elementary, general, geometry, phases, sampling, structure, transforms
from zoo.animal import (
    Animal,
    animal,
    dense,
    mask,
    norm,
    normal_numbers,
    pseudoinverse,
    singular_values,
    solver,
)

FAMILIES = (elementary, transforms, sampling, geometry, general, structure, edges, phases)

ZOO = [entry for family in FAMILIES for entry in family.ANIMALS]

LEAVES = [make for family in FAMILIES for make in getattr(family, "LEAVES", [])]

__all__ = [
    "LEAVES",
    "ZOO",
    "Animal",
    "animal",
    "dense",
    "mask",
    "norm",
    "normal_numbers",
    "pseudoinverse",
    "singular_values",
    "solver",
]
