"""Continuous distributions that take a fixed number of uniform or normal samples each."""

from functools import partial

import numpy as np
from ml_dtypes import finfo

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._core.config import config
from cyxla._transform.jit import jit
from cyxla.lax._util import check_choice
from cyxla.numpy.promotion import kind
from cyxla.random._arguments import float_dtype, full_rank, parameter_shape, place, sample_shape
from cyxla.random.keys import single_key
from cyxla.random.uniform_family import _rademacher, _uniform, subkeys, uniform_of

# normal ---------------------------------------------------------------------------------------------------------------


def normal_of(keys, shape, dtype):
    """Standard normal samples, `shape` of them for each key."""
    low = np.nextafter(np.array(-1, dtype), np.array(0, dtype))
    u = uniform_of(keys, shape, dtype, low, np.array(1, dtype))
    return lax.mul(np.array(np.sqrt(2), dtype), lax.erf_inv(u))


@partial(jit, static_argnums=(1, 2))
def _normal_real(key, shape, dtype):
    low = np.nextafter(np.array(-1, dtype), np.array(0, dtype))
    u = _uniform(key, shape, dtype, low, np.array(1, dtype))
    return lax.mul(np.array(np.sqrt(2), dtype), lax.erf_inv(u))


@partial(jit, static_argnums=(1, 2))
def _normal(key, shape, dtype):
    if kind(dtype) != "c":
        return _normal_real(key, shape, dtype)
    part = np.dtype(np.float32 if dtype == np.complex64 else np.float64)
    re, im = (lax.convert_element_type(_normal_real(k, shape, part), dtype) for k in subkeys(key))
    return lax.div(lax.add(re, lax.mul(np.array(1j, dtype), im)), np.array(np.sqrt(part.type(2)), dtype))


def normal(key, shape=(), dtype=None, *, out_sharding=None):
    """Standard normal samples, for complex dtypes of total variance 1.

    Args:
      key: a PRNG key.
      shape: shape of the result.
      dtype: a float or complex dtype, by default float32 (float64 with `jax_enable_x64`).

    >>> import cyxla as jax
    >>> jax.random.normal(jax.random.key(0), (2,))
    Array([1.6226422, 2.0252647], dtype=float32)
    """
    key = single_key("normal", key)
    dtype = float_dtype("normal", dtype, "fc")
    return place(_normal(key, sample_shape(shape), dtype), out_sharding)


@partial(jit, static_argnums=(3, 4))
def _truncated_normal(key, lower, upper, shape, dtype):
    lower, upper = (lax.convert_element_type(x, dtype) for x in (lower, upper))
    sqrt2 = np.array(np.sqrt(2), dtype)
    a, b = lax.erf(lax.div(lower, sqrt2)), lax.erf(lax.div(upper, sqrt2))
    u = _uniform(key, shape, dtype, a, b)
    out = lax.mul(sqrt2, lax.erf_inv(u))
    # Rounding must not carry a sample out of the open interval.
    first = lax.nextafter(lax.stop_gradient(lower), np.array(np.inf, dtype))
    last = lax.nextafter(lax.stop_gradient(upper), np.array(-np.inf, dtype))
    return jnp.clip(out, first, last)


def truncated_normal(key, lower, upper, shape=None, dtype=None, *, out_sharding=None):
    """Standard normal samples, given that they lie in `(lower, upper)`.

    The bounds broadcast to `shape`, whose default is their common shape.
    """
    key = single_key("truncated_normal", key)
    dtype = float_dtype("truncated_normal", dtype)
    shape = parameter_shape("truncated_normal", shape, lower, upper)
    return place(_truncated_normal(key, lower, upper, shape, dtype), out_sharding)


@partial(jit, static_argnums=(2, 3), inline=True)
def _lognormal(key, sigma, shape, dtype):
    sigma = jnp.broadcast_to(lax.convert_element_type(sigma, dtype), shape)
    return lax.exp(lax.mul(_normal(key, shape, dtype), sigma))


def lognormal(key, sigma=np.float32(1), shape=None, dtype=None, *, out_sharding=None):
    """Samples of the exponential of normal variables of standard deviation `sigma`."""
    key = single_key("lognormal", key)
    dtype = float_dtype("lognormal", dtype)
    return place(_lognormal(key, sigma, parameter_shape("lognormal", shape, sigma), dtype), out_sharding)


# of one uniform sample ------------------------------------------------------------------------------------------------


def _unit(key, shape, dtype):
    return _uniform(key, shape, dtype, 0.0, 1.0)


@partial(jit, static_argnums=(1, 2))
def _exponential(key, shape, dtype):
    return lax.neg(lax.log1p(lax.neg(_unit(key, shape, dtype))))


