"""How many instructions the unoptimized HLO of twenty programs has, beside what jax gives to XLA for the same programs.

XLA's compile time grows with this number, before anything else.
"""

import importlib
import re

import numpy as np

X = np.ones((8, 8), np.float32)
V = np.ones(8, np.float32)
IMAGE = np.ones((1, 8, 8, 2), np.float32)
KERNEL = np.ones((3, 3, 2, 4), np.float32)
KEY = np.array([0, 1], np.uint32)
I = np.arange(3, dtype=np.int32)


def mlp(jax, params, x):
    for w in params:
        x = jax.nn.relu(x @ w)
    return jax.numpy.mean(x**2)


def attention(jax, q, k, v):
    return jax.nn.softmax(q @ k.T / 8, axis=-1) @ v


def layer_norm(jax, x):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)


def cross_entropy(jax, logits, labels):
    return -jax.numpy.mean(jax.numpy.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1))


def convolution(jax, x, w):
    return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def max_pool(jax, x):
    return jax.lax.reduce_window(x, -np.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def rnn(jax, w, xs):
    return jax.lax.scan(lambda h, x: (jax.numpy.tanh(w @ h + x),) * 2, V, xs)


def adam(jax, x, m, v, g):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    return x - 1e-3 * m / (jax.numpy.sqrt(v) + 1e-8), m, v


def newton(jax, x):
    return jax.lax.while_loop(lambda s: abs(s * s - 2) > 1e-6, lambda s: s - (s * s - 2) / (2 * s), x)


def branch(jax, x):
    return jax.lax.cond(x.sum() > 0, jax.numpy.sin, jax.numpy.cos, x)


# (function of (jax, *operands), operands)
PROGRAMS = {
    "elementwise": (lambda jax, x: jax.numpy.sin(x) * 2 + jax.numpy.exp(-x), (V,)),
    "mlp": (mlp, ([X, X], X)),
    "grad of mlp": (lambda jax, p, x: jax.grad(lambda p: mlp(jax, p, x))(p), ([X, X], X)),
    "attention": (attention, (X, X, X)),
    "grad of attention": (lambda jax, *a: jax.grad(lambda *a: attention(jax, *a).sum(), (0, 1, 2))(*a), (X, X, X)),
    "layer norm": (layer_norm, (X,)),
    "grad of layer norm": (lambda jax, x: jax.grad(lambda x: layer_norm(jax, x).sum())(x), (X,)),
    "cross entropy": (cross_entropy, (X[:3], I)),
    "grad of cross entropy": (lambda jax, x, y: jax.grad(lambda x: cross_entropy(jax, x, y))(x), (X[:3], I)),
    "convolution and its grad": (
        lambda jax, x, w: jax.grad(lambda x, w: convolution(jax, x, w).sum(), (0, 1))(x, w),
        (IMAGE, KERNEL),
    ),
    "grad of max pool": (lambda jax, x: jax.grad(lambda x: max_pool(jax, x).sum())(x), (IMAGE,)),
    "rnn": (rnn, (X, X)),
    "grad of rnn": (lambda jax, w, xs: jax.grad(lambda w: rnn(jax, w, xs)[1].sum())(w), (X, X)),
    "adam": (adam, (V, V, V, V)),
    "while loop": (newton, (np.float32(1),)),
    "vmap of cond": (lambda jax, x: jax.vmap(lambda v: branch(jax, v))(x), (X,)),
    "indexing": (lambda jax, x, i: (x[i], x[1, 2:4], x.at[i].add(1.0)), (X, I)),
    "sort and cumsum": (lambda jax, x: (jax.numpy.sort(x), jax.numpy.argsort(x), jax.numpy.cumsum(x)), (V,)),
    "random normal": (lambda jax, k: jax.random.normal(jax.random.wrap_key_data(k), (8,)), (KEY,)),
    "solve": (lambda jax, a, b: jax.numpy.linalg.solve(a, b), (X + np.eye(8, dtype=np.float32), V)),
}

_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = ", re.MULTILINE)


def instructions(module, name):
    """The number of instructions in all computations of a program, as it is given to XLA's passes."""
    function, operands = PROGRAMS[name]
    lowered = module.jit(lambda *args: function(module, *args)).lower(*operands)
    return len(_INSTRUCTION.findall(lowered.as_text(dialect="hlo")))


def sizes():
    packages = [importlib.import_module(name) for name in ("cyxla", "jax")]
    return {name: tuple(instructions(package, name) for package in packages) for name in PROGRAMS}


def table(found):
    width = max(map(len, found))
    lines = [f"{'instructions of HLO':{width}}  {'cyxla':>10}  {'jax':>10}"]
    lines += [
        f"{name:{width}}  {ours:>10}  {theirs:>10}{'  larger' * (ours > theirs)}"
        for name, (ours, theirs) in found.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(sizes()))
