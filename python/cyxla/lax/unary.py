"""Elementwise operations on one operand, a row each: name, accepted kinds of dtypes, lowering, derivative.

Kinds: b bool, i signed and u unsigned integer, f float, c complex. A derivative maps `(t, ans, x)`, the operand's
tangent, the result and the operand, to the result's tangent. Special functions are in special.py.
"""

from cyxla import lax
from cyxla._engine.aval import integer, shaped_array
from cyxla._engine.core import Primitive
from cyxla._engine.lowering import trace_table
from cyxla._engine.ufunc import StrictOp
from cyxla.lax._util import (
    as_operand,
    batch_unary,
    check_kind,
    complex_code,
    inline,
    is_complex,
    is_inexact,
    kind_of,
    real_code,
    scalar_like,
    short,
)
from cyxla.lax.options import RoundingMethod, accuracy_attribute


def _row(name, accepts, lower, derivative=None, **rules):
    if derivative is None:
        rules.setdefault("differentiable", rules.get("linear", False))
    else:
        rules["jvps"] = (derivative,)
    return Primitive(name, kind="elementwise", accepts=accepts, lower=lower, **rules)


def _accurate(operation, complex_function=None):
    """Lowering of the operations that take an accuracy; the complex form of some is spelled out in real ones."""
    traces = None if complex_function is None else trace_table()

    def rule(ctx, x, accuracy=None):
        if complex_function is not None and is_complex(ctx.avals_in[0]):
            return inline(ctx, complex_function, [x], ctx.avals_in, traces)
        attribute = "" if accuracy is None else accuracy_attribute(accuracy)
        return ctx.op(f"{operation} {x}{attribute} : {ctx.avals_out[0].mlir}")

    return rule


def _accurate_op(primitive, name, doc):
    """The callable of an operation that takes an accuracy."""
    return StrictOp(
        primitive,
        name,
        doc,
        nin=1,
        signature="(x, *, accuracy=None)",
        keywords=lambda x, **options: primitive.bind(x, **options),
    )


# ---- arithmetic

neg_p = _row("neg", "iufc", "stablehlo.negate", linear=True, transpose=lambda ct, x: [lax.neg(ct)], host=True)
neg = StrictOp(neg_p, "neg", "Elementwise negation; integers wrap around.", nin=1)


def _sign_lower(ctx, x):
    aval = ctx.avals_out[0]
    if kind_of(aval) != "u":
        return ctx.op(f"stablehlo.sign {x} : {aval.mlir}")
    return ctx.op(f"stablehlo.minimum {x}, {ctx.constant(1, aval)} : {aval.mlir}")


sign_p = _row("sign", "iufc", _sign_lower, host=True)
sign = StrictOp(sign_p, "sign", "Elementwise sign: -1, 0 or 1 (NaN for NaN); x / abs(x) of complex numbers.", nin=1)

floor_p = _row("floor", "f", "stablehlo.floor", host=True)
floor = StrictOp(floor_p, "floor", "Elementwise largest integer that is not above x.", nin=1)

ceil_p = _row("ceil", "f", "stablehlo.ceil", host=True)
ceil = StrictOp(ceil_p, "ceil", "Elementwise smallest integer that is not below x.", nin=1)

is_finite_p = Primitive(
    "is_finite",
    kind="compare",
    accepts="f",
    lower="stablehlo.is_finite {0} : ({t0}) -> {t}",
    differentiable=False,
    host=True,
)
is_finite = StrictOp(is_finite_p, "is_finite", "Elementwise test for numbers that are neither infinite nor NaN.", nin=1)

_ROUND = {
    RoundingMethod.AWAY_FROM_ZERO: "stablehlo.round_nearest_afz",
    RoundingMethod.TO_NEAREST_EVEN: "stablehlo.round_nearest_even",
}
round_p = _row(
    "round",
    "f",
    lambda ctx, x, rounding_method: ctx.op(f"{_ROUND[rounding_method]} {x} : {ctx.avals_out[0].mlir}"),
    host=True,
)


