"""Example inputs of every primitive, which the law tests run over. A new primitive needs a row here.

An example is a function of `(lax, *operands)`, run with the lax of Cyxla and of jax, and its operands.
"""

from importlib import import_module
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np


class Example(NamedTuple):
    primitive: str
    function: Any
    operands: tuple
    label: str
    differentiate: bool = True  # with respect to all inexact operands
    second: bool = True  # second derivatives too
    vectorize: bool = True
    rtol: float = 2e-5


EXAMPLES: list[Example] = []


def is_oracle(lax):
    """Whether this is jax's; it is not imported here, for the laws that need no oracle."""
    return lax.__name__ == "jax.lax"


def module_of(lax, name=""):
    """The package that a `lax` belongs to, or a module of it."""
    return import_module(lax.__name__.removesuffix(".lax") + (f".{name}" if name else ""))


def example(primitive, function, *operands, label="", **options):
    EXAMPLES.append(Example(primitive, function, operands, f"{primitive}-{label}" if label else primitive, **options))


def floats(*shape, low=-2.0, high=2.0, dtype=np.float32):
    """Distinct numbers between two bounds, in a mixed-up order."""
    n = int(np.prod(shape))
    values = low + (high - low) * (np.arange(n) + 0.5) / max(n, 1)
    return values[np.random.RandomState(n).permutation(n)].reshape(shape).astype(dtype)


def complexes(*shape):
    return (floats(*shape) + 1j * floats(*shape, low=-1.5, high=1.0)).astype(np.complex64)


def integers(*shape, low=-9, high=10, dtype=np.int32):
    return np.random.RandomState(7).randint(low, high, shape).astype(dtype)


def bools(*shape):
    return integers(*shape, low=0, high=2).astype(bool)


def named(name):
    return lambda lax, *args: getattr(lax, name)(*args)


EDGES = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 1e-20, -2.5, 2.5], np.float32)
F, G, C, I = floats(3), floats(3, low=0.3, high=1.4), complexes(3), integers(3)
M, N = floats(3, 4), integers(3, 4)
SCALAR = np.float32(0.75)

# ---- elementwise, one operand: name, kinds of operands, interval where it is smooth

UNARY = [
    ("neg", "iufc", -2, 2),
    ("sign", "iufc", -2, 2),
    ("abs", "ifc", -2, 2),
    ("floor", "f", -2, 2),
    ("ceil", "f", -2, 2),
    ("round", "f", -2, 2),
    ("is_finite", "f", -2, 2),
    ("exp", "fc", -2, 2),
    ("exp2", "fc", -2, 2),
    ("log", "fc", 0.2, 3),
    ("expm1", "fc", -2, 2),
    ("log1p", "fc", -0.7, 3),
    ("sin", "fc", -2, 2),
    ("cos", "fc", -2, 2),
    ("tan", "fc", -1.2, 1.2),
    ("asin", "fc", -0.8, 0.8),
    ("acos", "fc", -0.8, 0.8),
    ("atan", "fc", -2, 2),
    ("sinh", "fc", -2, 2),
    ("cosh", "fc", -2, 2),
    ("tanh", "fc", -2, 2),
    ("asinh", "fc", -2, 2),
    ("acosh", "fc", 1.2, 3),
    ("atanh", "fc", -0.8, 0.8),
    ("logistic", "fc", -2, 2),
    ("sqrt", "fc", 0.2, 3),
    ("rsqrt", "fc", 0.2, 3),
    ("cbrt", "f", 0.2, 3),
    ("square", "iufc", -2, 2),
    ("erf", "f", -2, 2),
    ("erfc", "f", -2, 2),
    ("erf_inv", "f", -0.8, 0.8),
    ("lgamma", "f", 0.3, 4),
    ("digamma", "f", 0.3, 4),
    ("real", "c", -2, 2),
    ("imag", "c", -2, 2),
    ("conj", "fc", -2, 2),
    ("bitwise_not", "biu", 0, 1),
    ("population_count", "iu", 0, 1),
    ("clz", "iu", 0, 1),
]
PRIMITIVE_OF = {
    "bitwise_not": "not",
    "bitwise_and": "and",
    "bitwise_or": "or",
    "bitwise_xor": "xor",
}
OPERANDS = {
    "b": lambda low, high: bools(3),
    "i": lambda low, high: integers(3),
    "u": lambda low, high: integers(3, low=0, dtype=np.uint8),
    "c": lambda low, high: complexes(3),
    "f": lambda low, high: floats(3, low=low, high=high),
}

