"""Discrete distributions: categorical, geometric, Poisson, binomial, multinomial."""

import math
from functools import partial

import numpy as np
from ml_dtypes import finfo

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._engine.array import asarray
from cyxla._transform.jit import jit
from cyxla.lax._util import canonicalize_axis, check_rank
from cyxla.numpy.promotion import default_float, kind
from cyxla.random._arguments import (
    array_argument,
    batch_shape,
    check_enough,
    float_dtype,
    int_dtype,
    parameter_shape,
    place,
)
from cyxla.random.continuous import _gumbel, gumbel_mode
from cyxla.random.keys import random_split_p, single_key
from cyxla.random.uniform_family import _uniform, subkeys


def categorical(key, logits, axis=-1, shape=None, replace=True, mode=None, *, out_sharding=None):
    """Samples of categories whose log probabilities (up to a constant) are given.

    Args:
      key: a PRNG key.
      logits: float array; its axis `axis` runs over the categories, the others are a batch of distributions.
      axis: axis of the categories.
      shape: shape of the result, to which the batch shape must broadcast; by default the batch shape.
      replace: whether samples along the dimensions that `shape` has in front of the batch are drawn with replacement.
      mode: "high" or "low" resolution of the Gumbel variables that decide (see `gumbel`).

    >>> import cyxla as jax, cyxla.numpy as jnp
    >>> jax.random.categorical(jax.random.key(0), jnp.log(jnp.array([0.1, 0.9])), shape=(5,)).shape
    (5,)
    """
    key = single_key("categorical", key)
    logits = array_argument("categorical", logits)
    mode = gumbel_mode(mode)
    dtype = float_dtype("gumbel", logits.dtype)
    axis = canonicalize_axis(axis, logits.ndim) - logits.ndim
    batch = list(logits.shape)
    categories = batch.pop(axis)
    batch = tuple(batch)
    shape = batch_shape("categorical", shape, batch)
    prefix = shape[: len(shape) - len(batch)]
    if replace:
        inner = list(shape[len(prefix) :])
        inner.insert(axis % logits.ndim, categories)
        noise = _gumbel(key, (*prefix, *inner), dtype, mode)
        if noise.ndim > logits.ndim:
            logits = lax.expand_dims(logits, tuple(range(len(prefix))))
        return place(jnp.argmax(noise + logits, axis=axis), out_sharding)
    noisy = logits + _gumbel(key, logits.shape, dtype, mode)
    count = math.prod(prefix)
    check_enough("categorical", count, categories)
    _, chosen = lax.top_k(jnp.moveaxis(noisy, axis, -1), count)
    return place(lax.reshape(jnp.moveaxis(chosen, -1, 0), shape), out_sharding)


@partial(jit, static_argnums=(2, 3))
def _geometric(key, p, shape, dtype):
    u = _uniform(key, shape, p.dtype, 0.0, 1.0)
    one = np.array(1, p.dtype)
    log_u = lax.log(jnp.where(u == 0, one, u))
    trials = lax.floor(log_u / lax.log1p(-p)) + one
    return trials.astype(dtype)


def geometric(key, p, shape=None, dtype=None, *, out_sharding=None):
    """Numbers of trials until the first success, where each succeeds with probability `p`."""
    key = single_key("geometric", key)
    dtype = int_dtype("geometric", dtype)
    p = asarray(p)
    if kind(p.dtype) != "f":
        p = p.astype(default_float())
    return place(_geometric(key, p, parameter_shape("geometric", shape, p), dtype), out_sharding)


# Poisson --------------------------------------------------------------------------------------------------------------


def _poisson_knuth(key, lam, shape, dtype, max_iters):
    """Counts the factors of a product of uniform variables until it falls below exp(-lam)."""

    def cond(state):
        i, _, _, log_product = state
        return lax.bitwise_and(jnp.any(log_product > -lam), i < max_iters)

    def body(state):
        i, k, key, log_product = state
        key, subkey = subkeys(key)
        k = lax.select(log_product > -lam, k + 1, k)
        u = _uniform(subkey, shape, np.dtype(np.float32), 0.0, 1.0)
        return i + 1, k, key, log_product + lax.log(u)

    state = (np.int32(0), lax.full(shape, 0, np.int32), key, lax.full(shape, 0.0, np.float32))
    return (lax.while_loop(cond, body, state)[1] - 1).astype(dtype)


