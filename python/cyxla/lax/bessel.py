"""Exponentially scaled modified Bessel functions of the first kind, elementwise."""

import numpy as np

from cyxla import lax
from cyxla._engine.aval import shaped_array
from cyxla._engine.core import Primitive
from cyxla._engine.dtypes import dtype_code
from cyxla._engine.lowering import trace_table
from cyxla._engine.ufunc import StrictOp
from cyxla.lax._util import inline, scalar_like

# Coefficients of the Chebyshev series of exp(-x) I0(x) in x/4 - 1 for 0 <= x <= 8, and of sqrt(x) exp(-x) I0(x) in 16/x
# - 1 for larger x; the constant terms are doubled, as Clenshaw's recurrence wants them.
_NEAR = (
    0.676795274409476, -0.3046826723431983, 0.17162090152220866, -0.09490109704804753, 0.049305284239670615,
    -0.02373741480589939, 0.01054646039459493, -0.004324309995050513, 0.001639475616941277, -0.0005763755745385155,
    0.00018850288509576185, -5.754195010073236e-05, 1.644844807063508e-05, -4.416738358369526e-06,
    1.1173875390351704e-06, -2.6707938532009865e-07, 6.046995015633637e-08, -1.3000250032856606e-08,
    2.6598236613049756e-09, -5.189794881381915e-10, 9.675801693990061e-11, -1.726817533691423e-11,
    2.9549590601024925e-12, -4.855496994055075e-13, 7.667148871088464e-14, -1.1600377369845941e-14,
    1.6344946771919277e-15, -1.6690696134219473e-16,
)  # fmt: skip
_FAR = (
    0.8044904110141088, 0.0033691164782557246, 6.889758346913656e-05, 2.8913705208603523e-06,
    2.0489185891689249e-07, 2.2666689937253342e-08, 3.3962319977956685e-09, 4.94060271903976e-10,
    1.1889110700710055e-11, -3.1499135300962214e-11, -1.3215847687042537e-11, -1.7941456339262002e-12,
    7.179801848541945e-13, 3.8531394329528735e-13, 1.5373119444106464e-14, -4.147125676721986e-14,
    -9.58089727345901e-15, 3.841242645144516e-15, 1.7368300807979465e-15, -3.1005580047871464e-16,
    -3.162563527031592e-16,
)  # fmt: skip

_FLOAT32, _FLOAT64 = dtype_code(np.float32), dtype_code(np.float64)


def _chebyshev(y, coefficients):
    """Clenshaw's recurrence for a Chebyshev series in y / 2."""
    b0 = b1 = b2 = lax.full_like(y, 0)
    for c in reversed(coefficients):
        b0, b1, b2 = lax.add(lax.sub(lax.mul(y, b0), b1), scalar_like(y, c)), b0, b1
    return lax.mul(scalar_like(y, 0.5), lax.sub(b0, b2))


def _i0e(x):
    double = x.aval.code == _FLOAT64
    x = lax.abs(x)
    near = _chebyshev(lax.sub(lax.mul(scalar_like(x, 0.5), x), scalar_like(x, 2)), _NEAR if double else _NEAR[:18])
    far = _chebyshev(lax.sub(lax.div(scalar_like(x, 32), x), scalar_like(x, 2)), _FAR if double else _FAR[:7])
    return lax.select(lax.le(x, scalar_like(x, 8)), near, lax.div(far, lax.sqrt(x)))


def in_single_precision(function):
    """Lowering of an elementwise function of floats; half precision is computed in single."""
    traces = trace_table()

    def widened(*operands):
        dtype = operands[0].dtype
        return lax.convert_element_type(function(*(lax.convert_element_type(x, np.float32) for x in operands)), dtype)

    def rule(ctx, *names):
        out = ctx.avals_out[0]
        full = []
        for name, aval in zip(names, ctx.avals_in):
            full.append(ctx.broadcast(name, aval, shaped_array(out.shape, aval.code, False), ()))
        wide = out.code in (_FLOAT32, _FLOAT64)
        avals = tuple(shaped_array(out.shape, a.code, False) for a in ctx.avals_in)
        return inline(ctx, function if wide else widened, full, avals, traces)

    return rule


def _i1e_jvp(t, ans, x):
    # d i1e = i0e - i1e (sign x + 1 / x), whose limit at 0 is 1/2
    tiny = np.finfo(x.dtype if x.dtype in (np.float32, np.float64) else np.float32).eps
    away = lax.gt(lax.abs(x), scalar_like(x, float(tiny)))
    safe = lax.select(away, x, lax.full_like(x, float(tiny)))
    slope = lax.sub(lax.bessel_i0e(safe), lax.mul(ans, lax.add(lax.sign(safe), lax.reciprocal(safe))))
    return lax.mul(t, lax.select(away, slope, lax.full_like(x, 0.5)))


bessel_i0e_p = Primitive(
    "bessel_i0e",
    kind="elementwise",
    accepts="f",
    lower=in_single_precision(_i0e),
    jvps=(lambda t, ans, x: lax.mul(t, lax.sub(lax.bessel_i1e(x), lax.mul(lax.sign(x), ans))),),
)
bessel_i0e = StrictOp(bessel_i0e_p, "bessel_i0e", "Elementwise exp(-abs(x)) times the modified Bessel function I0.")

bessel_i1e_p = Primitive(
    "bessel_i1e", kind="elementwise", accepts="f", lower="chlo.bessel_i1e {0} : {t0} -> {t}", jvps=(_i1e_jvp,)
)
bessel_i1e = StrictOp(bessel_i1e_p, "bessel_i1e", "Elementwise exp(-abs(x)) times the modified Bessel function I1.")
