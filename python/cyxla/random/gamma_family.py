"""The gamma distribution and what is made of gamma variables: beta, chi-square, Dirichlet, F, t, generalized normal.

Gamma variables come from the squeeze-and-reject method of Marsaglia and Tsang (2000), each element from a key of its
own. The derivative in the shape parameter is implicit: that of the regularized incomplete gamma function
(lax.random_gamma_grad).
"""

import math
from functools import partial
from operator import index

import numpy as np
from ml_dtypes import finfo

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._engine.array import asarray
from cyxla._engine.aval import shaped_array
from cyxla._engine.core import Primitive
from cyxla._transform.jit import jit
from cyxla._transform.lower import lower_fun
from cyxla.lax._util import batch_size, check_rank, to_front
from cyxla.random._arguments import array_argument, float_dtype, parameter_shape, place, sample_shape
from cyxla.random.continuous import _exponential, _normal, normal_of
from cyxla.random.keys import random_split_p, single_key, unwrap, wrap
from cyxla.random.uniform_family import _rademacher, subkeys, uniform_of


def _select_keys(which, new, old):
    """Key by key, `new` where `which` holds."""
    impl = new.dtype.impl
    shape = new.shape + impl.key_shape
    which = lax.broadcast_in_dim(which, shape, tuple(range(new.ndim)))
    return wrap(lax.select(which, unwrap(new), unwrap(old)), impl)


def _gamma_samples(keys, alpha, log_space):
    """One gamma variable (or its logarithm) for each pair of a key and a shape parameter, both of shape [n]."""
    dtype = alpha.dtype

    def c(value):
        return np.array(value, dtype)

    def full(value):
        return lax.full_like(alpha, value)

    # Shape parameters below 1 are drawn at alpha + 1 and brought back with a power of a uniform variable ("boost").
    large = lax.ge(alpha, c(1))
    d = lax.sub(lax.select(large, alpha, lax.add(alpha, c(1))), c(1 / 3))
    slope = lax.div(c(1 / 3), lax.sqrt(d))
    keys, boost_keys = subkeys(keys)

    def rejected(x_sq, v, u):
        squeeze = lax.ge(u, lax.sub(c(1), lax.mul(c(0.0331), lax.mul(x_sq, x_sq))))
        bound = lax.add(lax.mul(x_sq, c(0.5)), lax.mul(d, lax.add(lax.sub(c(1), v), lax.log(v))))
        return lax.bitwise_and(squeeze, lax.ge(lax.log(u), bound))

    def propose(state):
        keys, normal_keys = subkeys(state[0])
        x = normal_of(normal_keys, (), dtype)
        return keys, x, lax.add(c(1), lax.mul(x, slope))

    def positive_proposal(keys):
        """A normal variable x with v = 1 + slope x > 0."""

        def body(state):
            again = lax.le(state[2], c(0))
            new = propose(state)
            return (
                _select_keys(again, new[0], state[0]),
                *(lax.select(again, a, b) for a, b in zip(new[1:], state[1:])),
            )

        return lax.while_loop(lambda state: jnp.any(lax.le(state[2], c(0))), body, (keys, full(0), full(-1)))[1:]

    def body(state):
        keys, x_sq, v, u = state
        again = rejected(x_sq, v, u)
        new_keys, normal_keys, uniform_keys = subkeys(keys, 3)
        x, cube = positive_proposal(normal_keys)
        new = (lax.mul(x, x), lax.mul(lax.mul(cube, cube), cube), uniform_of(uniform_keys, (), dtype, 0.0, 1.0))
        return (_select_keys(again, new_keys, keys), *(lax.select(again, a, b) for a, b in zip(new, (x_sq, v, u))))

    state = lax.while_loop(lambda s: jnp.any(rejected(*s[1:])), body, (keys, full(0), full(1), full(2)))
    v = state[2]
    if log_space:
        log_u = lax.log1p(lax.neg(uniform_of(boost_keys, (), dtype, 0.0, 1.0)))
        unused = lax.bitwise_or(large, lax.eq(log_u, c(0)))
        boost = lax.select(unused, full(0), lax.mul(log_u, lax.div(c(1), alpha)))
        return lax.add(lax.add(lax.log(d), lax.log(v)), boost)
    u = lax.sub(c(1), uniform_of(boost_keys, (), dtype, 0.0, 1.0))
    boost = lax.select(large, full(1), lax.pow(u, lax.div(c(1), alpha)))
    return lax.mul(lax.mul(d, v), boost)


def _gamma_lower(keys, alpha, *, log_space):
    # keys[*batch] and alpha[*batch, *shape]: each key is split among the elements of its part of alpha.
    return random_gamma_each_p.bind(_element_keys(keys, alpha.shape[keys.ndim :]), alpha, log_space=log_space)


def _element_keys(keys, shape):
    """Keys of shape `keys.shape + shape`: the splits of each key."""
    impl = keys.dtype.impl
    split = unwrap(random_split_p.bind(keys, shape=(math.prod(shape),)))
    return wrap(lax.reshape(split, keys.shape + shape + impl.key_shape), impl)


