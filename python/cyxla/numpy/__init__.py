"""NumPy's functions over Cyxla's arrays: what ``import cyxla.numpy as jnp`` gives.

Names are defined by topic, see the modules imported here.
"""
# ruff: noqa: F401

import numpy as _np

from cyxla._engine.array import Array as ndarray

from . import methods as _methods
from . import ufunc_class as _ufunc_class
from .axes import broadcast_shapes
from .bits import packbits, unpackbits
from .calculus import convolve, corrcoef, correlate, cov, diff, ediff1d, gradient, trapezoid, unwrap
from .contraction import cross, dot, inner, kron, matmul, matvec, outer, tensordot, vdot, vecdot, vecmat
from .creation import (
    arange, array, asarray, astype, copy, empty, empty_like, eye, from_dlpack, frombuffer, fromfile, fromiter,
    fromstring, full, full_like, geomspace, identity, indices, linspace, logspace, meshgrid, ones, ones_like, tri,
    vander, zeros, zeros_like,
)  # fmt: skip
from .dtypes import (
    ComplexWarning, bfloat16, bool, bool_, can_cast, cdouble, character, complex64, complex128, complex_,
    complexfloating, csingle, double, dtype, finfo, flexible, float4_e2m1fn, float6_e2m3fn, float6_e3m2fn, float8_e3m4,
    float8_e4m3, float8_e4m3b11fnuz, float8_e4m3fn, float8_e4m3fnuz, float8_e5m2, float8_e5m2fnuz, float8_e8m0fnu,
    float16, float32, float64, float_, floating, generic, iinfo, inexact, int1, int2, int4, int8, int16, int32, int64,
    int_, integer, isdtype, issubdtype, number, object_, promote_types, result_type, signedinteger, single, uint, uint1,
    uint2, uint4, uint8, uint16, uint32, uint64, unsignedinteger,
)  # fmt: skip
from .einsum import einsum, einsum_path
from .elementwise import (
    abs, absolute, acosh, angle, arccosh, around, bitwise_count, bitwise_left_shift, bitwise_right_shift, ceil, clip,
    conj, conjugate, deg2rad, degrees, divmod, fabs, float_power, floor, floor_divide, fmax, fmin, fmod, gcd, greater,
    greater_equal, heaviside, hypot, i0, imag, isclose, iscomplex, isreal, lcm, left_shift, less, less_equal, log2,
    log10, logaddexp, logaddexp2, mod, positive, pow, power, rad2deg, radians, real, reciprocal, remainder, right_shift,
    rint, round, sign, sinc, square, trunc,
)  # fmt: skip
from .floatbits import (
    copysign, frexp, isfinite, isinf, isnan, isneginf, isposinf, ldexp, modf, nan_to_num, signbit, spacing,
)  # fmt: skip
from .functional import apply_along_axis, apply_over_axes, fromfunction, piecewise, vectorize
from .index_tricks import c_, index_exp, mgrid, ogrid, r_, s_
from .joining import (
    append, array_split, block, column_stack, concat, concatenate, delete, dsplit, dstack, hsplit, hstack, insert,
    repeat, split, stack, tile, unstack, vsplit, vstack,
)  # fmt: skip
from .nanreductions import (
    nanargmax, nanargmin, nanmax, nanmean, nanmin, nanprod, nanstd, nansum, nanvar,
)  # fmt: skip
from .padding import pad
from .polynomial import poly, polyadd, polyder, polydiv, polyfit, polyint, polymul, polysub, polyval, roots
from .predicates import allclose, array_equal, array_equiv, iscomplexobj, isrealobj, isscalar
from .printing import array_repr, array_str, get_printoptions, load, printoptions, save, savez, set_printoptions
from .quantiles import median, nanmedian, nanpercentile, nanquantile, percentile, quantile
from .reductions import (
    all, amax, amin, any, argmax, argmin, average, count_nonzero, cumprod, cumsum, cumulative_prod, cumulative_sum, max,
    mean, min, nancumprod, nancumsum, prod, ptp, std, sum, var,
)  # fmt: skip
from .searching import (
    argwhere, bincount, compress, digitize, extract, flatnonzero, histogram, histogram2d, histogram_bin_edges,
    histogramdd, interp, nonzero, searchsorted, where,
)  # fmt: skip
from .selection import (
    choose, ix_, place, put, put_along_axis, ravel_multi_index, select, take, take_along_axis, unravel_index,
)  # fmt: skip
from .setops import (
    intersect1d, isin, setdiff1d, setxor1d, union1d, unique, unique_all, unique_counts, unique_inverse, unique_values,
)  # fmt: skip
from .shape import (
    atleast_1d, atleast_2d, atleast_3d, broadcast_arrays, broadcast_to, expand_dims, flip, fliplr, flipud, iterable,
    matrix_transpose, moveaxis, ndim, permute_dims, ravel, reshape, resize, roll, rollaxis, rot90, shape, size, squeeze,
    swapaxes, transpose, trim_zeros,
)  # fmt: skip
from .sorting import argpartition, argsort, lexsort, partition, sort, sort_complex
from .triangles import (
    diag, diag_indices, diag_indices_from, diagflat, diagonal, fill_diagonal, mask_indices, trace, tril, tril_indices,
    tril_indices_from, triu, triu_indices, triu_indices_from,
)  # fmt: skip
from .ufunc_class import frompyfunc, ufunc
from .ufuncs import (
    acos, add, arccos, arcsin, arcsinh, arctan, arctan2, arctanh, asin, asinh, atan, atan2, atanh, bitwise_and,
    bitwise_invert, bitwise_not, bitwise_or, bitwise_xor, cbrt, cos, cosh, divide, equal, exp, exp2, expm1, invert, log,
    log1p, logical_and, logical_not, logical_or, logical_xor, maximum, minimum, multiply, negative, nextafter,
    not_equal, sin, sinh, sqrt, subtract, tan, tanh, true_divide,
)  # fmt: skip
from .windows import bartlett, blackman, hamming, hanning, kaiser

__array_api_version__ = "2024.12"
e = _np.e
euler_gamma = _np.euler_gamma
inf = _np.inf
nan = _np.nan
newaxis = None
pi = _np.pi

_methods.install()
_ufunc_class.install()
