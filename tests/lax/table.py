"""The whole table of examples, and what the tests of laws share."""

import warnings

import numpy as np
from examples_control import EXAMPLES as CONTROL
from examples_indexing import EXAMPLES as INDEXING
from examples_linalg import EXAMPLES as LINALG
from examples_random import EXAMPLES as RANDOM
from examples_various import EXAMPLES as VARIOUS

from cyxla._runtime.xla import JAXLIB_VERSION
from examples import EXAMPLES as GENERAL

EXAMPLES = [*GENERAL, *INDEXING, *LINALG, *CONTROL, *RANDOM, *VARIOUS]

warnings.filterwarnings("ignore", category=np.exceptions.ComplexWarning)

# Programs of laws run once: what counts is that XLA compiles them fast. The second option went out of XLA after 0.10.
FAST_COMPILE = {"xla_backend_optimization_level": 0}
if JAXLIB_VERSION < (0, 11):
    FAST_COMPILE["xla_cpu_use_fusion_emitters"] = False


def as_tuple(x):
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def direction(shape, dtype, seed):
    """A fixed tangent or cotangent."""
    random = np.random.RandomState(seed)
    values = random.randint(-3, 4, shape) / 2 + 0.25
    if np.issubdtype(dtype, np.complexfloating):
        values = values + 1j * random.randint(-3, 4, shape) / 2
    return np.asarray(values).astype(dtype)


def batches(x):
    """Two neighbours of an operand, as a list to stack."""
    other = x[::-1] if x.ndim else x + x.dtype.type(1)
    return [x, np.asarray(other, dtype=x.dtype)]
