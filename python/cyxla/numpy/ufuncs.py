"""Elementwise functions that are one primitive each: a table of rows over the engine's ufunc objects.

Each promotes its operands by JAX's lattice, broadcasts them together and binds its primitive. Those that need more than
one primitive are in elementwise.py.
"""

from cyxla import lax
from cyxla._engine.ufunc import UFunc

# What the functions with the methods of NumPy's ufuncs show as their signature.
_FULL = "(*args, out=None, where=None)"

# Arithmetic: dtypes as they promote. On bools, addition is "or" and multiplication is "and".
add = UFunc("add", lax.add_p, "numeric", bool_primitive=lax.or_p, signature=_FULL, doc="Elementwise sum x + y.")
subtract = UFunc(
    "subtract", lax.sub_p, "numeric", signature=_FULL, doc="Elementwise difference x - y; bools are refused."
)
multiply = UFunc(
    "multiply", lax.mul_p, "numeric", bool_primitive=lax.and_p, signature=_FULL, doc="Elementwise product x * y."
)
maximum = UFunc(
    "maximum", lax.max_p, "numeric", bool_primitive=lax.or_p, signature=_FULL, doc="Elementwise larger value; NaN wins."
)
minimum = UFunc(
    "minimum",
    lax.min_p,
    "numeric",
    bool_primitive=lax.and_p,
    signature=_FULL,
    doc="Elementwise smaller value; NaN wins.",
)
negative = UFunc("negative", lax.neg_p, "numeric", nin=1, signature=_FULL, doc="Elementwise -x; bools are refused.")

# Results are floating point or complex; integers and bools are converted first.
divide = true_divide = UFunc("divide", lax.div_p, "inexact", doc="Elementwise quotient x / y in floating point.")
sin = UFunc("sin", lax.sin_p, "inexact", nin=1, doc="Sine of x in radians.")
cos = UFunc("cos", lax.cos_p, "inexact", nin=1, doc="Cosine of x in radians.")
tan = UFunc("tan", lax.tan_p, "inexact", nin=1, doc="Tangent of x in radians.")
arcsin = asin = UFunc(
    "arcsin", lax.asin_p, "inexact", nin=1, doc="Inverse sine, in [-pi/2, pi/2]; NaN outside [-1, 1]."
)
arccos = acos = UFunc("arccos", lax.acos_p, "inexact", nin=1, doc="Inverse cosine, in [0, pi]; NaN outside [-1, 1].")
arctan = atan = UFunc("arctan", lax.atan_p, "inexact", nin=1, doc="Inverse tangent, in (-pi/2, pi/2).")
arctan2 = atan2 = UFunc("arctan2", lax.atan2_p, "inexact", doc="Angle of the point (x2, x1), in [-pi, pi].")
sinh = UFunc("sinh", lax.sinh_p, "inexact", nin=1, doc="Hyperbolic sine.")
cosh = UFunc("cosh", lax.cosh_p, "inexact", nin=1, doc="Hyperbolic cosine.")
tanh = UFunc("tanh", lax.tanh_p, "inexact", nin=1, doc="Hyperbolic tangent.")
arcsinh = asinh = UFunc("arcsinh", lax.asinh_p, "inexact", nin=1, doc="Inverse hyperbolic sine.")
arctanh = atanh = UFunc(
    "arctanh", lax.atanh_p, "inexact", nin=1, doc="Inverse hyperbolic tangent; NaN outside [-1, 1]."
)
exp = UFunc("exp", lax.exp_p, "inexact", nin=1, doc="e to the power x.")
exp2 = UFunc("exp2", lax.exp2_p, "inexact", nin=1, doc="2 to the power x.")
expm1 = UFunc("expm1", lax.expm1_p, "inexact", nin=1, doc="exp(x) - 1, accurate for small x.")
log = UFunc("log", lax.log_p, "inexact", nin=1, doc="Natural logarithm; NaN for negative real x, -inf for zero.")
log1p = UFunc("log1p", lax.log1p_p, "inexact", nin=1, doc="log(1 + x), accurate for small x.")
sqrt = UFunc("sqrt", lax.sqrt_p, "inexact", nin=1, doc="Square root; NaN for negative real x.")
cbrt = UFunc("cbrt", lax.cbrt_p, "inexact", nin=1, doc="Cube root.")
nextafter = UFunc("nextafter", lax.nextafter_p, "inexact", doc="The next representable number after x towards y.")

# Results are bool.
equal = UFunc("equal", lax.eq_p, "compare", doc="Elementwise x == y.")
not_equal = UFunc("not_equal", lax.ne_p, "compare", doc="Elementwise x != y.")

logical_and = UFunc("logical_and", lax.and_p, "logical", signature=_FULL, doc="Elementwise truth of both x and y.")
logical_or = UFunc("logical_or", lax.or_p, "logical", signature=_FULL, doc="Elementwise truth of x or y.")
logical_xor = UFunc(
    "logical_xor", lax.xor_p, "logical", signature=_FULL, doc="Elementwise truth of exactly one of x and y."
)
logical_not = UFunc("logical_not", lax.not_p, "logical", nin=1, doc="Elementwise falsehood of x.")

# Integers and bools only.
bitwise_and = UFunc("bitwise_and", lax.and_p, "bitwise", signature=_FULL, doc="Bitwise and of integers or bools.")
bitwise_or = UFunc("bitwise_or", lax.or_p, "bitwise", signature=_FULL, doc="Bitwise or of integers or bools.")
bitwise_xor = UFunc(
    "bitwise_xor", lax.xor_p, "bitwise", signature=_FULL, doc="Bitwise exclusive or of integers or bools."
)
bitwise_not = bitwise_invert = invert = UFunc(
    "bitwise_not", lax.not_p, "bitwise", nin=1, doc="Bitwise complement of integers or bools."
)