def round(x, rounding_method=RoundingMethod.AWAY_FROM_ZERO):
    """Elementwise rounding to the nearest integer.

    `rounding_method` says what happens half way between two integers. TypeError for dtypes that are not floating.

    >>> from cyxla import lax
    >>> lax.round(2.5, lax.RoundingMethod.TO_NEAREST_EVEN)
    Array(2., dtype=float32, weak_type=True)
    """
    return round_p.bind(x, rounding_method=RoundingMethod(rounding_method))


square_p = _row(
    "square",
    "iufc",
    lambda ctx, x: ctx.op(
        f"chlo.square {x} : {ctx.avals_in[0].mlir} -> {ctx.avals_out[0].mlir}"
        if is_inexact(ctx.avals_in[0])
        else f"stablehlo.multiply {x}, {x} : {ctx.avals_out[0].mlir}"
    ),
    lambda t, ans, x: lax.mul(t, lax.mul(scalar_like(x, 2), x)),
    host=True,
)
square = StrictOp(square_p, "square", "Elementwise square.")


def _integer_pow_lower(ctx, x, y):
    aval = ctx.avals_out[0]
    if y == 0:
        return ctx.constant(1, aval)
    power, result, n = x, None, -y if y < 0 else y
    while True:  # square and multiply, the factors in the order jax has
        if n & 1:
            result = power if result is None else ctx.op(f"stablehlo.multiply {result}, {power} : {aval.mlir}")
        n >>= 1
        if not n:
            break
        power = ctx.op(f"stablehlo.multiply {power}, {power} : {aval.mlir}")
    if y < 0:
        return ctx.op(f"stablehlo.divide {ctx.constant(1, aval)}, {result} : {aval.mlir}")
    return result


def _integer_pow_jvp(t, ans, x, y):
    if y == 1:
        return t
    if y == 0:
        return lax.mul(t, scalar_like(x, 0))
    return lax.mul(t, lax.mul(scalar_like(x, y), x if y == 2 else integer_pow_p.bind(x, y=y - 1)))


integer_pow_p = _row("integer_pow", "iufc", _integer_pow_lower, _integer_pow_jvp, host=True)


def integer_pow(x, y):
    """Elementwise x**y for a Python integer y, by repeated multiplication.

    TypeError for an integer x with a negative y.

    >>> from cyxla import lax
    >>> lax.integer_pow(3, 4)
    Array(81, dtype=int32, weak_type=True)
    """
    y = integer(y)
    if y < 0:
        x = as_operand(x)
        if kind_of(x.aval) in "iu":
            raise TypeError(
                f"integer_pow: {short(x.aval)} has no powers with negative exponent {y}; convert it to a float with "
                ".astype(...)"
            )
    return integer_pow_p.bind(x, y=y)


def reciprocal(x):
    """Elementwise 1/x of floating or complex x."""
    return integer_pow(x, -1)


# ---- roots, exponentials and logarithms

sqrt_p = _row(
    "sqrt",
    "fc",
    _accurate("stablehlo.sqrt"),
    lambda t, ans, x, **_: lax.mul(t, lax.div(scalar_like(x, 0.5), ans)),
    host=True,
)
sqrt = _accurate_op(sqrt_p, "sqrt", "Elementwise square root; NaN for negative real numbers.")

rsqrt_p = _row(
    "rsqrt",
    "fc",
    _accurate("stablehlo.rsqrt"),
    lambda t, ans, x, **_: lax.mul(t, lax.mul(scalar_like(x, -0.5), lax.div(ans, x))),
)
rsqrt = _accurate_op(rsqrt_p, "rsqrt", "Elementwise 1 / sqrt(x).")

cbrt_p = _row(
    "cbrt",
    "f",
    _accurate("stablehlo.cbrt"),
    lambda t, ans, x, **_: lax.mul(t, lax.mul(scalar_like(x, 1 / 3), integer_pow_p.bind(ans, y=-2))),
)
cbrt = _accurate_op(cbrt_p, "cbrt", "Elementwise real cube root.")

exp_p = _row("exp", "fc", _accurate("stablehlo.exponential"), lambda t, ans, x, **_: lax.mul(t, ans))
exp = _accurate_op(exp_p, "exp", "Elementwise exponential.")

_LOG2 = 0.6931471805599453


