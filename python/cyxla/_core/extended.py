"""The abstract scalar types of extended dtypes, and the base class of these dtypes.

An extended dtype is one that NumPy does not know. Its arrays are represented by physical ones: `physical_shape` are
their trailing dimensions, `physical_dtype` is their dtype. `cyxla._engine.dtypes.register_extended` makes one known.
"""

import numpy as np


class extended(np.generic):
    """The scalar type above those of all extended dtypes."""


class prng_key(extended):
    """The scalar type above those of all dtypes of PRNG keys."""


class ExtendedDType:
    """Base class of extended dtypes.

    Attributes:
      type: an abstract scalar type, `extended` or below it.
      name: how the dtype is printed.
      physical_shape, physical_dtype: the trailing dimensions and dtype of the arrays that represent it.
      itemsize: bytes of one element.
    """

    type: type = extended
    name: str
    physical_shape: tuple
    physical_dtype: np.dtype
    itemsize: int

    def __repr__(self):
        return self.name
