"""Ragged products: every mode against jax where it has it, else against the sum written out; derivatives, vmap, errors."""

import numpy as np
import pytest
from compare import agree, both_raise

import cyxla
from cyxla import lax

RANDOM = np.random.RandomState(0)


def floats(*shape):
    return RANDOM.randn(*shape).astype(np.float32)


ROWS, FACTORS, SIZES = floats(6, 4), floats(3, 4, 5), np.array([2, 3, 1], np.int32)
TWO = np.stack([SIZES, SIZES[::-1]])
# dimension numbers (contracting, batch, ragged, group), lhs, rhs, group_sizes
MODES = {
    "rows": ((((1,), (1,)), ((), ()), (0,), (0,)), ROWS, FACTORS, SIZES),
    "rows, groups last": ((((1,), (0,)), ((), ()), (0,), (2,)), ROWS, floats(4, 5, 3), SIZES),
    "rows, batched": ((((2,), (2,)), ((0,), (1,)), (1,), (0,)), floats(2, 6, 4), floats(3, 2, 4, 5), SIZES),
    "rows, sizes by batch": ((((2,), (2,)), ((0,), (0,)), (1,), (1,)), floats(2, 6, 4), floats(2, 3, 4, 5), TWO),
    "rows, outer dimension": ((((2,), (1,)), ((), ()), (1,), (0,)), floats(2, 6, 4), FACTORS, TWO),
    "rows, inner dimension": ((((2,), (1,)), ((), ()), (0,), (0,)), floats(6, 2, 4), FACTORS, SIZES),
    "contracted": ((((0,), (0,)), ((), ()), (0,), ()), ROWS, floats(6, 5), SIZES),
    "contracted, batched": ((((1,), (1,)), ((0,), (0,)), (1,), ()), floats(2, 6, 4), floats(2, 6, 5), TWO),
    "contracted, two": ((((0, 1), (0, 1)), ((), ()), (1,), ()), floats(2, 6, 4), floats(2, 6, 5), TWO),
    "batches": ((((2,), (1,)), ((0,), (0,)), (0,), ()), floats(6, 2, 4), floats(6, 4, 5), SIZES),
}


def numbers(module, contract, batch, ragged, group):
    return module.lax.RaggedDotDimensionNumbers((contract, batch), ragged, group)


def product(module, mode):
    dims, *operands = MODES[mode]
    return lambda *args: module.lax.ragged_dot_general(*args, numbers(module, *dims)), operands


def test_modes():
    def program(module):
        outs = {}
        for mode in MODES:
            f, operands = product(module, mode)
            outs[mode] = module.jit(f)(*operands)
        return outs

    agree(program, 1e-5, 1e-5)


@pytest.mark.parametrize("sizes", [[2, 1, 1], [5, 3, 1], [0, 0, 6], [-1, 3, 1]])
def test_sizes_that_do_not_fill(sizes):
    agree(lambda module: module.jit(module.lax.ragged_dot)(ROWS, FACTORS, np.int32(sizes)), 1e-5, 1e-5)


def test_narrow_sizes_do_not_overflow():
    lhs, rhs, sizes = floats(400, 1), floats(2, 1, 1), np.array([200, 200], np.uint8)
    out = np.asarray(lax.ragged_dot(lhs, rhs, sizes))
    np.testing.assert_allclose(out, lhs * np.repeat(rhs[:, 0], 200, axis=0), 1e-6)


def test_dtypes():
    def program(module):
        f = module.lax.ragged_dot
        half, ints = ROWS.astype(np.float16), ROWS.astype(np.int8)
        return [
            f(half, FACTORS.astype(np.float16), SIZES),
            f(half, FACTORS, SIZES),
            f(ROWS, FACTORS, SIZES, "highest", np.float16),
            f(ints, FACTORS.astype(np.int8), SIZES.astype(np.uint8), None, np.int32),
            f(ROWS.astype(np.complex64), FACTORS.astype(np.complex64), SIZES),
        ]

    agree(program, 1e-3, 1e-3)


@pytest.mark.parametrize("mode", MODES)
def test_transposes_and_batches(mode):
    """The cotangents pair with the tangents as the results do, and vmap is a loop over either operand and the sizes."""
    f, (lhs, rhs, sizes) = product(cyxla, mode)
    dot = lambda x, y: float(np.vdot(np.asarray(x), np.asarray(y)))
    out, pull = cyxla.vjp(lambda a, b: f(a, b, sizes), lhs, rhs)
    ct = floats(*out.shape)
    for cotangent, operand in zip(pull(ct), (lhs, rhs), strict=True):
        assert cotangent.shape == operand.shape
        np.testing.assert_allclose(dot(cotangent, operand), dot(ct, out), 1e-3, 1e-3)
    for axes in ((0, None, None), (None, 0, None), (None, None, 0), (0, 0, 0), (1, 0, None)):
        operands, rows = [], [[], []]
        for x, axis in zip((lhs, rhs, sizes), axes, strict=True):
            pair = (x, x[::-1].copy())
            operands.append(x if axis is None else np.stack(pair, axis))
            for i in range(2):
                rows[i].append(x if axis is None else pair[i])
        mapped = cyxla.vmap(f, axes)(*operands)
        np.testing.assert_allclose(mapped, np.stack([f(*row) for row in rows]), 1e-4, 1e-4)


def test_sizes_of_a_batch_for_shared_prefix():
    """Sizes that were shared by a batch, themselves batched."""
    f, (lhs, rhs, _) = product(cyxla, "rows, batched")
    mapped = cyxla.vmap(f, (None, None, 0))(lhs, rhs, TWO)
    np.testing.assert_allclose(mapped, np.stack([f(lhs, rhs, s) for s in TWO]), 1e-5, 1e-5)


def ragged(ragged=(0,), group=(0,), lhs=ROWS, rhs=FACTORS, sizes=SIZES, contract=((1,), (1,))):
    def program(module):
        dims = module.lax.RaggedDotDimensionNumbers((contract, ((), ())), ragged, group)
        return module.lax.ragged_dot_general(lhs, rhs, sizes, dims)

    return program


ERRORS = {
    "two ragged dimensions": ragged(ragged=(0, 1)),
    "no ragged dimension": ragged(ragged=()),
    "no group dimension": ragged(group=()),
    "contracted group dimension": ragged(group=(1,)),
    "ragged dimension out of range": ragged(ragged=(5,)),
    "group dimension out of range": ragged(group=(5,)),
    "group dimension for contracted": ragged(lhs=ROWS, rhs=floats(6, 5), contract=((0,), (0,))),
    "number of groups": ragged(sizes=SIZES[:2]),
    "float sizes": ragged(sizes=np.float32([1, 2, 3])),
    "scalar sizes": ragged(sizes=np.int32(2)),
    "shape of sizes": ragged(sizes=TWO),
    "contracted sizes": ragged(lhs=ROWS[:, :3]),
    "list": lambda module: module.lax.ragged_dot(ROWS.tolist(), FACTORS, SIZES),
    "rank": lambda module: module.lax.ragged_dot(ROWS[0], FACTORS, SIZES),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    both_raise("TypeError", ERRORS[case])


def test_no_offset():
    both_raise("NotImplementedError", lambda module: module.lax.ragged_dot(ROWS, FACTORS, SIZES, group_offset=1))


def test_dimension_numbers():
    dims = numbers(cyxla, *MODES["rows"][0])
    again = lax.RaggedDotDimensionNumbers((([1], [1]), ([], [])), [0], [0])
    assert dims == again and hash(dims) == hash(again)
    assert again.dot_dimension_numbers == (((1,), (1,)), ((), ()))
