"""Sorting, searching, counting, sets, picking elements."""

from numpy_oracle import agree, cases


@cases("""
    jnp.sort(q), jnp.sort(g, axis=0), jnp.sort(g, axis=None), jnp.sort(n), jnp.sort(s, descending=True), jnp.sort(c),
        jnp.sort(w), jnp.sort(b), jnp.sort(u), jnp.sort(h)
    jnp.argsort(q), jnp.argsort(s), jnp.argsort(s, descending=True), jnp.argsort(g, axis=0), jnp.argsort(n),
        jnp.argsort(g, axis=None), jnp.argsort(s, stable=True), q.argsort(), s.sort()
    jnp.sort(f, kind='quicksort')
    jnp.sort(f, order='a')
    jnp.sort(f, axis=1)
    jnp.argsort(f, axis=2)
    jnp.lexsort((s, -s)), jnp.lexsort((f, q)), jnp.lexsort(j), jnp.sort_complex(f), jnp.sort_complex(c)
    jnp.lexsort(())
    jnp.lexsort((f, g))
    jnp.sort(jnp.partition(s, 2)[:3]), jnp.partition(s, 2)[2], jnp.partition(g, 1, axis=0),
        jnp.sort(jnp.partition(u, -1)), s[jnp.argpartition(s, 3)[3]]
    jnp.partition(c, 1)
    jnp.partition(s, 9)
    jnp.searchsorted(jnp.sort(f), q), jnp.searchsorted(jnp.sort(s), 7),
        jnp.searchsorted(jnp.sort(s), 7, side='right'), jnp.searchsorted(jnp.sort(s), j, method='sort')
    jnp.searchsorted(jnp.sort(s), j, method='compare_all', side='right'),
        jnp.searchsorted(jnp.sort(s), j, method='scan_unrolled'),
        jnp.searchsorted(jnp.sort(s), j, side='right', method='sort')
    jnp.searchsorted(jnp.sort(n), n), jnp.searchsorted(jnp.sort(n), n, side='right'),
        jnp.searchsorted(s, 3, sorter=jnp.argsort(s)), jnp.searchsorted(z[:, 0], f)
    jnp.searchsorted(g, 1)
    jnp.searchsorted(f, 1, side='middle')
    jnp.searchsorted(f, 1, method='guess')
    jnp.digitize(f, jnp.array([0.0, 1.0, 2.0])), jnp.digitize(f, jnp.array([2.0, 1.0, 0.0])),
        jnp.digitize(jnp.array([1.0, 2.0]), jnp.array([0.0, 1.0, 2.0]), right=True),
        jnp.digitize(jnp.array([1.0, 2.0]), jnp.array([2.0, 1.0, 0.0]), right=True)
    jnp.digitize(f, g)
    jnp.nonzero(b, size=2), jnp.nonzero(g > 0, size=6), jnp.nonzero(f, size=5, fill_value=-1),
        jnp.argwhere(B, size=4), jnp.flatnonzero(B, size=3), jnp.where(b, size=3),
        jnp.nonzero(B, size=5, fill_value=(7, 8)), b.nonzero(size=3)
    jnp.nonzero(x, size=1)
    jnp.nonzero(b)
    jnp.bincount(s, length=10), jnp.bincount(s, length=5), jnp.bincount(i, length=4),
        jnp.bincount(s, weights=s * 0.5, length=10), jnp.bincount(u, length=3)
    jnp.bincount(f, length=2)
    jnp.bincount(j, length=2)
    jnp.bincount(s, length=3, weights=f)
    jnp.histogram(f), jnp.histogram(f, bins=3, range=(-1, 2)), jnp.histogram(s, bins=jnp.array([0, 2, 7, 9])),
        jnp.histogram(f, 3, density=True), jnp.histogram(f, 2, weights=p)
    jnp.histogram_bin_edges(f, 4), jnp.histogram_bin_edges(f, jnp.array([1, 2])), jnp.histogram_bin_edges(i, 2),
        jnp.histogram2d(f, q, bins=3), jnp.histogramdd(t[0], bins=2), jnp.histogram2d(f, q, bins=[2, 3], density=True)
    jnp.interp(jnp.array([0.5, 1.5, 9.0, -1.0]), jnp.array([0.0, 1.0, 2.0]), jnp.array([1.0, 3.0, 2.0])),
        jnp.interp(1.5, jnp.arange(3), jnp.arange(3) * 10)
    jnp.interp(f, jnp.array([0.0, 1.0]), jnp.array([5.0, 7.0]), left=-1, right=-2),
        jnp.interp(f, jnp.array([0.0, 1.0, 2.0]), jnp.array([5.0, 7.0, 1.0]), period=3.0),
        jnp.interp(f, jnp.array([0.0, 1.0]), jnp.array([5.0, 7.0]), left='extrapolate', right='extrapolate')
    jnp.interp(f, g, g)
    jnp.interp(f, f, f, left='a')
    jnp.unique(s, size=6), jnp.unique(s, size=3), jnp.unique(s, True, True, True, size=6), jnp.unique(n, size=4),
        jnp.unique(s, size=8, fill_value=-1), jnp.unique(j, axis=0, size=2),
        jnp.unique(g, return_inverse=True, size=6)
    jnp.unique_all(s, size=6), jnp.unique_counts(s, size=5), jnp.unique_inverse(s, size=5),
        jnp.unique_values(s, size=4)
    jnp.unique(s)
    jnp.isin(s, i), jnp.isin(j, s, invert=True), jnp.isin(s, i, method='sort'),
        jnp.isin(s, i, method='binary_search'), jnp.isin(s, jnp.array([], int)), jnp.isin(2, s)
    jnp.union1d(s, i, size=9), jnp.intersect1d(s, jnp.array([2, 7, 5]), size=3), jnp.setdiff1d(s, i, size=5),
        jnp.setxor1d(s, jnp.array([2, 7, 5]), size=6)
    jnp.compress(b, f, size=3), jnp.extract(f > 0, f, size=4), jnp.compress(b[:2], g, axis=0, size=1),
        jnp.compress(b, f, size=4, fill_value=-1)
""")
def test_expressions(expression):
    agree(expression)


