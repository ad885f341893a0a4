"""Functions that take functions: vectorize, apply_along_axis, apply_over_axes, piecewise, fromfunction."""

import functools
import re

import numpy as np

from cyxla import lax
from cyxla._engine.array import asarray
from cyxla._transform.vmap import vmap

from . import ufuncs
from .axes import broadcast, broadcast_shapes, canonical_axis, canonical_shape
from .creation import arange, array
from .promotion import convert, kind
from .shape import expand_dims

_DIMENSION = r"\w+"
_CORE = rf"\((?:{_DIMENSION}(?:,{_DIMENSION})*)?\)"
_SIGNATURE = rf"^{_CORE}(?:,{_CORE})*->{_CORE}(?:,{_CORE})*$"


def _vmap(function, in_axes, out_axes=0):
    return vmap(function, in_axes=in_axes, out_axes=out_axes)


def _parse_signature(signature):
    compact = signature.replace(" ", "")
    if not re.match(_SIGNATURE, compact):
        raise ValueError(f"signature={signature!r} is not of the form '(m,n),(n)->(m)'")
    return [[tuple(re.findall(_DIMENSION, core)) for core in re.findall(_CORE, side)] for side in compact.split("->")]


def vectorize(pyfunc, *, excluded=frozenset(), signature=None):
    """``pyfunc`` made to broadcast over leading axes of its arguments, by ``vmap``.

    ``signature`` such as "(m,n),(n)->(m)" names the axes that the function itself works on; without it, it works on
    scalars. Positions and names in ``excluded`` are passed as they are. Raises ValueError for an invalid signature.
    """
    if any(not isinstance(item, (str, int)) for item in excluded):
        raise TypeError(f"vectorize: excluded={excluded} must hold positions and names of arguments")
    if any(isinstance(item, int) and item < 0 for item in excluded):
        raise ValueError(f"vectorize: positions in excluded={excluded} count from 0")
    parsed = None if signature is None else _parse_signature(signature)

    @functools.wraps(pyfunc)
    def wrapped(*args, **kwargs):
        mapped_positions = [i for i in range(len(args)) if i not in excluded and args[i] is not None]
        mapped_names = [name for name in kwargs if name not in excluded]
        values = [args[i] for i in mapped_positions] + [kwargs[name] for name in mapped_names]

        def function(*values):
            full = list(args)
            for i, value in zip(mapped_positions, values):
                full[i] = value
            named = dict(kwargs)
            named.update(zip(mapped_names, values[len(mapped_positions) :]))
            return pyfunc(*full, **named)

        values = [asarray(value) if not isinstance(value, (list, tuple)) else array(value) for value in values]
        if parsed is None:
            cores, outputs = [()] * len(values), None
        else:
            cores, outputs = parsed
            cores = [core for i, core in enumerate(cores) if i not in excluded or len(cores) == len(values)]
        if len(cores) != len(values):
            raise TypeError(f"vectorize: the signature {signature!r} needs {len(cores)} arguments, got {len(values)}")
        sizes = {}
        loops = []
        for value, core in zip(values, cores):
            rank = value.ndim - len(core)
            if rank < 0:
                raise ValueError(
                    f"vectorize: an argument of shape {value.shape} lacks axes for {core} in the signature "
                    f"{signature!r}"
                )
            _bind_sizes(sizes, value.shape[rank:], core, signature)
            loops.append(value.shape[:rank])
        loop = broadcast_shapes(*loops)

        def checked(*values):
            results = function(*values)
            if outputs is not None:
                several = isinstance(results, tuple)
                if (len(results) if several else 1) != len(outputs) or (len(outputs) > 1 and not several):
                    raise TypeError(
                        f"vectorize: the signature {signature!r} promises {len(outputs)} results, the function "
                        f"returned {len(results) if several else 1}"
                    )
                for result, core in zip(results if several else (results,), outputs):
                    if asarray(result).ndim != len(core):
                        raise ValueError(
                            f"vectorize: a result of shape {asarray(result).shape} is not the {core} that the "
                            f"signature {signature!r} promises"
                        )
                    _bind_sizes(dict(sizes), asarray(result).shape, core, signature)
            return results

        # Axes of size 1 are dropped and not mapped, the others are mapped from the innermost outwards.
        squeezed, mapped = [], []
        for value, shape in zip(values, loops):
            axes = tuple([i for i, n in enumerate(shape) if n == 1 and loop[len(loop) - len(shape) + i] != 1])
            squeezed.append(lax.squeeze(value, axes) if axes else value)
            mapped.append([i not in axes for i in range(len(shape))])
        call = checked
        for depth in range(1, len(loop) + 1):
            in_axes = tuple([0 if depth <= len(flags) and flags[-depth] else None for flags in mapped])
            call = _vmap(call, in_axes)
        return call(*squeezed)

    return wrapped


