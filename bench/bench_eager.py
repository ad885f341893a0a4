"""Operations and transformations outside jit."""


def test_add(measure, jnp):
    measure("x + 1", lambda x: x + 1, jnp.ones(8))


def test_sin(measure, jnp):
    measure("jnp.sin(x)", jnp.sin, jnp.ones(8))


def test_item(measure, jnp):
    measure("x[0]", lambda x: x[0], jnp.ones(8))


def test_slice(measure, jnp):
    measure("x[2:5]", lambda x: x[2:5], jnp.ones(8))


def test_at_set(measure, jnp):
    measure("x.at[0].set(1.0)", lambda x: x.at[0].set(1.0), jnp.ones(8))


def test_zeros(measure, jnp):
    measure("jnp.zeros(3)", jnp.zeros, 3)


def test_matmul(measure, jnp):
    measure("x @ y, 8x8", lambda x, y: x @ y, jnp.ones((8, 8)), jnp.ones((8, 8)))


def test_split(measure, jax):
    measure("random.split", jax.random.split, jax.random.key(0))


def test_key(measure, jax):
    measure("random.key", jax.random.key, 0)


def test_grad(measure, jax, jnp):
    measure("grad(sum(sin(x) * x))(x), eager", lambda x: jax.grad(lambda x: jnp.sum(jnp.sin(x) * x))(x), jnp.ones(8))


def test_vmap(measure, jax, jnp):
    measure("vmap(x * 2 + 1)(x), eager", lambda x: jax.vmap(lambda x: x * 2 + 1)(x), jnp.ones(8))


def test_scan(measure, jax, jnp):
    def scan(xs):
        return jax.lax.scan(lambda carry, x: (carry + x, carry * x), 0.0, xs)

    measure("scan of a fresh lambda, eager", scan, jnp.ones(8))
