"""The exception types: the same bases as jax's, and messages that help."""

import pickle
import subprocess
import sys

import jax
import numpy as np
import pytest

from cyxla import errors
from cyxla._engine.aval import ShapedArray

TRACER_ERRORS = [
    errors.ConcretizationTypeError,
    errors.TracerBoolConversionError,
    errors.TracerArrayConversionError,
    errors.TracerIntegerConversionError,
    errors.NonConcreteBooleanIndexError,
    errors.UnexpectedTracerError,
]


class FakeTracer:
    aval = ShapedArray((2, 3), np.float32)

    def _origin(self):
        return "It is the argument x of f"


def public_bases(error, own):
    return [base.__name__ for base in error.__mro__ if hasattr(own, base.__name__) or base.__module__ == "builtins"]


@pytest.mark.parametrize("name", [n for n in dir(jax.errors) if isinstance(getattr(jax.errors, n), type)])
def test_same_bases_as_jax(name):
    if name == "JaxRuntimeError":
        assert issubclass(errors.JaxRuntimeError, RuntimeError)
        return
    assert public_bases(getattr(errors, name), errors) == public_bases(getattr(jax.errors, name), jax.errors)
    assert getattr(errors, name).__module__ == "cyxla.errors"


@pytest.mark.parametrize("error", TRACER_ERRORS)
def test_messages_name_type_line_origin_and_remedy(error):
    text = str(error(FakeTracer()))
    assert "float32[2,3]" in text
    assert __file__ in text
    assert "error(FakeTracer())" in text
    assert "It is the argument x of f." in text
    assert "Instead: " in text
    assert " Another origin." in str(error(FakeTracer(), origin="another origin"))


def test_context_is_shown():
    assert "float() was called" in str(errors.ConcretizationTypeError(FakeTracer(), "float() was called"))


@pytest.mark.parametrize("error", [*TRACER_ERRORS, errors.KeyReuseError, errors.JAXTypeError, errors.JAXIndexError])
def test_plain_messages_and_pickling(error):
    copy = pickle.loads(pickle.dumps(error("what went wrong")))
    assert type(copy) is error
    assert str(copy) == "what went wrong"


def test_pickling_keeps_the_message():
    original = errors.TracerBoolConversionError(FakeTracer())
    assert str(pickle.loads(pickle.dumps(original))) == str(original)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'NoSuchError'"):
        errors.NoSuchError  # noqa: B018


def test_jaxlib_is_loaded_for_its_own_exception_only():
    program = (
        "import sys, cyxla.errors as e; print('jaxlib' in sys.modules); e.JaxRuntimeError; print('jax' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "False"]
