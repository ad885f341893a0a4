"""Products, einsum, polynomials, differences, convolutions, functions of functions."""

from numpy_oracle import agree, cases


@cases("""
    jnp.dot(f, q), jnp.dot(g, f[:3]), jnp.dot(m, m), jnp.dot(t, t[0].T), jnp.dot(f, 2), jnp.dot(2, 3), jnp.dot(g, t),
        jnp.dot(i, i), jnp.dot(f, i), jnp.dot(c, f), jnp.dot(w, w), jnp.dot(h, h), jnp.dot(b, b), jnp.dot(w, f[:3])
    jnp.dot(f, q, preferred_element_type='bfloat16'), jnp.dot(h, h, preferred_element_type='float32'),
        jnp.dot(f, q, precision='highest'), jnp.dot(f, q, precision=jax.lax.Precision.HIGH), f.dot(q)
    jnp.dot(g, g)
    jnp.dot([1], [2])
    jnp.matmul(g, f[:3]), jnp.matmul(m, g), jnp.matmul(t, t.mT), jnp.matmul(t, t[0].T), jnp.matmul(t[:1], t.mT),
        jnp.matmul(f, t.mT), jnp.matmul(t[:, None], t.mT[None]), m @ m, f @ q, jnp.matmul(w, w), jnp.matmul(i, i),
        jnp.matmul(t, f)
    jnp.matmul(t[None], t.mT[:, None]), jnp.matmul(jnp.ones((1, 2, 3)), jnp.ones((4, 1, 3, 2))),
        jnp.matmul(jnp.ones((5, 1, 2, 3)), jnp.ones((4, 3, 2))), jnp.matmul(z, jnp.ones((3, 2)))
    jnp.matmul(g, g)
    jnp.matmul(1, 2)
    jnp.matmul(f, 2)
    jnp.matmul(jnp.ones((2, 3, 3)), jnp.ones((3, 3, 3)))
    jnp.vdot(c, c), jnp.vdot(g, j), jnp.vecdot(c, c), jnp.vecdot(g, g), jnp.vecdot(g, f[:3]),
        jnp.vecdot(g, g, axis=0), jnp.matvec(m, f[:2]), jnp.vecmat(f[:2], m), jnp.matvec(t, f), jnp.vecmat(c[:2], m)
    jnp.vecdot(f, f[:2])
    jnp.inner(f, q), jnp.inner(g, g), jnp.inner(f, 2), jnp.inner(t, f), jnp.outer(f, i), jnp.outer(g, f),
        jnp.kron(m, m), jnp.kron(f, m), jnp.kron(i, 2)
    jnp.tensordot(t, t, 3), jnp.tensordot(g, m, ((0,), (1,))), jnp.tensordot(t, f, 1), jnp.tensordot(f, q, 0),
        jnp.tensordot(t, g, axes=([0, 1], [0, 1])), jnp.tensordot(g, m, (0, 0))
    jnp.tensordot(f, g, 2)
    jnp.tensordot(g, g, ((0, 1), (0,)))
    jnp.tensordot(g, g, 3)
    jnp.cross(f[:3], q[:3]), jnp.cross(g, g[::-1]), jnp.cross(f[:2], q[:2]), jnp.cross(f[:2], q[:3]),
        jnp.cross(g, f[:3]), jnp.cross(t[:, :, 0], t[:, :, 1], axis=1), jnp.cross(g.T, g.T, axis=0)
    jnp.cross(f, q)
    jnp.einsum('i,i', f, q), jnp.einsum('ij,j->i', g, f[:3]), jnp.einsum('ij->ji', g), jnp.einsum('ii', m),
        jnp.einsum('ii->i', m), jnp.einsum('ij->', g), jnp.einsum('i,j->ij', f, i), jnp.einsum('ij,ij->i', g, g)
    jnp.einsum('bij,bkj->bik', t, t), jnp.einsum('...j,j', t, f), jnp.einsum('...ij,...kj->...ik', t, t),
        jnp.einsum('ij,jk,kl->il', g, g.T, g), jnp.einsum('i...->...', g), jnp.einsum('ij,kj', g, g),
        jnp.einsum('ijk->k', t)
    jnp.einsum('ij,jk,kl', g, g.T, g, optimize=False), jnp.einsum('ij,jk,kl->i', g, g.T, g, optimize='greedy'),
        jnp.einsum(g, [0, 1], g.T, [1, 2], [0, 2]), jnp.einsum('ab,cb->ca', m, g.T), jnp.einsum('i,i->i', w, w),
        jnp.einsum('i->', w)
    jnp.einsum('ij,j->i', i[:, None], f[:1]), jnp.einsum('ij,j->ij', jnp.ones((2, 1)), f[:3]) if 0 else 0,
        jnp.einsum('ij , jk', g, g.T), jnp.einsum('aab,b->a', t[:, :2], f), jnp.einsum('ij,ij', j, g),
        jnp.einsum('h,h', h, h)
    jnp.einsum('ij,jk->ik', g, g)
    jnp.einsum('ij->ijk', g)
    jnp.einsum('ij->ii', g)
    jnp.einsum('ijk', g)
    jnp.einsum('ij,jk', g)
""")
def test_products(expression):
    agree(expression, tolerance=1e-4)