def _exp2_lower(ctx, x, accuracy=None):
    aval = ctx.avals_out[0]
    scaled = ctx.op(f"stablehlo.multiply {ctx.constant(_LOG2, aval)}, {x} : {aval.mlir}")
    return ctx.op(f"stablehlo.exponential {scaled}{accuracy_attribute(accuracy)} : {aval.mlir}")


exp2_p = _row("exp2", "fc", _exp2_lower, lambda t, ans, x, **_: lax.mul(scalar_like(x, _LOG2), lax.mul(t, ans)))
exp2 = _accurate_op(exp2_p, "exp2", "Elementwise power of two.")

expm1_p = _row(
    "expm1",
    "fc",
    _accurate("stablehlo.exponential_minus_one"),
    lambda t, ans, x, **_: lax.mul(t, lax.add(ans, scalar_like(x, 1))),
)
expm1 = _accurate_op(expm1_p, "expm1", "Elementwise exp(x) - 1, exact also for small x.")

log_p = _row("log", "fc", _accurate("stablehlo.log"), lambda t, ans, x, **_: lax.div(t, x))
log = _accurate_op(log_p, "log", "Elementwise natural logarithm; NaN for negative real numbers.")

log1p_p = _row(
    "log1p",
    "fc",
    _accurate("stablehlo.log_plus_one"),
    lambda t, ans, x, **_: lax.div(t, lax.add(x, scalar_like(x, 1))),
)
log1p = _accurate_op(log1p_p, "log1p", "Elementwise log(1 + x), exact also for small x.")


def _logistic_lower(ctx, x, accuracy=None):
    aval = ctx.avals_out[0]
    minus = ctx.op(f"stablehlo.negate {x} : {aval.mlir}")
    decay = ctx.op(f"stablehlo.exponential {minus}{accuracy_attribute(accuracy)} : {aval.mlir}")
    one = ctx.constant(1, aval)
    return ctx.op(f"stablehlo.divide {one}, {ctx.op(f'stablehlo.add {one}, {decay} : {aval.mlir}')} : {aval.mlir}")


logistic_p = _row(
    "logistic",
    "fc",
    _logistic_lower,
    lambda t, ans, x, **_: lax.mul(t, lax.mul(ans, lax.sub(scalar_like(x, 1), ans))),
)
logistic = _accurate_op(logistic_p, "logistic", "Elementwise logistic function: 1 / (1 + exp(-x)).")

# ---- trigonometric functions


def _cosh_sinh(y):
    """cosh and sinh of a real number, exact near 0."""
    up, down = lax.expm1(y), lax.expm1(lax.neg(y))
    two = scalar_like(y, 2)
    return lax.div(lax.add(lax.add(up, down), two), two), lax.div(lax.sub(up, down), two)


# sin(x + iy) = sin x cosh y + i cos x sinh y. On the imaginary axis the real part is exactly 0, also where cosh
# overflows; cos has that on its imaginary part.


def _complex_sin(z):
    x, y = lax.real(z), lax.imag(z)
    cosh_y, sinh_y = _cosh_sinh(y)
    imag = lax.mul(lax.cos(x), sinh_y)
    zero = lax.full_like(x, 0)
    return lax.select(lax.eq(x, zero), lax.complex(zero, imag), lax.complex(lax.mul(lax.sin(x), cosh_y), imag))


def _complex_cos(z):
    x, y = lax.real(z), lax.imag(z)
    cosh_y, sinh_y = _cosh_sinh(y)
    real = lax.mul(lax.cos(x), cosh_y)
    zero = lax.full_like(x, 0)
    return lax.select(lax.eq(x, zero), lax.complex(real, zero), lax.complex(real, lax.mul(lax.neg(lax.sin(x)), sinh_y)))


sin_p = _row("sin", "fc", _accurate("stablehlo.sine", _complex_sin), lambda t, ans, x, **_: lax.mul(t, lax.cos(x)))
sin = _accurate_op(sin_p, "sin", "Elementwise sine.")

cos_p = _row(
    "cos",
    "fc",
    _accurate("stablehlo.cosine", _complex_cos),
    lambda t, ans, x, **_: lax.neg(lax.mul(t, lax.sin(x))),
)
cos = _accurate_op(cos_p, "cos", "Elementwise cosine.")

