"""Elementwise operations on two operands, a row each: name, accepted kinds of dtypes, lowering, derivatives.

Kinds: b bool, i signed and u unsigned integer, f float, c complex. Operands have one dtype and equal shapes, or one of
them is a scalar. A derivative maps `(t, ans, x, y)`, the tangent of its operand, the result and the operands, to its
part of the result's tangent. Special functions are in special.py.
"""

from cyxla import lax
from cyxla._engine.autodiff import (
    difference_jvp,
    difference_transpose,
    product_jvp_x,
    product_jvp_y,
    product_transpose,
    sum_jvp,
    sum_transpose,
)
from cyxla._engine.aval import shaped_array
from cyxla._engine.core import Primitive, UndefinedPrimal
from cyxla._engine.lowering import trace_table
from cyxla._engine.ufunc import StrictOp
from cyxla.lax._util import (
    all_weak,
    batch_nary,
    broadcast_names,
    check_broadcast,
    check_kind,
    check_same_dtype,
    compare_type,
    complex_code,
    inline,
    is_complex,
    kind_of,
    like_output,
    scalar_like,
    short,
    unbroadcast,
    with_shape,
)


def undefined(x):
    return type(x) is UndefinedPrimal


def _row(name, accepts, lower, derivatives=None, **rules):
    if derivatives is None:
        rules["differentiable"] = False
    else:
        rules["jvps"] = derivatives
    return Primitive(name, kind="elementwise", accepts=accepts, lower=lower, **rules)


def no_derivative(name):
    """A derivative for what could be differentiated but is not: the error says so."""

    def rule(t, ans, *primals, **params):
        raise NotImplementedError(
            f"{name} has no derivative rule; give its function one by jax.custom_jvp or jax.custom_vjp"
        )

    return rule


# ---- arithmetic


add_p = _row("add", "iufc", "stablehlo.add", (sum_jvp, sum_jvp), transpose=sum_transpose, host=True)
add = StrictOp(add_p, "add", "Elementwise sum.")

# What differentiation adds tangents and cotangents with; apart from its name the same operation.
add_any_p = _row("add_any", "iufc", "stablehlo.add", (sum_jvp, sum_jvp), transpose=sum_transpose, host=True)
add_any = StrictOp(add_any_p, "add_any", "Elementwise sum of tangents or cotangents.")


sub_p = _row(
    "sub",
    "iufc",
    "stablehlo.subtract",
    (sum_jvp, difference_jvp),
    transpose=difference_transpose,
    host=True,
)
sub = StrictOp(sub_p, "sub", "Elementwise difference.")


mul_p = _row(
    "mul",
    "iufc",
    "stablehlo.multiply",
    (product_jvp_x, product_jvp_y),
    transpose=product_transpose,
    host=True,
)


def _mul_to(x, y, out_dtype):
    return lax.mul(lax.convert_element_type(x, out_dtype), lax.convert_element_type(y, out_dtype))


mul = StrictOp(
    mul_p,
    "mul",
    "Elementwise product; of the operands converted to `out_dtype`, if that is given.",
    signature="(x, y, *, out_dtype=None)",
    keywords=_mul_to,
)

div_p = _row(
    "div",
    "iufc",
    "stablehlo.divide",
    (
        lambda t, ans, x, y: lax.div(t, y),
        lambda t, ans, x, y: lax.mul(lax.mul(lax.neg(t), x), lax.integer_pow(y, -2)),
    ),
    transpose=lambda ct, x, y: [unbroadcast(lax.div(ct, y), x.aval), None],
    host=True,
)
div = StrictOp(div_p, "div", "Elementwise quotient; of integers, rounded towards zero.")


def _truncated_quotient(x, y):
    q = lax.div(x, y)
    return lax.mul(lax.sign(q), lax.floor(lax.abs(q)))


rem_p = _row(
    "rem",
    "iuf",
    "stablehlo.remainder",
    (sum_jvp, lambda t, ans, x, y: lax.mul(lax.neg(t), _truncated_quotient(x, y))),
    host=True,
)
rem = StrictOp(rem_p, "rem", "Elementwise remainder of the division that rounds towards zero; has the sign of x.")


# ---- power: the exponent may be an integer beside an inexact base


def _pow_abstract(x, y):
    kinds = kind_of(x) + kind_of(y)
    if kinds[0] not in "fc":
        check_kind("pow", x, "fc", 0)
    if kinds[1] not in "iufc" or (kinds[1] in "fc" and x.code != y.code):
        raise TypeError(
            f"pow raises float or complex numbers to integers or to numbers of the same dtype; got {short(x)} and "
            f"{short(y)}"
        )
    check_broadcast("pow", x, y)
    weak = x.weak_type and (y.weak_type or kinds[1] in "iu")
    return shaped_array(x.shape or y.shape, x.code, weak)


