"""Values of the table of examples against NumPy and SciPy, in 64 bits."""

import numpy as np
import pytest
from references import OTHER, REFERENCES, WITHOUT, reference
from table import EXAMPLES, FAST_COMPILE, as_tuple

import cyxla
from cyxla import lax

WIDER = {np.dtype(np.float32): np.float64, np.dtype(np.complex64): np.complex128}
RTOL = 1e-12
GROUP = 40
WITH = [example for example in EXAMPLES if reference(example) is not None]


def wide(x):
    x = np.asarray(x)
    return x.astype(WIDER.get(x.dtype, x.dtype))


def check(example, actual, expected):
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        a, e = np.asarray(a), np.asarray(e)
        assert a.shape == e.shape, f"{a.shape} for {e.shape}"
        if a.dtype.kind in "fc":
            np.testing.assert_allclose(a, e, RTOL, RTOL)
        else:
            assert a.dtype == e.dtype, f"{a.dtype} for {e.dtype}"
            np.testing.assert_array_equal(a, e)


@pytest.mark.parametrize("first", range(0, len(WITH), GROUP))
def test_values(first):
    examples = WITH[first : first + GROUP]
    operands = [[wide(x) for x in example.operands] for example in examples]

    def program(operands):
        return [as_tuple(e.function(lax, *args)) for e, args in zip(examples, operands, strict=True)]

    with cyxla.enable_x64(True):
        results = cyxla.jit(program, compiler_options=FAST_COMPILE)(operands)
    failures = []
    for example, args, actual in zip(examples, operands, results, strict=True):
        with np.errstate(all="ignore"):
            expected = as_tuple(reference(example)(*args))
        try:
            check(example, actual, expected)
        except AssertionError as error:
            failures.append(f"{example.label}: {str(error).strip()}")
    assert not failures, "\n\n".join(failures)


def test_every_reference_has_a_row():
    known = {example.label for example in EXAMPLES} | {example.primitive for example in EXAMPLES}
    assert set(REFERENCES) | OTHER <= known


def test_primitives_without_reference():
    """A new primitive needs a function of NumPy's or SciPy's beside its example, or a place in this list."""
    without = {example.primitive for example in EXAMPLES} - {example.primitive for example in WITH}
    assert without == WITHOUT
