"""``ufunc``: elementwise functions of Python made into objects with reduce, accumulate, at, outer and reduceat; and
these methods for the functions of the tables."""

import operator

import numpy as np

from cyxla import lax
from cyxla._engine.array import asarray
from cyxla._engine.ufunc import UFunc, install_method
from cyxla.lax._util import check_rank

from . import elementwise, reductions
from .axes import broadcast, canonical_axes, canonical_axis
from .creation import array
from .promotion import convert, kind, no_inplace, no_out, requested_dtype
from .selection import take
from .shape import moveaxis

_IDENTITIES = {
    "add": 0,
    "multiply": 1,
    "logical_and": True,
    "logical_or": False,
    "logical_xor": False,
    "bitwise_and": -1,
    "bitwise_or": 0,
    "bitwise_xor": 0,
}
_REDUCTIONS = {
    "add": reductions.sum,
    "multiply": reductions.prod,
    "maximum": reductions.max,
    "minimum": reductions.min,
    "logical_and": reductions.all,
    "logical_or": reductions.any,
}
_ACCUMULATIONS = {"add": reductions.cumsum, "multiply": reductions.cumprod}
_UPDATES = {"add": "add", "multiply": "multiply", "maximum": "max", "minimum": "min"}


class _UFuncMeta(type):
    def __instancecheck__(cls, instance):
        return isinstance(instance, UFunc) or type.__instancecheck__(cls, instance)


class ufunc(metaclass=_UFuncMeta):
    """An elementwise function with ``nin`` operands and ``nout`` results, and the methods of NumPy's ufuncs.

    ``call``, ``reduce``, ``accumulate``, ``at`` and ``reduceat`` may give faster implementations than those derived
    from ``func``.
    """

    def __init__(
        self,
        func,
        /,
        nin,
        nout,
        *,
        name=None,
        nargs=None,
        identity=None,
        call=None,
        reduce=None,
        accumulate=None,
        at=None,
        reduceat=None,
    ):
        self.__name__ = name or getattr(func, "__name__", "ufunc")
        self.__doc__ = getattr(func, "__doc__", None)
        self.func = func
        self._nin = operator.index(nin)
        self._nout = operator.index(nout)
        self._nargs = operator.index(nargs) if nargs is not None else self._nin
        self._identity = identity
        self._call = call
        self._faster = {"reduce": reduce, "accumulate": accumulate, "at": at, "reduceat": reduceat}

    nin = property(lambda self: self._nin, doc="The number of operands.")
    nout = property(lambda self: self._nout, doc="The number of results.")
    nargs = property(lambda self: self._nargs, doc="The number of arguments of a call.")
    identity = property(lambda self: self._identity, doc="The value that reductions start from, or None.")

    def __hash__(self):
        return hash((self.func, self._nin, self._nout, self._identity))

    def __eq__(self, other):
        return type(other) is ufunc and (self.func, self._nin, self._nout, self._identity) == (
            other.func,
            other._nin,
            other._nout,
            other._identity,
        )

    def __repr__(self):
        return f"<jnp.ufunc '{self.__name__}'>"

    def __call__(self, *args, out=None, where=None):
        if out is not None:
            raise NotImplementedError(
                f"{self.__name__}: arrays are immutable, so out= cannot be filled; use the returned array"
            )
        if where is not None:
            raise NotImplementedError(
                f"{self.__name__}: where= leaves elements of out as they are, and there is no out; use jnp.where on "
                "the result"
            )
        if len(args) != self._nin:
            raise TypeError(f"{self.__name__}: {self._nin} operands are needed, got {len(args)}")
        call = self._call
        if call is None:
            from .functional import vectorize

            call = self._call = vectorize(self.func)
        return call(*args)

    def reduce(self, a, axis=0, dtype=None, out=None, keepdims=False, initial=None, where=None):
        """``a`` reduced over ``axis`` (an int, several, or None for all) with the binary function."""
        return _reduce(self, a, axis, dtype, out, keepdims, initial, where)

    def accumulate(self, a, axis=0, dtype=None, out=None):
        """The running results of the binary function along ``axis``."""
        return _accumulate(self, a, axis, dtype, out)

    def at(self, a, indices, b=None, /, *, inplace=True):
        """``a`` with the function applied at ``indices``, repeated indices one after the other; needs inplace=False."""
        return _at(self, a, indices, b, inplace=inplace)

    def outer(self, A, B, /):
        """The function of every element of ``A`` with every element of ``B``."""
        return _outer(self, A, B)

    def reduceat(self, a, indices, axis=0, dtype=None, out=None):
        """Reductions of the pieces of ``a`` along ``axis`` that begin at each of the indices."""
        return _reduceat(self, a, indices, axis, dtype, out)


