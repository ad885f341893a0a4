"""Transformations: called eagerly on small functions, and tracing and differentiating whole models.

`python -m bench.bench_transformations` prints how tracing time grows with the size of the program.
"""

import importlib
import math
import sys
import time

import pytest

from bench.models import MODELS, transformer_arguments, transformer_unrolled

# Every call is of a lambda that is new, as in a program's loop.
EAGER = {
    "grad": lambda jax, f, x: jax.grad(lambda x: f(x).sum())(x),
    "value_and_grad": lambda jax, f, x: jax.value_and_grad(lambda x: f(x).sum())(x),
    "vmap": lambda jax, f, x: jax.vmap(lambda x: f(x))(x),
    "jvp": lambda jax, f, x: jax.jvp(lambda x: f(x), (x,), (x,)),
    "vjp": lambda jax, f, x: jax.vjp(lambda x: f(x), x)[1](x),
    "linearize": lambda jax, f, x: jax.linearize(lambda x: f(x), x)[1](x),
    "vmap(grad)": lambda jax, f, x: jax.vmap(jax.grad(lambda x: f(x)))(x),
    "grad(vmap)": lambda jax, f, x: jax.grad(lambda x: jax.vmap(f)(x).sum())(x),
    "grad(grad)": lambda jax, f, x: jax.grad(lambda x: jax.grad(lambda x: f(x).sum())(x).sum())(x),
    "jvp(grad)": lambda jax, f, x: jax.jvp(jax.grad(lambda x: f(x).sum()), (x,), (x,)),
    "jacfwd": lambda jax, f, x: jax.jacfwd(lambda x: f(x))(x),
    "jacrev": lambda jax, f, x: jax.jacrev(lambda x: f(x))(x),
    "hessian": lambda jax, f, x: jax.hessian(lambda x: f(x).sum())(x),
}


@pytest.mark.parametrize("name", EAGER)
def test_eager(measure, jax, jnp, name):
    x = jnp.ones(8)
    measure(f"{name} of sin(x) * x, eager", lambda: EAGER[name](jax, lambda x: jnp.sin(x) * x, x))


WAYS = {
    "trace": lambda jax, f: jax.make_jaxpr(lambda *args: f(jax, *args)),
    "trace grad of": lambda jax, f: jax.make_jaxpr(jax.grad(lambda *args: f(jax, *args))),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("way", WAYS)
def test_model(measure_once, jax, jnp, way, name):
    function, arguments = MODELS[name]
    arguments = arguments(jnp)
    # A new function, so that nothing is found from the round before.
    measure_once(f"{way} {name}", lambda: WAYS[way](jax, function), lambda trace: trace(*arguments), rounds=5)


# -- time against size


def times(package, sizes, way, rounds):
    """The least seconds of the processor to trace a transformer of each number of layers, in some rounds in turn."""
    jax = importlib.import_module(package)
    arguments = {size: transformer_arguments(jax.numpy, size) for size in sizes}
    least = dict.fromkeys(sizes, math.inf)
    for _ in range(rounds):
        for size in sizes:
            trace = WAYS[way](jax, transformer_unrolled)
            start = time.process_time()
            trace(*arguments[size])
            least[size] = min(least[size], time.process_time() - start)
    return least


def exponent(least):
    """The slope of log(time) over log(size), by least squares."""
    points = [(math.log(size), math.log(seconds)) for size, seconds in least.items()]
    x_mean, y_mean = (sum(values) / len(points) for values in zip(*points))
    return sum((x - x_mean) * (y - y_mean) for x, y in points) / sum((x - x_mean) ** 2 for x, _ in points)


def report(packages=("cyxla", "jax"), sizes=(6, 12, 24, 48, 96, 192), rounds=8):
    """Time against the number of layers of a transformer, each of some hundred equations, and the exponent."""
    lines = [f"{'ms, by layers of a transformer':34}" + "".join(f"{size:>9,}" for size in sizes) + "  exponent"]
    for way in WAYS:
        for package in packages:
            # Fewer layers and rounds are enough for the one that takes minutes.
            some, turns = (sizes, rounds) if package == "cyxla" else (sizes[:4], 2)
            least = times(package, some, way, turns)
            cells = "".join(f"{1e3 * least[size]:9.2f}" if size in least else f"{'':9}" for size in sizes)
            lines.append(f"{f'{way} it, {package}':34}{cells}{exponent(least):10.3f}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(report(tuple(sys.argv[1:]) or ("cyxla", "jax")))