for name, kinds, low, high in UNARY:
    for kind in kinds:
        smooth = kind == "f"
        example(
            PRIMITIVE_OF.get(name, name),
            named(name),
            # Left of the imaginary axis jax takes the derivative of acosh from another branch.
            OPERANDS[kind](low, high) + np.complex64(2.5)
            if (name, kind) == ("acosh", "c")
            else OPERANDS[kind](low, high),
            label=kind,
            second=smooth,
            vectorize=smooth,
        )
    if "f" in kinds and name not in ("lgamma", "digamma"):
        example(PRIMITIVE_OF.get(name, name), named(name), EDGES, label="edges", second=False, vectorize=False)

example("round", lambda lax, x: lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN), EDGES, label="even", vectorize=False)
for y in (-2, -1, 0, 1, 2, 3, 4, 7):
    example("integer_pow", lambda lax, x, y=y: lax.integer_pow(x, y), G, label=str(y))
example("integer_pow", lambda lax, x: lax.integer_pow(x, 5), I, label="i")
example("integer_pow", lambda lax, x: lax.integer_pow(x, -3), C, label="c")
example("polygamma", named("polygamma"), np.float32([1, 2, 0]), G, label="f", differentiate=False)
example("polygamma", lambda lax, x: lax.polygamma(lax.full_like(x, 1), x), G, label="x", rtol=1e-4)
example("zeta", named("zeta"), np.float32([2, 3, 1.5]), G, differentiate=False)

SHAPES = np.float32([0.3, 1.0, 2.5, 7.0, 30.0, 0.0, 2.0, 2.0, -1.0, np.nan])
POINTS = np.float32([0.2, 3.0, 2.0, 9.0, 25.0, 2.0, 0.0, np.inf, 1.0, 1.0])
example("igamma", named("igamma"), SHAPES, POINTS, label="edges", differentiate=False, vectorize=False, rtol=2e-4)
example("igamma", named("igamma"), SHAPES[:5], POINTS[:5], second=False, vectorize=False, rtol=2e-4)
example("igammac", named("igammac"), SHAPES, POINTS, second=False, vectorize=False, differentiate=False, rtol=2e-4)
example(
    "igamma_grad_a", named("igamma_grad_a"), SHAPES[:5], POINTS[:5], differentiate=False, vectorize=False, rtol=2e-4
)
example(
    "random_gamma_grad",
    named("random_gamma_grad"),
    SHAPES[:5],
    POINTS[:5],
    differentiate=False,
    vectorize=False,
    rtol=1e-2,
)
example(
    "regularized_incomplete_beta",
    named("betainc"),
    np.float32([0.5, 2, 30, 1, 0, 2, 2, 2, -1, np.inf, 2, 3]),
    np.float32([0.5, 3, 20, 4, 2, 0, 2, 2, 1, 2, np.inf, 3]),
    np.float32([0.3, 0.9, 0.6, 0.1, 0.5, 0.5, 0, 1, 0.5, 0.5, 0.5, 1.5]),
    differentiate=False,
    vectorize=False,
    rtol=2e-4,
)
example(
    "regularized_incomplete_beta",
    lambda lax, x: lax.betainc(lax.full_like(x, 2.5), lax.full_like(x, 0.7), x),
    floats(3, low=0.1, high=0.9),
    label="x",
    second=False,
    rtol=2e-4,
)
for name in ("bessel_i0e", "bessel_i1e"):
    example(name, named(name), np.float32([0.5, -1.5, 7, 12, -20, 0]), rtol=1e-4, second=False)

# ---- elementwise, two operands

