"""Wrong operands and parameters raise what jax raises, and the message names the operation and the value."""

import jax
import numpy as np
import pytest

import cyxla

F = np.ones((3, 4), np.float32)
I = np.ones((3, 4), np.int32)
C = np.ones((3, 4), np.complex64)
B = np.ones((3, 4), bool)

# a call, and what its message must contain
CALLS = [
    (lambda lax: lax.neg(B), ["neg", "bool"]),
    (lambda lax: lax.floor(I), ["floor", "int32"]),
    (lambda lax: lax.sin(I), ["sin", "int32"]),
    (lambda lax: lax.cbrt(C), ["cbrt", "complex64"]),
    (lambda lax: lax.real(F), ["real", "float32"]),
    (lambda lax: lax.conj(I), ["conj", "int32"]),
    (lambda lax: lax.abs(B), ["abs", "bool"]),
    (lambda lax: lax.bitwise_not(F), ["not", "float32"]),
    (lambda lax: lax.sin(None), ["None"]),
    (lambda lax: lax.add(F, "a"), ["str"]),
    (lambda lax: lax.integer_pow(I, -2), ["integer_pow", "int32[3,4]", "-2"]),
    (lambda lax: lax.add(F, I), ["add", "float32", "int32"]),
    (lambda lax: lax.add(F, F[:2]), ["add", "(3, 4)", "(2, 4)"]),
    (lambda lax: lax.add(F, F[0]), ["add"]),
    (lambda lax: lax.add(B, B), ["add", "bool"]),
    (lambda lax: lax.rem(C, C), ["rem", "complex64"]),
    (lambda lax: lax.lt(C, C), ["lt", "complex64"]),
    (lambda lax: lax.pow(I, I), ["pow", "int32"]),
    (lambda lax: lax.pow(F, C), ["pow", "complex64"]),
    (lambda lax: lax.complex(F, I), ["complex", "int32"]),
    (lambda lax: lax.shift_left(F, F), ["shift_left", "float32"]),
    (lambda lax: lax.select_n(B), ["select_n"]),
    (lambda lax: lax.select_n(B, F, F, F), ["select_n", "3"]),
    (lambda lax: lax.select_n(F, F, F), ["select", "float32"]),
    (lambda lax: lax.select_n(B, F, I), ["select", "int32"]),
    (lambda lax: lax.select_n(B, F, F[:2]), ["(3, 4)", "(2, 4)"]),
    (lambda lax: lax.select_n(B[:2], F, F), ["(2, 4)", "(3, 4)"]),
    (lambda lax: lax.clamp(0, F, 1), ["clamp", "int32"]),
    (lambda lax: lax.clamp(F[0], F, F), ["clamp", "(4,)"]),
    (lambda lax: lax.reduce_precision(F, 0, 3), ["reduce_precision", "exponent_bits", "0"]),
    (lambda lax: lax.reduce_precision(F, 5, -3), ["mantissa_bits", "-3"]),
    (lambda lax: lax.reduce_precision(I, 5, 3), ["reduce_precision", "int32"]),
    (lambda lax: lax.bitcast_convert_type(F, np.complex64), ["(3, 4)", "complex64"]),
    (lambda lax: lax.bitcast_convert_type(I, np.bool_), ["bool"]),
    (lambda lax: lax.convert_element_type(F, None), ["dtype"]),
    (lambda lax: lax.convert_element_type(F, "foo"), ["foo"]),
    (lambda lax: lax.iota(np.int32, -1), ["iota", "-1"]),
    (lambda lax: lax.iota(np.bool_, 3), ["iota", "bool"]),
    (lambda lax: lax.iota(np.int32, 2.5), ["2.5"]),
    (lambda lax: lax.broadcasted_iota(np.int32, (2, 3), 2), ["iota", "dimension=2", "(2, 3)"]),
    (lambda lax: lax.full((2,), F), ["full", "(3, 4)"]),
    (lambda lax: lax.full((2, -1), 0.0), ["-1"]),
    (lambda lax: lax.broadcast_in_dim(F, (5, 4), (0, 1)), ["broadcast_in_dim", "(3, 4)", "(5, 4)"]),
    (lambda lax: lax.broadcast_in_dim(F, (3, 4), (0,)), ["broadcast_in_dim", "(0,)"]),
    (lambda lax: lax.broadcast_in_dim(F, (3, 4), (0, 2)), ["broadcast_in_dim", "(0, 2)"]),
    (lambda lax: lax.broadcast_in_dim(F, (4,), (0, 1)), ["broadcast_in_dim"]),
    (lambda lax: lax.broadcast_shapes((2,), (3,)), ["(2,)", "(3,)"]),
    (lambda lax: lax.reshape(F, (4, -1)), ["reshape", "(4, -1)"]),
    (lambda lax: lax.reshape(F, (4, 3.0)), ["(4, 3.0)"]),
    (lambda lax: lax.reshape(F, (4, 3), (1, 1)), ["reshape", "(1, 1)"]),
    (lambda lax: lax.collapse(F, 1, 0), ["collapse", "(3, 4)"]),
    (lambda lax: lax.transpose(F, (0, 0)), ["transpose", "(0, 0)", "(3, 4)"]),
    (lambda lax: lax.transpose(F, (-1, 0)), ["transpose", "(-1, 0)"]),
    (lambda lax: lax.squeeze(F, (1,)), ["(3, 4)", "(1,)"]),
    (lambda lax: lax.squeeze(F, (3,)), ["axis 3"]),
    (lambda lax: lax.expand_dims(F, (5,)), ["axis 5"]),
    (lambda lax: lax.expand_dims(F, (0, 0)), ["expand_dims", "(0, 0)"]),
    (lambda lax: lax.rev(F, (0, 0)), ["rev", "(0, 0)"]),
    (lambda lax: lax.rev(F, (3,)), ["rev", "(3,)"]),
    (lambda lax: lax.rev(F, (-1,)), ["rev", "(-1,)"]),
    (lambda lax: lax.concatenate([], 0), ["concatenate"]),
    (lambda lax: lax.concatenate([F, I], 0), ["concatenate", "int32"]),
    (lambda lax: lax.concatenate([F, F[0]], 0), ["(3, 4)", "(4,)"]),
    (lambda lax: lax.concatenate([F, F[:, :2]], 0), ["(3, 4)", "(3, 2)"]),
    (lambda lax: lax.concatenate([F, F], 2), ["concatenate", "2"]),
    (lambda lax: lax.pad(F, 0, [(0, 0, 0)] * 2), ["pad", "int32"]),
    (lambda lax: lax.pad(F, 0.0, [(0, 0, 0)]), ["padding_config", "(3, 4)"]),
    (lambda lax: lax.pad(F, 0.0, [(0, 0, -1), (0, 0, 0)]), ["interior"]),
    (lambda lax: lax.pad(F, 0.0, [(-5, 0, 0), (0, 0, 0)]), ["(-2, 4)"]),
    (lambda lax: lax.pad(F, F, [(0, 0, 0)] * 2), ["padding_value"]),
    (lambda lax: lax.stack([F, I]), ["stack", "int32"]),
    (lambda lax: lax.stack([F, F], 5), ["axis 5"]),
    (lambda lax: lax.split(F, (1, 2), 1), ["split", "3", "axis 1"]),
    (lambda lax: lax.tile(F, (2,)), ["reps"]),
    (lambda lax: lax.reduce_sum(B, (0,)), ["reduce_sum", "bool"]),
    (lambda lax: lax.reduce_sum(F, (2,)), ["reduce_sum", "(2,)", "(3, 4)"]),
    (lambda lax: lax.reduce_sum(F, (-1,)), ["(-1,)"]),
    (lambda lax: lax.reduce_max(F, (0, 0)), ["(0, 0)"]),
    (lambda lax: lax.reduce_and(F, (0,)), ["reduce_and", "float32"]),
    (lambda lax: lax.argmax(F, 3, np.int32), ["argmax", "(3,)"]),
    (lambda lax: lax.argmax(F, 0, np.float32), ["index_dtype", "float32"]),
    (lambda lax: lax.argmax(F[:0], 0, np.int32), ["(0, 4)"]),
    (lambda lax: lax.reduce((F, F), 0.0, lax.add, (0,)), ["reduce", "initial value"]),
    (lambda lax: lax.reduce(F, F, lax.add, (0,)), ["(3, 4)"]),
    (lambda lax: lax.cumsum(B), ["cumsum", "bool"]),
    (lambda lax: lax.cumsum(F, -1), ["cumsum", "(-1,)"]),
    (lambda lax: lax.cumsum(F, 5), ["cumsum", "(5,)", "(3, 4)"]),
    (lambda lax: lax.reduce_window(F, 0.0, lax.add, (2,)), ["reduce_window", "(2,)"]),
    (lambda lax: lax.reduce_window(F, 0.0, lax.add, (2, -2)), ["reduce_window", "(2, -2)"]),
    (lambda lax: lax.reduce_window(F, F, lax.add, (2, 2)), ["(3, 4)"]),
    (lambda lax: lax.reduce_window(F, 0.0, lax.add, (2, 2), padding="FOO"), ["FOO"]),
    (lambda lax: lax.sort(F, 3), ["axis 3"]),
    (lambda lax: lax.sort((F, F[0])), ["(3, 4)", "(4,)"]),
    (lambda lax: lax.sort((F, F), num_keys=3), ["num_keys=3"]),
    (lambda lax: lax.sort(()), ["operand"]),
    (lambda lax: lax.top_k(F, 9), ["k=9"]),
    (lambda lax: lax.top_k(F, -1), ["-1"]),
    (lambda lax: lax.top_k(C, 1), ["complex"]),
]


