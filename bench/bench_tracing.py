"""Tracing and lowering, per operation of a long program. Every trace is of a function never seen before."""

import pytest

REPEATS = 50


def make_program(jnp):
    """A function of 4 * REPEATS operations."""

    def program(x):
        y = x
        for _ in range(REPEATS):
            y = jnp.sin(y) * x + 0.5 - y
        return y

    return program


def fresh(program):
    """The same program as a function that no cache knows."""
    return lambda x: program(x)


TRANSFORMED = {
    "trace, per operation": lambda jax, f: f,
    "trace of grad, per operation": lambda jax, f: jax.grad(f),
    "trace of vmap, per operation": lambda jax, f: jax.vmap(f),
}


@pytest.mark.parametrize("case", TRANSFORMED)
def test_trace(measure, jax, jnp, case):
    program = make_program(jnp)
    x = jnp.ones(8) if "vmap" in case else jnp.float32(1)
    measure(case, lambda: jax.make_jaxpr(TRANSFORMED[case](jax, fresh(program)))(x), per=4 * REPEATS)


def test_lower(measure_once, jax, jnp):
    program = make_program(jnp)
    x = jnp.ones(8)
    measure_once(
        "lower, per equation",
        lambda: jax.jit(fresh(program)).trace(x),
        lambda traced: traced.lower(),
        per=4 * REPEATS,
    )


def test_compile(measure_once, jax, jnp):
    x = jnp.ones(8)
    measure_once(
        "compile x + 1",
        lambda: jax.jit(lambda x: x + 1).trace(x).lower(),
        lambda lowered: lowered.compile(),
    )
