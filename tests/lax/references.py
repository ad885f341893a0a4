"""What NumPy and SciPy compute for the rows of the table of examples, where they have the function.

`REFERENCES` maps the label of a row, or the name of its primitive where it has no row here, to a function of the row's
operands. Rows named in `OTHER` have none.
"""

import ml_dtypes
import numpy as np
import scipy.linalg
import scipy.special as special
from table import EXAMPLES

REFERENCES = {}


LABELS = {example.label for example in EXAMPLES}


def by_kind(name, function, *kinds):
    """The same function for several rows of a primitive, as far as there are such."""
    REFERENCES.update({label: function for label in (f"{name}-{kind}" for kind in kinds) if label in LABELS})


# ---- elementwise, one operand

REFERENCES |= {
    "neg": np.negative, "sign": np.sign, "abs": np.abs, "floor": np.floor, "ceil": np.ceil, "is_finite": np.isfinite,
    "exp": np.exp, "log": np.log, "expm1": np.expm1, "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "sqrt": np.sqrt, "cbrt": np.cbrt,
    "square": np.square, "erf": special.erf, "erfc": special.erfc, "erf_inv": special.erfinv,
    "lgamma": special.gammaln, "digamma": special.digamma, "real": np.real, "imag": np.imag, "conj": np.conj,
    "not": np.invert, "population_count": lambda x: np.bitwise_count(x.view(f"u{x.itemsize}")).astype(x.dtype), "round-even": np.rint,
    "bessel_i0e": special.i0e, "bessel_i1e": special.i1e, "zeta": special.zeta, "polygamma-f": special.polygamma,
    "polygamma-x": lambda x: special.polygamma(1, x), "igammac": special.gammaincc, "igamma": special.gammainc,
    "regularized_incomplete_beta": special.betainc,
    "regularized_incomplete_beta-x": lambda x: special.betainc(2.5, 0.7, x),
    "exp2": lambda x: np.exp2(x) if x.dtype.kind == "f" else 2.0**x,
    "logistic": lambda x: special.expit(x) if x.dtype.kind == "f" else 1 / (1 + np.exp(-x)),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "round": lambda x: np.copysign(np.floor(np.abs(x) + 0.5), x),
    "clz": lambda x: np.array([8 * x.itemsize - (int(v) % (1 << 8 * x.itemsize)).bit_length() for v in x], x.dtype),
}  # fmt: skip
for power in (-2, -1, 0, 1, 2, 3, 4, 7):
    by_kind("integer_pow", lambda x, power=power: x**power, power)
by_kind("integer_pow", lambda x: x**5, "i")
by_kind("integer_pow", lambda x: x ** (-3), "c")

# ---- elementwise, two operands and more


