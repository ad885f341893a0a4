"""Rows of the table of examples for Fourier transforms, ragged and scaled products, approximate selection, and what is
said to the compiler; see examples.py."""

import ml_dtypes
import numpy as np

from cyxla.lax.window import select_and_scatter
from examples import EDGES, Example, complexes, floats, is_oracle, module_of

EXAMPLES: list[Example] = []


def example(primitive, function, *operands, label="", **options):
    EXAMPLES.append(Example(primitive, function, operands, f"{primitive}-{label}" if label else primitive, **options))


# ---- Fourier transforms

for kind, lengths, operand in (
    ("FFT", (4,), complexes(3, 4)),
    ("IFFT", (3, 4), complexes(3, 4)),
    ("RFFT", (4,), floats(3, 4)),
    ("RFFT", (4, 3), floats(4, 3)),
    ("IRFFT", (6,), complexes(3, 4)),
    ("IRFFT", (3, 7), complexes(3, 4)),
):
    example(
        "fft",
        lambda lax, x, kind=kind, lengths=lengths: lax.fft(x, kind, lengths),
        operand,
        label=f"{kind} {lengths[-1]}",
    )

# ---- products

SIZES = np.array([2, 3, 1], np.int32)
example(
    "ragged_dot_general",
    lambda lax, x, y, n: lax.ragged_dot(x, y, n),
    floats(6, 2),
    floats(3, 2, 2),
    SIZES,
    vectorize=False,
)
example(
    "ragged_dot_general",
    lambda lax, x, y, n: lax.ragged_dot_general(
        x, y, n, lax.RaggedDotDimensionNumbers((((0,), (0,)), ((), ())), [0], [])
    ),
    floats(6, 2),
    floats(6, 3),
    SIZES,
    label="contracted",
    differentiate=False,
    vectorize=False,
)
SCALES = np.float32([[0.5, 2], [1, 4]]).astype(ml_dtypes.float8_e8m0fnu)
example(
    "scaled_dot",
    lambda lax, x, y, s: lax.scaled_dot(x, y, lhs_scale=s, preferred_element_type=np.float32),
    floats(2, 4).astype(ml_dtypes.float8_e4m3fn),
    floats(4, 3),
    SCALES,
    differentiate=False,
)

# ---- selection

TIES = np.float32([[3, 1, 3, 2, 1, 3], [0, -0.0, 1, -1, 1, 0]])
example("approx_top_k", lambda lax, x: lax.approx_max_k(x, 2), floats(3, 4))
example("approx_top_k", lambda lax, x: lax.approx_min_k(x, 2, 0, recall_target=0.5), floats(3, 4), label="min, axis")
example("approx_top_k", lambda lax, x: lax.approx_max_k(x, 2, aggregate_to_topk=False), floats(3, 4), label="all")
example("approx_top_k", lambda lax, x: lax.approx_max_k(x, 4), TIES, label="ties", differentiate=False)
example(
    "approx_top_k", lambda lax, x: lax.approx_min_k(x, 10), EDGES, label="edges", differentiate=False, vectorize=False
)


def scattered(lax, operand, source):
    """jax has no public function for it; the derivative of a maximum over windows does the same."""
    if is_oracle(lax):
        _, pull = module_of(lax).vjp(lambda x: lax.reduce_window(x, -np.inf, lax.max, (2, 2), (2, 2), "VALID"), operand)
        return pull(source)[0]
    return select_and_scatter(operand, lax.ge, (2, 2), (2, 2), [(0, 0)] * 2, source, source.dtype.type(0), lax.add)


example("select_and_scatter", scattered, floats(4, 4), floats(2, 2), differentiate=False)

# ---- programs

example(
    "composite",
    lambda lax, x: lax.composite(lambda v, *, n: lax.sin(v) * n, "test.op", 2)(x, n=3.0),
    floats(3),
    differentiate=False,
    vectorize=False,
)


# jax has no batches and derivatives of these two as an equation.


def staged(lax, x):
    return lax.cos(x if is_oracle(lax) else lax.stage(x))


def sunk(lax, x):
    if not is_oracle(lax):
        lax.dce_sink(lax.sin(x))
    return lax.cos(x)


def ordered(lax, x):
    token = lax.after_all(lax.create_token(), lax.create_token())
    lax.after_all(token)
    return lax.cos(x)


example("stage", staged, floats(3))
example("dce_sink", sunk, floats(3))
example("create_token", ordered, floats(3))
example("after_all", ordered, floats(3))
