"""Questions about whole arrays and their types, answered by one bool."""

import numpy as np

from cyxla._engine.array import Array, asarray, typeof

from . import reductions, ufuncs
from .axes import broadcast_shapes
from .creation import array
from .elementwise import isclose
from .promotion import kind


def _arrays(a1, a2):
    return [asarray(a) if not isinstance(a, (list, tuple)) else array(a) for a in (a1, a2)]


def array_equal(a1, a2, equal_nan=False):
    """Whether two arrays have one shape and equal elements."""
    try:
        a1, a2 = _arrays(a1, a2)
    except (TypeError, ValueError):
        return asarray(np.bool_(False))
    if a1.shape != a2.shape:
        return asarray(np.bool_(False))
    equal = ufuncs.equal(a1, a2)
    if equal_nan:
        both = ufuncs.logical_and(ufuncs.not_equal(a1, a1), ufuncs.not_equal(a2, a2))
        equal = ufuncs.logical_or(equal, both)
    return reductions.all(equal)


def array_equiv(a1, a2):
    """Whether two arrays broadcast together and are equal then."""
    try:
        a1, a2 = _arrays(a1, a2)
        broadcast_shapes(a1.shape, a2.shape)
    except (TypeError, ValueError):
        return asarray(np.bool_(False))
    return reductions.all(ufuncs.equal(a1, a2))


def allclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether all elements are close, see ``isclose``."""
    return reductions.all(isclose(a, b, rtol, atol, equal_nan))


def iscomplexobj(x):
    """Whether the dtype of ``x`` is complex."""
    if x is None:
        return False
    if isinstance(x, (list, tuple)):
        return any(iscomplexobj(item) for item in x)
    try:
        return kind(typeof(x).dtype) == "c"
    except TypeError:
        return False


def isrealobj(x):
    """Whether the dtype of ``x`` is not complex."""
    return not iscomplexobj(x)


def isscalar(element):
    """Whether ``element`` is a number or an array without axes."""
    if isinstance(element, (int, float, complex, np.generic, str, bytes)):
        return True
    return (isinstance(element, (Array, np.ndarray)) and element.ndim == 0) or _has_scalar_array(element)


def _has_scalar_array(element):
    return hasattr(type(element), "__jax_array__") and asarray(element).ndim == 0
