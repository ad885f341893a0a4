"""Contractions: dtypes, precisions, errors; rules and values of the common forms are in the law tests."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cyxla
from cyxla import lax

A = np.arange(12, dtype=np.float32).reshape(3, 4)
B = np.arange(20, dtype=np.float32).reshape(4, 5)
MATRICES = (((1,), (0,)), ((), ()))


def text(function, *args):
    return cyxla.jit(function).lower(*args).as_text()


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("float16", "bfloat16"),
        ("int8", "uint8"),
        ("complex64", "float32"),
        ("bool", "float32"),
        ("int32", "float16"),
        ("bool", "bool"),
        ("float8_e4m3fn", "float32"),
        ("float8_e4m3fn", "float8_e5m2"),
    ],
)
def test_mixed_dtypes(left, right):
    a, b = jnp.asarray(A > 4).astype(left), jnp.asarray(B > 9).astype(right)
    expected = jax.lax.dot(a, b)
    ours = cyxla.jit(lax.dot)(np.asarray(a), np.asarray(b))
    assert ours.dtype == expected.dtype
    np.testing.assert_array_equal(np.asarray(ours).astype(complex), np.asarray(expected).astype(complex))


@pytest.mark.parametrize(
    ("dtype", "preferred"),
    [("int8", "int32"), ("bfloat16", "float32"), ("float16", "float32"), ("float32", "bfloat16"), ("int32", "float32")],
)
def test_preferred_element_type(dtype, preferred):
    a, b = jnp.asarray(A).astype(dtype), jnp.asarray(B).astype(dtype)
    expected = jax.lax.dot(a, b, preferred_element_type=preferred)
    ours = cyxla.jit(lambda a, b: lax.dot(a, b, preferred_element_type=preferred))(np.asarray(a), np.asarray(b))
    assert ours.dtype == expected.dtype
    np.testing.assert_allclose(np.asarray(ours).astype(float), np.asarray(expected).astype(float), rtol=1e-2)


def test_weak_types():
    def weak(a, b):
        out = lax.dot_general(a, b, (((), ()), ((), ())))
        return out

    assert cyxla.jit(weak)(2.0, 3.0).weak_type
    assert not cyxla.jit(weak)(2.0, np.float32(3)).weak_type


def test_vector_products():
    np.testing.assert_array_equal(lax.dot(A[0], A[1]), A[0] @ A[1])
    np.testing.assert_array_equal(lax.dot(A, A[1]), A @ A[1])
    np.testing.assert_array_equal(lax.dot(A[:, 0], A), A[:, 0] @ A)
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_array_equal(lax.batch_matmul(x, x.transpose(0, 2, 1)), x @ x.transpose(0, 2, 1))


@pytest.mark.parametrize("precision", [p.name for p in jax.lax.DotAlgorithmPreset])
def test_algorithms(precision):
    """Those that XLA's CPU backend has compute; the others say so."""
    expected = None
    with contextlib.suppress(ValueError):
        expected = jax.jit(lambda a, b: jax.lax.dot(a, b, precision=jax.lax.DotAlgorithmPreset[precision]))(A, B)
    ours = cyxla.jit(lambda a, b: lax.dot(a, b, precision=lax.DotAlgorithmPreset[precision]))
    if expected is None:
        with pytest.raises(ValueError, match=precision):
            ours(A, B)
    else:
        assert ours(A, B).dtype == expected.dtype
        np.testing.assert_allclose(ours(A, B), expected, rtol=1e-5)


def test_preset_properties():
    for preset in jax.lax.DotAlgorithmPreset:
        ours = lax.DotAlgorithmPreset[preset.name]
        assert ours.value == preset.value
        for name in ("accumulation_type", "supported_lhs_types", "supported_rhs_types"):
            a, b = getattr(ours, name), getattr(preset, name)
            assert (a is None) == (b is None)
            if a is not None:
                assert np.dtype(a[0] if isinstance(a, tuple) else a) == np.dtype(b[0] if isinstance(b, tuple) else b)
        a, b = (
            ours.supported_output_types(np.float32, np.float32),
            preset.supported_output_types(np.float32, np.float32),
        )
        assert (a is None) == (b is None)
        assert a is None or set(map(np.dtype, a)) == set(map(np.dtype, b))