def _poisson_rejection(key, lam, shape, dtype, max_iters):
    """Hörmann's transformed rejection (1993), with the constants of his algorithm PTRS."""
    log_lam = lax.log(lam)
    b = 0.931 + 2.53 * lax.sqrt(lam)
    a = -0.059 + 0.02483 * b
    inv_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2)

    def cond(state):
        i, _, accepted, _ = state
        return lax.bitwise_and(jnp.any(~accepted), i < max_iters)

    def body(state):
        i, k_out, accepted, key = state
        key, key_u, key_v = subkeys(key, 3)
        u = _uniform(key_u, shape, lam.dtype, 0.0, 1.0) - 0.5
        v = _uniform(key_v, shape, lam.dtype, 0.0, 1.0)
        u_shifted = 0.5 - lax.abs(u)
        k = lax.floor((2 * a / u_shifted + b) * u + lam + 0.43)
        s = lax.log(v * inv_alpha / (a / (u_shifted * u_shifted) + b))
        t = -lam + k * log_lam - lax.lgamma(k + 1)
        accept1 = (u_shifted >= 0.07) & (v <= v_r)
        reject = (k < 0) | ((u_shifted < 0.013) & (v > u_shifted))
        accept = accept1 | (~reject & (s <= t))
        return i + 1, lax.select(accept, k, k_out), accepted | accept, key

    state = (np.int32(0), lax.full_like(lam, -1), lax.full(shape, False, np.bool_), key)
    return lax.while_loop(cond, body, state)[1].astype(dtype)


@partial(jit, static_argnums=(2, 3))
def _poisson(key, lam, shape, dtype):
    # Below 10 Knuth's method is the faster one. Each method runs over the whole array, at a harmless rate where the
    # other one's result is taken.
    use_knuth = lax.bitwise_or(lam != lam, lam < 10)
    max_iters = np.int32(np.iinfo(np.int32).max)
    knuth = _poisson_knuth(key, lax.select(use_knuth, lam, lax.full_like(lam, 0)), shape, dtype, max_iters)
    rejection = _poisson_rejection(key, lax.select(use_knuth, lax.full_like(lam, 1e5), lam), shape, dtype, max_iters)
    k = lax.select(use_knuth, knuth, rejection)
    return lax.select(lam == 0, lax.full_like(k, 0), k)


def poisson(key, lam, shape=None, dtype=None, *, out_sharding=None):
    """Samples of the Poisson distribution of rate `lam`, as integers. Only for threefry2x32 keys.

    Rates that are NaN or negative give -1.
    """
    key = single_key("poisson", key)
    impl = key.dtype.impl
    if impl.name != "threefry2x32":
        raise NotImplementedError(
            f"poisson: its algorithm is for keys of threefry2x32, not {impl.name}; make the key by "
            "jax.random.key(seed, impl='threefry2x32')"
        )
    dtype = int_dtype("poisson", dtype)
    lam = array_argument("poisson", lam)
    shape = parameter_shape("poisson", shape, lam)
    lam = jnp.broadcast_to(lam, shape).astype(np.float32)
    return place(_poisson(key, lam, shape, dtype), out_sharding)


# binomial -------------------------------------------------------------------------------------------------------------

# log(k!) less Stirling's approximation (k + 1/2) log(k + 1) - (k + 1) + log(2 pi) / 2, for k = 0..9.
_STIRLING_TAIL = tuple(
    math.lgamma(k + 1) - ((k + 0.5) * math.log(k + 1) - (k + 1) + 0.5 * math.log(2 * math.pi)) for k in range(10)
)


def _stirling_tail(k, table):
    below = lax.clamp(np.array(0, k.dtype), k, np.array(9, k.dtype))
    square = (below + 1) * (below + 1)
    series = (1 / 12 - (1 / 360 - 1 / 1260 / square) / square) / (below + 1)
    exact = table[lax.floor(below).astype(np.int32)]
    return jnp.where(k <= 9, exact, series)


def _binomial_inversion(key, count, prob, shape, dtype):
    """Adds up geometric variables until they pass `count`."""
    log1_p = lax.log1p(-prob)

    def cond(state):
        i, _, total, _ = state
        return lax.bitwise_and(jnp.any(total <= count), i.astype(dtype) < finfo(dtype).max)

    def body(state):
        i, trials, total, key = state
        subkey, key = subkeys(key)
        trials = lax.select(total <= count, trials + 1, trials)
        steps = lax.ceil(lax.log(_uniform(subkey, shape, dtype, 0.0, 1.0)) / log1_p)
        return i + 1, trials, total + steps, key

    zero = lax.full_like(prob, 0)
    return lax.while_loop(cond, body, (np.int32(0), zero, zero, key))[1] - 1


