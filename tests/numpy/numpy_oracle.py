"""Evaluates expressions with cyxla.numpy and with jax.numpy, and compares values, dtypes, weak types and errors.

An expression names its operands by single letters (see ``OPERANDS``); ``each(function, ...)`` is the list of its
results or errors for several operands. By default it is evaluated under ``jit`` with the operands as arguments: one
compilation on each side, and the functions are traced as well. Where shapes depend on values it is evaluated eagerly.
"""

import re
import warnings

import jax
import jax.numpy
import numpy as np
import pytest

import cyxla
import cyxla.numpy

OPERANDS = {
    "f": np.array([1.5, -2.0, 0.25, 3.0], np.float32),
    "g": np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.5]], np.float32),
    "m": np.array([[4.0, 1.0], [1.0, 3.0]], np.float32),
    "t": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "p": np.array([0.5, 2.0, 1.0, 3.0], np.float32),
    "q": np.array([3.0, 1.0, 2.0, 2.0], np.float32),
    "n": np.array([1.0, np.nan, -2.0, np.inf], np.float32),
    "N": np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, -2.0]], np.float32),
    "i": np.array([3, -1, 2, 0], np.int32),
    "j": np.array([[1, 2, 3], [4, 5, 6]], np.int32),
    "s": np.array([7, 2, 7, 1, 2, 9], np.int32),
    "u": np.array([1, 2, 200, 0], np.uint8),
    "b": np.array([True, False, True, True]),
    "B": np.array([[True, False, True], [False, False, True]]),
    "c": np.array([1 + 2j, -1 - 1j, 0.5, 2j], np.complex64),
    "z": np.zeros((0, 3), np.float32),
    "x": np.float32(2.5),
}
ERRORS = (TypeError, ValueError, IndexError, NotImplementedError, OverflowError, RuntimeError, ZeroDivisionError)


def _leaves(result):
    if isinstance(result, (tuple, list)):
        return [leaf for item in result for leaf in _leaves(item)]
    return [result]


def _each(function, *operands):
    """The results for each operand (tuples are several arguments); the error where it raises one."""
    results = []
    for operand in operands:
        try:
            results.append(function(*operand) if isinstance(operand, tuple) else function(operand))
        except ERRORS as error:
            results.append(error)
    return results


def _evaluate(library, expression, jitted):
    code = compile(expression, "<expression>", "eval")
    jnp = library.numpy
    used = set(re.findall(r"\w+", expression))
    names = {name: value for name, value in OPERANDS.items() if name in used}

    def function(arrays):
        scope = {**arrays, "jnp": jnp, "lax": library.lax, "np": np, "jax": library, "each": _each}
        if "h" in used:
            scope["h"] = jnp.asarray(OPERANDS["f"]).astype("bfloat16")
        if "w" in used:
            scope["w"] = jnp.broadcast_to(jnp.asarray(1.5), (3,))
        return eval(code, scope)

    arrays = {name: jnp.asarray(value) for name, value in names.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if jitted:
            out = []

            def traced(arrays):
                result = function(arrays)
                out.append(result)
                return [leaf for leaf in _leaves(result) if isinstance(leaf, library.Array)]

            values = iter(library.jit(traced)(arrays))
            return [next(values) if isinstance(leaf, library.Array) else leaf for leaf in _leaves(out[-1])]
        return _leaves(function(arrays))


def _attempt(library, expression, jitted):
    try:
        return _evaluate(library, expression, jitted), None
    except ERRORS as error:
        return None, error


def _host(x):
    x = np.asarray(x)
    if x.dtype.kind == "V":
        return x.astype(np.float32)
    return x


def same_error(mine, other, expression):
    """Ours may be more special than jax's (an AxisError is a ValueError and an IndexError)."""
    matches = type(other).__name__ in [base.__name__ for base in type(mine).__mro__] and isinstance(mine, Exception)
    assert matches, f"{expression}: {mine!r} where jax has {other!r}"


def agree(expression, jitted=True, tolerance=2e-5, weak_types=True):
    """Asserts that both libraries give the same for an expression."""
    ours, our_error = _attempt(cyxla, expression, jitted)
    theirs, their_error = _attempt(jax, expression, jitted)
    if their_error is not None or our_error is not None:
        same_error(our_error, their_error, expression)
        return
    assert len(ours) == len(theirs), expression
    for mine, other in zip(ours, theirs):
        if not isinstance(other, jax.Array):
            if isinstance(other, Exception) or isinstance(mine, Exception):
                same_error(mine, other, expression)
                continue
            assert not isinstance(mine, cyxla.Array), f"{expression}: an array where jax has {other!r}"
            assert np.array_equal(mine, other), f"{expression}: {mine!r} where jax has {other!r}"
            continue
        assert isinstance(mine, cyxla.Array), f"{expression}: {mine!r} where jax has {other!r}"
        got = (mine.shape, str(mine.dtype), weak_types and mine.weak_type)
        expected = (other.shape, str(other.dtype), weak_types and other.weak_type)
        assert got == expected, f"{expression}: {got} where jax has {expected}"
        np.testing.assert_allclose(_host(mine), _host(other), rtol=tolerance, atol=tolerance, err_msg=expression)


def cases(text):
    """A parametrization over the expressions in a block of text, one a line; a comma at its end continues a line."""
    lines = [line.strip() for line in re.sub(r",\n\s*", ", ", text.strip()).splitlines()]
    return pytest.mark.parametrize("expression", [line for line in lines if line and not line.startswith("#")])


def names(text):
    """A parametrization over the words in a block of text, for functions that are tested alike."""
    return pytest.mark.parametrize("name", text.split())
