"""Hamiltonian Monte Carlo: many chains at once under `vmap`, each a `scan` over draws, each draw a loop of gradients.

The target is a logistic regression on scikit-learn's breast cancer data: 30 standardised features, a normal prior.
"""

import argparse
import time

import numpy as np
from sklearn.datasets import load_breast_cancer

import cyxla as jax
import cyxla.numpy as jnp


def load():
    data = load_breast_cancer()
    features = (data.data - data.data.mean(0)) / data.data.std(0)
    features = np.concatenate([np.ones((len(features), 1)), features], axis=1).astype(np.float32)
    return jnp.asarray(features), jnp.asarray(data.target, jnp.float32)


def make_log_density(features, labels):
    def log_density(weights):
        margins = (2 * labels - 1) * (features @ weights)
        return jnp.sum(jax.nn.log_sigmoid(margins)) - 0.5 * jnp.sum(weights**2)

    return log_density


def make_chain(log_density, draws, step_size, leapfrog_steps):
    """A function (key, start) -> (draws, mean acceptance) that runs one chain."""
    value_and_gradient = jax.value_and_grad(log_density)

    def energy(value, momentum):
        return 0.5 * jnp.sum(momentum**2) - value

    def draw(carry, key):
        position, value, gradient = carry
        momentum_key, size_key, accept_key = jax.random.split(key, 3)
        start = jax.random.normal(momentum_key, position.shape)
        # A step size that varies keeps trajectories from closing on themselves.
        step = step_size * jax.random.uniform(size_key, minval=0.6, maxval=1.0)

        def leapfrog(_, state):
            position, momentum, _, gradient = state
            momentum = momentum + 0.5 * step * gradient
            position = position + step * momentum
            value, gradient = value_and_gradient(position)
            return position, momentum + 0.5 * step * gradient, value, gradient

        proposal, momentum, proposed, slope = jax.lax.fori_loop(
            0, leapfrog_steps, leapfrog, (position, start, value, gradient)
        )
        probability = jnp.minimum(1.0, jnp.exp(energy(value, start) - energy(proposed, momentum)))
        accepted = jax.random.uniform(accept_key) < probability
        carry = jax.tree.map(
            lambda new, old: jnp.where(accepted, new, old), (proposal, proposed, slope), (position, value, gradient)
        )
        return carry, (carry[0], probability)

    def chain(key, start):
        _, (positions, probabilities) = jax.lax.scan(
            draw, (start, *value_and_gradient(start)), jax.random.split(key, draws)
        )
        return positions, probabilities.mean()

    return chain


def split_rhat(samples):
    """Gelman and Rubin's convergence measure for samples of shape (chains, draws, dimension): near 1 when mixed."""
    chains, draws, dimension = samples.shape
    halves = samples.reshape(2 * chains, draws // 2, dimension)
    within = halves.var(1, ddof=1).mean(0)
    between = halves.mean(1).var(0, ddof=1)
    return jnp.sqrt(1 + between / within)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chains", type=int, default=16)
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()

    features, labels = load()
    dimension = features.shape[1]
    chain = make_chain(make_log_density(features, labels), options.draws, step_size=0.09, leapfrog_steps=16)
    start_key, run_key = jax.random.split(jax.random.key(1))
    starts = 0.1 * jax.random.normal(start_key, (options.chains, dimension))
    sample = jax.jit(jax.vmap(chain))
    began = time.perf_counter()
    positions, acceptance = jax.block_until_ready(sample(jax.random.split(run_key, options.chains), starts))
    seconds = time.perf_counter() - began
    kept = positions[:, options.draws // 4 :]
    kept = kept[:, : kept.shape[1] // 2 * 2]

    probability = jax.nn.sigmoid(jnp.einsum("nd,csd->csn", features, kept[:, ::10])).mean((0, 1))
    accuracy = ((probability > 0.5) == labels).mean()
    worst = split_rhat(kept).max()
    print(
        f"{options.chains} chains of {options.draws} draws in {dimension} dimensions: {seconds:.1f} s with compilation"
    )
    print(f"acceptance {acceptance.mean():.3f} (least of a chain {acceptance.min():.3f}), largest R-hat {worst:.4f}")
    print(f"accuracy of the posterior mean prediction {accuracy:.4f}")
    assert acceptance.min() > 0.6 and acceptance.max() < 1.0
    assert accuracy > 0.97
    assert worst < (1.05 if options.draws >= 500 else 1.5), "the chains have not mixed"


if __name__ == "__main__":
    main()
