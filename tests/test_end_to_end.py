"""Whole models, written once and run under Cyxla and under jax: losses, gradients and trained weights must agree."""

import jax
import numpy as np
import pytest

import cyxla

LIBRARIES = {"cyxla": cyxla, "jax": jax}


def arrays(seed, **shapes):
    rng = np.random.default_rng(seed)
    return {name: (0.3 * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}


def agree(program, rtol=2e-4, atol=2e-5):
    """Runs a program with each library; compares the leaves of what it returns."""
    ours, theirs = ([np.asarray(x) for x in lib.tree.leaves(program(lib, lib.numpy))] for lib in (cyxla, jax))
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def test_convolutional_network_with_momentum():
    data = arrays(0, x=(4, 8, 8, 1), w1=(3, 3, 1, 4), w2=(3, 3, 4, 4), w3=(16, 3))
    labels = np.array([0, 1, 2, 1])

    def program(lib, jnp):
        x = jnp.asarray(data["x"])
        params = {k: jnp.asarray(v) for k, v in data.items() if k != "x"}

        def loss(params):
            h = x
            for name in ("w1", "w2"):
                h = lib.lax.conv_general_dilated(
                    h, params[name], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
                )
                mean, var = h.mean((0, 1, 2), keepdims=True), h.var((0, 1, 2), keepdims=True)
                h = lib.nn.relu((h - mean) / jnp.sqrt(var + 1e-3))
                h = lib.lax.reduce_window(h, -jnp.inf, lib.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
            logits = h.reshape(4, -1) @ params["w3"]
            return -jnp.mean(jnp.take_along_axis(lib.nn.log_softmax(logits), labels[:, None], axis=1))

        @lib.jit
        def step(params, velocity):
            value, grads = lib.value_and_grad(loss)(params)
            velocity = lib.tree.map(lambda v, g: 0.9 * v + g, velocity, grads)
            return lib.tree.map(lambda p, v: p - 0.1 * v, params, velocity), velocity, value

        velocity = lib.tree.map(jnp.zeros_like, params)
        losses = []
        for _ in range(3):
            params, velocity, value = step(params, velocity)
            losses.append(value)
        return losses, params

    agree(program, rtol=2e-3, atol=2e-4)


def test_transformer_block():
    data = arrays(1, x=(2, 5, 8), qkv=(8, 24), out=(8, 8), up=(8, 16), down=(16, 8))

    def program(lib, jnp):
        params = {k: jnp.asarray(v) for k, v in data.items()}

        def norm(x):
            return (x - x.mean(-1, keepdims=True)) * lib.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)

        def block(params, x):
            q, k, v = jnp.split(norm(x) @ params["qkv"], 3, axis=-1)
            q, k, v = (t.reshape(5, 2, 4).transpose(1, 0, 2) for t in (q, k, v))
            scores = jnp.einsum("htd,hsd->hts", q, k) / np.sqrt(4.0)
            scores = jnp.where(jnp.tril(jnp.ones((5, 5), bool)), scores, -1e9)
            mixed = jnp.einsum("hts,hsd->htd", lib.nn.softmax(scores, axis=-1), v)
            x = x + mixed.transpose(1, 0, 2).reshape(5, 8) @ params["out"]
            return x + lib.nn.gelu(norm(x) @ params["up"]) @ params["down"]

        def loss(params):
            return jnp.sum(lib.vmap(block, (None, 0))(params, params["x"]) ** 2)

        value, grads = lib.jit(lib.value_and_grad(loss))(params)
        tangent = lib.tree.map(jnp.ones_like, params)
        hvp = lib.jit(lambda p, t: lib.jvp(lib.grad(loss), (p,), (t,))[1])(params, tangent)
        return value, grads, hvp

    agree(program, rtol=2e-3, atol=2e-3)


def test_recurrent_network_through_scan():
    data = arrays(2, wx=(3, 6), wh=(6, 6), wo=(6, 2), xs=(7, 4, 3), ys=(7, 4, 2))

    def program(lib, jnp):
        params = {k: jnp.asarray(data[k]) for k in ("wx", "wh", "wo")}

        def cell(params, h, x):
            z = x @ params["wx"] + h @ params["wh"]
            gate = lib.nn.sigmoid(z)
            h = gate * jnp.tanh(z) + (1 - gate) * h
            return h, h @ params["wo"]

        def loss(params):
            h = jnp.zeros((4, 6))
            _, out = lib.lax.scan(lambda h, x: cell(params, h, x), h, data["xs"])
            return jnp.mean((out - data["ys"]) ** 2)

        value, grads = lib.jit(lib.value_and_grad(loss))(params)
        rematerialized = lib.jit(lib.grad(lib.checkpoint(loss)))(params)
        return value, grads, rematerialized

    agree(program)


@pytest.mark.parametrize("batched", [False, True])
def test_newton_iteration_under_vmap(batched):
    data = arrays(3, a=(3, 4, 4), b=(3, 4))

    def program(lib, jnp):
        a = jnp.asarray(data["a"]) + 2.0 * jnp.eye(4)

        def residual(x, a, b):
            return a @ x + 0.1 * jnp.sin(x) - b

        def solve(a, b):
            def body(state):
                i, x, _ = state
                step = jnp.linalg.solve(lib.jacfwd(residual)(x, a, b), residual(x, a, b))
                return i + 1, x - step, jnp.max(jnp.abs(step))

            i, x, _ = lib.lax.while_loop(lambda s: (s[2] > 1e-5) & (s[0] < 20), body, (0, jnp.zeros(4), jnp.inf))
            return i, x

        if batched:
            return lib.jit(lib.vmap(solve))(a, jnp.asarray(data["b"]))
        return lib.jit(solve)(a[0], jnp.asarray(data["b"][0]))

    agree(program)


def test_random_walk_is_the_same_walk():
    def program(lib, jnp):
        def step(carry, key):
            k1, k2 = lib.random.split(key)
            carry = carry + lib.random.normal(k1, (3,)) * lib.random.uniform(k2, ())
            return carry, lib.random.categorical(key, carry)

        return lib.jit(lambda key: lib.lax.scan(step, jnp.zeros(3), lib.random.split(key, 6)))(lib.random.key(4))

    agree(program, rtol=1e-6, atol=1e-6)