@cases("""
    jnp.nonzero(b), jnp.nonzero(g > 0), jnp.argwhere(B), jnp.flatnonzero(B), jnp.where(b), jnp.nonzero(z),
        jnp.argwhere(x), b.nonzero()
    jnp.bincount(s), jnp.bincount(s, minlength=12), jnp.bincount(s, weights=s * 0.5), jnp.bincount(jnp.array([], int))
    jnp.unique(s), jnp.unique(s, return_index=True), jnp.unique(s, return_inverse=True),
        jnp.unique(s, return_counts=True), jnp.unique(n), jnp.unique(n, equal_nan=False), jnp.unique(g),
        jnp.unique(f > 0)
    jnp.unique(jnp.array([[1, 2], [1, 2], [0, 5]]), axis=0),
        jnp.unique(j, axis=1, return_index=True, return_inverse=True, return_counts=True), jnp.unique(jnp.array([]))
    jnp.unique_all(s), jnp.unique_counts(s), jnp.unique_inverse(g), jnp.unique_values(s)
    jnp.union1d(s, i), jnp.intersect1d(s, jnp.array([2, 7, 5])), jnp.setdiff1d(s, i),
        jnp.setxor1d(s, jnp.array([2, 7, 5])), jnp.intersect1d(s, jnp.array([2, 7, 5]), return_indices=True)
    jnp.compress(b, f), jnp.extract(f > 0, f), jnp.compress(np.array([True, False]), g, axis=0), f.compress(b),
        jnp.compress(np.array([0, 1, 1]), g, axis=1)
    jnp.choose(np.array([0, 1, 1]), [jnp.arange(3), jnp.arange(3) * 10]), jnp.choose(jnp.abs(i), [f, q, p, f])
    jnp.choose(np.array([0, 5]), [f[:2], q[:2]])
    jnp.ravel_multi_index((np.array([0, 1]), np.array([1, 2])), (2, 3)),
        jnp.ravel_multi_index((np.array([3]), np.array([9])), (2, 3), mode='clip')
    jnp.ravel_multi_index((np.array([3]), np.array([9])), (2, 3))
    jnp.array_equal(f, f), jnp.array_equal(f, q), jnp.array_equal(n, n, equal_nan=True), jnp.array_equal(f, g),
        jnp.array_equiv(f, f[None]), jnp.array_equiv(f, g), jnp.allclose(f, f + 1e-9), jnp.allclose(n, n)
    jnp.iscomplexobj(c), jnp.iscomplexobj(1j), jnp.isrealobj(f), jnp.isscalar(1), jnp.isscalar(x), jnp.isscalar(f),
        jnp.isscalar('a'), jnp.isscalar([1]), jnp.iscomplexobj([1j])
    jnp.array_repr(f), jnp.array_str(f)
    f.tolist(), x.item(), f.item(2), i.tobytes(), f.size, f.ndim, f.nbytes, f.itemsize, len(f)
""")
def test_concrete_values_only(expression):
    agree(expression, jitted=False)


