"""Programs with every kind of step that runs natively, serialized. Run by itself it writes them into a folder."""

import pathlib
import sys

import numpy as np

import cyxla
import cyxla.numpy as jnp
from cyxla import lax
from cyxla._runtime import compiler
from cyxla._runtime import native as runtime_native

VECTOR = np.ones(8, np.float32)


def loops(p, x):
    x = lax.fori_loop(0, 5, lambda i, c: jnp.sort(c) * 1.1 - i, x)
    return lax.cond(p > 0, lambda x: jnp.sort(x), lambda x: jnp.cumsum(x), x), x + np.arange(8, dtype=np.float32)


def until(x):
    return lax.while_loop(lambda s: s[0] < 5, lambda s: (s[0] + 1, jnp.sqrt(s[1]) * 1.5), (0, x))


def switch(i, x):
    return lax.switch(i, [jnp.sort, lambda v: -jnp.cumsum(v), lambda v: v[::-1] * 2], x)


# name: (function, arguments, options of jit). The first four have a step of nearly every kind.
PROGRAMS = {
    "loops": (loops, (1.0, VECTOR), {}),
    "kernel": (lambda x: jnp.sin(x) * 2, (VECTOR,), {}),
    "lapack": (lambda x: (jnp.linalg.cholesky(x), jnp.linalg.eigh(x)[0]), (np.eye(3, dtype=np.float32),), {}),
    "top_k": (
        lambda x: (lax.top_k(x, 3), lax.sort(x.astype("int32"), is_stable=False), x @ x),
        (VECTOR,),
        {},
    ),
    "while": (until, (VECTOR,), {}),
    "switch": (switch, (np.int32(1), VECTOR), {}),
    "dot": (lambda a, b: a @ b, (np.ones((5, 7), np.float32), np.ones((7, 9), np.float32)), {}),
    "dot_transposed": (lambda a, b: a @ b.T, (np.ones((5, 7), np.float32), np.ones((9, 7), np.float32)), {}),
    "grid": (lambda x: (x * 2 + 1) / (x + 3), (np.ones((64, 129), np.float32),), {}),
    "sort_of_two": (lambda x, y: lax.sort((x, y), num_keys=1), (VECTOR, VECTOR), {}),
    "donated": (lambda x: x * 2 + 1, (VECTOR,), {"donate_argnums": 0}),
}


def corpus(names):
    runtime_native._register_lapack()
    for name in names:
        function, arguments, options = PROGRAMS[name]
        compiled = cyxla.jit(function, **options).lower(*arguments).compile()
        yield compiler.serialize(compiled.runtime_executable())


if __name__ == "__main__":
    for name, data in zip(PROGRAMS, corpus(PROGRAMS), strict=True):
        (pathlib.Path(sys.argv[1]) / f"{name}.bin").write_bytes(data)