@cases("""
    jnp.polyval(f, q), jnp.polyval(i, 2), jnp.polyval(jnp.arange(20.0), 0.5), jnp.polyadd(f, i[:2]),
        jnp.polysub(f[:2], q), jnp.polymul(f, q), jnp.polymul(i, i), jnp.polyder(f), jnp.polyder(f, 2),
        jnp.polyder(f, 9), jnp.polyint(f), jnp.polyint(f, 2), jnp.polyint(i, 2, jnp.array([1, 2])), jnp.polyint(f, 0)
    jnp.polydiv(f, q[:2]), jnp.polydiv(q[:2], f), jnp.poly(f)
    jnp.polyder(f, -1)
    jnp.diff(f), jnp.diff(g, axis=0), jnp.diff(g, 2), jnp.diff(b), jnp.diff(f, prepend=0.0),
        jnp.diff(g, append=jnp.ones((2, 1))), jnp.diff(u), jnp.diff(f, 0), jnp.ediff1d(g),
        jnp.ediff1d(f, to_end=9.0, to_begin=np.array([1, 2]))
    jnp.diff(x)
    jnp.diff(f, -1)
    jnp.gradient(f), jnp.gradient(g), jnp.gradient(f, 2.0), jnp.gradient(t, axis=1),
        jnp.gradient(f, jnp.array([0.0, 1.0, 3.0, 4.0])), jnp.gradient(g, 1.0, 2.0), jnp.gradient(i)
    jnp.gradient(f[:1])
    jnp.gradient(f, 1, 2)
    jnp.trapezoid(f), jnp.trapezoid(f, dx=0.5), jnp.trapezoid(f, q), jnp.trapezoid(g, axis=0),
        jnp.trapezoid(g, jnp.array([0.0, 1.0, 3.0])), jnp.trapezoid(i)
    jnp.unwrap(f * 3), jnp.unwrap(g * 4, axis=0), jnp.unwrap(i * 5, period=6), jnp.unwrap(f, discont=5.0),
        jnp.unwrap(i * 5, period=7)
    jnp.convolve(f, q[:2]), jnp.convolve(f, q, 'same'), jnp.convolve(f, q[:3], 'valid'), jnp.convolve(i, i),
        jnp.convolve(q[:2], f, 'same'), jnp.convolve(f, q[:3], 'same'), jnp.convolve(c, f)
    jnp.correlate(f, q[:2]), jnp.correlate(f, q, 'full'), jnp.correlate(q[:2], f, 'same'),
        jnp.correlate(f, q[:3], 'same'), jnp.correlate(c, c, 'full'), jnp.correlate(q[:3], f, 'full'),
        jnp.correlate(f, q[:2], 'same'), jnp.correlate(q[:3], f, 'same')
    jnp.convolve(g, f)
    jnp.convolve(f, q, 'nope')
    jnp.convolve(f, f[:0])
    jnp.cov(g), jnp.cov(f), jnp.cov(f, q), jnp.cov(g, rowvar=False), jnp.cov(g, bias=True), jnp.cov(g, ddof=0),
        jnp.cov(g, fweights=np.array([1, 2, 3])), jnp.cov(g, aweights=jnp.array([1.0, 2.0, 0.5])), jnp.cov(j),
        jnp.cov(c)
    jnp.corrcoef(g), jnp.corrcoef(f, q), jnp.corrcoef(g, rowvar=False), jnp.corrcoef(f)
    jnp.cov(t)
    jnp.cov(g, fweights=np.array([1.5, 2, 3]))
    jnp.cov(g, fweights=np.array([1, 2]))
""")
def test_polynomials_and_differences(expression):
    agree(expression, tolerance=2e-4)