def _gamma_abstract(keys, alpha, *, log_space):
    if alpha.shape[: keys.ndim] != keys.shape:
        raise TypeError(
            f"random_gamma: the shape of alpha {alpha.shape} must begin with that of the keys, {keys.shape}"
        )
    return shaped_array(alpha.shape, alpha.code, False)


def _gamma_jvp(t, ans, keys, alpha, *, log_space):
    if not log_space:
        return lax.mul(t, lax.random_gamma_grad(alpha, ans))
    # d log(g) / d alpha = (dg / d alpha) / g, with g kept away from where it underflows.
    sample = lax.exp(ans)
    tiny = lax.full_like(ans, finfo(ans.dtype).tiny)
    sample = lax.select(lax.eq(sample, np.array(0, ans.dtype)), tiny, sample)
    return lax.mul(t, lax.div(lax.random_gamma_grad(alpha, sample), sample))


def _gamma_batch(args, dims, *, log_space):
    size = batch_size(args, dims)
    keys, alpha = args
    if dims[0] is None:
        # Every member of the batch draws with the same keys, which are split once.
        alpha = to_front(alpha, dims[1], size)
        keys = to_front(_element_keys(keys, alpha.shape[1 + keys.ndim :]), None, size)
        return random_gamma_each_p.bind(keys, alpha, log_space=log_space), 0
    keys, alpha = (to_front(x, d, size) for x, d in zip(args, dims))
    return random_gamma_p.bind(keys, alpha, log_space=log_space), 0


random_gamma_p = Primitive(
    "random_gamma",
    abstract=_gamma_abstract,
    lower=lower_fun(_gamma_lower),
    jvps=(None, _gamma_jvp),
    batch=_gamma_batch,
)


def _gamma_each_lower(keys, alpha, *, log_space):
    flat_keys, flat = lax.reshape(keys, (keys.size,)), lax.reshape(alpha, (alpha.size,))
    return lax.reshape(_gamma_samples(flat_keys, flat, log_space), alpha.shape)


def _gamma_each_batch(args, dims, *, log_space):
    size = batch_size(args, dims)
    keys, alpha = (to_front(x, d, size) for x, d in zip(args, dims))
    return random_gamma_each_p.bind(keys, alpha, log_space=log_space), 0


# What random_gamma becomes once each element has a key.
random_gamma_each_p = Primitive(
    "random_gamma_each",
    abstract=_gamma_abstract,
    lower=lower_fun(_gamma_each_lower),
    jvps=(None, _gamma_jvp),
    batch=_gamma_each_batch,
)


@partial(jit, static_argnums=(2, 3, 4))
def _gamma(key, a, shape, dtype, log_space):
    a = jnp.broadcast_to(lax.convert_element_type(a, dtype), shape)
    return random_gamma_p.bind(key, a, log_space=log_space)


def _gamma_public(name, key, a, shape, dtype, log_space):
    key = single_key(name, key)
    dtype = float_dtype("gamma", dtype)
    return _gamma(key, a, parameter_shape("gamma", shape, a), dtype, log_space)


def gamma(key, a, shape=None, dtype=None, *, out_sharding=None):
    """Samples of the gamma distribution of shape parameter `a` and scale 1; differentiable in `a`.

    Args:
      key: a PRNG key.
      a: shape parameter, which broadcasts to `shape`.
      shape: shape of the result, by default that of `a`.
      dtype: a float dtype, by default float32 (float64 with `jax_enable_x64`).
    """
    return place(_gamma_public("gamma", key, a, shape, dtype, False), out_sharding)


def loggamma(key, a, shape=None, dtype=None, *, out_sharding=None):
    """Logarithms of gamma variables, accurate where these themselves would underflow. See `gamma`."""
    return place(_gamma_public("loggamma", key, a, shape, dtype, True), out_sharding)


@partial(jit, static_argnums=(3, 4))
def _beta(key, a, b, shape, dtype):
    a, b = (jnp.broadcast_to(lax.convert_element_type(x, dtype), shape) for x in (a, b))
    key_a, key_b = subkeys(key)
    log_a, log_b = _gamma(key_a, a, shape, dtype, True), _gamma(key_b, b, shape, dtype, True)
    largest = lax.max(log_a, log_b)
    x, y = lax.exp(lax.sub(log_a, largest)), lax.exp(lax.sub(log_b, largest))
    return lax.div(x, lax.add(x, y))


def beta(key, a, b, shape=None, dtype=None, *, out_sharding=None):
    """Samples of the beta distribution. `a` and `b` broadcast to `shape`."""
    key = single_key("beta", key)
    dtype = float_dtype("beta", dtype)
    return place(_beta(key, a, b, parameter_shape("beta", shape, a, b), dtype), out_sharding)


@partial(jit, static_argnums=(2, 3))
def _chisquare(key, df, shape, dtype):
    half = lax.div(lax.convert_element_type(df, dtype), np.array(2, dtype))
    return lax.mul(lax.exp(_gamma(key, half, shape, dtype, True)), np.array(2, dtype))


