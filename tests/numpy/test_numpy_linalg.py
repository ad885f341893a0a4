"""Linear algebra: against jax where results are unique, by their defining equations where they are not."""

import numpy as np
import pytest
from numpy_oracle import agree, cases

import cyxla
import cyxla.numpy as jnp

A = np.array([[4.0, 1.0, -2.0], [1.0, 3.0, 0.5], [0.0, -1.0, 5.0]], np.float32)
S = (A + A.T).astype(np.float32)
T = np.stack([A, S])


@cases("""
    jnp.linalg.norm(f), jnp.linalg.norm(g), jnp.linalg.norm(f, 1), jnp.linalg.norm(f, 3), jnp.linalg.norm(f, jnp.inf),
        jnp.linalg.norm(f, -jnp.inf), jnp.linalg.norm(f, 0), jnp.linalg.norm(g, axis=1), jnp.linalg.norm(i),
        jnp.linalg.norm(c)
    jnp.linalg.norm(g, 'fro'), jnp.linalg.norm(g, 1), jnp.linalg.norm(g, -1), jnp.linalg.norm(g, jnp.inf),
        jnp.linalg.norm(g, 2), jnp.linalg.norm(g, 'nuc'), jnp.linalg.norm(t, axis=(1, 2)),
        jnp.linalg.norm(g, keepdims=True),
        jnp.linalg.norm(t, 2, axis=(0, 2), keepdims=True)
    jnp.linalg.vector_norm(g), jnp.linalg.vector_norm(g, axis=0, ord=1), jnp.linalg.matrix_norm(t), jnp.linalg.norm(h)
    jnp.linalg.norm(t, axis=(0, 1, 2))
    jnp.linalg.norm(f, 'fro')
    jnp.linalg.norm(g, 'bad')
    jnp.linalg.det(m), jnp.linalg.det(t[:, :3, :3]), jnp.linalg.det(jnp.eye(4) * 2), jnp.linalg.det(m[:1, :1]),
        jnp.linalg.det(j[:, :2])
    jnp.linalg.slogdet(m), jnp.linalg.slogdet(-m), jnp.linalg.slogdet(jnp.zeros((2, 2))),
        jnp.linalg.slogdet(m, method='qr')
    jnp.linalg.det(g)
    jnp.linalg.slogdet(f)
    jnp.linalg.slogdet(m, method='x')
    jnp.linalg.inv(m), jnp.linalg.inv(jnp.stack([m, 2 * m])), jnp.linalg.solve(m, f[:2]), jnp.linalg.solve(m, g),
        jnp.linalg.solve(jnp.stack([m, 2 * m]), g), jnp.linalg.inv(j[:, :2])
    jnp.linalg.inv(g)
    jnp.linalg.solve(m, f)
    jnp.linalg.cholesky(m), jnp.linalg.cholesky(m, upper=True), jnp.linalg.cholesky(-m)
    jnp.linalg.eigvalsh(m), jnp.linalg.eigvalsh(m, 'U'), jnp.linalg.svdvals(g), jnp.linalg.svd(g, compute_uv=False),
        jnp.linalg.svd(m, compute_uv=False, hermitian=True)
    jnp.linalg.eigh(m, 'X')
    jnp.linalg.matrix_power(m, 3), jnp.linalg.matrix_power(m, 0), jnp.linalg.matrix_power(m, -2),
        jnp.linalg.matrix_power(m, 1)
    jnp.linalg.matrix_power(g, 2)
    jnp.linalg.matrix_power(m, 1.5)
    jnp.linalg.matrix_rank(m), jnp.linalg.matrix_rank(jnp.ones((3, 3))), jnp.linalg.matrix_rank(f),
        jnp.linalg.matrix_rank(m, hermitian=True)
    jnp.linalg.pinv(g), jnp.linalg.pinv(m, hermitian=True), jnp.linalg.pinv(jnp.ones((2, 3)))
    jnp.linalg.lstsq(g.T, f[:3])[:3], jnp.linalg.lstsq(m, g)[0], jnp.linalg.lstsq(g, f[:2])[3]
    jnp.linalg.cond(m), jnp.linalg.cond(m, 1), jnp.linalg.cond(m, -2), jnp.linalg.cond(jnp.zeros((2, 2)))
    jnp.linalg.multi_dot([g, g.T, m]), jnp.linalg.multi_dot([f[:2], m, g]), jnp.linalg.multi_dot([m, f[:2]])
    jnp.linalg.multi_dot([m, g, g])
    jnp.linalg.cross(g, g[::-1]), jnp.linalg.diagonal(t), jnp.linalg.trace(t), jnp.linalg.matrix_transpose(t),
        jnp.linalg.outer(f, q), jnp.linalg.vecdot(g, g), jnp.linalg.tensordot(g, m, axes=(0, 0)),
        jnp.linalg.matmul(m, g)
    jnp.linalg.cross(f, q)
    jnp.linalg.tensorinv(jnp.eye(6).reshape(2, 3, 6), 2),
        jnp.linalg.tensorsolve(jnp.eye(6).reshape(2, 3, 2, 3) * 2, g)
    jnp.linalg.tensorinv(g, 1)
""")  # fmt: skip
def test_values(expression):
    agree(expression, tolerance=1e-3, weak_types=False)


def test_qr():
    for mode, shape in (("reduced", (3, 2)), ("complete", (3, 3))):
        q, r = jnp.linalg.qr(A[:, :2], mode=mode)
        assert q.shape == shape
        np.testing.assert_allclose(q @ r, A[:, :2], atol=1e-5)
        np.testing.assert_allclose(q.T @ q, np.eye(shape[1]), atol=1e-5)
        assert np.all(np.tril(np.asarray(r), -1) == 0)
    np.testing.assert_allclose(np.abs(jnp.linalg.qr(A, mode="r")), np.abs(np.linalg.qr(A, mode="r")), atol=1e-5)


def test_eigh_and_svd():
    w, v = jnp.linalg.eigh(T + T.transpose(0, 2, 1))
    np.testing.assert_allclose(v @ (w[..., None] * v.mT), T + T.transpose(0, 2, 1), atol=1e-4)
    u, s, vh = jnp.linalg.svd(A[:2], full_matrices=False)
    np.testing.assert_allclose((u * s) @ vh, A[:2], atol=1e-5)
    u, s, vh = jnp.linalg.svd(S, hermitian=True)
    np.testing.assert_allclose((u * s) @ vh, S, atol=1e-4)


def test_derivatives():
    agree("jax.grad(jnp.linalg.norm)(f), jax.grad(lambda v: jnp.linalg.slogdet(v)[1])(m)", False, 1e-3)
    agree("jax.grad(lambda v: jnp.linalg.det(v))(m), jax.grad(lambda v: jnp.linalg.inv(v).sum())(m)", False, 1e-3)
    agree("jax.grad(lambda v: jnp.sum(jnp.linalg.solve(v, g) ** 2))(m)", False, 1e-3)
    agree(
        "jax.vmap(jnp.linalg.inv)(jnp.stack([m, 2 * m])), jax.vmap(jnp.linalg.det)(jnp.stack([m, 2 * m]))", False, 1e-3
    )


def test_results_have_names():
    assert jnp.linalg.slogdet(S)._fields == ("sign", "logabsdet")
    assert jnp.linalg.eigh(S)._fields == ("eigenvalues", "eigenvectors")
    with pytest.raises(ValueError, match="2 or more"):
        jnp.linalg.svd(jnp.ones(3))
    assert isinstance(cyxla.jit(jnp.linalg.slogdet)(S), tuple)
