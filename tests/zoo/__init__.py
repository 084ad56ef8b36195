"""Every operator once, small enough for a dense oracle, with the inverse that must be found for it.

A new operator is one line in the file of its family, and inherits every law of test_laws.py.
"""

from zoo import elementary, general, geometry, sampling, structure, transforms
from zoo.animal import Animal, animal, mask, normal_numbers

ZOO = [entry for family in (elementary, transforms, sampling, geometry, general, structure) for entry in family.ANIMALS]

__all__ = ["ZOO", "Animal", "animal", "mask", "normal_numbers"]