def exponential(key, shape=(), dtype=None, *, out_sharding=None):
    """Samples of the exponential distribution of rate 1."""
    key = single_key("exponential", key)
    dtype = float_dtype("exponential", dtype)
    return place(_exponential(key, sample_shape(shape), dtype), out_sharding)


@partial(jit, static_argnums=(1, 2, 3))
def _gumbel(key, shape, dtype, mode):
    info = finfo(dtype)
    if mode == "high":
        # A second word below the first one's resolution, where it counts: near 0 after the reflection below.
        u = _uniform(key, (2, *shape), dtype, 0.0, 1.0)
        coarse, fine = u[0], u[1]
        tail = lax.add(lax.add(coarse, lax.mul(np.array(info.eps, dtype), fine)), np.array(info.tiny, dtype))
        x = jnp.where(lax.ge(coarse, np.array(0.5, dtype)), coarse, tail)
        return lax.neg(lax.log(lax.neg(lax.log1p(lax.neg(x)))))
    u = _uniform(key, shape, dtype, np.array(info.tiny, dtype), 1.0)
    return lax.neg(lax.log(lax.neg(lax.log(u))))


def gumbel_mode(mode):
    """The `mode` argument, whose default is what `jax_high_dynamic_range_gumbel` says."""
    if mode is None:
        return "high" if config.jax_high_dynamic_range_gumbel else "low"
    check_choice("gumbel", "mode", mode, ("high", "low"))
    return mode


def gumbel(key, shape=(), dtype=None, mode=None, *, out_sharding=None):
    """Samples of the standard Gumbel distribution.

    `mode` is "low", or "high" for samples with tails beyond the resolution of one float's mantissa.
    """
    key = single_key("gumbel", key)
    dtype = float_dtype("gumbel", dtype)
    return place(_gumbel(key, sample_shape(shape), dtype, gumbel_mode(mode)), out_sharding)


@partial(jit, static_argnums=(1, 2))
def _laplace(key, shape, dtype):
    low = np.array(-1 + finfo(dtype).epsneg, dtype)
    u = _uniform(key, shape, dtype, low, 1.0)
    return lax.mul(lax.sign(u), lax.log1p(lax.neg(lax.abs(u))))


def laplace(key, shape=(), dtype=None, *, out_sharding=None):
    """Samples of the standard Laplace distribution."""
    key = single_key("laplace", key)
    dtype = float_dtype("laplace", dtype)
    return place(_laplace(key, sample_shape(shape), dtype), out_sharding)


@partial(jit, static_argnums=(1, 2))
def _logistic(key, shape, dtype):
    u = _uniform(key, shape, dtype, np.array(finfo(dtype).tiny, dtype), 1.0)
    return lax.sub(lax.log(u), lax.log1p(lax.neg(u)))


def logistic(key, shape=(), dtype=None, *, out_sharding=None):
    """Samples of the standard logistic distribution."""
    key = single_key("logistic", key)
    dtype = float_dtype("logistic", dtype)
    return place(_logistic(key, sample_shape(shape), dtype), out_sharding)


@partial(jit, static_argnums=(1, 2))
def _cauchy(key, shape, dtype):
    u = _uniform(key, shape, dtype, np.array(finfo(dtype).eps, dtype), 1.0)
    return lax.tan(lax.mul(np.array(np.pi, dtype), lax.sub(u, np.array(0.5, dtype))))


def cauchy(key, shape=(), dtype=None, *, out_sharding=None):
    """Samples of the standard Cauchy distribution."""
    key = single_key("cauchy", key)
    dtype = float_dtype("cauchy", dtype)
    return place(_cauchy(key, sample_shape(shape), dtype), out_sharding)


@partial(jit, static_argnums=(2, 3))
def _pareto(key, b, shape, dtype):
    b = lax.convert_element_type(b, dtype)
    return lax.exp(jnp.divide(_exponential(key, shape, dtype), b))


def pareto(key, b, shape=None, dtype=None, *, out_sharding=None):
    """Samples of the Pareto distribution of shape parameter `b`, which broadcasts to `shape`."""
    key = single_key("pareto", key)
    dtype = float_dtype("pareto", dtype)
    return place(_pareto(key, b, parameter_shape("pareto", shape, b), dtype), out_sharding)


@partial(jit, static_argnums=(2, 3))
def _rayleigh(key, scale, shape, dtype):
    u = _unit(key, shape, dtype)
    scale = lax.convert_element_type(scale, dtype)
    return jnp.multiply(scale, lax.sqrt(lax.mul(lax.log(u), np.array(-2, dtype))))


def rayleigh(key, scale, shape=None, dtype=None, *, out_sharding=None):
    """Samples of the Rayleigh distribution. `scale` broadcasts to `shape`."""
    key = single_key("rayleigh", key)
    dtype = float_dtype("rayleigh", dtype)
    return place(_rayleigh(key, scale, parameter_shape("rayleigh", shape, scale), dtype), out_sharding)