def chisquare(key, df, shape=None, dtype=None, *, out_sharding=None):
    """Samples of the chi-square distribution with `df` degrees of freedom."""
    key = single_key("chisquare", key)
    dtype = float_dtype("chisquare", dtype)
    return place(_chisquare(key, df, parameter_shape("chisquare", shape, df), dtype), out_sharding)


@partial(jit, static_argnums=(3, 4))
def _f(key, dfnum, dfden, shape, dtype):
    dfnum, dfden = (lax.convert_element_type(x, dtype) for x in (dfnum, dfden))
    key_den, key_num = subkeys(key)
    num, den = _chisquare(key_num, dfnum, shape, dtype), _chisquare(key_den, dfden, shape, dtype)
    return jnp.divide(jnp.divide(num, dfnum), jnp.divide(den, dfden))


def f(key, dfnum, dfden, shape=None, dtype=None, *, out_sharding=None):
    """Samples of the F distribution with `dfnum` and `dfden` degrees of freedom."""
    key = single_key("f", key)
    dtype = float_dtype("f", dtype)
    return place(_f(key, dfnum, dfden, parameter_shape("f", shape, dfnum, dfden), dtype), out_sharding)


@partial(jit, static_argnums=(2, 3))
def _t(key, df, shape, dtype):
    df = lax.convert_element_type(df, dtype)
    key_normal, key_gamma = subkeys(key)
    normal = _normal(key_normal, shape, dtype)
    half = lax.div(df, np.array(2, dtype))
    return lax.mul(normal, lax.sqrt(jnp.divide(half, _gamma(key_gamma, half, shape, dtype, False))))


def t(key, df, shape=None, dtype=None, *, out_sharding=None):
    """Samples of Student's t distribution with `df` degrees of freedom, which broadcasts to `shape`."""
    key = single_key("t", key)
    dtype = float_dtype("t", dtype)
    return place(_t(key, df, parameter_shape("t", shape, df), dtype), out_sharding)


def _softmax_last(x):
    largest = lax.stop_gradient(jnp.max(x, axis=-1, keepdims=True, initial=-jnp.inf))
    unnormalized = lax.exp(x - largest)
    return unnormalized / jnp.sum(unnormalized, axis=-1, keepdims=True)


@partial(jit, static_argnums=(2, 3))
def _dirichlet(key, alpha, shape, dtype):
    alpha = lax.convert_element_type(alpha, dtype)
    return _softmax_last(_gamma(key, alpha, shape + alpha.shape[-1:], dtype, True))


def dirichlet(key, alpha, shape=None, dtype=None, *, out_sharding=None):
    """Samples of the Dirichlet distribution.

    Args:
      key: a PRNG key.
      alpha: concentrations, of shape `(..., n)`.
      shape: batch shape of the result, which then has shape `shape + (n,)`; by default that of `alpha`.
      dtype: a float dtype.
    """
    key = single_key("dirichlet", key)
    dtype = float_dtype("dirichlet", dtype)
    alpha = array_argument("dirichlet", alpha)
    check_rank("dirichlet", "alpha", alpha, 1)
    shape = parameter_shape("dirichlet", shape, np.empty(alpha.shape[:-1], bool))
    return place(_dirichlet(key, alpha, shape, dtype), out_sharding)


@partial(jit, static_argnums=(2, 3))
def _generalized_normal(key, p, shape, dtype):
    key_size, key_sign = subkeys(key)
    exponent = 1 / asarray(p)
    size = _gamma(key_size, exponent, shape, dtype, False)
    sign = _rademacher(key_sign, shape, dtype)
    return lax.mul(sign, jnp.power(size, lax.convert_element_type(exponent, dtype)))


def generalized_normal(key, p, shape=(), dtype=None, *, out_sharding=None):
    """Samples of the generalized normal distribution, whose density is proportional to `exp(-|x|**p)`."""
    key = single_key("generalized_normal", key)
    dtype = float_dtype("gamma", dtype)
    return place(_generalized_normal(key, p, sample_shape(shape), dtype), out_sharding)


@partial(jit, static_argnums=(1, 3, 4))
def _ball(key, d, p, shape, dtype):
    key_direction, key_radius = subkeys(key)
    g = _generalized_normal(key_direction, p, (*shape, d), dtype)
    e = _exponential(key_radius, shape, dtype)
    p = asarray(p)
    total = jnp.power(lax.abs(g), p).astype(dtype).sum(-1) + e
    return g / jnp.power(total, lax.convert_element_type(1 / p, dtype))[..., None]


def ball(key, d, p=2, shape=(), dtype=None, *, out_sharding=None):
    """Points uniformly in the unit ball of the p-norm in `d` dimensions; the result has shape `shape + (d,)`."""
    key = single_key("ball", key)
    dtype = float_dtype("gamma", dtype)
    return place(_ball(key, index(d), p, sample_shape(shape), dtype), out_sharding)
