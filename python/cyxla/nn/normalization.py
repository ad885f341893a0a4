"""Softmax and its relatives, normalization, one-hot encoding."""

from functools import partial
from operator import index

import numpy as np

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._engine.array import asarray
from cyxla._transform.custom import custom_jvp
from cyxla._transform.jit import jit
from cyxla.lax._util import canonicalize_axis, check_choice
from cyxla.nn._arguments import inexact, operand
from cyxla.numpy.promotion import requested_dtype
from cyxla.scipy.special import logsumexp


def _shifted(x, axis, where):
    """x less its maximum, as a constant for derivatives, over `axis`; -inf where masked."""
    initial = -jnp.inf if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.iinfo(x.dtype).min
    largest = jnp.max(lax.stop_gradient(x), axis, where=where, initial=initial, keepdims=True)
    if where is not None:
        x = jnp.where(where, x, -jnp.inf)
    return x - largest


@partial(jit, static_argnames=("axis",), inline=True)
def softmax(x, axis=-1, where=None):
    """`exp(x) / sum(exp(x))` over an axis or axes.

    Args:
      x: array.
      axis: axis or axes over which the result sums to 1; None for all.
      where: boolean array, broadcastable to x: the elements that take part. The others are 0.

    >>> import cyxla as jax, cyxla.numpy as jnp
    >>> jax.nn.softmax(jnp.zeros(4))
    Array([0.25, 0.25, 0.25, 0.25], dtype=float32)
    """
    unnormalized = jnp.exp(_shifted(operand("softmax", x), axis, where))
    result = unnormalized / jnp.sum(unnormalized, axis, where=where, keepdims=True)
    return result if where is None else jnp.where(where, result, 0)


@partial(jit, static_argnames=("axis",))
def log_softmax(x, axis=-1, where=None):
    """`x - log(sum(exp(x)))` over an axis or axes; -inf where `where` is False."""
    shifted = _shifted(operand("log_softmax", x), axis, where)
    result = shifted - jnp.log(jnp.sum(jnp.exp(shifted), axis, where=where, keepdims=True))
    return result if where is None else jnp.where(where, result, -jnp.inf)


@partial(jit, static_argnames=("axis", "keepdims"))
def logmeanexp(x, axis=None, where=None, keepdims=False):
    """`log(mean(exp(x)))` over an axis or axes, of the elements where `where` holds."""
    x = operand("logmeanexp", x)
    total = logsumexp(x, axis=axis, where=where, keepdims=keepdims)
    if where is None:
        axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        count = asarray(float(np.prod([x.shape[a] for a in axes]))).astype(total.dtype)
    else:
        count = jnp.sum(jnp.broadcast_to(where, x.shape), axis=axis, keepdims=keepdims, dtype=total.dtype)
    return total - jnp.log(count)


@custom_jvp
@jit
def log1mexp(x):
    """`log(1 - exp(-x))` for positive x, accurate for small and large ones."""
    x = operand("log1mexp", x)
    return jnp.where(x < jnp.log(2.0), jnp.log(-jnp.expm1(-x)), jnp.log1p(-jnp.exp(-x)))


@log1mexp.defjvp
def _log1mexp_jvp(primals, tangents):
    # The branches' own derivatives are NaN where the other branch is taken.
    (x,), (t,) = primals, tangents
    return log1mexp(x), t / jnp.expm1(x)


@partial(jit, static_argnames=("axis", "algorithm"))
def standardize(x, axis=-1, mean=None, variance=None, epsilon=1e-5, where=None, *, algorithm="fast"):
    """`(x - mean) / sqrt(variance + epsilon)`.

    Args:
      x: array.
      axis: axis or axes over which the mean and variance are taken.
      mean, variance: use these instead.
      epsilon: added to the variance.
      where: the elements that count for the mean and variance.
      algorithm: how the variance is computed: "fast", as the mean square less the squared mean, or "stable", as the
        mean squared deviation.
    """
    x = operand("standardize", x)
    check_choice("standardize", "algorithm", algorithm, ("fast", "stable"))
    if mean is None:
        mean = jnp.mean(x, axis, keepdims=True, where=where)
    if variance is None:
        if algorithm == "fast":
            variance = jnp.mean(jnp.square(x), axis, keepdims=True, where=where) - jnp.square(mean)
            variance = jnp.clip(variance, 0)  # rounding may have made it negative
        else:
            variance = jnp.mean(jnp.square(x - mean), axis, keepdims=True, where=where)
    return jnp.subtract(x, mean) * lax.rsqrt(inexact(asarray(variance + epsilon)))


@partial(jit, static_argnums=(1, 2, 3))
def _one_hot(x, num_classes, dtype, axis):
    rank = x.ndim + 1
    shape = [1] * rank
    shape[axis] = num_classes
    classes = lax.broadcasted_iota(x.dtype, shape, axis)
    return jnp.equal(jnp.expand_dims(x, axis), classes).astype(dtype)


def one_hot(x, num_classes, *, dtype=None, axis=-1):
    """Vectors that are 1 at the index given and 0 elsewhere; all 0 for indices out of range.

    Args:
      x: array of indices.
      num_classes: length of the vectors.
      dtype: dtype of the result, by default the default float dtype.
      axis: where in the result the vectors lie.

    >>> import cyxla as jax, cyxla.numpy as jnp
    >>> jax.nn.one_hot(jnp.array([0, 2]), 3)
    Array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    x = asarray(np.asarray(x) if isinstance(x, (list, tuple)) else x)
    dtype = requested_dtype(float if dtype is None else dtype)
    try:
        num_classes = index(num_classes)
    except TypeError:
        raise TypeError(f"one_hot needs num_classes as a static integer, got {num_classes!r}") from None
    return _one_hot(x, num_classes, dtype, canonicalize_axis(axis, x.ndim + 1))
