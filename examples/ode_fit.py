"""Fits the parameters of a differential equation to noisy observations, by gradients through its solver.

Predators and prey after Lotka and Volterra: du/dt = a u - b u v, dv/dt = c u v - d v, solved by fourth order
Runge-Kutta in one `scan`; the optimiser is Adam, in another `scan` around it. The error of a whole trajectory has a
hard landscape far from the solution, so the fit starts with many short ones, from each observation to the next.
"""

import argparse

import cyxla as jax
import cyxla.numpy as jnp

TRUE = {"a": 1.1, "b": 0.4, "c": 0.1, "d": 0.4}
START = jnp.array([10.0, 5.0])
DT, STEPS_BETWEEN, OBSERVATIONS = 0.1, 5, 40


def velocity(state, p):
    prey, predators = state
    return jnp.stack([p["a"] * prey - p["b"] * prey * predators, p["c"] * prey * predators - p["d"] * predators])


def advance(p, state):
    """The state at the next observation."""

    def step(state, _):
        k1 = velocity(state, p)
        k2 = velocity(state + DT / 2 * k1, p)
        k3 = velocity(state + DT / 2 * k2, p)
        k4 = velocity(state + DT * k3, p)
        return state + DT / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

    return jax.lax.scan(step, state, None, length=STEPS_BETWEEN)[0]


def trajectory(p):
    """The states at all observed times after the start, an array of shape (OBSERVATIONS, 2)."""

    def step(state, _):
        state = advance(p, state)
        return state, state

    return jax.lax.scan(step, START, None, length=OBSERVATIONS)[1]


def error(predicted, observed):
    """Mean squared error of the logarithms: the noise is relative."""
    return jnp.mean((jnp.log(predicted) - jnp.log(observed)) ** 2)


def loss_of_pieces(log_p, observed):
    p = jax.tree.map(jnp.exp, log_p)
    return error(jax.vmap(advance, in_axes=(None, 0))(p, observed[:-1]), observed[1:])


def loss_of_trajectory(log_p, observed):
    return error(trajectory(jax.tree.map(jnp.exp, log_p)), observed)


def fit(loss, log_p, observed, iterations, learning_rate):
    """Adam with a rate that falls to zero; returns the parameters' logarithms and the loss at every iteration."""

    def step(carry, i):
        log_p, mean, square = carry
        value, gradient = jax.value_and_grad(loss)(log_p, observed)
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, gradient)
        square = jax.tree.map(lambda s, g: 0.99 * s + 0.01 * g**2, square, gradient)
        rate = learning_rate * (1 - i / iterations)

        def update(p, m, s):
            return p - rate * (m / (1 - 0.9 ** (i + 1))) / (jnp.sqrt(s / (1 - 0.99 ** (i + 1))) + 1e-8)

        return (jax.tree.map(update, log_p, mean, square), mean, square), value

    zeros = jax.tree.map(jnp.zeros_like, log_p)
    (log_p, _, _), losses = jax.lax.scan(step, (log_p, zeros, zeros), jnp.arange(iterations))
    return log_p, losses


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=400, help="of each of the two fits")
    options = parser.parse_args()

    exact = jax.jit(trajectory)(TRUE)
    noise = 0.02 * jax.random.normal(jax.random.key(0), exact.shape)
    observed = exact * jnp.exp(noise)
    log_p = jax.tree.map(lambda _: jnp.log(0.5), TRUE)

    # The gradient through all steps of the solver, checked along one direction by a difference quotient.
    direction = {"a": 1.0, "b": -1.0, "c": 0.5, "d": 0.5}
    loss_at = jax.jit(lambda t: loss_of_trajectory(jax.tree.map(lambda p, d: p + t * d, log_p, direction), observed))
    slope = jax.grad(loss_at)(0.0)
    quotient = (loss_at(1e-2) - loss_at(-1e-2)) / 2e-2
    print(f"slope along a direction {slope:.3f}, by differences {quotient:.3f}")
    assert abs(slope - quotient) < 2e-2 * abs(slope)

    jitted_fit = jax.jit(fit, static_argnums=(0, 3))
    for loss, rate in ((loss_of_pieces, 0.05), (loss_of_trajectory, 0.01)):
        log_p, losses = jitted_fit(loss, log_p, observed, options.iterations, rate)
        print(f"{loss.__name__}: {losses[0]:.6f} -> {losses[-1]:.6f} in {options.iterations} iterations")
        assert losses[-1] < losses[0]
    print(f"the noise alone: {jnp.mean(noise**2):.6f}")
    for name, value in log_p.items():
        print(f"  {name} = {jnp.exp(value):.4f}, true {TRUE[name]}")
    if options.iterations >= 200:
        assert all(abs(jnp.exp(log_p[name]) / TRUE[name] - 1) < 0.02 for name in TRUE), "the fit is off"


if __name__ == "__main__":
    main()
