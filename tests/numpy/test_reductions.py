"""Reductions, with and without NaN, quantiles, running sums."""

from numpy_oracle import agree, cases, names

REDUCTIONS = "sum prod max min mean var std all any argmax argmin count_nonzero ptp median"
NAN_REDUCTIONS = "nansum nanprod nanmax nanmin nanmean nanvar nanstd nanmedian nanargmax nanargmin"


@names(REDUCTIONS)
def test_reductions(name):
    f = name
    agree(f"each(jnp.{f}, f, g, j, u, b, w, N, x)", tolerance=1e-4)
    agree(f"each(jnp.{f}, (g, 0), (j, 1), (g, -1), (z, 1), (g, 2))", tolerance=1e-4)
    agree(f"[jnp.{f}(h).astype(float), jnp.{f}(g, axis=0, keepdims=True), jnp.{f}(g, keepdims=True)]", tolerance=1e-2)


@names(NAN_REDUCTIONS)
def test_nan_reductions(name):
    f = name
    agree(f"each(jnp.{f}, n, N, j, b, (N, 0), (N, 1), (g, 1))", tolerance=1e-4)
    agree(f"[jnp.{f}(N, axis=1, keepdims=True)]", tolerance=1e-4)


@cases("""
    jnp.sum(t, axis=(0, 2)), jnp.max(t, axis=(0, -1)), jnp.mean(t, axis=(1, 2), keepdims=True), jnp.sum(t, axis=())
    jnp.sum(f, dtype=int), jnp.sum(i, dtype=float), jnp.sum(u, dtype='uint8'), jnp.sum(u, promote_integers=False)
    jnp.sum(h, dtype='float32'), jnp.prod(h), jnp.mean(h), jnp.mean(i, dtype='bfloat16')
    jnp.sum(f, initial=2.0), jnp.prod(i, initial=2), jnp.max(f, initial=5.0), jnp.min(i, initial=-7)
    jnp.sum(f, where=b), jnp.prod(f, where=b), jnp.max(f, where=b, initial=0.0), jnp.min(f, where=b, initial=9.0)
    jnp.mean(f, where=b), jnp.var(f, where=b), jnp.std(g, axis=1, where=B), jnp.all(b, where=b), jnp.any(b, where=~b)
    jnp.sum(jnp.ones((2, 1)), where=B)
    jnp.sum(f, where=i)
    jnp.var(f, ddof=1), jnp.std(f, ddof=2), jnp.var(f, correction=1), jnp.var(c), jnp.std(c), jnp.var(f, ddof=4)
    jnp.var(g, axis=1, mean=jnp.mean(g, axis=1, keepdims=True)), jnp.var(h), jnp.var(i), jnp.var(f, dtype='bfloat16')
    jnp.sum(c), jnp.mean(c), jnp.max(c), jnp.min(c), jnp.max(jnp.array([[1 + 1j, 1 + 2j], [0, 3j]]), axis=1)
    jnp.average(f), jnp.average(f, weights=p), jnp.average(g, axis=1, weights=jnp.arange(3.0)), jnp.average(i)
    jnp.average(f, weights=p, returned=True), jnp.average(g, axis=0, keepdims=True),
        jnp.average(g, axis=0, returned=True)
    jnp.average(g, weights=f)
    jnp.argmax(g, axis=1, keepdims=True), jnp.argmin(g, keepdims=True), jnp.argmax(n), jnp.argmin(n), jnp.argmax(b)
    jnp.max(f, where=b)
    jnp.sum(f, axis=1)
    jnp.sum(g, axis=(0, 0))
    jnp.sum(f, out=f)
    jnp.sum([1, 2])
    jnp.sum(None)
    jnp.max(z)
    jnp.argmax(z)
    jnp.sum(f, axis=1.5)
    jnp.sum(f, initial=jnp.ones(2))
    jnp.var(f, ddof=1, correction=1)
    jnp.cumsum(f), jnp.cumsum(g), jnp.cumsum(g, axis=1), jnp.cumsum(j, 0), jnp.cumsum(b), jnp.cumsum(u), jnp.cumsum(x)
    jnp.cumprod(f), jnp.cumprod(g, axis=-1), jnp.cumsum(i, dtype=float), jnp.cumsum(w), jnp.cumsum(h)
    jnp.cumsum(g, axis=3)
    jnp.nancumsum(n), jnp.nancumprod(N, axis=1), jnp.nancumsum(i)
    jnp.cumulative_sum(f), jnp.cumulative_sum(g, axis=1, include_initial=True),
        jnp.cumulative_prod(i, include_initial=True)
    jnp.cumulative_sum(u), jnp.cumulative_prod(b)
    jnp.cumulative_sum(g)
    jnp.cumulative_sum(x)
    jnp.nanmax(n, initial=1.0), jnp.nansum(n, where=b), jnp.nanmean(N, axis=0, where=B), jnp.nanvar(N, axis=0, ddof=1)
    jnp.amax(f), jnp.amin(f)
    f.sum(), f.mean(), f.max(), f.min(), f.prod(), f.std(), f.var(ddof=1), b.all(), b.any(), f.argmax(), f.cumsum(),
        f.ptp()
    g.sum(axis=0, keepdims=True), g.mean(0), g.max(axis=1), g.argmin(axis=0), g.sum(where=B), g.round(1), g.cumprod(0)
""")
def test_expressions(expression):
    agree(expression, tolerance=1e-4)