def _bind_sizes(sizes, shape, core, signature):
    for name, n in zip(core, shape):
        if name.isdigit():
            if int(name) != n:
                raise ValueError(f"vectorize: the signature {signature!r} fixes a size to {name}, got {n}")
        elif sizes.setdefault(name, n) != n:
            raise ValueError(
                f"vectorize: {name} in the signature {signature!r} stands for {sizes[name]}, but for {n} elsewhere"
            )


def apply_along_axis(func1d, axis, arr, *args, **kwargs):
    """``func1d`` applied to each vector of ``arr`` along ``axis``."""
    x = asarray(arr)
    n = x.ndim
    axis = canonical_axis(axis, n)
    call = lambda vector: func1d(vector, *args, **kwargs)
    # The axes behind the chosen one are mapped first: each leaves its results behind those of the function.
    for _ in range(1, n - axis):
        call = _vmap(call, 1, -1)
    for _ in range(axis):
        call = _vmap(call, 0, 0)
    return call(x)


def apply_over_axes(func, a, axes):
    """``func(a, axis)`` applied for each of the axes in turn; it must keep the rank or remove that axis."""
    x = asarray(a)
    for axis in axes if hasattr(axes, "__iter__") else (axes,):
        y = asarray(func(x, axis))
        if y.ndim == x.ndim:
            x = y
        elif y.ndim == x.ndim - 1:
            x = expand_dims(y, axis)
        else:
            raise ValueError("apply_over_axes: func must keep the number of axes, or remove the one given")
    return x


def piecewise(x, condlist, funclist, *args, **kw):
    """For each element the value of the function (or the number) that belongs to the last condition that holds there.

    One function more than conditions is the default where none holds. Raises ValueError for any other number.
    """
    x = asarray(x)
    if isinstance(condlist, (list, tuple)):
        conditions = [asarray(c) if not isinstance(c, (list, tuple)) else array(c) for c in condlist]
        if conditions and conditions[0].ndim == 0 and x.ndim:
            conditions = [array(condlist)]
    else:
        whole = asarray(condlist)
        if whole.ndim == x.ndim:
            conditions = [whole]
        else:
            conditions = [lax.index_in_dim(whole, i, keepdims=False) for i in range(whole.shape[0])]
    functions = list(funclist)
    n = len(conditions)
    if len(functions) == n + 1:
        functions = [functions[-1], *functions[:-1]]
    elif len(functions) == n:
        functions = [0, *functions]
    else:
        raise ValueError(f"piecewise: {n} conditions go with {n} or {n + 1} functions, got {len(functions)}")
    index = lax.full(x.shape, 0, np.dtype(np.int32))
    for i, condition in enumerate(conditions):
        mask = condition if kind(condition.dtype) == "b" else ufuncs.not_equal(condition, 0)
        index = lax.select_n(broadcast(mask, x.shape), index, lax.full_like(index, i + 1))

    def branch(f):
        if callable(f):
            return lambda value: convert(f(value, *args, **kw), x.dtype)
        return lambda value: lax.full_like(value, convert(f, x.dtype))

    choose = lambda i, value: lax.switch(i, [branch(f) for f in functions], value)
    for _ in range(x.ndim):
        choose = _vmap(choose, (0, 0))
    return choose(index, x)


def fromfunction(function, shape, *, dtype=float, **kwargs):
    """The array whose elements are ``function`` of their indices; the function is mapped over scalar indices."""
    shape = canonical_shape(shape)
    call = lambda *indices: function(*indices, **kwargs)
    for i in range(len(shape)):
        in_axes = [None] * len(shape)
        in_axes[len(shape) - 1 - i] = 0
        call = _vmap(call, tuple(in_axes))
    return call(*[arange(n, dtype=dtype) for n in shape])
