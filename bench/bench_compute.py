"""Programs whose time is spent in XLA: the ratio should be 1."""

import numpy as np


def test_matmul(measure, jax, jnp):
    x = jnp.asarray(np.ones((512, 512), np.float32))
    f = jax.jit(lambda x: jnp.tanh(x @ x))
    measure("compute: tanh(x @ x), 512x512", lambda: jax.block_until_ready(f(x)))


def test_softmax(measure, jax, jnp):
    x = jnp.asarray(np.linspace(0, 1, 1 << 20, dtype=np.float32).reshape(1024, 1024))
    f = jax.jit(jax.nn.softmax)
    measure("compute: softmax, 1024x1024", lambda: jax.block_until_ready(f(x)))


def test_gradient_of_mlp(measure, jax, jnp):
    params = [jnp.asarray(np.full((256, 256), 0.01, np.float32)) for _ in range(4)]
    x = jnp.asarray(np.ones((128, 256), np.float32))

    def loss(params, x):
        for w in params:
            x = jnp.tanh(x @ w)
        return jnp.mean(x**2)

    f = jax.jit(jax.grad(loss))
    measure("compute: gradient of a 4-layer MLP", lambda: jax.block_until_ready(f(params, x)))
