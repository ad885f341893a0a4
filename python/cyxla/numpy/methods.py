"""The methods, properties and operators of arrays: which function of this package each of them is."""

import numpy as np

from cyxla import lax
from cyxla._engine import array as _engine
from cyxla._engine.array import Array

from . import (
    contraction,
    creation,
    elementwise,
    indexing,  # noqa: F401 - gives arrays their item access
    joining,
    reductions,
    searching,
    selection,
    shape,
    sorting,
    triangles,
    ufuncs,
)
from .promotion import convert, default_int, kind, requested_dtype

_E = elementwise

# Operators; getitem, iter and the updates of .at are installed by indexing.py.
OPERATORS = {
    "add": ufuncs.add,
    "sub": ufuncs.subtract,
    "mul": ufuncs.multiply,
    "truediv": ufuncs.divide,
    "floordiv": _E.floor_divide,
    "mod": _E.remainder,
    "divmod": _E.divmod,
    "pow": _E.power,
    "matmul": contraction.matmul,
    "and": ufuncs.bitwise_and,
    "or": ufuncs.bitwise_or,
    "xor": ufuncs.bitwise_xor,
    "lshift": _E.left_shift,
    "rshift": _E.right_shift,
    "eq": ufuncs.equal,
    "ne": ufuncs.not_equal,
    "lt": _E.less,
    "le": _E.less_equal,
    "gt": _E.greater,
    "ge": _E.greater_equal,
    "neg": ufuncs.negative,
    "pos": _E.positive,
    "abs": _E.abs,
    "invert": ufuncs.bitwise_not,
}


def reshape(self, *args, order="C", out_sharding=None):
    """The array with another shape of the same size: reshape(2, 3) or reshape((2, 3)); one size may be -1."""
    return shape.reshape(self, args[0] if len(args) == 1 else args, order)


def transpose(self, *args):
    """The array with its axes reversed, or in the given order: transpose(1, 0) or transpose((1, 0))."""
    if not args:
        return shape.transpose(self)
    axes = args[0] if len(args) == 1 and (args[0] is None or hasattr(args[0], "__iter__")) else args
    return shape.transpose(self, axes)


def flatten(self, order="C", *, out_sharding=None):
    """The array flattened to one axis."""
    return shape.ravel(self, order)


def astype(self, dtype, copy=False, device=None):
    """The array converted to ``dtype``."""
    return creation.astype(self, dtype, copy=copy, device=device)