def _binomial_rejection(key, count, prob, shape, dtype):
    """Hörmann's transformed rejection (1993), with the constants of his algorithm BTRS."""
    stddev = lax.sqrt(count * prob * (1 - prob))
    b = 1.15 + 2.53 * stddev
    a = -0.0873 + 0.0248 * b + 0.01 * prob
    c = count * prob + 0.5
    v_r = 0.92 - 4.2 / b
    r = prob / (1 - prob)
    alpha = (2.83 + 5.1 / b) * stddev
    m = lax.floor((count + 1) * prob)
    table = asarray(np.array(_STIRLING_TAIL, dtype))

    def cond(state):
        i, _, accepted, _ = state
        return lax.bitwise_and(jnp.any(~accepted), i.astype(dtype) < finfo(dtype).max)

    def body(state):
        i, k_out, accepted, key = state
        key, key_u, key_v = subkeys(key, 3)
        u = _uniform(key_u, shape, dtype, 0.0, 1.0)
        v = _uniform(key_v, shape, dtype, 0.0, 1.0)
        u = u - 0.5
        us = 0.5 - lax.abs(u)
        accept1 = (us >= 0.07) & (v <= v_r)
        k = lax.floor((2 * a / us + b) * u + c)
        reject = (k < 0) | (k > count)
        v = lax.log(v * alpha / (a / (us * us) + b))
        bound = (
            (m + 0.5) * lax.log((m + 1) / (r * (count - m + 1)))
            + (count + 1) * lax.log((count - m + 1) / (count - k + 1))
            + (k + 0.5) * lax.log(r * (count - k + 1) / (k + 1))
            + _stirling_tail(m, table)
            + _stirling_tail(count - m, table)
            - _stirling_tail(k, table)
            - _stirling_tail(count - k, table)
        )
        accept = accept1 | (~reject & (v <= bound))
        return i + 1, lax.select(accept, k, k_out), accepted | accept, key

    state = (np.int32(0), lax.full_like(prob, -1), lax.full(shape, False, np.bool_), key)
    return lax.while_loop(cond, body, state)[1]


def binomial_of(key, count, prob, shape, dtype):
    """Binomial samples for arrays `count` and `prob` of the result's shape and dtype."""
    # Successes are counted on the rarer side, by inversion where few are expected and by rejection elsewhere; each
    # method gets harmless parameters where the other one's result is taken.
    flipped = prob < 0.5
    p = lax.select(flipped, prob, 1 - prob)
    count_bad = (count != count) | (count < 0)
    infinite = lax.abs(count) == np.inf
    p_nan, p_negative = p != p, p < 0
    q = lax.select(p_nan | p_negative, lax.full_like(p, 0.01), p)
    use_inversion = count_bad | (count * q <= 10)
    whole = lax.floor(count)
    inversion_count = lax.select(use_inversion, whole, lax.full_like(whole, 0))
    rejection_count = lax.select(use_inversion, lax.full_like(whole, 1e4), whole)
    rejection_prob = lax.select(use_inversion, lax.full_like(q, 0.5), q)
    by_inversion = _binomial_inversion(key, inversion_count, q, shape, dtype)
    by_rejection = _binomial_rejection(key, rejection_count, rejection_prob, shape, dtype)
    samples = lax.select(use_inversion, by_inversion, by_rejection)
    invalid = p_negative | p_nan | count_bad
    samples = lax.select(invalid, lax.full_like(samples, np.nan), samples)
    samples = lax.select(infinite & ~invalid, lax.full_like(samples, np.inf), samples)
    return lax.select(flipped | count_bad | p_nan | infinite, samples, whole - samples)


@partial(jit, static_argnums=(3, 4), inline=True)
def _binomial(key, n, p, shape, dtype):
    count, prob = (jnp.broadcast_to(lax.convert_element_type(x, dtype), shape) for x in (n, p))
    return binomial_of(key, count, prob, shape, dtype)


def binomial(key, n, p, shape=None, dtype=None):
    """Samples of the binomial distribution: successes among `n` trials of probability `p`, in a float dtype."""
    key = single_key("binomial", key)
    dtype = float_dtype("binomial", dtype)
    n, p = array_argument("binomial", n, 1), array_argument("binomial", p, 2)
    return _binomial(key, n, p, parameter_shape("binomial", shape, n, p), dtype)


def multinomial(key, n, p, *, shape=None, dtype=None, unroll=1):
    """Samples of the multinomial distribution.

    Args:
      key: a PRNG key.
      n: numbers of trials.
      p: probabilities of the categories, of shape `(..., k)`, whose batch shape broadcasts with that of `n`.
      shape: shape of the result, ending in `k`.
      dtype: a float dtype.
      unroll: how many categories a step of the loop over them handles.
    """
    key = single_key("multinomial", key)
    dtype = float_dtype("multinomial", dtype)
    n, p = array_argument("multinomial", n, 1), array_argument("multinomial", p, 2)
    check_rank("multinomial", "p", p, 1)
    p, n = p.astype(dtype), n.astype(dtype)
    shape = parameter_shape("multinomial", shape, np.empty((*n.shape, 1), bool), np.empty(p.shape, bool))
    n, p = jnp.broadcast_to(n, shape[:-1]), jnp.broadcast_to(p, shape)
    p = jnp.moveaxis(p, -1, 0)
    remaining = lax.cumsum(p, axis=0, reverse=True)
    ratios = p / jnp.where(remaining == 0, np.array(1, dtype), remaining)
    keys = random_split_p.bind(key, shape=(ratios.shape[0],))

    def step(remainder, inputs):
        ratio, key = inputs
        ratio = lax.clamp(np.array(0, dtype), ratio, np.array(1, dtype))
        count = binomial_of(key, remainder, ratio, shape[:-1], dtype)
        return remainder - count, count

    _, counts = lax.scan(step, n, (ratios, keys), unroll=unroll)
    return jnp.moveaxis(counts, 0, -1)
