"""Objects that build arrays and indices by being indexed: mgrid, ogrid, r_, c_, s_, index_exp."""

import numpy as np

from cyxla._engine.array import Array

from .creation import arange, array, indices, linspace, meshgrid
from .joining import concatenate


def _range(s):
    """The numbers of a slice; a complex step is a number of points, end included."""
    start = 0 if s.start is None else s.start
    step = 1 if s.step is None else s.step
    if isinstance(step, complex):
        return linspace(start, s.stop, int(abs(step)))
    return arange(start, s.stop, step)


class _Grid:
    """mgrid (dense) and ogrid (sparse): coordinate arrays of the grid that slices span."""

    def __init__(self, name, sparse):
        self._name = name
        self._sparse = sparse

    def __repr__(self):
        return f"<cyxla.numpy.{self._name}>"

    def __getitem__(self, key):
        if isinstance(key, slice):
            return _range(key)
        axes = [_range(k) for k in key]
        grids = meshgrid(*_promoted(axes), indexing="ij", sparse=self._sparse)
        if self._sparse:
            return grids
        from .joining import stack

        return stack(grids) if grids else indices(())


def _promoted(xs):
    from .promotion import promote

    return promote(*xs) if len(xs) > 1 else xs


class _Concatenator:
    """r_ and c_: arrays, numbers and slices joined along an axis; a leading string gives directives."""

    def __init__(self, name, axis, ndmin, trans1d):
        self._name = name
        self._defaults = axis, ndmin, trans1d

    def __repr__(self):
        return f"<cyxla.numpy.{self._name}>"

    def __getitem__(self, key):
        axis, ndmin, trans1d = self._defaults
        items = list(key) if isinstance(key, tuple) else [key]
        if items and isinstance(items[0], str):
            directive = items.pop(0)
            if directive in ("r", "c"):
                raise NotImplementedError(f"{directive!r} asks for a matrix, and there are arrays only; leave it out")
            numbers = [int(part) for part in directive.split(",")]
            axis, ndmin, trans1d = (*numbers, *(axis, ndmin, trans1d)[len(numbers) :])
        parts = []
        for item in items:
            if isinstance(item, str):
                raise ValueError(f"{item!r} must come first in the brackets of r_ and c_")
            if isinstance(item, slice):
                parts.append(self._shaped(_range(item), ndmin, trans1d))
            elif isinstance(item, (Array, np.ndarray)) and item.ndim:
                parts.append(self._shaped(array(item, copy=False), ndmin, trans1d))
            else:
                value = array(item, copy=False)
                scalar = value.ndim == 0
                parts.append(
                    array(value, copy=False, ndmin=max(ndmin, 1)) if scalar else self._shaped(value, ndmin, trans1d)
                )
        return concatenate(parts, axis)

    @staticmethod
    def _shaped(x, ndmin, trans1d):
        rank = x.ndim
        extra = ndmin - rank
        if extra <= 0:
            return x
        x = array(x, copy=False, ndmin=ndmin)
        if trans1d == -1:
            return x
        # The original axes begin at position trans1d of the result, counted from the end where negative.
        start = trans1d if trans1d >= 0 else trans1d + extra + 1
        order = [*range(extra)]
        order[start:start] = range(extra, ndmin)
        return x.transpose(tuple(order))


class _IndexExpression:
    """s_ and index_exp: the index that subscription would pass."""

    def __init__(self, name, always_tuple):
        self._name = name
        self._always_tuple = always_tuple

    def __repr__(self):
        return f"<cyxla.numpy.{self._name}>"

    def __getitem__(self, key):
        return (key,) if self._always_tuple and not isinstance(key, tuple) else key


mgrid = _Grid("mgrid", sparse=False)
ogrid = _Grid("ogrid", sparse=True)
r_ = _Concatenator("r_", 0, 1, -1)
c_ = _Concatenator("c_", -1, 2, 0)
s_ = _IndexExpression("s_", always_tuple=False)
index_exp = _IndexExpression("index_exp", always_tuple=True)