def truncated(x, y):
    return x / y if x.dtype.kind in "fc" else (np.abs(x) // np.abs(y) * (np.sign(x) * np.sign(y))).astype(x.dtype)


def bits(x, kind):
    """Integers as signed ("i") or unsigned ("u") ones of the same bits."""
    return np.asarray(x).view(np.dtype(f"{kind}{x.itemsize}"))


def shifted(kind):
    return lambda x, y: np.right_shift(bits(x, kind), bits(y, kind)).view(x.dtype)


def high_half(x, y):
    bits = 8 * x.itemsize
    return np.array([int(a) * int(b) >> bits for a, b in np.broadcast(x, y)], x.dtype)


def total_order(x):
    """Integers in the order that IEEE calls total, or x itself where it holds integers."""
    if x.dtype.kind != "f":
        return x
    bits = x.view(np.dtype(f"i{x.itemsize}"))
    return np.where(bits < 0, np.iinfo(bits.dtype).min - bits - 1, bits)


REFERENCES |= {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": truncated, "rem": np.fmod, "pow": np.power,
    "max": np.maximum, "min": np.minimum, "atan2": np.arctan2, "nextafter": np.nextafter, "and": np.bitwise_and,
    "or": np.bitwise_or, "xor": np.bitwise_xor, "shift_left": np.left_shift, "shift_right_logical": shifted("u"),
    "shift_right_arithmetic": shifted("i"), "mulhi": high_half, "eq": np.equal, "ne": np.not_equal, "lt": np.less,
    "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "add_any": np.add,
    "complex": lambda x, y: np.stack(np.broadcast_arrays(x, y), -1).view(np.complex128)[..., 0],
    "eq_to": lambda x, y: total_order(x) == total_order(y),
    "le_to": lambda x, y: total_order(x) <= total_order(y),
    "lt_to": lambda x, y: total_order(x) < total_order(y),
    "select_n": lambda which, *cases: np.choose(which.astype(int), cases),
    "select_n-int": lambda which, true, false: np.where(which, true, false),
    "clamp": lambda low, x, high: np.clip(x, low, high),
    "clamp-scalars": lambda x: np.clip(x, -0.5, 1),
}  # fmt: skip

# ---- dtypes, creation, shapes


def converted(x, dtype):
    if dtype is np.complex64:
        return x.astype(dtype)
    return (np.clip(x.real, 0, 255) if dtype is np.uint8 and x.dtype.kind in "fc" else x.real).astype(dtype)


for dtype in (np.float16, np.int32, np.uint8, np.bool_, np.complex64, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn):
    for kind in "fic":
        by_kind(
            "convert_element_type",
            lambda x, dtype=dtype: converted(x, dtype),
            f"{kind}-{np.dtype(dtype).name}",
        )


def few_bits(x):
    """Numbers of 5 bits of precision, within the range that needs no more than 5 bits of exponent."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.rint(mantissa * 32) / 32, exponent)


def padded(x, value, config):
    shape = [low + max(n + (n - 1) * inner, 0) + high for n, (low, high, inner) in zip(x.shape, config, strict=True)]
    out = np.full(shape, value, x.dtype)
    for index in np.ndindex(x.shape):
        place = tuple(low + i * (inner + 1) for i, (low, _, inner) in zip(index, config, strict=True))
        if all(0 <= p < n for p, n in zip(place, shape, strict=True)):
            out[place] = x[index]
    return out


REFERENCES |= {
    "reduce_precision": few_bits, "stop_gradient": np.copy, "copy": np.copy,
    "optimization_barrier": lambda x, y: (x, y),
    "iota": lambda: np.broadcast_to(np.arange(3, dtype=np.float32), (2, 3)),
    "iota-uint8": lambda: np.arange(3, dtype=np.uint8),
    "broadcast_in_dim-leading": lambda x: np.broadcast_to(x, (2, 3, 4)),
    "broadcast_in_dim-scalar": lambda x: np.broadcast_to(x, (3, 4)),
    "broadcast_in_dim-stretch": lambda x: np.broadcast_to(x[:, None], (5, 2, 4)),
    "reshape": lambda x: x.reshape(2, 6), "reshape-permuted": lambda x: x.T.reshape(2, 6),
    "transpose": lambda x: x.transpose(2, 0, 1), "squeeze": lambda x: x.squeeze((0, 2)),
    "rev": lambda x: np.flip(x, 1), "concatenate": lambda x, y: np.concatenate([x, y], 1),
    "pad-interior": lambda x, v: padded(x, v, [(1, 2, 0), (0, 1, 2)]),
    "pad-negative": lambda x, v: padded(x, v, [(-1, 2, 1), (2, -3, 0)]),
    "stack": lambda x, y: np.stack([x, y], 1), "unstack": lambda x: tuple(np.moveaxis(x, 1, 0)),
    "split": lambda x: np.split(x, [1], 1), "tile": lambda x: np.tile(x, (2, 3)),
}  # fmt: skip
by_kind("bitcast_convert_type", lambda x: x.view(np.int32).reshape(*x.shape, 2), "same")  # of an operand of 64 bits
by_kind("bitcast_convert_type", lambda x: x.view(np.uint8).reshape(*x.shape, x.itemsize), "narrow")
by_kind("bitcast_convert_type", lambda x: x.view(np.int32)[..., 0], "wide")

# ---- reductions, cumulative operations, sorting

for name, function in (
    ("reduce_sum", np.sum), ("reduce_prod", np.prod), ("reduce_max", np.max), ("reduce_min", np.min),
    ("reduce_and", np.bitwise_and.reduce), ("reduce_or", np.bitwise_or.reduce), ("reduce_xor", np.bitwise_xor.reduce),
):  # fmt: skip
    by_kind(name, lambda x, f=function: f(x, axis=1).astype(x.dtype), *"biufc", "ties", "zeros")
    by_kind(name, lambda x, f=function: f(x, axis=(0, 2)), "two")
    by_kind(name, lambda x, f=function: f(x, axis=0), "edges")
by_kind("reduce_sum", lambda x: x.sum(0), "empty")
by_kind("reduce_max", lambda x: np.full(3, -np.inf), "empty")
for name in ("argmax", "argmin"):
    by_kind(name, lambda x, f=getattr(np, name): f(x, 1).astype(np.int32), *"fib", "ties")
    by_kind(name, lambda x, f=getattr(np, name): f(x).astype(np.uint8), "edges")


def composed(x, y):
    """The affine maps v -> x v + y of each row, one after the other."""
    factor, offset = np.ones(len(x)), np.zeros(len(x))
    for a, b in zip(x.T, y.T, strict=True):
        factor, offset = factor * a, offset * a + b
    return factor, offset


REFERENCES |= {
    "reduce": lambda x: np.prod(x, axis=1),
    "reduce-tree": lambda x, i: (x.max((0, 2)), i.sum((0, 2), dtype=i.dtype)),
    "reduce-scan": composed,
}
for name, function in (
    ("cumsum", np.add), ("cumprod", np.multiply), ("cummax", np.maximum), ("cummin", np.minimum),
    ("cumlogsumexp", np.logaddexp),
):  # fmt: skip
    by_kind(name, lambda x, f=function: f.accumulate(x, 1), "f", "zeros")
    by_kind(name, lambda x, f=function: np.flip(f.accumulate(np.flip(x, 1), 1), 1), "reverse")
    by_kind(name, lambda x, f=function: f.accumulate(x, 0, dtype=x.dtype), "i", "inf")
    if name in ("cumsum", "cumprod"):
        by_kind(name, lambda x, f=function: f.accumulate(x, 0), "c")


def windows(x, dimensions, strides, padding, fill, base=(1, 1), dilation=(1, 1)):
    """The elements in each window, along new last axes."""
    x = padded(x, fill, [(low, high, b - 1) for (low, high), b in zip(padding, base, strict=True)])
    reach = [(n - 1) * d + 1 for n, d in zip(dimensions, dilation, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(x, reach)
    return view[:: strides[0], :: strides[1], :: dilation[0], :: dilation[1]]


for name, function, fill in (
    ("reduce_window_sum", np.sum, 0), ("reduce_window_max", np.max, -np.inf), ("reduce_window_min", np.min, np.inf),
    ("reduce_window", np.prod, 1),
):  # fmt: skip
    for label, arguments in {
        "valid": ((2, 2), (1, 2), ((0, 0), (0, 0))),
        "same": ((3, 2), (2, 1), ((0, 1), (0, 1))),
        "dilated": ((2, 2), (1, 2), ((1, 2), (0, 1)), (2, 1), (1, 2)),
    }.items():
        rows = (*arguments[:3], fill, *arguments[3:])
        by_kind(name, lambda x, f=function, rows=rows: f(windows(x, *rows), axis=(2, 3)), label)


def by_keys(x, y):
    order = np.lexsort((y, x), axis=1)
    return np.take_along_axis(x, order, 1), np.take_along_axis(y, order, 1)


def by_first(x, y):
    order = np.argsort(x, 0, kind="stable")
    return np.take_along_axis(x, order, 0), np.take_along_axis(y, order, 0)


def largest(x, k, axis=-1):
    order = np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)  # of equal ones the first
    order = (x.shape[axis] - 1 - order).take(range(k), axis)
    return np.take_along_axis(x, order, axis), order.astype(np.int32)


REFERENCES |= {
    "sort-f": lambda x: np.sort(x, 1), "sort-i": lambda x: np.sort(x, 0), "sort-c": lambda x: np.sort(x, 0),
    "sort-edges": np.sort, "sort-keys": by_keys, "sort-values": by_first,
    "top_k-f": lambda x: largest(x, 2), "top_k-axis": lambda x: largest(x, 2, 0), "top_k-i": lambda x: largest(x, 3),
    "approx_top_k": lambda x: largest(x, 2), "cumprod-zeros": lambda x: np.cumprod(x, 1),
}  # fmt: skip

# ---- slices, contractions


def update(x, u, starts):
    starts = [i + n if i < 0 else i for i, n in zip(starts, x.shape, strict=True)]
    starts = [min(max(int(i), 0), n - m) for i, n, m in zip(starts, x.shape, u.shape, strict=True)]
    out = x.copy()
    out[tuple(slice(i, i + m) for i, m in zip(starts, u.shape, strict=True))] = u
    return out


for label in ("inside", "clamped"):
    by_kind("dynamic_update_slice", update, label)
REFERENCES |= {
    "slice-plain": lambda x: x[0:2, 1:3, 2:4], "slice-strided": lambda x: x[0:2, 1:3:2, 0:4:3],
    "slice-empty": lambda x: x[1:1, 1:3, 1:4],
    "dynamic_slice-inside": lambda x, i: x[0:1, 1:3, 1:4], "dynamic_slice-clamped": lambda x, i: x[1:2, 1:3, 0:3],
    "dynamic_slice-scalars": lambda x, i, j: x[1:2, 0:3, 1:3],
}  # fmt: skip
for label, spec in {
    "matrices": "ij,jk->ik", "transposed": "ij,kj->ik", "vectors": "i,i->", "outer": "i,j->ij",
    "batch": "bij,bjk->bik", "batch elsewhere": "icb,cbk->bik", "two contracted": "icd,dkc->ik",
    "two batches": "bcij,cbj->bci", "complex": "ij,jk->ik", "integers": "ij,jk->ik", "mixed": "ij,jk->ik",
}.items():  # fmt: skip
    by_kind("dot_general", lambda x, y, spec=spec: np.einsum(spec, x, y), label)
by_kind("dot_general", lambda x, y: x.astype(np.int32) @ y.astype(np.int32), "int8 to int32")
by_kind("dot_general", lambda x, y: x.astype(np.float32) @ y.astype(np.float32), "preferred")
REFERENCES["conv_general_dilated-no spatial dimension"] = lambda x, k: x @ k.T
REFERENCES["conv_general_dilated-one dimension"] = lambda x, k: np.array(
    [[sum(np.correlate(a, b, "valid")[::2] for a, b in zip(row, out, strict=True)) for out in k] for row in x]
)

# ---- Fourier transforms and linear algebra

REFERENCES |= {
    "fft-FFT 4": np.fft.fft, "fft-IFFT 4": np.fft.ifft2, "fft-RFFT 4": np.fft.rfft, "fft-RFFT 3": np.fft.rfft2,
    "fft-IRFFT 6": lambda x: np.fft.irfft(x, 6), "fft-IRFFT 7": lambda x: np.fft.irfft2(x, (3, 7)),
}  # fmt: skip


def positive(x):
    return x @ x.conj().T + np.eye(len(x))


def permutation(pivots, size):
    out = []
    for row in pivots:
        order = np.arange(size)
        for i, j in enumerate(row):
            order[[i, j]] = order[[j, i]]
        out.append(order)
    return np.array(out, np.int32)


def lu(x):
    packed, pivots = scipy.linalg.lu_factor(-x)
    return packed, pivots.astype(np.int32), permutation(pivots[None], len(x))[0]


def solution(dl, d, du, b):
    bands = np.stack([np.r_[0, du[:-1]], d, np.r_[dl[1:], 0]])
    return scipy.linalg.solve_banded((1, 1), bands, b)


for label in ("real", "complex"):
    by_kind("cholesky", lambda x: np.linalg.cholesky(positive(x)), label)
    by_kind("eigh", lambda x: np.linalg.eigvalsh(positive(x)), f"{label} values")
    for transpose, conjugate in ((False, False), (True, False), (True, True)):
        operation = 0 if not transpose else 2 if conjugate else 1
        by_kind(
            "triangular_solve",
            lambda a, b, o=operation: scipy.linalg.solve_triangular(a, b, trans=o, lower=True),
            f"{label} left {transpose} {conjugate}",
        )
        by_kind(
            "triangular_solve",
            lambda a, b, o=operation: (
                scipy.linalg.solve_triangular(a.conj() if o == 2 else a, b.T, trans=0 if o else 1, lower=False).T
            ),
            f"{label} right {transpose} {conjugate}",
        )
    by_kind("tridiagonal_solve", solution, f"{label} False", f"{label} True")
    by_kind("schur", lambda x: scipy.linalg.schur(x), label)
    by_kind("schur", lambda x: scipy.linalg.schur(x)[0], f"{label} form")
    by_kind("eig", lambda x: np.linalg.eigvals(x).astype(complex), f"{label} values")
for label in ("square", "tall", "wide", "complex"):
    by_kind("qr", lambda x: tuple(np.linalg.qr(x, "complete")), f"{label} full")
    by_kind("qr", lambda x: tuple(np.linalg.qr(x)), f"{label} reduced")
    by_kind(
        "qr",
        lambda x: tuple(
            v if v.ndim > 1 else v.astype(np.int32) for v in scipy.linalg.qr(x, mode="economic", pivoting=True)
        ),
        f"{label} pivoting",
    )
    by_kind("lu", lu, label)
    by_kind("svd", lambda x: np.linalg.svd(x, compute_uv=False), f"{label} values")
REFERENCES |= {
    "triangular_solve-unit diagonal": lambda a, b: scipy.linalg.solve_triangular(a, b, lower=True, unit_diagonal=True),
    "lu_pivots_to_permutation": lambda pivots: permutation(pivots, 5),
    "householder_product-3 reflections": lambda a, t: scipy.linalg.lapack.dorgqr(a, t)[0],
    "symmetric_product": lambda a, c: 2 * a @ a.T + 0.5 * (c + c.T),
    "cholesky_update": lambda r, w: np.linalg.cholesky(r.T @ r + np.outer(w, w)).T,
    "geqrf": lambda x: scipy.linalg.lapack.dgeqrf(x)[:2],
}  # fmt: skip

# Rows of these primitives that do something else, or that the function does not take.
OTHER = {
    "cos-of custom_vjp", "atan2-c", "approx_top_k-min, axis", "approx_top_k-all", "approx_top_k-ties",
    "approx_top_k-edges",
}  # fmt: skip

# Primitives that neither NumPy nor SciPy has a function for. Gather, scatter and windows are tested against loops in
# test_gather_scatter.py and in tests/numpy, random bits against recorded ones in tests/random.
WITHOUT = {
    # programs, and what is said to the compiler or to Python
    "after_all", "check", "composite", "cond", "create_token", "custom_jvp_call", "custom_linear_solve",
    "custom_vjp_call", "custom_vmap_call", "dce_sink", "debug_callback", "debug_print", "device_put", "empty",
    "io_callback", "jit", "linear_call", "name", "platform_index", "pure_callback", "remat2", "scan", "stage", "while",
    # what reads and writes references
    "addupdate", "free_ref", "freeze", "get", "new_ref", "swap",
    # indexing by dimension numbers
    "gather", "scatter", "scatter-add", "scatter-max", "scatter-min", "scatter-mul", "scatter-sub",
    "select_and_gather_add", "select_and_scatter", "select_and_scatter_add",
    # packed forms of decompositions, whose signs and layout are LAPACK's
    "geqp3", "hessenberg", "ormqr", "tridiagonal",
    "igamma_grad_a", "random_gamma_grad", "ragged_dot_general", "scaled_dot",
    # random numbers
    "iota_2x32_shape", "random_bits", "random_clone", "random_fold_in", "random_gamma", "random_gamma_each",
    "random_seed", "random_split", "random_unwrap", "random_wrap", "rng_bit_generator", "threefry2x32",
}  # fmt: skip


def reference(example):
    """The function that computes the results of an example with NumPy, or None."""
    if example.label in OTHER:
        return None
    if example.label in REFERENCES:
        return REFERENCES[example.label]
    return REFERENCES.get(example.primitive)