METHODS = "linear lower higher midpoint nearest inverted_cdf hazen"


@names(METHODS)
def test_quantile_methods(name):
    agree(f"jnp.quantile(f, jnp.array([0.0, 0.1, 0.25, 0.4, 0.5, 0.75, 0.9, 1.0]), method='{name}')")


@cases("""
    jnp.quantile(f, 0.3), jnp.quantile(g, 0.5, axis=0), jnp.quantile(g, jnp.array([0.2, 0.8]), axis=1, keepdims=True)
    jnp.quantile(t, jnp.array([0.1, 0.5]), axis=(0, 2)), jnp.quantile(i, 0.5), jnp.quantile(h, 0.25)
    jnp.quantile(n, 0.5), jnp.nanquantile(N, 0.5, axis=1), jnp.nanquantile(n, 0.25), jnp.nanpercentile(N, 40)
    jnp.percentile(f, 30), jnp.percentile(g, jnp.array([10, 60]), axis=1), jnp.percentile(j, 25)
    jnp.median(g, axis=1), jnp.median(j), jnp.median(t, axis=(0, 1), keepdims=True), jnp.median(n),
        jnp.nanmedian(N, axis=0)
    jnp.quantile(f, 0.5, method='nope')
    jnp.quantile(c, 0.5)
    jnp.quantile(f, 0.5, out=f)
    jnp.quantile(f, 0.4, weights=p, method='inverted_cdf'),
        jnp.quantile(g, 0.6, axis=1, weights=jnp.arange(1.0, 4.0), method='inverted_cdf')
    jnp.quantile(f, 0.5, weights=p)
    jnp.quantile(f, jnp.array([[0.1, 0.5]]))
""")
def test_quantiles(expression):
    agree(expression, tolerance=1e-4)


@cases("""
    jax.grad(lambda v: jnp.var(v))(f), jax.grad(lambda v: jnp.std(v))(f), jax.grad(lambda v: jnp.max(v))(f)
    jax.grad(lambda v: jnp.mean(v * v))(f), jax.grad(lambda v: jnp.prod(v))(f), jax.grad(lambda v: jnp.median(v))(f)
    jax.grad(lambda v: jnp.sum(jnp.cumsum(v) ** 2))(f), jax.grad(lambda v: jnp.quantile(v, 0.3))(f)
    jax.vmap(jnp.median)(g), jax.vmap(lambda r: jnp.sum(r, keepdims=True))(g), jax.vmap(jnp.argmax)(g)
""")
def test_transformed(expression):
    agree(expression, jitted=False)
