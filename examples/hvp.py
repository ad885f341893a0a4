"""Newton's method without a Hessian: Hessian-vector products by `jvp` of `grad`, solved by conjugate gradients.

Minimises a regularised softmax regression on scikit-learn's digits (650 weights), and compares with gradient descent.
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits

import cyxla as jax
import cyxla.numpy as jnp

DECAY = 1e-3


def load():
    digits = load_digits()
    return jnp.asarray(digits.data / 16, jnp.float32), jnp.asarray(digits.target)


def loss(params, features, labels):
    scores = jax.nn.log_softmax(features @ params["w"] + params["b"])
    fit = -jnp.take_along_axis(scores, labels[:, None], axis=1).mean()
    return fit + 0.5 * DECAY * sum(jnp.sum(p**2) for p in jax.tree.leaves(params))


def hvp(f, primal, tangent):
    """The Hessian of f at `primal`, times `tangent`: forward over reverse, at the cost of a few gradients."""
    return jax.jvp(jax.grad(f), (primal,), (tangent,))[1]


def dot(x, y):
    return sum(jax.tree.leaves(jax.tree.map(jnp.vdot, x, y)))


def add(x, y, scale=1.0):
    return jax.tree.map(lambda a, b: a + scale * b, x, y)


def conjugate_gradients(product, target, tolerance, limit):
    """Solves product(x) = target for a positive definite linear `product`, to a relative residual."""

    def unfinished(carry):
        _, residual, _, i = carry
        return (dot(residual, residual) > tolerance**2 * dot(target, target)) & (i < limit)

    def step(carry):
        x, residual, direction, i = carry
        curved = product(direction)
        length = dot(residual, residual) / dot(direction, curved)
        x, smaller = add(x, direction, length), add(residual, curved, -length)
        direction = add(smaller, direction, dot(smaller, smaller) / dot(residual, residual))
        return x, smaller, direction, i + 1

    zero = jax.tree.map(jnp.zeros_like, target)
    x, _, _, iterations = jax.lax.while_loop(unfinished, step, (zero, target, target, 0))
    return x, iterations


@jax.jit
def newton_step(params, features, labels):
    f = lambda p: loss(p, features, labels)
    value, gradient = jax.value_and_grad(f)(params)
    direction, iterations = conjugate_gradients(lambda v: hvp(f, params, v), gradient, tolerance=0.05, limit=200)
    # Halve the step until the loss falls by a fair part of what the gradient promises.
    slope = dot(gradient, direction)
    size = jax.lax.while_loop(
        lambda t: (f(add(params, direction, -t)) > value - 1e-4 * t * slope) & (t > 1e-3), lambda t: t / 2, 1.0
    )
    return add(params, direction, -size), value, jnp.sqrt(dot(gradient, gradient)), size, iterations


@jax.jit
def gradient_step(params, features, labels, rate):
    return add(params, jax.grad(loss)(params, features, labels), -rate)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=7)
    options = parser.parse_args()

    features, labels = load()
    start = {"w": jnp.zeros((features.shape[1], 10)), "b": jnp.zeros(10)}

    # One product against a column block of the full Hessian, which is small enough here to be built once.
    tangent = {"w": jnp.zeros_like(start["w"]), "b": jax.random.normal(jax.random.key(0), (10,))}
    block = jax.hessian(lambda b: loss({**start, "b": b}, features, labels))(start["b"])
    product = hvp(lambda p: loss(p, features, labels), start, tangent)
    error = jnp.abs(block @ tangent["b"] - product["b"]).max()
    print(f"Hessian-vector product against the full block: largest difference {error:.1e}")
    assert error < 1e-5

    params = start
    products = 0
    for i in range(options.steps):
        params, value, size_of_gradient, step_size, iterations = newton_step(params, features, labels)
        products += int(iterations)
        print(
            f"  step {i}  loss {value:.6f}  |gradient| {size_of_gradient:.1e}"
            f"  products {int(iterations):3d}  step size {step_size:.2f}"
        )
    reached = loss(params, features, labels)

    descended = start
    for _ in range(products):
        descended = gradient_step(descended, features, labels, 0.5)
    by_descent = loss(descended, features, labels)
    accuracy = np.mean(np.argmax(features @ params["w"] + params["b"], axis=1) == labels)
    print(f"Newton with {products} products: loss {reached:.6f}, accuracy {accuracy:.4f}")
    print(f"gradient descent with {products} gradients: loss {by_descent:.6f}")
    assert reached < by_descent
    assert accuracy > 0.97 or options.steps < 5


if __name__ == "__main__":
    main()
