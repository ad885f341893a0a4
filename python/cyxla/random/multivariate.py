"""Distributions of vectors and matrices that need linear algebra."""

from functools import partial
from operator import index

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._transform.jit import jit
from cyxla.lax._util import check_choice, check_rank
from cyxla.random._arguments import array_argument, batch_shape, float_dtype, place, sample_shape
from cyxla.random.continuous import _normal
from cyxla.random.keys import single_key


@partial(jit, static_argnums=(3, 4, 5))
def _multivariate_normal(key, mean, cov, shape, dtype, method):
    from cyxla.numpy import linalg

    mean, cov = lax.convert_element_type(mean, dtype), lax.convert_element_type(cov, dtype)
    if method == "cholesky":
        factor = linalg.cholesky(cov)
    elif method == "eigh":
        w, v = linalg.eigh(cov)
        factor = v * jnp.sqrt(w)[..., None, :]
    else:
        u, s, _ = linalg.svd(cov)
        factor = u * jnp.sqrt(s)[..., None, :]
    z = _normal(key, shape + mean.shape[-1:], dtype)
    return mean + jnp.einsum("...ij,...j->...i", factor, z)


def multivariate_normal(key, mean, cov, shape=None, dtype=None, method="cholesky", *, out_sharding=None):
    """Normal vectors of the given mean and covariance.

    Args:
      key: a PRNG key.
      mean: array of shape `(..., n)`.
      cov: array of shape `(..., n, n)`, symmetric and positive semidefinite.
      shape: batch shape of the result; by default that of `mean` and `cov` together.
      dtype: a float dtype.
      method: how the covariance is factored: "cholesky" (fastest), "eigh" or "svd" (for singular matrices).
    """
    key = single_key("multivariate_normal", key)
    mean, cov = array_argument("multivariate_normal", mean, 1), array_argument("multivariate_normal", cov, 2)
    dtype = float_dtype("multivariate_normal", dtype)
    check_choice("multivariate_normal", "method", method, ("cholesky", "eigh", "svd"))
    check_rank("multivariate_normal", "mean", mean, 1)
    check_rank("multivariate_normal", "cov", cov, 2)
    n = mean.shape[-1]
    if cov.shape[-2:] != (n, n):
        raise ValueError(
            f"multivariate_normal: means of {n} components need covariances of shape (..., {n}, {n}), got shape "
            f"{cov.shape}"
        )
    shape = batch_shape("multivariate_normal", shape, mean.shape[:-1], cov.shape[:-2])
    return place(_multivariate_normal(key, mean, cov, shape, dtype, method), out_sharding)


@partial(jit, static_argnums=(1, 2, 3, 4))
def _orthogonal(key, n, m, shape, dtype):
    from cyxla.numpy import linalg

    z = _normal(key, (*shape, max(n, m), min(n, m)), dtype)
    q, r = linalg.qr(z)
    d = jnp.diagonal(r, axis1=-2, axis2=-1)
    # The signs make the distribution uniform: those of the QR decomposition are a convention of its algorithm.
    x = q * jnp.expand_dims(jnp.sign(d), -2)
    return x if n >= m else jnp.conj(jnp.swapaxes(x, -1, -2))


def orthogonal(key, n, shape=(), dtype=None, m=None, *, out_sharding=None):
    """Uniformly random orthogonal (or unitary) matrices, of shape `shape + (n, n)`.

    With `m`, matrices of shape `(n, m)` whose columns (rows, if `n < m`) are orthonormal.
    """
    key = single_key("orthogonal", key)
    dtype = float_dtype("orthogonal", dtype, "fc")
    n = index(n)
    m = n if m is None else index(m)
    return place(_orthogonal(key, n, m, sample_shape(shape), dtype), out_sharding)