BINARY = [
    ("add", "iufc"),
    ("sub", "iufc"),
    ("mul", "iufc"),
    ("div", "iufc"),
    ("rem", "iuf"),
    ("pow", "fc"),
    ("max", "biufc"),
    ("min", "biufc"),
    ("atan2", "fc"),
    ("nextafter", "f"),
    ("complex", "f"),
    ("bitwise_and", "biu"),
    ("bitwise_or", "biu"),
    ("bitwise_xor", "biu"),
    ("shift_left", "iu"),
    ("shift_right_logical", "iu"),
    ("shift_right_arithmetic", "iu"),
    ("mulhi", "iu"),
    ("eq", "biufc"),
    ("ne", "biufc"),
    ("lt", "biuf"),
    ("le", "biuf"),
    ("gt", "biuf"),
    ("ge", "biuf"),
]
PAIRS = {
    "b": (np.array([True, False, True]), np.array([True, True, False])),
    "i": (np.int32([-7, 5, 9]), np.int32([2, 3, 1])),
    "u": (np.uint8([7, 5, 200]), np.uint8([2, 3, 1])),
    "f": (np.float32([1.5, 0.4, 2.7]), np.float32([0.7, 1.1, -1.2])),
    "c": (complexes(3), complexes(3)[::-1] + 0.5),
}
for name, kinds in BINARY:
    smooth = name not in ("nextafter",)
    for kind in kinds:
        example(
            PRIMITIVE_OF.get(name, name),
            named(name),
            *PAIRS[kind],
            label=kind,
            differentiate=smooth,
            second=kind == "f",
            vectorize=kind in "fi",
            rtol=1e-4,
        )
    kind = "f" if "f" in kinds else "i"
    x, y = PAIRS[kind]
    primitive = PRIMITIVE_OF.get(name, name)
    example(primitive, named(name), x[0], y, label="scalar-array", differentiate=smooth, second=False, rtol=1e-4)
    example(primitive, named(name), x, y[0], label="array-scalar", differentiate=smooth, second=False, rtol=1e-4)
    if "f" in kinds and name != "nextafter":
        left, right = (v.ravel() for v in np.meshgrid(EDGES, EDGES))
        example(primitive, named(name), left, right, label="edges", second=False, vectorize=False, rtol=1e-4)
example(
    "nextafter", named("nextafter"), *(v.ravel() for v in np.meshgrid(EDGES, EDGES)), label="edges", differentiate=False
)
example("pow", named("pow"), np.float32([0, 2, -3]), np.int32([0, 3, -2]), label="float-int")
example("pow", named("pow"), np.complex64([1j, 2, -3]), np.int32([1, 3, -2]), label="complex-int")
for name in ("eq_to", "le_to", "lt_to"):
    example(
        name, lambda lax, x, y, name=name: getattr(lax, name + "_p").bind(x, y), EDGES, EDGES[::-1].copy(), label="f"
    )
    example(name, lambda lax, x, y, name=name: getattr(lax, name + "_p").bind(x, y), I, I[::-1].copy(), label="i")
example("add_any", lambda lax, x, y: getattr(lax, "add_any", lax.add)(x, y), F, G)

# ---- choosing

example("select_n", named("select_n"), np.array([True, False, True]), F, G, label="bool")
example("select_n", named("select_n"), np.bool_(True), F, G, label="scalar")
example("select_n", named("select_n"), np.int32([0, 2, 1]), F, G, -G, label="three")
example("select_n", named("select_n"), np.uint8(3), F, G, -G, -F, F * 2, label="five")
example("select_n", named("select"), np.array([True, False, True]), I, I * 2, label="int")
example("clamp", named("clamp"), np.float32([-0.5, 1.2, -1]), F, np.float32([0.1, 1.3, 2]), label="arrays")
example("clamp", lambda lax, x: lax.clamp(x.dtype.type(-0.5), x, x.dtype.type(1)), M, label="scalars")
example("clamp", named("clamp"), np.float32(-0.5), M, np.float32(1), label="scalar-bounds", differentiate=False)
example("clamp", named("clamp"), np.int32(-3), N, np.int32(4), label="int")

# ---- dtypes

for dtype in (np.float16, np.int32, np.uint8, np.bool_, np.complex64, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn):
    label = np.dtype(dtype).name

    def to_dtype(lax, x, dtype=dtype):
        return lax.convert_element_type(x, dtype)

    example("convert_element_type", to_dtype, F, label=f"f-{label}", second=False)
    example("convert_element_type", to_dtype, EDGES, label=f"edges-{label}", differentiate=False, vectorize=False)
    if dtype is not np.int32:
        example("convert_element_type", to_dtype, I, label=f"i-{label}")
    if dtype is not np.complex64:
        example("convert_element_type", to_dtype, C, label=f"c-{label}", second=False)
example("bitcast_convert_type", lambda lax, x: lax.bitcast_convert_type(x, np.int32), F, label="same")
example("bitcast_convert_type", lambda lax, x: lax.bitcast_convert_type(x, np.uint8), F, label="narrow")
example(
    "bitcast_convert_type",
    lambda lax, x: lax.bitcast_convert_type(x, np.int32),
    integers(3, 4, dtype=np.int8),
    label="wide",
    vectorize=False,
)
example("reduce_precision", lambda lax, x: lax.reduce_precision(x, 5, 4), F)
example("stop_gradient", named("stop_gradient"), F)
example("copy", lambda lax, x: lax.copy_p.bind(x), F)
example("optimization_barrier", lambda lax, x, y: lax.optimization_barrier((x, y)), F, M)