def _name(f):
    return f.__name__


def _need_binary(f, what):
    if f.nin != 2:
        raise ValueError(f"{what} needs a ufunc of two operands; {_name(f)} takes {f.nin}")
    if getattr(f, "nout", 1) != 1:
        raise ValueError(f"{what} only supported for functions returning a single value")


def _faster(f, method):
    return f._faster[method] if type(f) is ufunc else None


def _identity(f):
    return f._identity if type(f) is ufunc else _IDENTITIES.get(_name(f))


def _reduce(f, a, axis=0, dtype=None, out=None, keepdims=False, initial=None, where=None):
    """``a`` reduced over ``axis`` with the binary function; see ``ufunc.reduce``."""
    _need_binary(f, "reduce")
    no_out(out, f"{_name(f)}.reduce")
    if initial is None and where is not None and _identity(f) is None:
        raise ValueError(f"{_name(f)}.reduce: where may leave no element; give initial=, the result in that case")
    given = _faster(f, "reduce")
    if given is not None:
        return given(a, axis=axis, dtype=dtype, keepdims=keepdims, initial=initial, where=where)
    known = _REDUCTIONS.get(_name(f)) if isinstance(f, UFunc) and type(f) is not ufunc else None
    if known in (reductions.sum, reductions.prod):
        return known(a, axis, dtype, keepdims=keepdims, initial=initial, where=where)
    if known in (reductions.max, reductions.min) and dtype is None:
        return known(a, axis, keepdims=keepdims, initial=initial, where=where)
    if known in (reductions.all, reductions.any) and initial is None and dtype is None:
        return known(a, axis, keepdims=keepdims, where=where)
    x = asarray(a)
    if dtype is not None:
        x = convert(x, requested_dtype(dtype))
    axes = canonical_axes(axis, x.ndim)
    kept = tuple([i for i in range(x.ndim) if i not in axes])
    flat = lax.reshape(
        lax.transpose(x, axes + kept),
        (reductions.axis_size(x.shape, axes), *[x.shape[i] for i in kept]),
    )
    if where is not None:
        mask = broadcast(asarray(where), x.shape)
        mask = lax.reshape(lax.transpose(mask, axes + kept), flat.shape)
    else:
        mask = None
    start = initial if initial is not None else _identity(f)
    n = flat.shape[0]
    probe = f(lax.full((), 0, flat.dtype), lax.full((), 0, flat.dtype)).dtype
    if start is None:
        if n == 0:
            raise ValueError(
                f"{_name(f)}.reduce: there are no elements in shape {x.shape}; give initial=, the result in that case"
            )
        total = convert(lax.index_in_dim(flat, 0, keepdims=False), probe)
        first = 1
    else:
        total = broadcast(convert(array(start).astype(probe), probe), flat.shape[1:])
        first = 0

    def step(i, total):
        row = lax.dynamic_index_in_dim(flat, i, keepdims=False)
        new = convert(f(total, row), total.dtype)
        if mask is None:
            return new
        return elementwise.select(lax.dynamic_index_in_dim(mask, i, keepdims=False), new, total)

    total = lax.fori_loop(first, n, step, total)
    return reductions._keep(total, axes, x.shape) if keepdims else total


def _accumulate(f, a, axis=0, dtype=None, out=None):
    """Running results of the binary function along ``axis``; see ``ufunc.accumulate``."""
    _need_binary(f, "accumulate")
    no_out(out, f"{_name(f)}.accumulate")
    given = _faster(f, "accumulate")
    if given is not None:
        return given(a, axis=axis, dtype=dtype)
    if type(f) is not ufunc and _name(f) in _ACCUMULATIONS:
        return _ACCUMULATIONS[_name(f)](a, axis, dtype)
    x = asarray(a)
    if dtype is not None:
        x = convert(x, requested_dtype(dtype))
    if axis is None or isinstance(axis, (tuple, list)):
        raise ValueError(f"accumulate: axis={axis!r} must be one integer")
    axis = canonical_axis(axis, x.ndim)
    rows = moveaxis(x, axis, 0)
    if rows.shape[0] == 0:
        return x
    first = lax.index_in_dim(rows, 0, keepdims=False)
    result_dtype = f(first, first).dtype
    first = convert(first, result_dtype)

    def step(total, row):
        total = convert(f(total, row), result_dtype)
        return total, total

    _, tail = lax.scan(step, first, lax.slice_in_dim(rows, 1, rows.shape[0]))
    return moveaxis(lax.concatenate([lax.expand_dims(first, (0,)), tail], 0), 0, axis)


