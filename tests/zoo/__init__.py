"""Every operator once, small enough for a dense oracle, with the inverse that must be found for it.

A new operator is one line in the file of its family, and inherits every law of test_laws.py.
"""

from zoo import elementary, general, geometry, sampling, transforms
from zoo.animal import Animal, animal, mask, normal_numbers

ZOO = [*elementary.ANIMALS, *transforms.ANIMALS, *sampling.ANIMALS, *geometry.ANIMALS, *general.ANIMALS]

__all__ = ["ZOO", "Animal", "animal", "mask", "normal_numbers"]
