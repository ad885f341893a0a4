"""XLA's own generators of random numbers, whose numbers depend on the platform; those of `cyxla.random` do not."""

import enum

import numpy as np

from cyxla import lax
from cyxla._engine.aval import shaped_array
from cyxla._engine.core import Primitive
from cyxla._engine.dtypes import code_dtype, dtype_code, requested_code
from cyxla.lax._util import as_operand, canonicalize_shape, move_axis, short

_UINT32, _UINT64 = dtype_code(np.uint32), dtype_code(np.uint64)


class RandomAlgorithm(enum.IntEnum):
    """How `rng_bit_generator` makes its bits."""

    RNG_DEFAULT = 0
    RNG_THREE_FRY = 1
    RNG_PHILOX = 2


_ALGORITHM_NAMES = {0: "DEFAULT", 1: "THREE_FRY", 2: "PHILOX"}


def _bit_generator_abstract(key, *, shape, dtype, algorithm):
    if not ((key.code == _UINT32 and key.shape == (4,)) or (key.code == _UINT64 and key.shape == (2,))):
        raise TypeError(f"rng_bit_generator: the key must be uint32[4] or uint64[2], it is {short(key)}")
    return [key, shaped_array(shape, dtype_code(dtype), False)]


def _bit_generator_lower(ctx, key, *, shape, dtype, algorithm):
    (aval,), bits = ctx.avals_in, ctx.avals_out[1]
    state, pairs = "tensor<2xui64>", "tensor<2x2xui32>"
    if aval.code == _UINT32:
        key = ctx.op(f"stablehlo.reshape {key} : ({aval.mlir}) -> {pairs}")
        key = ctx.op(f"stablehlo.bitcast_convert {key} : ({pairs}) -> {state}")
    new, out = ctx.op(
        f"stablehlo.rng_bit_generator {key}, algorithm = {_ALGORITHM_NAMES[algorithm]} : "
        f"({state}) -> ({state}, {bits.mlir})",
        2,
    )
    if aval.code == _UINT32:
        new = ctx.op(f"stablehlo.bitcast_convert {new} : ({state}) -> {pairs}")
        new = ctx.op(f"stablehlo.reshape {new} : ({pairs}) -> {aval.mlir}")
    return [new, out]


def _bit_generator_batch(args, dims, *, shape, **params):
    # The bits of the whole batch come from its first key, which alone moves on.
    keys = move_axis(args[0], dims[0], 0)
    first = lax.index_in_dim(keys, 0, keepdims=False)
    new, bits = rng_bit_generator_p.bind(first, shape=(keys.shape[0], *shape), **params)
    return [lax.dynamic_update_index_in_dim(keys, new, 0, 0), bits], [0, 0]


rng_bit_generator_p = Primitive(
    "rng_bit_generator",
    abstract=_bit_generator_abstract,
    lower=_bit_generator_lower,
    batch=_bit_generator_batch,
    differentiable=False,
    multiple_results=True,
)


def rng_bit_generator(key, shape, dtype=np.uint32, algorithm=RandomAlgorithm.RNG_DEFAULT, *, out_sharding=None):
    """A new key and an array of random bits from XLA's RngBitGenerator.

    Args:
      key: `uint32[4]` or `uint64[2]`.
      shape: shape of the bits.
      dtype: their dtype, an unsigned integer one.
      algorithm: a `RandomAlgorithm`.
      out_sharding: sharding of the bits.

    Returns the pair of the key for the next call and the bits. They depend on the platform.
    """
    dtype = code_dtype(requested_code(dtype))
    if dtype.kind != "u":
        raise TypeError(f"rng_bit_generator: unsupported dtype {dtype}, it must be an unsigned integer one")
    key, bits = rng_bit_generator_p.bind(
        as_operand(key), shape=canonicalize_shape(shape), dtype=dtype, algorithm=int(algorithm)
    )
    return key, bits if out_sharding is None else lax.with_sharding_constraint(bits, out_sharding)


def _uniform_abstract(a, b, *, shape):
    if a.code != b.code:
        raise ValueError(f"rng_uniform: the bounds must have one dtype, got {short(a)} and {short(b)}")
    if a.shape != () or b.shape != ():
        raise ValueError(f"rng_uniform: the bounds must be scalars, got {short(a)} and {short(b)}")
    return shaped_array(shape, a.code, False)


def _uniform_lower(ctx, a, b, *, shape):
    aval, out = ctx.avals_in[0], ctx.avals_out[0]
    dims = ctx.constant(np.asarray(shape, np.int64), shaped_array((len(shape),), dtype_code(np.int64), False))
    return ctx.op(
        f"stablehlo.rng {a}, {b}, {dims}, distribution = UNIFORM : "
        f"({aval.mlir}, {aval.mlir}, tensor<{len(shape)}xi64>) -> {out.mlir}"
    )


rng_uniform_p = Primitive("rng_uniform", abstract=_uniform_abstract, lower=_uniform_lower, differentiable=False)


def rng_uniform(a, b, shape):
    """Uniform random numbers in `[a, b)` from the platform's own stateful generator: they differ from call to call."""
    return rng_uniform_p.bind(as_operand(a), as_operand(b), shape=canonicalize_shape(shape))
