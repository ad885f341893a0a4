"""Rows of the table of examples for matrix decompositions; see examples.py.

Factors are determined up to signs and phases; both sides use the same kernels, so these agree.
"""

import jax
import numpy as np

from cyxla.lax.linalg.qr_decomposition import geqrf_p
from examples import Example, complexes, floats

EXAMPLES: list[Example] = []


def example(primitive, function, *operands, label="", **options):
    options = {"rtol": 2e-3, **options}
    EXAMPLES.append(Example(primitive, function, operands, f"{primitive}-{label}" if label else primitive, **options))


def definite(a):
    return a @ np.swapaxes(a, -1, -2).conj() + 2 * np.eye(a.shape[-1], dtype=a.dtype)


S, C = floats(3, 3) + 2 * np.eye(3, dtype=np.float32), complexes(3, 3)
TALL, WIDE, BATCH = floats(4, 3), floats(3, 4), floats(2, 3, 3)


def positive(lax, x):
    """A positive definite matrix made from any square one."""
    numbers = (((1,), (1,)), ((), ()))
    square = lax.dot_general(x, lax.conj(x) if np.iscomplexobj(np.zeros((), x.dtype)) else x, numbers, "highest")
    return lax.add(square, np.eye(3, dtype=x.dtype))


for x, label in ((S, "real"), (C, "complex")):
    example("cholesky", lambda lax, x: lax.linalg.cholesky(positive(lax, x)), x, label=label)
    example("eigh", lambda lax, x: lax.linalg.eigh(positive(lax, x))[1], x, label=f"{label} values", rtol=1e-2)
    for left in (False, True):
        for transpose, conjugate in ((False, False), (True, False), (True, True)):
            if label == "real" and conjugate:
                continue
            example(
                "triangular_solve",
                lambda lax, a, b, o=(left, transpose, conjugate): lax.linalg.triangular_solve(
                    a, b, left_side=o[0], transpose_a=o[1], conjugate_a=o[2], lower=o[0]
                ),
                x * np.float32(0.2) + 2 * np.eye(3, dtype=x.dtype),
                x.T.copy(),
                label=f"{label} {'left' if left else 'right'} {transpose} {conjugate}",
                second=not transpose,
            )
example(
    "triangular_solve",
    lambda lax, a, b: lax.linalg.triangular_solve(a, b, left_side=True, lower=True, unit_diagonal=True),
    S,
    floats(3, 2),
    label="unit diagonal",
)
example("eigh", lambda lax, x: lax.linalg.eigh(x), S, label="vectors", second=False, rtol=1e-2)
example("lu", lambda lax, x: lax.linalg.lu(lax.neg(x)), S, label="square", second=False, rtol=1e-2)
example("lu", lambda lax, x: lax.linalg.lu(lax.neg(x)), TALL, label="tall", second=False, rtol=1e-2)
example("lu", lambda lax, x: lax.linalg.lu(lax.neg(x)), WIDE, label="wide", second=False, rtol=1e-2)
example(
    "lu_pivots_to_permutation",
    lambda lax, p: lax.linalg.lu_pivots_to_permutation(p, 5),
    np.array([[2, 1, 4], [3, 3, 3]], np.int32),
)
for x, label in ((S, "square"), (TALL, "tall"), (WIDE, "wide"), (C, "complex")):
    for full in (False, True):
        example(
            "qr",
            lambda lax, x, f=full: lax.linalg.qr(x, full_matrices=f),
            x,
            label=f"{label} {'full' if full else 'reduced'}",
            second=False,
            rtol=1e-2,
        )


def reflections(lax, x):
    """The packed form of a QR decomposition, which jax shows as qr's mode "raw"."""
    if lax is jax.lax:
        packed, taus = jax.numpy.linalg.qr(x, mode="raw")
        return packed.T, taus
    return geqrf_p.bind(x)


example("geqrf", reflections, TALL, differentiate=False, vectorize=False)
example(
    "householder_product",
    lambda lax, a, t: lax.linalg.householder_product(a, t),
    TALL,
    floats(3),
    differentiate=False,
)
for x, label in ((S, "square"), (TALL, "tall"), (WIDE, "wide")):
    example("svd", lambda lax, x: lax.linalg.svd(x, compute_uv=False), x, label=f"{label} values", rtol=1e-2)
    example(
        "svd",
        lambda lax, x: lax.linalg.svd(x, full_matrices=False),
        x,
        label=f"{label} vectors",
        second=False,
        vectorize=False,
        rtol=2e-2,
    )

GENERAL = floats(3, 3) + np.diag(np.arange(1, 4)).astype(np.float32) * 2
for x, label in ((GENERAL, "real"), (GENERAL + 1j * floats(3, 3), "complex")):
    example(
        "eig",
        lambda lax, x: lax.linalg.eig(x, compute_left_eigenvectors=False, compute_right_eigenvectors=False)[0],
        x.astype(np.complex64 if label == "complex" else np.float32),
        label=f"{label} values",
        second=False,
        rtol=2e-2,
    )
    example(
        "eig",
        lambda lax, x: tuple(lax.linalg.eig(x)),
        x.astype(np.complex64 if label == "complex" else np.float32),
        label=f"{label} vectors",
        differentiate=False,
        rtol=1e-2,
    )