def _pow_lower(ctx, x, y):
    a, b = ctx.avals_in
    out = ctx.avals_out[0]
    if a.code != b.code:
        converted = shaped_array(b.shape, a.code, False)
        y, b = ctx.op(f"stablehlo.convert {y} : ({b.mlir}) -> {converted.mlir}"), converted
    x, y = broadcast_names(ctx, (x, y), (a, b))
    return ctx.op(f"stablehlo.power {x}, {y} : {out.mlir}")


def _pow_jvp_x(t, ans, x, y):
    if kind_of(y.aval) in "iu":
        y = lax.convert_element_type(y, x.dtype)
        zero = lax.eq(y, scalar_like(y, 0))
        factor = lax.mul(lax.select(zero, lax.full_like(y, 1), y), lax.pow(x, lax.sub(y, scalar_like(y, 1))))
        if factor.shape != zero.shape:
            zero = lax.broadcast(zero, factor.shape)
        return lax.mul(t, lax.select(zero, lax.full_like(factor, 0), factor))
    return lax.mul(t, lax.mul(y, lax.pow(x, lax.sub(y, scalar_like(y, 1)))))


def _pow_jvp_y(t, ans, x, y):
    # log(1) where x is 0: its product with ans, which is 0 there, stays 0
    log_x = lax.log(lax.select(lax.eq(x, scalar_like(x, 0)), lax.full_like(x, 1), x))
    return lax.mul(t, lax.mul(log_x, ans))


pow_p = Primitive("pow", abstract=_pow_abstract, lower=_pow_lower, jvps=(_pow_jvp_x, _pow_jvp_y))
pow_p.batch = batch_nary(pow_p)


def pow(x, y):
    """Elementwise power; y has x's dtype, or is an integer.

    TypeError where x is not floating or complex, or the dtypes do not match.

    >>> from cyxla import lax
    >>> lax.pow(2.0, 0.5)
    Array(1.4142135, dtype=float32, weak_type=True)
    """
    return pow_p.bind(x, y)


# ---- maximum and minimum


def _lexicographic(direction):
    """The greater or smaller of two complex numbers, by real part, then by imaginary part."""

    def choose(x, y):
        rx, ry = lax.real(x), lax.real(y)
        first = lax.select(lax.eq(rx, ry), direction(lax.imag(x), lax.imag(y)), direction(rx, ry))
        return lax.select(first, x, y)

    return choose


def _extremum_lower(operation, direction):
    choose, traces = _lexicographic(direction), trace_table()

    def rule(ctx, x, y):
        x, y = broadcast_names(ctx, (x, y))
        out = ctx.avals_out[0]
        if is_complex(out):
            return inline(ctx, choose, [x, y], (out, out), traces)
        return ctx.op(f"{operation} {x}, {y} : {out.mlir}")

    return rule


def _extremum_jvp(which):
    def rule(t, ans, x, y):
        # where both operands are extreme, each gets half of the slope
        mine, other = (x, y) if which == 0 else (y, x)
        ones = lax.full_like(ans, 1)
        chosen = lax.select(lax.eq(mine, ans), ones, lax.full_like(ans, 0))
        return lax.mul(t, lax.div(chosen, lax.select(lax.eq(other, ans), lax.full_like(ans, 2), ones)))

    return rule


max_p = _row(
    "max",
    "biufc",
    _extremum_lower("stablehlo.maximum", lambda x, y: lax.gt(x, y)),
    (_extremum_jvp(0), _extremum_jvp(1)),
    host=True,
)
max = StrictOp(max_p, "max", "Elementwise maximum; NaN if either is NaN. Complex numbers compare by real part first.")

min_p = _row(
    "min",
    "biufc",
    _extremum_lower("stablehlo.minimum", lambda x, y: lax.lt(x, y)),
    (_extremum_jvp(0), _extremum_jvp(1)),
    host=True,
)
min = StrictOp(min_p, "min", "Elementwise minimum; NaN if either is NaN. Complex numbers compare by real part first.")

# ---- angles and neighbours


def _sum_of_squares(x, y):
    return lax.add(lax.square(x), lax.square(y))


atan2_p = _row(
    "atan2",
    "fc",
    "stablehlo.atan2",
    (
        lambda t, ans, x, y: lax.mul(t, lax.div(y, _sum_of_squares(x, y))),
        lambda t, ans, x, y: lax.mul(t, lax.div(lax.neg(x), _sum_of_squares(x, y))),
    ),
)
atan2 = StrictOp(
    atan2_p, "atan2", "Elementwise angle of the point (y, x) with the first axis: the inverse tangent of x / y."
)

nextafter_p = _row(
    "nextafter",
    "f",
    "chlo.next_after {0}, {1} : {t0}, {t1} -> {t}",
    (no_derivative("nextafter"), no_derivative("nextafter")),
)
nextafter = StrictOp(
    nextafter_p,
    "nextafter",
    "Elementwise next representable number after x1 in the direction of x2.",
    signature="(x1, x2)",
)

