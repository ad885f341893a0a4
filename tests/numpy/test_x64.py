"""Dtypes with 64-bit types enabled."""

import jax
import pytest
from numpy_oracle import agree, cases

import cyxla


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True), cyxla.enable_x64(True):
        yield


@cases("""
    each(jnp.sin, f, i, u, b, 1, 1.5, np.int64(3), np.float64(3)), each(jnp.sum, f, i, u, b, np.arange(3))
    each(jnp.mean, f, i, u, np.arange(3)), jnp.array(1), jnp.array([1, 2]), jnp.array([1.5]),
        jnp.array([1j])
    jnp.zeros(2), jnp.arange(3), jnp.arange(3.0), jnp.linspace(0, 1, 3), jnp.eye(2), jnp.full(2, 1.0), jnp.tri(2),
        jnp.hanning(4)
    f + 1, i + 1, f * np.float64(2), i / 2, u // 2, jnp.power(i, 2), jnp.clip(i, 0.5, 1),
        jnp.where(b, 1, 2.0)
    jnp.argmax(f), jnp.argsort(f), jnp.nonzero(b, size=2), jnp.count_nonzero(b), jnp.searchsorted(f, 1.0),
        jnp.digitize(f, q)
    jnp.cumsum(i), jnp.cumsum(u), jnp.prod(i), jnp.var(i), jnp.median(i), jnp.trace(j), jnp.std(u),
        jnp.percentile(i, 30)
    jnp.rint(i), jnp.angle(i), jnp.unwrap(i), jnp.hypot(i, i), jnp.sinc(i), jnp.histogram(i), jnp.interp(f, q, q),
        jnp.cov(j)
    jnp.unravel_index(5, (2, 3)), jnp.tril_indices(2), jnp.bincount(s, length=3), jnp.unique(s, True, True,
        True, size=3)
    jnp.frexp(np.float64(3.5)), jnp.ldexp(np.float64(1), 3), jnp.spacing(np.float64(1)),
        jnp.nan_to_num(np.float64(np.inf))
""")
def test_dtypes(expression):
    agree(expression, jitted=False)