tan_p = _row(
    "tan",
    "fc",
    _accurate("stablehlo.tan"),
    lambda t, ans, x, **_: lax.mul(t, lax.add(scalar_like(x, 1), lax.square(ans))),
)
tan = _accurate_op(tan_p, "tan", "Elementwise tangent.")


def _rsqrt_of_one_minus_square(x):
    return lax.rsqrt(lax.sub(scalar_like(x, 1), lax.square(x)))


asin_p = _row("asin", "fc", "chlo.asin {0} : {t0} -> {t}", lambda t, ans, x: lax.mul(t, _rsqrt_of_one_minus_square(x)))
asin = StrictOp(asin_p, "asin", "Elementwise inverse sine.")

acos_p = _row(
    "acos", "fc", "chlo.acos {0} : {t0} -> {t}", lambda t, ans, x: lax.mul(t, lax.neg(_rsqrt_of_one_minus_square(x)))
)
acos = StrictOp(acos_p, "acos", "Elementwise inverse cosine.")

atan_p = _row(
    "atan", "fc", "chlo.atan {0} : {t0} -> {t}", lambda t, ans, x: lax.div(t, lax.add(scalar_like(x, 1), lax.square(x)))
)
atan = StrictOp(atan_p, "atan", "Elementwise inverse tangent.")

# ---- hyperbolic functions

sinh_p = _row("sinh", "fc", "chlo.sinh {0} : {t0} -> {t}", lambda t, ans, x: lax.mul(t, lax.cosh(x)))
sinh = StrictOp(sinh_p, "sinh", "Elementwise hyperbolic sine.")

cosh_p = _row("cosh", "fc", "chlo.cosh {0} : {t0} -> {t}", lambda t, ans, x: lax.mul(t, lax.sinh(x)))
cosh = StrictOp(cosh_p, "cosh", "Elementwise hyperbolic cosine.")

tanh_p = _row(
    "tanh",
    "fc",
    _accurate("stablehlo.tanh"),
    # t (1 + ans) (1 - ans) keeps its accuracy where ans is close to 1, which t - t ans^2 does not
    lambda t, ans, x, **_: lax.mul(lax.add(t, lax.mul(t, ans)), lax.sub(scalar_like(x, 1), ans)),
)
tanh = _accurate_op(tanh_p, "tanh", "Elementwise hyperbolic tangent.")

asinh_p = _row(
    "asinh",
    "fc",
    "chlo.asinh {0} : {t0} -> {t}",
    lambda t, ans, x: lax.mul(t, lax.rsqrt(lax.add(lax.square(x), scalar_like(x, 1)))),
)
asinh = StrictOp(asinh_p, "asinh", "Elementwise inverse hyperbolic sine.")


def _acosh_jvp(t, ans, x):
    one = scalar_like(x, 1)
    if is_complex(x.aval):
        # One root of the product would be that of another branch left of the imaginary axis.
        return lax.mul(t, lax.mul(lax.rsqrt(lax.sub(x, one)), lax.rsqrt(lax.add(x, one))))
    return lax.mul(t, lax.rsqrt(lax.sub(lax.square(x), one)))


acosh_p = _row("acosh", "fc", "chlo.acosh {0} : {t0} -> {t}", _acosh_jvp)
acosh = StrictOp(acosh_p, "acosh", "Elementwise inverse hyperbolic cosine; NaN below 1.")

atanh_p = _row(
    "atanh",
    "fc",
    "chlo.atanh {0} : {t0} -> {t}",
    lambda t, ans, x: lax.mul(lax.reciprocal(lax.add(scalar_like(x, 1), x)), lax.div(t, lax.sub(scalar_like(x, 1), x))),
)
atanh = StrictOp(atanh_p, "atanh", "Elementwise inverse hyperbolic tangent.")

# ---- bits

not_p = _row("not", "biu", "stablehlo.not", host=True)
bitwise_not = StrictOp(not_p, "bitwise_not", "Elementwise complement of the bits; logical not of bools.", nin=1)