# ---- complex numbers from their parts


def _complex_abstract(x, y):
    for i, part in enumerate((x, y)):
        if part.dtype.name not in ("float32", "float64"):
            raise TypeError(f"complex: operand {i} has dtype {part.dtype.name}; it must be float32 or float64")
    check_same_dtype("lax.complex", (x, y))
    check_broadcast("complex", x, y)
    return shaped_array(x.shape or y.shape, complex_code(x.code), all_weak((x, y)))


def _complex_lower(ctx, x, y):
    x, y = broadcast_names(ctx, (x, y))
    return ctx.op(f"stablehlo.complex {x}, {y} : {ctx.avals_out[0].mlir}")


def _complex_transpose(ct, x, y):
    return [
        unbroadcast(lax.real(ct), x.aval) if undefined(x) else None,
        unbroadcast(lax.imag(lax.neg(ct)), y.aval) if undefined(y) else None,
    ]


complex_p = Primitive(
    "complex",
    abstract=_complex_abstract,
    lower=_complex_lower,
    jvps=(
        lambda t, ans, x, y: like_output(lax.complex(t, scalar_like(t, 0)), ans),
        lambda t, ans, x, y: like_output(lax.complex(scalar_like(t, 0), t), ans),
    ),
    transpose=_complex_transpose,
    host=True,
)
complex_p.batch = batch_nary(complex_p)


complex = StrictOp(complex_p, "complex", "Elementwise complex number x + iy of arrays of float32 or float64.", nin=2)


# ---- bits

and_p = _row("and", "biu", "stablehlo.and", host=True)
bitwise_and = StrictOp(and_p, "bitwise_and", "Elementwise and of bits; logical and of bools.")

or_p = _row("or", "biu", "stablehlo.or", host=True)
bitwise_or = StrictOp(or_p, "bitwise_or", "Elementwise or of bits; logical or of bools.")

xor_p = _row("xor", "biu", "stablehlo.xor", host=True)
bitwise_xor = StrictOp(xor_p, "bitwise_xor", "Elementwise exclusive or of bits; of bools, whether they differ.")

shift_left_p = _row("shift_left", "iu", "stablehlo.shift_left", host=True)
shift_left = StrictOp(shift_left_p, "shift_left", "Elementwise shift to the left by y bits.")

shift_right_arithmetic_p = _row("shift_right_arithmetic", "iu", "stablehlo.shift_right_arithmetic", host=True)
shift_right_arithmetic = StrictOp(
    shift_right_arithmetic_p, "shift_right_arithmetic", "Elementwise shift to the right by y bits that keeps the sign."
)

shift_right_logical_p = _row("shift_right_logical", "iu", "stablehlo.shift_right_logical", host=True)
shift_right_logical = StrictOp(
    shift_right_logical_p, "shift_right_logical", "Elementwise shift to the right by y bits that fills up with zeros."
)

mulhi_p = _row("mulhi", "iu", "chlo.mulhi {0}, {1} : {t0}, {t1} -> {t}")
mulhi = StrictOp(mulhi_p, "mulhi", "Elementwise upper half of the bits of the product of two integers.")

# ---- comparison


def _comparison(name, accepts, direction, total_order=False):
    def rule(ctx, x, y):
        out = ctx.avals_out[0]
        x, y = broadcast_names(ctx, (x, y))
        aval = with_shape(ctx.avals_in[0], out.shape)
        compare = compare_type(aval)
        if total_order and compare == "FLOAT":
            compare = "TOTALORDER"
        return ctx.op(f"stablehlo.compare {direction}, {x}, {y}, {compare} : ({aval.mlir}, {aval.mlir}) -> {out.mlir}")

    return Primitive(name, kind="compare", accepts=accepts, lower=rule, differentiable=False, host=not total_order)


eq_p = _comparison("eq", "biufce", "EQ")
eq = StrictOp(eq_p, "eq", "Elementwise x == y.")

ne_p = _comparison("ne", "biufce", "NE")
ne = StrictOp(ne_p, "ne", "Elementwise x != y.")

ge_p = _comparison("ge", "biuf", "GE")
ge = StrictOp(ge_p, "ge", "Elementwise x >= y.")

gt_p = _comparison("gt", "biuf", "GT")
gt = StrictOp(gt_p, "gt", "Elementwise x > y.")

le_p = _comparison("le", "biuf", "LE")
le = StrictOp(le_p, "le", "Elementwise x <= y.")

lt_p = _comparison("lt", "biuf", "LT")
lt = StrictOp(lt_p, "lt", "Elementwise x < y.")

# In the total order of floats -NaN < -inf < ... < -0 < 0 < ... < inf < NaN, and every NaN equals itself.
eq_to_p = _comparison("eq_to", "biuf", "EQ", total_order=True)
le_to_p = _comparison("le_to", "biuf", "LE", total_order=True)
lt_to_p = _comparison("lt_to", "biuf", "LT", total_order=True)