# ---- creation

example("iota", lambda lax: lax.broadcasted_iota(np.float32, (2, 3), 1))
example("iota", lambda lax: lax.iota(np.uint8, 3), label="uint8")
example("empty", lambda lax: lax.empty((2,), np.float32))

# ---- shapes

example("broadcast_in_dim", lambda lax, x: lax.broadcast_in_dim(x, (2, 3, 4), (1, 2)), M, label="leading")
example("broadcast_in_dim", lambda lax, x: lax.broadcast_in_dim(x, (3, 4), ()), SCALAR, label="scalar")
example("broadcast_in_dim", lambda lax, x: lax.broadcast_in_dim(x, (5, 2, 4), (0, 2)), M[:1], label="stretch")
example("reshape", lambda lax, x: lax.reshape(x, (2, 6)), M)
example("reshape", lambda lax, x: lax.reshape(x, (2, 6), (1, 0)), M, label="permuted")
example("transpose", lambda lax, x: lax.transpose(x, (2, 0, 1)), floats(2, 3, 4))
example("squeeze", lambda lax, x: lax.squeeze(x, (0, 2)), floats(1, 3, 1, 2))
example("rev", lambda lax, x: lax.rev(x, (1,)), M)
example("concatenate", lambda lax, x, y: lax.concatenate([x, y], 1), M, floats(3, 2))
example("pad", lambda lax, x, v: lax.pad(x, v, [(1, 2, 0), (0, 1, 2)]), M, SCALAR, label="interior")
example("pad", lambda lax, x, v: lax.pad(x, v, [(-1, 2, 1), (2, -3, 0)]), M, SCALAR, label="negative")
example("stack", lambda lax, x, y: lax.stack([x, y], 1), M, M * 2)
example("unstack", lambda lax, x: lax.unstack(x, 1), M)
example("split", lambda lax, x: lax.split(x, (1, 3), 1), M)
example("tile", lambda lax, x: lax.tile(x, (2, 3)), M)

# ---- reductions

TIES = np.float32([[1, 2, 2, 0], [3, 3, 3, -1], [0, 0, 5, 5]])
ZEROS = np.float32([[1, 2, 0, 3], [0, 4, 0, 1], [2, 3, 4, 5]])
for name, kinds in (
    ("reduce_sum", "iufc"),
    ("reduce_prod", "iufc"),
    ("reduce_max", "biufc"),
    ("reduce_min", "biufc"),
    ("reduce_and", "biu"),
    ("reduce_or", "biu"),
    ("reduce_xor", "biu"),
):
    for kind in kinds:
        operand = {
            "b": bools(3, 4),
            "i": N,
            "u": integers(3, 4, low=0, dtype=np.uint8),
            "f": M,
            "c": complexes(3, 4),
        }[kind]
        example(name, lambda lax, x, name=name: getattr(lax, name)(x, (1,)), operand, label=kind, rtol=1e-4)
    kind = "i" if name in ("reduce_and", "reduce_or", "reduce_xor") else "f"
    example(
        name,
        lambda lax, x, name=name: getattr(lax, name)(x, (0, 2)),
        floats(2, 3, 4) if kind == "f" else integers(2, 3, 4),
        label="two",
        rtol=1e-4,
    )
for name in ("reduce_max", "reduce_min"):
    example(name, lambda lax, x, name=name: getattr(lax, name)(x, (1,)), TIES, label="ties")
    example(
        name, lambda lax, x, name=name: getattr(lax, name)(x, (0,)), EDGES, label="edges", second=False, vectorize=False
    )
example("reduce_prod", lambda lax, x: lax.reduce_prod(x, (1,)), ZEROS, label="zeros")
example("reduce_sum", lambda lax, x: lax.reduce_sum(x, (0,)), np.zeros((0, 3), np.float32), label="empty")
example(
    "reduce_max",
    lambda lax, x: lax.reduce_max(x, (0,)),
    np.zeros((0, 3), np.float32),
    label="empty",
    differentiate=False,
)
for name in ("argmax", "argmin"):
    for label, operand in (("f", M), ("i", N), ("b", bools(3, 4)), ("ties", TIES)):
        example(name, lambda lax, x, name=name: getattr(lax, name)(x, 1, np.int32), operand, label=label)
    example(name, lambda lax, x, name=name: getattr(lax, name)(x, 0, np.uint8), EDGES, label="edges", vectorize=False)
