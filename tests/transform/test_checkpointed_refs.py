"""References that a function under `checkpoint` reads or writes to, against jax and where jax is wrong."""

import math

import jax
import numpy as np
import pytest
from compare import agree

import cyxla
import cyxla.numpy as jnp

V = np.arange(3, dtype=np.float32)


def new(jax):
    return jax.new_ref(jax.numpy.asarray(V))


def scanned_checkpoint(jax, ref, x):
    step = jax.checkpoint(lambda c, i: (jax.numpy.sin(c) * ref[i], c))
    return jax.lax.scan(step, x, jax.numpy.arange(3))[0]


READ_UNDER_CHECKPOINT = {
    "whole": lambda jax, ref, x: jax.checkpoint(lambda x: jax.numpy.sin(x) * jax.numpy.cos(ref[...]).sum())(x),
    "operand": lambda jax, ref, x: jax.checkpoint(lambda x, ref: jax.numpy.sin(x) * ref[1])(x, ref),
    "jit inside": lambda jax, ref, x: jax.checkpoint(jax.jit(lambda x: jax.numpy.sin(x) * ref[1]))(x),
    "scanned": scanned_checkpoint,
    "scan inside": lambda jax, ref, x: jax.checkpoint(
        lambda x: jax.lax.scan(lambda c, i: (jax.numpy.sin(c) * ref[i], c), x, jax.numpy.arange(3))[0]
    )(x),
    "nested": lambda jax, ref, x: jax.checkpoint(
        lambda x: jax.numpy.sin(jax.checkpoint(lambda x: jax.numpy.sin(x) * ref[1])(x)) * ref[2]
    )(x),
    "policy": lambda jax, ref, x: jax.checkpoint(
        lambda x: jax.numpy.sin(x) * jax.numpy.cos(ref[1]), policy=jax.checkpoint_policies.everything_saveable
    )(x),
}


@pytest.mark.parametrize("name", READ_UNDER_CHECKPOINT)
@pytest.mark.parametrize("how", ["eager", "jit", "vmap", "twice"])
def test_references_read_under_checkpoint(name, how):
    def program(jax):
        ref, x = new(jax), np.float32(0.7)
        f = lambda x: READ_UNDER_CHECKPOINT[name](jax, ref, x)
        ways = {
            "eager": lambda: jax.value_and_grad(f)(x),
            "jit": lambda: jax.jit(jax.value_and_grad(f))(x),
            "vmap": lambda: jax.vmap(jax.grad(f))(V),
            "twice": lambda: (jax.grad(jax.grad(f))(x), jax.jvp(f, (x,), (x,))),
        }
        return ways[how](), ref[...]

    agree(program)


@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jit"])
def test_checkpoint_keeps_what_it_read_and_writes_once(jitted):
    # jax reads again for the backward pass, what was written after, and writes twice: another function's derivative.
    ref = cyxla.new_ref(jnp.float32(2))

    def f(x):
        def counted(x):
            ref[...] += 1
            return jnp.sin(x) * ref[...]

        y = cyxla.checkpoint(counted)(x)
        ref[...] = 10.0
        return y * ref[...]

    grad = cyxla.jit(cyxla.grad(f)) if jitted else cyxla.grad(f)
    np.testing.assert_allclose(grad(1.0), 3 * 10 * np.cos(1.0), 1e-6)
    np.testing.assert_allclose(grad(1.0), 11 * 10 * np.cos(1.0), 1e-6)
    _, pullback = cyxla.vjp(cyxla.checkpoint(lambda x: x * ref[...]), 1.0)
    ref[...] = 3.0
    assert float(pullback(1.0)[0]) == 10


@pytest.mark.parametrize("step", ["checkpoint", "plain"])
def test_references_read_in_every_step_are_kept_once(step):
    def size(jax):
        ref = jax.new_ref(np.linspace(-1, 1, 100, dtype=np.float32))
        body = lambda c, i: (jax.numpy.sin(c) * ref[i] + jax.numpy.sin(ref[...]).sum(), c)
        body = jax.checkpoint(body) if step == "checkpoint" else body
        pullback = jax.vjp(lambda x: jax.lax.scan(body, x, jax.numpy.arange(5))[0], np.float32(1))[1]
        return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(pullback))

    assert size(cyxla) <= size(jax)


def test_writing_what_is_differentiated():
    ref = cyxla.new_ref(jnp.float32(1))

    def f(x):
        ref[...] = x
        return x

    with pytest.raises(ValueError, match="stop_gradient"):
        cyxla.grad(cyxla.checkpoint(f))(1.0)


def test_writes_beside_rules_that_take_references():
    ref, other = new(cyxla), cyxla.new_ref(0)
    rule = cyxla.custom_vjp(lambda x, ref: x)
    rule.defvjp(lambda x, ref: (x, None), lambda _, ct: (ct, None))

    def f(x):
        other[...] += 1
        return rule(x, ref) * 2

    with pytest.raises(ValueError, match="write again"):
        cyxla.grad(cyxla.checkpoint(f))(1.0)
    assert int(other[...]) == 0