def test_precision_names():
    def of(precision, **options):
        eqn = cyxla.make_jaxpr(lambda a, b: lax.dot(a, b, precision=precision, **options))(A, B).jaxpr.eqns[0]
        return eqn.params["precision"]

    high, highest, default = lax.Precision.HIGH, lax.Precision.HIGHEST, lax.Precision.DEFAULT
    assert of(None) is None
    assert of("highest") == of("float32") == of(highest) == (highest, highest)
    assert of("tensorfloat32") == of("bfloat16_3x") == (high, high)
    assert of(("high", "fastest")) == (high, default)
    assert of("BF16_BF16_F32") is lax.DotAlgorithmPreset.BF16_BF16_F32
    assert of(lax.DotAlgorithm(np.float32, np.float32, np.float32)).accumulation_type is np.float32
    with cyxla.default_matmul_precision("high"):
        assert of(None) == (high, high)
    assert repr(high) == "Precision.HIGH"
    assert str(high) == "HIGH"
    for bad in ("foo", ("high", None), 3, ("high", "high", "high")):
        with pytest.raises(ValueError, match="precision"):
            of(bad)


def test_precision_follows_its_operand_into_derivatives():
    """Each factor keeps the precision that was asked for it."""
    program = cyxla.make_jaxpr(
        lambda a, b, c: cyxla.vjp(lambda a, b: lax.dot(a, b, precision=("highest", "default")), a, b)[1](c)
    )(A, B, A @ B)
    products = [e for e in program.jaxpr.eqns if e.primitive.name == "dot_general"]
    assert {e.params["precision"] for e in products[-2:]} == {
        (lax.Precision.HIGHEST, lax.Precision.DEFAULT),
        (lax.Precision.DEFAULT, lax.Precision.HIGHEST),
    }


@pytest.mark.parametrize(
    ("numbers", "named"),
    [
        ((((5,), (0,)), ((), ())), "lhs"),
        ((((1,), (0,)), ((0,), (7,))), "rhs"),
        ((((1, 1), (0, 0)), ((), ())), "distinct"),
        ((((1,), (0,)), ((1,), (0,))), "disjoint"),
        ((((0,), (0,)), ((), ())), "contracting"),
        ((((), ()), ((0,), (0,))), "batch"),
    ],
)
def test_errors_of_dimension_numbers(numbers, named):
    with pytest.raises(TypeError, match=named):
        lax.dot_general(A, B, numbers)


def test_other_errors():
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        lax.dot(A, A)
    with pytest.raises(ValueError, match="dimension_numbers"):
        lax.dot(A, 2.0)
    with pytest.raises(TypeError, match="narrower"):
        lax.dot(A.astype(np.int32), B.astype(np.int32), preferred_element_type=np.int8)
    with pytest.raises(TypeError):
        lax.dot(A, [1.0, 2.0, 3.0, 4.0])
    with pytest.raises(TypeError):
        lax.dot(A, None)
    with pytest.raises(ValueError, match="batch_matmul"):
        lax.batch_matmul(A, A[0])


def test_empty_contraction():
    out = lax.dot(np.zeros((2, 0), np.float32), np.zeros((0, 3), np.float32))
    np.testing.assert_array_equal(out, np.zeros((2, 3)))


def test_batching_and_derivatives_nest():
    """hessian of a quadratic form under vmap, against its closed form."""
    q = np.arange(9, dtype=np.float32).reshape(3, 3)
    xs = np.arange(6, dtype=np.float32).reshape(2, 3)
    out = cyxla.jit(cyxla.vmap(cyxla.hessian(lambda x: lax.dot(x, lax.dot(q, x)))))(xs)
    np.testing.assert_allclose(out, np.stack([q + q.T] * 2))


def test_program_text():
    assert "batching_dims = [0] x [1]" in text(
        lambda a, b: lax.dot_general(a, b, (((2,), (0,)), ((0,), (1,)))), np.ones((2, 3, 4)), np.ones((4, 2))
    )
    assert "precision = [HIGHEST, HIGHEST]" in text(lambda a, b: lax.dot(a, b, precision="highest"), A, B)