def view(self, dtype=None, type=None):
    """The bytes of the array read as another dtype; the last axis grows or shrinks where the width differs."""
    if type is not None:
        raise NotImplementedError("view: there is one array class, so type= cannot be given")
    if dtype is None:
        return self
    target = requested_dtype(dtype)
    own = self.dtype
    if target == own:
        return self
    if kind(own) == "k" or kind(target) == "k":
        raise NotImplementedError(f"view: {own} cannot be viewed as {target}; keys are taken apart by random.key_data")
    if self.ndim == 0 and target.itemsize != own.itemsize:
        raise ValueError(f"view: a scalar of dtype {own} cannot be viewed as {target}, whose size differs")
    byte = np.dtype(np.uint8)
    x = convert(self, byte) if kind(own) == "b" else self
    if kind(own) == "c" or kind(target) == "c":
        return creation.asarray(np.ascontiguousarray(np.asarray(self)).view(target))
    width = byte if kind(target) == "b" else target
    if width.itemsize == x.dtype.itemsize:
        result = lax.bitcast_convert_type(x, width)
    elif width.itemsize < x.dtype.itemsize:
        parts = lax.bitcast_convert_type(x, width)
        result = lax.reshape(parts, (*self.shape[:-1], parts.shape[-2] * parts.shape[-1]))
    else:
        ratio = width.itemsize // x.dtype.itemsize
        if self.shape[-1] % ratio:
            raise ValueError(
                f"view: the last axis of shape {self.shape} must hold a multiple of {ratio} elements, to be viewed as "
                f"{target}"
            )
        parts = lax.reshape(x, (*self.shape[:-1], self.shape[-1] // ratio, ratio))
        result = lax.bitcast_convert_type(parts, width)
    return convert(result, target)


def byteswap(self):
    """The array with the order of bytes reversed in every element."""
    if self.dtype.itemsize == 1:
        return self
    n = self.dtype.itemsize
    octets = lax.bitcast_convert_type(self, np.dtype(np.uint8))
    return lax.bitcast_convert_type(lax.rev(octets, (octets.ndim - 1,)), self.dtype) if n else self


def compress(self, condition, axis=None, *, out=None, size=None, fill_value=0):
    """The slices along ``axis`` where the condition holds."""
    return searching.compress(condition, self, axis, size=size, fill_value=fill_value, out=out)


def dot(self, b, *, precision=None, preferred_element_type=None):
    """The product with ``b``, see ``cyxla.numpy.dot``."""
    return contraction.dot(self, b, precision=precision, preferred_element_type=preferred_element_type)


def nonzero(self, *, fill_value=None, size=None):
    """The indices of the elements that are not zero, one array for each axis."""
    return searching.nonzero(self, size=size, fill_value=fill_value)


def std(self, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=None, correction=None):
    """The standard deviation over ``axis``."""
    return reductions.std(self, axis, dtype, out, ddof, keepdims, where=where, correction=correction)


def var(self, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=None, correction=None):
    """The variance over ``axis``."""
    return reductions.var(self, axis, dtype, out, ddof, keepdims, where=where, correction=correction)


def clip(self, min=None, max=None):
    """The array with values below ``min`` and above ``max`` replaced by these bounds."""
    return elementwise.clip(self, min, max)


def conj(self):
    """The complex conjugate."""
    return elementwise.conjugate(self)


def copy(self):
    """A copy of the array."""
    return creation.copy(self)


def argsort(self, axis=-1, *, kind=None, order=None, stable=True, descending=False):
    """The indices that sort the array along ``axis``."""
    return sorting.argsort(self, axis, kind=kind, order=order, stable=stable, descending=descending)


def tobytes(self, order="C"):
    """The bytes of the values."""
    return np.asarray(self).tobytes(order)


def to_device(self, device, *, stream=None):
    """The array on another device."""
    if stream is not None:
        raise NotImplementedError("to_device: arrays have no streams; leave stream out")
    return creation.placed(self, device)


def rounded(self, ndigits=None):
    # round(x) of a float array without digits gives integers, as Python's round does of floats.
    if ndigits is None and kind(self.dtype) == "f":
        return convert(elementwise.round(self), default_int())
    return elementwise.round(self, ndigits or 0)


def array_namespace(self, api_version=None):
    """The module with the functions of the array API standard for this array."""
    from cyxla import numpy

    if api_version is not None and api_version != numpy.__array_api_version__:
        raise ValueError(
            f"api_version={api_version!r} is not available; available version: {numpy.__array_api_version__!r}"
        )
    return numpy


def array_module(self, types):
    """The module of NumPy's protocol of that name (NEP 37)."""
    if not all(issubclass(t, (Array, np.ndarray)) for t in types):
        return NotImplemented
    from cyxla import numpy

    return numpy


def clone(self):
    """A copy of the array."""
    return creation.copy(self)


METHODS = {
    "all": reductions.all,
    "any": reductions.any,
    "argmax": reductions.argmax,
    "argmin": reductions.argmin,
    "argpartition": sorting.argpartition,
    "argsort": argsort,
    "astype": astype,
    "byteswap": byteswap,
    "choose": selection.choose,
    "clip": clip,
    "clone": clone,
    "compress": compress,
    "conj": conj,
    "conjugate": conj,
    "copy": copy,
    "cumprod": reductions.cumprod,
    "cumsum": reductions.cumsum,
    "diagonal": triangles.diagonal,
    "dot": dot,
    "flatten": flatten,
    "max": reductions.max,
    "mean": reductions.mean,
    "min": reductions.min,
    "nonzero": nonzero,
    "prod": reductions.prod,
    "ptp": reductions.ptp,
    "ravel": shape.ravel,
    "repeat": joining.repeat,
    "reshape": reshape,
    "round": elementwise.round,
    "searchsorted": searching.searchsorted,
    "sort": sorting.sort,
    "squeeze": shape.squeeze,
    "std": std,
    "sum": reductions.sum,
    "swapaxes": shape.swapaxes,
    "take": selection.take,
    "to_device": to_device,
    "tobytes": tobytes,
    "trace": triangles.trace,
    "transpose": transpose,
    "var": var,
    "view": view,
    "__array_namespace__": array_namespace,
    "__array_module__": array_module,
}

PROPERTIES = {
    "T": (shape.transpose, "The array with its axes reversed."),
    "mT": (shape.matrix_transpose, "The array with its last two axes swapped."),
    "flat": (shape.ravel, "The array flattened to one axis."),
    "real": (elementwise.real, "The real part."),
    "imag": (elementwise.imag, "The imaginary part."),
}


def install():
    """Give ``Array`` its operators, methods and properties."""
    for name, function in OPERATORS.items():
        _engine.install_operator(name, function)
    _engine.install_operator("round", rounded)
    for name, function in METHODS.items():
        _engine.install(name, function)
    for name, (function, doc) in PROPERTIES.items():
        _engine.install(name, property(function, doc=doc))
