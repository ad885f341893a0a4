"""The samplers nearest to the bits: bits, uniform, randint, bernoulli, rademacher. All others are made of these.

The functions that start with an underscore are what runs under `jit`. They take typed keys; `uniform_of` and
`normal_of` (continuous.py) take arrays of keys too, and give each its own samples.
"""

from functools import partial

import numpy as np
from ml_dtypes import finfo

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._engine.array import asarray
from cyxla._transform.jit import jit
from cyxla.lax._util import check_choice, check_kind, kind_of
from cyxla.numpy.promotion import requested_dtype
from cyxla.random._arguments import float_dtype, full_rank, int_dtype, parameter_shape, place, sample_shape
from cyxla.random.keys import random_bits_p, random_split_p, single_key, unwrap, wrap


def subkeys(keys, num: int = 2) -> list:
    """`num` new keys for each of an array of keys, as a list."""
    impl = keys.dtype.impl
    data, axis = unwrap(random_split_p.bind(keys, shape=(num,))), keys.ndim
    return [wrap(lax.squeeze(lax.slice_in_dim(data, i, i + 1, axis=axis), (axis,)), impl) for i in range(num)]


def random_bits(keys, bit_width: int, shape: tuple):
    return random_bits_p.bind(keys, bit_width=bit_width, shape=shape)


def bits(key, shape=(), dtype=None, *, out_sharding=None):
    """Uniformly random bits as unsigned integers.

    Args:
      key: a PRNG key.
      shape: shape of the result.
      dtype: an unsigned integer dtype, by default uint32 (uint64 with `jax_enable_x64`).

    >>> import cyxla as jax
    >>> jax.random.bits(jax.random.key(0), (2,))
    Array([4070199207, 4202968722], dtype=uint32)
    """
    key = single_key("bits", key)
    if dtype is None:
        dtype = np.dtype("uint64") if int_dtype("bits", None).itemsize == 8 else np.uint32
    dtype = int_dtype("bits", dtype, "u")
    shape = sample_shape(shape)
    return place(random_bits(key, 8 * dtype.itemsize, shape), out_sharding)


# uniform --------------------------------------------------------------------------------------------------------------


def uniform_of(keys, shape, dtype, minval, maxval):
    """Samples of `[minval, maxval)`, `shape` of them for each key. The bounds broadcast against `shape`."""
    info = finfo(dtype)
    minval, maxval = (lax.convert_element_type(x, dtype) for x in (minval, maxval))
    rank = len(shape)
    for bound in (minval, maxval):
        if bound.ndim > rank:
            raise TypeError(f"uniform: a bound of shape {bound.shape} does not broadcast to shape {shape}")
    minval, maxval = full_rank(minval, rank), full_rank(maxval, rank)
    width = 8 * dtype.itemsize
    # The mantissa is filled with random bits under the exponent of 1, which gives [1, 2). Eight bits are enough for
    # dtypes whose mantissa is shorter.
    drawn = width if info.nmant >= 8 else 8
    unsigned = np.dtype(f"uint{width}")
    word = random_bits(keys, drawn, shape)
    if drawn != width:
        word = lax.convert_element_type(word, unsigned)
    one = np.ones((), dtype)
    word = lax.shift_right_logical(word, np.array(drawn - info.nmant, unsigned))
    word = lax.bitwise_or(word, one.view(unsigned))
    floats = lax.sub(lax.bitcast_convert_type(word, dtype), one)
    if not (minval.ndim or maxval.ndim):
        return lax.max(minval, lax.add(lax.mul(floats, lax.sub(maxval, minval)), minval))
    return jnp.maximum(minval, floats * (maxval - minval) + minval)


@partial(jit, static_argnums=(1, 2))
def _uniform(key, shape, dtype, minval, maxval):
    return uniform_of(key, shape, dtype, minval, maxval)


def uniform(key, shape=(), dtype=None, minval=0.0, maxval=1.0, *, out_sharding=None):
    """Uniform samples in `[minval, maxval)`.

    Args:
      key: a PRNG key.
      shape: shape of the result.
      dtype: a float dtype, by default float32 (float64 with `jax_enable_x64`).
      minval, maxval: bounds; arrays must broadcast to `shape`.

    >>> import cyxla as jax
    >>> jax.random.uniform(jax.random.key(0), (2,))
    Array([0.947667 , 0.9785799], dtype=float32)
    """
    key = single_key("uniform", key)
    dtype = float_dtype("uniform", dtype)
    return place(_uniform(key, sample_shape(shape), dtype, minval, maxval), out_sharding)


# randint --------------------------------------------------------------------------------------------------------------


def _clip_to(x, dtype, margin=0):
    """x of an integer dtype, clipped to the values of `dtype` and its upper end moved by `margin`."""
    own, target = np.iinfo(x.dtype), np.iinfo(dtype)
    low = np.array(max(own.min, target.min), x.dtype)
    high = np.array(min(own.max, target.max + margin), x.dtype)
    return lax.min(high, lax.max(low, x))


def _integer_bound(x, dtype):
    x = asarray(x)
    return x if kind_of(x.aval) in "iu" else lax.convert_element_type(x, dtype)