@partial(jit, static_argnums=(3, 4))
def _weibull_min(key, scale, concentration, shape, dtype):
    u = _uniform(key, shape, dtype, 0, 1)
    concentration, scale = (lax.convert_element_type(x, dtype) for x in (concentration, scale))
    return jnp.power(lax.neg(lax.log1p(lax.neg(u))), 1.0 / concentration) * scale


def weibull_min(key, scale, concentration, shape=(), dtype=None):
    """Samples of the Weibull distribution (of the minimum) with the given scale and concentration."""
    key = single_key("weibull_min", key)
    dtype = float_dtype("weibull_min", dtype)
    return _weibull_min(key, scale, concentration, sample_shape(shape), dtype)


def triangular(key, left, mode, right, shape=None, dtype=None, *, out_sharding=None):
    """Samples of the triangular distribution over `(left, right)` with its peak at `mode`."""
    key = single_key("triangular", key)
    dtype = float_dtype("triangular", dtype)
    shape = parameter_shape("triangular", shape, left, mode, right)
    return place(_triangular(key, left, mode, right, shape, dtype), out_sharding)


@partial(jit, static_argnums=(4, 5), inline=True)
def _triangular(key, left, mode, right, shape, dtype):
    left, mode, right = (jnp.broadcast_to(lax.convert_element_type(x, dtype), shape) for x in (left, mode, right))
    fc = lax.div(lax.sub(mode, left), lax.sub(right, left))
    u = _unit(key, shape, dtype)
    below = lax.add(left, lax.sqrt(lax.mul(lax.mul(u, lax.sub(right, left)), lax.sub(mode, left))))
    rest = lax.sub(np.array(1, dtype), u)
    above = lax.sub(right, lax.sqrt(lax.mul(lax.mul(rest, lax.sub(right, left)), lax.sub(right, mode))))
    return lax.select(lax.lt(u, fc), below, above)


# of several -----------------------------------------------------------------------------------------------------------


@jit
def _norms(z):
    return lax.sqrt(jnp.sum(lax.mul(z, z), z.ndim - 1))


def _maxwell(key, shape, dtype):
    # Two programs: XLA would sum in another way if it saw the whole, and the last bit would differ from jax's.
    return _norms(_normal(key, (*shape, 3), dtype))


def maxwell(key, shape=(), dtype=None, *, out_sharding=None):
    """Samples of the one-sided Maxwell distribution: norms of standard normal vectors of three dimensions."""
    key = single_key("maxwell", key)
    dtype = float_dtype("maxwell", dtype)
    return place(_maxwell(key, sample_shape(shape), dtype), out_sharding)


@jit
def _signed(sign, size, loc, scale):
    loc, scale = (full_rank(lax.convert_element_type(x, size.dtype), size.ndim) for x in (loc, scale))
    return lax.mul(sign, size) * scale + loc


def double_sided_maxwell(key, loc, scale, shape=(), dtype=None):
    """Samples of the Maxwell distribution with random signs, scaled and moved.

    The result has the shape `shape` (by default the common shape of `loc` and `scale`), followed by that common shape.
    """
    key = single_key("double_sided_maxwell", key)
    dtype = float_dtype("double_sided_maxwell", dtype)
    parameters = parameter_shape("double_sided_maxwell", None, loc, scale)
    shape = (sample_shape(shape) or parameters) + parameters
    for_size, for_sign = subkeys(key)
    return _signed(_rademacher(for_sign, shape, dtype), _maxwell(for_size, shape, dtype), loc, scale)


@partial(jit, static_argnums=(2, 3))
def _wald(key, mean, shape, dtype):
    for_normal, for_choice = subkeys(key)
    mean = jnp.broadcast_to(lax.convert_element_type(mean, dtype), shape)
    v, z = _normal(for_normal, shape, dtype), _unit(for_choice, shape, dtype)
    y = lax.integer_pow(v, 2)
    y_sq, mean_sq = lax.integer_pow(y, 2), lax.integer_pow(mean, 2)
    two, four = np.array(2, dtype), np.array(4, dtype)
    root = lax.sqrt(lax.add(lax.mul(lax.mul(four, mean), y), lax.mul(mean_sq, y_sq)))
    x = lax.sub(lax.add(mean, lax.div(lax.mul(mean_sq, y), two)), lax.mul(lax.div(mean, two), root))
    keep = lax.le(z, lax.div(mean, lax.add(mean, x)))
    return lax.select(keep, x, lax.div(mean_sq, x))


def wald(key, mean, shape=None, dtype=None, *, out_sharding=None):
    """Samples of the Wald (inverse Gaussian) distribution of the given mean and scale 1."""
    key = single_key("wald", key)
    dtype = float_dtype("wald", dtype)
    return place(_wald(key, mean, parameter_shape("wald", shape, mean), dtype), out_sharding)
