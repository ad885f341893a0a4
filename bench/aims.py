"""What Cyxla aims at, in microseconds, by the name of the case (docs/architecture.md)."""

AIMS = {
    "jit(x + 1)(x), scalar": 0.15,
    "np.asarray(jit(x + 1)(x)), NumPy array": 0.45,
    "jit, 100 array arguments": 2,
    "jit, dict of 5 leaves": 0.4,
    "x + 1": 0.3,
    "jnp.sin(x)": 0.3,
    "x[0]": 1,
    "x.at[0].set(1.0)": 2,
    "jnp.zeros(3)": 1,
    "random.split": 2,
    "random.key": 2,
    "grad(sum(sin(x) * x))(x), eager": 20,
    "vmap(x * 2 + 1)(x), eager": 10,
    "scan of a fresh lambda, eager": 100,
    "grad of sin(x) * x, eager": 40,
    # A fifteenth of jax's time.
    "trace grad of transformer of 24 layers": 26_000,
    "trace, per operation": 1,
    "trace of grad, per operation": 6,
    "trace of vmap, per operation": 3,
    **{f"trace {name}": 3 for name in ("dot_general", "gather", "scatter", "reduce", "conv", "sort")},
    "lower, per equation": 1,
    "tree_flatten, 5 leaves": 0.3,
    "tree_map, 5 leaves": 0.8,
    "import": 120_000,
}