example("reduce", lambda lax, x: lax.reduce(x, x.dtype.type(1), lambda a, b: a * b, (1,)), M, rtol=1e-4)
example(
    "reduce",
    lambda lax, x, i: lax.reduce(
        (x, i), (x.dtype.type(-np.inf), np.int32(0)), lambda a, b: (lax.max(a[0], b[0]), lax.add(a[1], b[1])), (0, 2)
    ),
    floats(2, 3, 5),
    integers(2, 3, 5),
    label="tree",
    differentiate=False,
)
example(
    "reduce",
    lambda lax, x, y: lax.reduce(
        (x, y), (x.dtype.type(1), x.dtype.type(0)), lambda a, b: (a[0] * b[0], a[1] * b[0] + b[1]), (1,)
    ),
    M,
    floats(3, 4, low=-1),
    label="scan",
    rtol=1e-4,
)

for name in ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"):
    for reverse in (False, True):
        example(
            name,
            lambda lax, x, name=name, reverse=reverse: getattr(lax, name)(x, 1, reverse=reverse),
            M,
            label="reverse" if reverse else "f",
            rtol=1e-4,
        )
    if name != "cumlogsumexp":
        example(name, lambda lax, x, name=name: getattr(lax, name)(x, 0), N, label="i")
    example(
        name,
        lambda lax, x, name=name: getattr(lax, name)(x, 0),
        complexes(3, 2),
        label="c",
        differentiate=False,
        rtol=1e-4,
    )
example("cumprod", lambda lax, x: lax.cumprod(x, 1), ZEROS, label="zeros")
example(
    "cumlogsumexp",
    lambda lax, x: lax.cumlogsumexp(x, 0),
    np.float32([-np.inf, -np.inf, 1, 2]),
    label="inf",
    differentiate=False,
)

# ---- windows

W = floats(4, 6)


def window(operation, init, *rest):
    def function(lax, x):
        return lax.reduce_window(x, np.asarray(init, x.dtype), operation(lax), *rest)

    return function


for name, operation, init in (
    ("reduce_window_sum", lambda lax: lax.add, 0),
    ("reduce_window_max", lambda lax: lax.max, -np.inf),
    ("reduce_window_min", lambda lax: lax.min, np.inf),
    ("reduce_window", lambda lax: lambda a, b: lax.mul(a, b), 1),
):
    # jax differentiates general windows forwards only
    smooth = name != "reduce_window"
    example(
        name, window(operation, init, (2, 2), (1, 2), "VALID"), W, label="valid", differentiate=smooth, second=False
    )
    example(
        name,
        window(operation, init, (3, 2), (2, 1), "SAME"),
        W,
        label="same",
        differentiate=smooth,
        second=False,
        vectorize=False,
    )
    dilated = window(operation, init, (2, 2), (1, 2), [(1, 2), (0, 1)], (2, 1), (1, 2))
    example(name, dilated, W, label="dilated", differentiate=name == "reduce_window_sum", second=False)
for primitive in ("select_and_gather_add", "select_and_scatter_add"):

    def select_and(lax, x, y, primitive=primitive):
        params = {"window_dimensions": (2, 2), "window_strides": (1, 2), "padding": ((1, 0), (0, 1))}
        if primitive == "select_and_gather_add":
            params.update(base_dilation=(1, 1), window_dilation=(1, 1))
        return getattr(lax, primitive + "_p").bind(x, y, select_prim=lax.ge_p, **params)

    example(primitive, select_and, W + 1 if "gather" in primitive else floats(4, 3), W)

# ---- sorting

example("sort", lambda lax, x: lax.sort(x, 1), M, label="f")
example("sort", lambda lax, x: lax.sort(x, 0), N, label="i")
example("sort", lambda lax, x: lax.sort(x, 0), complexes(3, 2), label="c")
example("sort", lambda lax, x: lax.sort(x), EDGES, label="edges", second=False, vectorize=False)
example(
    "sort", lambda lax, x, y: lax.sort((x, y), dimension=1, num_keys=2), integers(3, 4, low=0, high=2), M, label="keys"
)
example("sort", lambda lax, x, y: lax.sort_key_val(x, y, 0), M, N, label="values")
example("top_k", lambda lax, x: lax.top_k(x, 2), M, label="f")
example("top_k", lambda lax, x: lax.top_k(x, 2, axis=0), M, label="axis")
example("top_k", lambda lax, x: lax.top_k(x, 3), N, label="i")
