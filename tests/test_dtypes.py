"""The dtype tables and the promotion lattice, with jax as oracle."""

import jax
import jax.numpy as jjnp
import ml_dtypes
import numpy as np
import pytest

from cyxla._core import config
from cyxla._engine import dtypes

NAMES = [name for name in dtypes.dtype_table() if name != "float0" and not name.startswith("key<")]
CODES = {name: row[0] for name, row in dtypes.dtype_table().items()}
NARROW = {"int64": "int32", "uint64": "uint32", "float64": "float32", "complex128": "complex64"}


def np_dtype(name):
    return np.dtype(getattr(ml_dtypes, name, None) or name)


def jax_result(a, weak_a, b, weak_b):
    """(name, weak) of the sum of two abstract operands in jax, None where it refuses."""
    operation = jjnp.logical_or if a == b == "bool" else jjnp.add
    operands = [jax.ShapeDtypeStruct((), np_dtype(n), weak_type=w) for n, w in ((a, weak_a), (b, weak_b))]
    try:
        out = jax.eval_shape(operation, *operands)
    except jax.dtypes.TypePromotionError:
        return None
    return str(out.dtype), out.weak_type


def our_result(a, weak_a, b, weak_b):
    node = dtypes.promote_pair(2 * CODES[a] + weak_a, 2 * CODES[b] + weak_b)
    return None if node < 0 else (str(dtypes.code_dtype(node // 2)), bool(node & 1))


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("weak_a, weak_b", [(False, False), (True, False), (False, True), (True, True)])
def test_promotion_of_every_pair(x64, weak_a, weak_b):
    wrong = []
    with jax.enable_x64(x64), config.enable_x64(x64):
        names = NAMES if x64 else [n for n in NAMES if n not in NARROW]
        for a in names:
            for b in names:
                # A sum turns booleans into no other kind, so one dtype with itself needs no oracle.
                expected, found = jax_result(a, weak_a, b, weak_b), our_result(a, weak_a, b, weak_b)
                if expected != found and not (a == b and found == (a, weak_a and weak_b and a != "bool")):
                    wrong.append((a, weak_a, b, weak_b, expected, found))
    assert not wrong


@pytest.mark.parametrize("weak_a, weak_b", [(False, False), (True, False), (True, True)])
def test_strict_promotion_of_every_pair(weak_a, weak_b):
    wrong = []
    with (
        jax.enable_x64(True),
        config.enable_x64(True),
        jax.numpy_dtype_promotion("strict"),
        config.numpy_dtype_promotion("strict"),
    ):
        for a in NAMES:
            for b in NAMES:
                expected, found = jax_result(a, weak_a, b, weak_b), our_result(a, weak_a, b, weak_b)
                if expected != found and not (a == b and found == (a, weak_a and weak_b and a != "bool")):
                    wrong.append((a, weak_a, b, weak_b, expected, found))
    assert not wrong