@pytest.mark.parametrize("case", range(len(CALLS)))
def test_bad_input(case):
    call, contents = CALLS[case]
    with pytest.raises((TypeError, ValueError, RuntimeError)) as theirs:
        call(jax.lax)
    with pytest.raises((TypeError, ValueError, RuntimeError)) as ours:
        call(cyxla.lax)
    assert type(ours.value) is type(theirs.value), f"{ours.value!r} for {theirs.value!r}"
    for part in contents:
        assert part in str(ours.value), ours.value


def test_reshape_to_another_size_is_found_while_tracing():
    """jax leaves this to the compiler."""
    with pytest.raises(TypeError, match=r"reshape.*\(5,\).*\(3, 4\)"):
        cyxla.make_jaxpr(lambda x: cyxla.lax.reshape(x, (5,)))(F)


def test_broadcast_in_dim_may_permute():
    """jax does so too, but has no gradient of it."""
    weights = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    out, pullback = cyxla.vjp(lambda x: cyxla.lax.broadcast_in_dim(x, (2, 4, 3), (2, 1)), F)
    assert out.shape == weights.shape
    np.testing.assert_array_equal(pullback(weights)[0], weights.sum(0).T)


def test_size_from_a_traced_value():
    with pytest.raises(TypeError, match="static"):
        cyxla.jit(lambda n: cyxla.lax.full((n,), 0.0))(3)


def test_derivatives_that_do_not_exist():
    with pytest.raises(NotImplementedError, match="nextafter"):
        cyxla.grad(lambda x: cyxla.lax.nextafter(x, x))(1.0)
    with pytest.raises(ValueError, match="polygamma"):
        cyxla.grad(lambda m: cyxla.lax.polygamma(m, 1.0))(1.0)
    with pytest.raises(ValueError, match="betainc"):
        cyxla.grad(lambda a: cyxla.lax.betainc(a, 1.0, 0.5))(1.0)