@cases("""
    jnp.vectorize(lambda a, b: a + b)(f, g[:, :1]),
        jnp.vectorize(lambda a, b: jnp.dot(a, b), signature='(n),(n)->()')(t, f),
        jnp.vectorize(lambda a: a.sum(), signature='(m,n)->()')(t),
        jnp.vectorize(lambda a, k: a * k, excluded={1})(f, 3)
    jnp.vectorize(lambda a: (a, a * 2), signature='()->(),()')(f),
        jnp.vectorize(lambda a, b: jnp.outer(a, b), signature='(m),(n)->(m,n)')(g, f[:2]),
        jnp.vectorize(lambda a, b: a * b)(t, 2.0)
    jnp.vectorize(lambda a: a, signature='(n->')(f)
    jnp.vectorize(lambda a: a, signature='(m,n)->()')(f)
    jnp.vectorize(lambda a, b: a, signature='(n),(n)->()')(f, f[:2])
    jnp.vectorize(lambda a: a, signature='()->(n)')(f)
    jnp.vectorize(lambda a: a, excluded={1.5})(f)
    jnp.apply_along_axis(jnp.sum, 0, g), jnp.apply_along_axis(lambda v: v * 2, 1, g),
        jnp.apply_along_axis(lambda v: jnp.outer(v, v), 1, t), jnp.apply_along_axis(jnp.cumsum, -1, t),
        jnp.apply_over_axes(jnp.sum, t, (0, 2))
    jnp.piecewise(f, [f < 0, f > 1], [-1.0, 1.0]), jnp.piecewise(f, [f < 0], [lambda v: -v, lambda v: v * 10]),
        jnp.piecewise(g, [g > 0], [lambda v: v ** 2]), jnp.piecewise(i, [i > 0, i < 0], [1, 2, 3])
    jnp.piecewise(f, [f < 0], [1, 2, 3])
    f.view('int32'), i.view('uint8'), u.view('int16'), f.view('float16'), g.view('uint32'), u.view('bool'), f.view()
    f.view('float64') if 0 else u[:3].view('int16')
    x.view('int16')
    f.astype(int), f.T, f.real, c.imag, c.conj(), f.clip(0, 1), f.round(), f.swapaxes(0, 0), m.diagonal(), m.trace(),
        q.searchsorted(2), f.choose if 0 else 0, s.argpartition(2)[2], f.squeeze(), f.flatten()
""")
def test_functions_of_functions_and_methods(expression):
    agree(expression, tolerance=1e-4)


@cases("""
    jax.grad(lambda v: jnp.einsum('i,i', v, v))(f), jax.grad(lambda v: jnp.sum(v @ m))(f[:2]),
        jax.vmap(jnp.dot, (0, None))(g, f[:3]), jax.vmap(jnp.matmul)(t, t.mT)
    jax.grad(lambda v: jnp.polyval(v, 2.0))(f), jax.vmap(lambda r: jnp.convolve(r, f))(g),
        jax.vmap(lambda r: jnp.einsum('i,j->ij', r, r))(g), jax.grad(lambda v: jnp.trapezoid(v, q))(f)
    jax.hessian(lambda v: jnp.dot(v, v) ** 2)(f[:2]), jax.jacobian(lambda v: jnp.outer(v, v))(f[:2]) if 0 else 0,
        jax.vmap(jnp.cross)(g, g[::-1])
""")
def test_transformed(expression):
    agree(expression, jitted=False, tolerance=1e-4)