population_count_p = _row("population_count", "iu", "stablehlo.popcnt", host=True)
population_count = StrictOp(population_count_p, "population_count", "Elementwise number of bits that are set.", nin=1)

clz_p = _row("clz", "iu", "stablehlo.count_leading_zeros", host=True)
clz = StrictOp(clz_p, "clz", "Elementwise number of leading zero bits.", nin=1)

# ---- complex numbers: operations whose result has another dtype than their operand


def _changing(name, accepts, result_code, lower, **rules):
    def abstract(x, **_):
        check_kind(name, x, accepts)
        return shaped_array(x.shape, result_code(x.code), x.weak_type)

    prim = Primitive(name, abstract=abstract, lower=lower, host=True, **rules)
    prim.batch = batch_unary(prim)
    return prim


def _abs_jvp(t, ans, x):
    if not is_complex(x.aval):
        return lax.select(lax.ge(x, scalar_like(x, 0)), t, lax.neg(t))
    # d|x| = Re(t conj(x) / |x|), and 0 at 0
    size = lax.convert_element_type(ans, x.dtype)
    safe = lax.select(lax.eq(size, scalar_like(size, 0)), lax.full_like(size, 1), size)
    return lax.real(lax.mul(t, lax.div(lax.conj(x), safe)))


abs_p = _changing("abs", "ifc", real_code, "stablehlo.abs {0} : ({t0}) -> {t}", jvps=(_abs_jvp,))
abs = StrictOp(abs_p, "abs", "Elementwise absolute value; real for complex operands.")

real_p = _changing(
    "real",
    "c",
    real_code,
    "stablehlo.real {0} : ({t0}) -> {t}",
    linear=True,
    transpose=lambda ct, x: [lax.complex(ct, scalar_like(ct, 0))],
)
real = StrictOp(real_p, "real", "Elementwise real part of complex numbers.", nin=1)

# Transposes are linear without conjugation, hence the signs of the imaginary parts.
imag_p = _changing(
    "imag",
    "c",
    real_code,
    "stablehlo.imag {0} : ({t0}) -> {t}",
    linear=True,
    transpose=lambda ct, x: [lax.complex(scalar_like(ct, 0), lax.neg(ct))],
)
imag = StrictOp(imag_p, "imag", "Elementwise imaginary part of complex numbers.", nin=1)


def _conj_lower(ctx, x, input_dtype):
    aval, out = ctx.avals_in[0], ctx.avals_out[0]
    part = shaped_array(out.shape, real_code(out.code), False)
    if not is_complex(aval):
        return ctx.op(f"stablehlo.complex {x}, {ctx.constant(0, part)} : {out.mlir}")
    real_part = ctx.op(f"stablehlo.real {x} : ({aval.mlir}) -> {part.mlir}")
    imag_part = ctx.op(f"stablehlo.imag {x} : ({aval.mlir}) -> {part.mlir}")
    minus = ctx.op(f"stablehlo.negate {imag_part} : {part.mlir}")
    return ctx.op(f"stablehlo.complex {real_part}, {minus} : {out.mlir}")


def _conj_transpose(ct, x, input_dtype):
    return [conj_p.bind(ct, input_dtype=ct.dtype) if is_complex(x.aval) else lax.real(ct)]


def _conj_abstract(x, input_dtype):
    check_kind("conj", x, "fc")
    if not is_complex(x) and x.dtype.name not in ("float32", "float64"):
        raise TypeError(f"conj: its operand has dtype {x.dtype.name}; it must be float32, float64 or complex")
    return shaped_array(x.shape, complex_code(x.code), x.weak_type)


conj_p = Primitive(
    "conj", abstract=_conj_abstract, lower=_conj_lower, linear=True, transpose=_conj_transpose, host=True
)
conj_p.batch = batch_unary(conj_p)


def conj(x):
    """Elementwise complex conjugate; the result is complex also for real x.

    TypeError for dtypes other than float32, float64 and the complex ones.

    >>> from cyxla import lax
    >>> lax.conj(1 + 2j)
    Array(1.-2.j, dtype=complex64, weak_type=True)
    """
    x = as_operand(x)
    return conj_p.bind(x, input_dtype=x.dtype)