@partial(jit, static_argnums=(3, 4))
def _randint(key, minval, maxval, shape, dtype):
    minval, maxval = _integer_bound(minval, dtype), _integer_bound(maxval, dtype)
    unsigned = np.dtype(f"uint{8 * dtype.itemsize}")
    largest = min(np.iinfo(dtype).max, np.iinfo(maxval.dtype).max)
    beyond = lax.gt(maxval, np.array(largest, maxval.dtype))
    minval, maxval = (
        full_rank(lax.convert_element_type(_clip_to(x, dtype), dtype), len(shape)) for x in (minval, maxval)
    )
    beyond = full_rank(beyond, len(shape))
    high, low = (random_bits(k, 8 * dtype.itemsize, shape) for k in subkeys(key))
    one = np.array(1, unsigned)
    span = (maxval - minval).astype(unsigned)
    # An empty range gives minval. A maxval beyond the dtype's largest value stands for one past it; the span then wraps
    # around to zero at the full range, for which the remainders below are the identity.
    span = jnp.where(maxval <= minval, one, span)
    span = jnp.where(jnp.logical_and(beyond, maxval > minval), span + one, span)
    # Two words make a number of twice as many bits, whose remainder has nearly no bias.
    multiplier = np.array(1 << (4 * dtype.itemsize), unsigned) % span
    multiplier = (multiplier * multiplier) % span
    offset = ((high % span) * multiplier + low % span) % span
    return minval + offset.astype(dtype)


def randint(key, shape, minval, maxval, dtype=None, *, out_sharding=None):
    """Uniform random integers in `[minval, maxval)`.

    Args:
      key: a PRNG key.
      shape: shape of the result.
      minval, maxval: bounds; arrays must broadcast to `shape`. An empty range gives `minval`.
      dtype: an integer dtype, by default int32 (int64 with `jax_enable_x64`).

    Raises TypeError for other dtypes, ValueError for bounds that do not broadcast to `shape`.

    >>> import cyxla as jax
    >>> jax.random.randint(jax.random.key(0), (5,), 0, 256, "uint8")
    Array([101,  80, 200,  61,   3], dtype=uint8)
    """
    key = single_key("randint", key)
    dtype = int_dtype("randint", dtype, error=TypeError)
    shape = parameter_shape("randint", sample_shape(shape), minval, maxval)
    if dtype.itemsize >= 4:
        return place(_randint(key, minval, maxval, shape, dtype), out_sharding)
    int32 = np.dtype(np.int32)
    minval, maxval = (
        lax.convert_element_type(_clip_to(_integer_bound(x, int32), dtype, margin), int32)
        for x, margin in ((minval, 0), (maxval, 1))
    )
    return place(lax.convert_element_type(_randint(key, minval, maxval, shape, int32), dtype), out_sharding)


# bernoulli, rademacher ------------------------------------------------------------------------------------------------


@partial(jit, static_argnums=(2, 3))
def _bernoulli(key, p, shape, mode):
    dtype = p.dtype
    if mode == "low":
        u = _uniform(key, shape, dtype, np.array(0, dtype), np.array(1, dtype))
        return lax.lt(u, p) if p.ndim == 0 else u < p
    # The second word continues the mantissa of the first, so that probabilities below its resolution are met too.
    u = _uniform(key, (2, *shape), dtype, np.array(0, dtype), np.array(1, dtype))
    coarse, fine = u[0], u[1]
    return fine * np.array(2.0 ** -finfo(dtype).nmant, dtype) < p - coarse


def bernoulli(key, p=0.5, shape=None, mode="low", *, out_sharding=None):
    """Booleans that are True with probability `p`.

    Args:
      key: a PRNG key.
      p: probability, a float or an array of them that broadcasts to `shape`.
      shape: shape of the result, by default that of `p`.
      mode: "low", or "high" for probabilities that one float's mantissa does not resolve.

    Raises TypeError for a `p` that is not floating, ValueError for another mode.
    """
    check_choice("bernoulli", "mode", mode, ("high", "low"))
    key = single_key("bernoulli", key)
    p = asarray(p)
    check_kind("bernoulli", p.aval, "f", "p")
    shape = parameter_shape("bernoulli", shape, p)
    return place(_bernoulli(key, p, shape, mode), out_sharding)


@partial(jit, static_argnums=(1, 2))
def _rademacher(key, shape, dtype):
    heads = _bernoulli(key, jnp.asarray(0.5), shape, "low")
    two, one = np.array(2).astype(dtype), np.array(1).astype(dtype)
    if dtype == np.bool_:
        return heads.astype(np.int32) * 2 - 1 != 0
    return lax.sub(lax.mul(two, lax.convert_element_type(heads, dtype)), one)


def rademacher(key, shape=(), dtype=None, *, out_sharding=None):
    """Samples of -1 and 1, each with probability one half. The dtype is int32 by default."""
    key = single_key("rademacher", key)
    return place(_rademacher(key, sample_shape(shape), requested_dtype(int if dtype is None else dtype)), out_sharding)
