"""Rows of the table of examples for matrix decompositions; see examples.py.

Factors are determined up to signs and phases; both sides use the same kernels, so these agree.
"""

import numpy as np

from cyxla.lax.linalg.matrices import upper_part
from cyxla.lax.linalg.qr_decomposition import geqp3_p, geqrf_p
from examples import Example, complexes, floats, is_oracle, module_of

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
    if is_oracle(lax):
        packed, taus = module_of(lax).numpy.linalg.qr(x, mode="raw")
        return packed.T, taus
    return geqrf_p.bind(x)


def pivoted_reflections(lax, x):
    """The packed form of a QR decomposition with pivoting, of which jax shows the triangular factor."""
    if is_oracle(lax):
        return lax.linalg.qr(x, pivoting=True, full_matrices=False)[1:]
    packed, columns, _ = geqp3_p.bind(x, lax.full(x.shape[1:], 0, np.int32))
    return upper_part(packed[:3]), lax.sub(columns, lax.full_like(columns, 1))


example("geqrf", reflections, TALL, differentiate=False, vectorize=False)
example("geqp3", pivoted_reflections, TALL, differentiate=False)
for x, label in ((S, "square"), (TALL, "tall"), (WIDE, "wide"), (C, "complex")):
    example(
        "qr",
        lambda lax, x: lax.linalg.qr(x, pivoting=True, full_matrices=False),
        x,
        label=f"{label} pivoting",
        differentiate=False,
    )

# jax has no derivatives of these, or none under jit; test_linalg.py has those of Cyxla.
for taus in (floats(3), floats(2)):
    example(
        "householder_product",
        lambda lax, a, t: lax.linalg.householder_product(a, t),
        TALL,
        taus,
        label=f"{taus.size} reflections",
        differentiate=False,
    )
for left in (True, False):
    for transpose in (True, False):
        example(
            "ormqr",
            lambda lax, a, t, c, o=(left, transpose): lax.linalg.ormqr(a, t, c, left=o[0], transpose=o[1]),
            C,
            complexes(2),
            complexes(3, 2) if left else complexes(2, 3),
            label=f"{'left' if left else 'right'} {transpose}",
            differentiate=False,
        )
example("ormqr", lambda lax, *a: lax.linalg.ormqr(*a), TALL, floats(3), floats(4, 2), label="real", differentiate=False)
for x, label in ((S, "real"), (C, "complex")):
    example("hessenberg", lambda lax, x: tuple(lax.linalg.hessenberg(x)), x, label=label, differentiate=False)
    for lower in (True, False):
        example(
            "tridiagonal",
            lambda lax, x, o=lower: tuple(lax.linalg.tridiagonal(x, lower=o)),
            definite(x),
            label=f"{label} {lower}",
            differentiate=False,
        )
    example("schur", lambda lax, x: tuple(lax.linalg.schur(x)), x, label=label, differentiate=False, rtol=1e-2)
    example(
        "schur",
        lambda lax, x: tuple(lax.linalg.schur(x, compute_schur_vectors=False)),
        x,
        label=f"{label} form",
        differentiate=False,
        rtol=1e-2,
    )
    for perturb in (False, True):
        example(
            "tridiagonal_solve",
            lambda lax, *a, o=perturb: lax.linalg.tridiagonal_solve(*a, perturb_singular=o),
            x[0],
            x[1] + x.dtype.type(4),
            x[2],
            x[:, :2],
            label=f"{label} {perturb}",
            rtol=1e-2,
        )
example(
    "symmetric_product",
    lambda lax, a, c: lax.linalg.symmetric_product(a, lax.add(c, lax.transpose(c, (1, 0))), alpha=2.0, beta=0.5),
    WIDE,
    S,
    differentiate=False,
)
example(
    "cholesky_update",
    lambda lax, r, w: lax.linalg.cholesky_update(r, w),
    np.triu(S),
    floats(3),
    differentiate=False,
    vectorize=False,
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