@cases("""
    jnp.take(f, i), jnp.take(f, jnp.array([2, 0])), jnp.take(g, jnp.array([1, 0]), axis=1), jnp.take(g, 2),
        jnp.take(g, jnp.array([[0, 5]])), jnp.take(f, 7), jnp.take(i, jnp.array([9, -9])), jnp.take(f, -1),
        jnp.take(g, -2, axis=0)
    jnp.take(f, jnp.array([9, -1]), mode='clip'), jnp.take(f, jnp.array([9, -1, -6]), mode='wrap'),
        jnp.take(f, 9, fill_value=5.0), f.take(i), jnp.take(g, jnp.array([[0, 1], [1, 0]]), axis=1), jnp.take(b, 9),
        jnp.take(u, 9)
    jnp.take(f, 1.5)
    jnp.take(f, 0, mode='raise')
    jnp.take(f, 0, axis=1)
    jnp.take([1, 2], 0)
    jnp.take_along_axis(g, jnp.argsort(g, axis=1), axis=1), jnp.take_along_axis(g, jnp.array([[1, 0, 1]]), axis=0),
        jnp.take_along_axis(f, i, None), jnp.take_along_axis(g, jnp.array([[5], [-1]]), axis=1),
        jnp.take_along_axis(g, jnp.array([[5]]), 1, mode='clip')
    jnp.take_along_axis(g, i, axis=1)
    jnp.take_along_axis(g, g, axis=1)
    jnp.choose(jnp.abs(i), [f, q, p, f], mode='clip'), jnp.choose(i, [f, q], mode='wrap')
    jnp.select([f > 1, f < 0], [f, q], 7), jnp.select([b, ~b], [1, 2]), jnp.select([f > 1], [w[:1]], 0)
    jnp.select([f], [f])
    jnp.select([], [])
    jnp.select([b, b], [f])
    jnp.put(f, jnp.array([0, -1]), jnp.array([9.0, 8.0]), inplace=False),
        jnp.put(f, jnp.array([0, 9]), 5, inplace=False), jnp.put(f, jnp.array([9]), 5, mode='clip', inplace=False),
        jnp.put(g, jnp.array([0, 4, 7]), jnp.array([1.0, 2.0]), mode='wrap', inplace=False)
    jnp.put(f, 0, 1)
    jnp.place(f, f > 0, jnp.array([7.0, 8.0]), inplace=False), jnp.place(g, B, 1.0, inplace=False)
    jnp.place(f, b, 1)
    jnp.put_along_axis(g, jnp.array([[0], [2]]), 9.0, axis=1, inplace=False),
        jnp.put_along_axis(f, jnp.array([1]), 5.0, None, inplace=False)
    jnp.put_along_axis(g, jnp.array([[0]]), 1.0, 1)
    jnp.unravel_index(i, (2, 2)), jnp.unravel_index(jnp.array([5, 11]), (3, 4)), jnp.unravel_index(3, (2, 3)),
        jnp.ravel_multi_index((i, i), (2, 3), mode='clip'),
        jnp.ravel_multi_index((i, i), (2, 3), mode='wrap', order='F')
    jnp.packbits(b), jnp.packbits(B, axis=1), jnp.packbits(B, bitorder='little'), jnp.unpackbits(u),
        jnp.unpackbits(u[:, None], axis=1, count=5), jnp.unpackbits(u, count=-3, bitorder='little'),
        jnp.unpackbits(u, count=40)
    jnp.packbits(f)
    jnp.unpackbits(i)
""")
def test_selection(expression):
    agree(expression)


@cases("""
    jax.grad(lambda v: jnp.sum(jnp.sort(v) * q))(f), jax.grad(lambda v: jnp.sum(jnp.take(v, i) ** 2))(f),
        jax.vmap(jnp.argsort)(g)
    jax.vmap(lambda r: jnp.searchsorted(jnp.sort(r), 1.0))(g), jax.vmap(lambda r, k: jnp.take(r, k))(g, i[:2]),
        jax.vmap(lambda r: jnp.unique(r, size=3))(j)
    jax.grad(lambda v: jnp.interp(v, jnp.arange(3.0), jnp.array([1.0, 4.0, 2.0])))(x),
        jax.vmap(lambda r: jnp.nonzero(r > 0, size=3)[0])(g)
    jax.vmap(lambda r: jnp.bincount(r, length=7))(j), jax.vmap(lambda r: jnp.histogram(r, 2)[0])(g)
""")
def test_transformed(expression):
    agree(expression, jitted=False)