def _at(f, a, indices, b=None, /, *, inplace=True):
    """``a`` with the function applied at ``indices``; see ``ufunc.at``."""
    no_inplace(inplace, f"{_name(f)}.at", NotImplementedError)
    given = _faster(f, "at")
    if given is not None:
        return given(a, indices) if b is None else given(a, indices, b)
    x = asarray(a)
    if b is None:
        return x.at[indices].apply(f)
    if type(f) is not ufunc and _name(f) in _UPDATES and kind(x.dtype) != "b":
        return getattr(x.at[indices], _UPDATES[_name(f)])(b)
    if type(f) is not ufunc and _name(f) == "subtract":
        return x.at[indices].add(lax.neg(asarray(b)))
    _need_binary(f, "at")
    # Indices may repeat: the updates are applied one after the other to the flattened array.
    positions = lax.reshape(lax.iota(np.dtype(np.int32), x.size), x.shape)[indices]
    values = broadcast(asarray(b), positions.shape)
    positions, values = lax.reshape(positions, (positions.size,)), lax.reshape(values, (values.size,))

    def step(flat, update):
        i, value = update
        new = convert(f(lax.dynamic_index_in_dim(flat, i, keepdims=False), value), flat.dtype)
        return lax.dynamic_update_index_in_dim(flat, new, i, 0), None

    flat, _ = lax.scan(step, lax.reshape(x, (x.size,)), (positions, values))
    return lax.reshape(flat, x.shape)


def _outer(f, A, B, /):
    """The function of every element of ``A`` with every element of ``B``; see ``ufunc.outer``."""
    _need_binary(f, "outer")
    a, b = asarray(A), asarray(B)
    return f(lax.reshape(a, a.shape + (1,) * b.ndim), lax.reshape(b, (1,) * a.ndim + b.shape))


def _reduceat(f, a, indices, axis=0, dtype=None, out=None):
    """Reductions of the pieces of ``a`` that begin at each of the indices; see ``ufunc.reduceat``."""
    _need_binary(f, "reduceat")
    no_out(out, f"{_name(f)}.reduceat")
    given = _faster(f, "reduceat")
    if given is not None:
        return given(a, indices, axis=axis, dtype=dtype)
    x = asarray(a)
    if axis is None or isinstance(axis, (tuple, list)):
        raise ValueError(f"reduceat: axis={axis!r} must be one integer")
    axis = canonical_axis(axis, x.ndim)
    starts = asarray(indices) if not isinstance(indices, (tuple, list)) else array(indices)
    check_rank("reduceat", "indices", starts, 1, 1)
    x = moveaxis(x, axis, 0)
    n = x.shape[0]
    m = starts.shape[0]
    ends = lax.concatenate([lax.slice(starts, (1,), (m,)), lax.full((1,), n, starts.dtype)], 0)
    first = take(x, starts, axis=0, mode="clip")
    lead = (m,) + (1,) * (x.ndim - 1)
    result_dtype = x.dtype if dtype is None else requested_dtype(dtype)
    first = convert(first, result_dtype)

    def step(i, total):
        inside = elementwise.less(i, ends) & elementwise.greater(i, starts)
        new = convert(f(total, lax.dynamic_index_in_dim(x, i, keepdims=False)), result_dtype)
        return elementwise.select(lax.reshape(inside, lead), new, total)

    return moveaxis(lax.fori_loop(0, n, step, first), 0, axis)


def frompyfunc(func, /, nin, nout, *, identity=None):
    """A ufunc of a Python function of scalars."""
    return ufunc(func, nin, nout, identity=identity)


logaddexp = ufunc(elementwise.logaddexp, 2, 1, identity=-np.inf, call=elementwise.logaddexp)
logaddexp2 = ufunc(elementwise.logaddexp2, 2, 1, identity=-np.inf, call=elementwise.logaddexp2)


def _nargs(f):
    return f.nin


# What the methods are called on the functions of the tables.
UFUNC_METHODS = {
    "reduce": _reduce,
    "accumulate": _accumulate,
    "at": _at,
    "outer": _outer,
    "reduceat": _reduceat,
    "nargs": property(_nargs, doc="The number of arguments of a call."),
    "nout": property(lambda f: 1, doc="The number of results."),
    "identity": property(_identity, doc="The value that reductions start from, or None."),
}


def install():
    """Give the functions of the tables these methods."""
    for name, attribute in UFUNC_METHODS.items():
        install_method(name, attribute)
