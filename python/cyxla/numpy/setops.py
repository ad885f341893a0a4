"""Sets of values: unique and the operations on sets. Results whose length depends on the values need ``size`` under
jit."""

import math
import operator
from typing import NamedTuple

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array, asarray
from cyxla.lax._util import check_choice

from . import reductions, ufuncs
from .axes import broadcast, canonical_axis
from .creation import array
from .elementwise import select
from .promotion import convert, default_int, kind, promote
from .searching import nonzero, searchsorted
from .selection import take
from .shape import moveaxis, ravel, reshape


class _UniqueAll(NamedTuple):
    values: Array
    indices: Array
    inverse_indices: Array
    counts: Array


class _UniqueCounts(NamedTuple):
    values: Array
    counts: Array


class _UniqueInverse(NamedTuple):
    values: Array
    inverse_indices: Array


def unique(
    ar,
    return_index=False,
    return_inverse=False,
    return_counts=False,
    axis=None,
    *,
    equal_nan=True,
    size=None,
    fill_value=None,
    sorted=True,
):
    """The distinct elements (or slices along ``axis``), sorted; optionally where each first occurs, which of them each
    element is, and how often each occurs.

    Under ``jit`` the number of them must be fixed by ``size``: surplus ones are dropped, missing ones are
    ``fill_value`` (the smallest element by default).

    >>> import cyxla.numpy as jnp
    >>> jnp.unique(jnp.array([3, 1, 3]))
    Array([1, 3], dtype=int32)
    """
    x = asarray(ar)
    if axis is None:
        flat_axis = 0
        rows = lax.reshape(x, (x.size,))
    else:
        flat_axis = canonical_axis(axis, x.ndim)
        rows = moveaxis(x, flat_axis, 0)
    n = rows.shape[0]
    integer = default_int()
    if n == 0 or rows.size == 0:
        return _unique_of_nothing(
            x, rows, flat_axis, axis, return_index, return_inverse, return_counts, size, fill_value
        )
    keys = [rows] if rows.ndim == 1 else _columns(rows)
    *sorted_keys, order = lax.sort((*keys, lax.iota(integer, n)), num_keys=len(keys))
    same = None
    for key in sorted_keys:
        before, after = lax.slice(key, (0,), (n - 1,)), lax.slice(key, (1,), (n,))
        equal = ufuncs.equal(before, after)
        if equal_nan and kind(key.dtype) in "fc":
            equal = ufuncs.logical_or(
                equal, ufuncs.logical_and(ufuncs.not_equal(before, before), ufuncs.not_equal(after, after))
            )
        same = equal if same is None else ufuncs.logical_and(same, equal)
    first = lax.concatenate([lax.full((1,), True, np.dtype(bool)), ufuncs.logical_not(same)], 0)
    if size is None:
        starts = nonzero(first)[0]
        count = starts.shape[0]
        ends = lax.concatenate([lax.slice(starts, (1,), (count,)), lax.full((1,), n, integer)], 0)
    else:
        count = operator.index(size)
        bounds = nonzero(first, size=count + 1, fill_value=n)[0]
        starts, ends = lax.slice(bounds, (0,), (count,)), lax.slice(bounds, (1,), (count + 1,))
    present = lax.lt(starts, lax.full_like(starts, n))
    index = take(order, ufuncs.minimum(starts, n - 1), mode="clip")
    values = take(rows, index, axis=0, mode="clip")
    if size is not None:
        smallest = lax.slice(order, (0,), (1,))
        if fill_value is None:
            fill = lax.squeeze(take(rows, smallest, axis=0, mode="clip"), (0,))
        else:
            fill = convert(array(fill_value, copy=False), x.dtype)
        shape = (count,) + (1,) * (rows.ndim - 1)
        values = select(broadcast(reshape(present, shape), values.shape), values, broadcast(fill, values.shape))
        index = select(present, index, broadcast(smallest, index.shape))
    result = [values if axis is None else moveaxis(values, 0, flat_axis)]
    if return_index:
        result.append(index)
    if return_inverse:
        group = lax.cumsum(convert(first, integer)) - 1
        inverse = lax.sort_key_val(order, group)[1]
        result.append(reshape(inverse, x.shape) if axis is None else inverse)
    if return_counts:
        result.append(ends - starts)
    return result[0] if len(result) == 1 else tuple(result)


def _columns(rows):
    flat = lax.reshape(rows, (rows.shape[0], math.prod(rows.shape[1:])))
    return [lax.squeeze(part, (1,)) for part in lax.split(flat, (1,) * flat.shape[1], 1)]


def _unique_of_nothing(x, rows, flat_axis, axis, return_index, return_inverse, return_counts, size, fill_value):
    integer = default_int()
    n = rows.shape[0]
    kept = 0 if size is None else operator.index(size)
    if rows.ndim > 1 and n and size is None:
        kept = 1
    if kept and fill_value is None and not n:
        fill_value = 0 if kind(x.dtype) not in "fc" else math.nan
    values = lax.full((kept, *rows.shape[1:]), convert(fill_value or 0, x.dtype), x.dtype)
    result = [values if axis is None else moveaxis(values, 0, flat_axis)]
    if return_index:
        result.append(lax.full((kept,), 0, integer))
    if return_inverse:
        result.append(lax.full(x.shape if axis is None else (n,), 0, integer))
    if return_counts:
        result.append(lax.full((kept,), n if rows.ndim > 1 else 0, integer))
    return result[0] if len(result) == 1 else tuple(result)


def unique_all(x, /, *, size=None, fill_value=None):
    """(values, indices, inverse_indices, counts) of the distinct elements."""
    return _UniqueAll(*unique(x, True, True, True, equal_nan=False, size=size, fill_value=fill_value))


def unique_counts(x, /, *, size=None, fill_value=None):
    """(values, counts) of the distinct elements."""
    return _UniqueCounts(*unique(x, return_counts=True, equal_nan=False, size=size, fill_value=fill_value))


def unique_inverse(x, /, *, size=None, fill_value=None):
    """(values, inverse_indices) of the distinct elements."""
    return _UniqueInverse(*unique(x, return_inverse=True, equal_nan=False, size=size, fill_value=fill_value))


def unique_values(x, /, *, size=None, fill_value=None):
    """The distinct elements."""
    return unique(x, equal_nan=False, size=size, fill_value=fill_value)


def isin(element, test_elements, assume_unique=False, invert=False, *, method="auto"):
    """Where ``element`` is among ``test_elements``. ``method`` is "auto", "compare_all", "binary_search" or "sort"."""
    x, tests = promote(element, test_elements)
    tests = ravel(tests)
    check_choice("isin", "method", method, ("auto", "compare_all", "binary_search", "sort"))
    if tests.size == 0 or x.size == 0:
        return lax.full(x.shape, bool(invert), np.dtype(bool))
    if method in ("auto", "compare_all"):
        shape = (*x.shape, tests.shape[0])
        equal = ufuncs.equal(
            lax.broadcast_in_dim(x, shape, tuple(range(x.ndim))), lax.broadcast_in_dim(tests, shape, (x.ndim,))
        )
        found = lax.reduce_or(equal, (x.ndim,))
    else:
        table = lax.sort(tests)
        position = searchsorted(table, x, method="scan" if method == "binary_search" else "sort")
        found = ufuncs.equal(take(table, ufuncs.minimum(position, table.shape[0] - 1), mode="clip"), x)
    return ufuncs.logical_not(found) if invert else found


def _joined(ar1, ar2):
    a, b = promote(ar1, ar2)
    return lax.concatenate([ravel(a), ravel(b)], 0)


def union1d(ar1, ar2, *, size=None, fill_value=None):
    """The distinct elements of both arrays, sorted."""
    return unique(_joined(ar1, ar2), size=size, fill_value=fill_value)


def _compacted(sorted_values, chosen, size, fill_value):
    """The chosen elements of a vector, in order."""
    index = nonzero(chosen, size=size)[0]
    result = take(sorted_values, index, mode="clip")
    if size is None:
        return result
    total = reductions.sum(chosen)
    present = lax.lt(lax.iota(default_int(), size), broadcast(total, (size,)))
    if fill_value is None:
        default = convert(0, result.dtype)
        first = lax.reshape(lax.slice(result, (0,), (1,)), ()) if size else default
        fill_value = select(ufuncs.equal(total, 0), default, first)
    return select(present, result, convert(fill_value, result.dtype))


def setdiff1d(ar1, ar2, assume_unique=False, *, size=None, fill_value=None):
    """The distinct elements of the first array that are not in the second."""
    a, b = promote(ar1, ar2)
    a, b = ravel(a), ravel(b)
    n = a.shape[0]
    if size is None:
        a = a if assume_unique else unique(a)
        return _compacted(a, isin(a, b, invert=True), None, None)
    if n == 0:
        return lax.full((size,), convert(fill_value or 0, a.dtype), a.dtype)
    if assume_unique:
        return _compacted(a, isin(a, b, invert=True), size, convert(0 if fill_value is None else fill_value, a.dtype))
    table = lax.sort(a)
    before, after = lax.slice(table, (0,), (n - 1,)), lax.slice(table, (1,), (n,))
    first = lax.concatenate([lax.full((1,), True, np.dtype(bool)), ufuncs.not_equal(before, after)], 0)
    chosen = ufuncs.logical_and(first, isin(table, b, invert=True))
    return _compacted(table, chosen, size, 0 if fill_value is None else fill_value)


def setxor1d(ar1, ar2, assume_unique=False, *, size=None, fill_value=None):
    """The distinct elements that are in exactly one of the arrays, sorted."""
    a, b = promote(ar1, ar2)
    a, b = ravel(a), ravel(b)
    if a.size == 0 or b.size == 0:
        return unique(_joined(a, b), size=size, fill_value=fill_value)
    joined = lax.concatenate([a, b], 0)
    source = lax.concatenate([lax.full((a.size,), 0, default_int()), lax.full((b.size,), 1, default_int())], 0)
    table, source = lax.sort((joined, source), num_keys=2)
    n = table.shape[0]
    edge = lax.full((1,), False, np.dtype(bool))
    same_value = ufuncs.equal(lax.slice(table, (0,), (n - 1,)), lax.slice(table, (1,), (n,)))
    same_source = ufuncs.equal(lax.slice(source, (0,), (n - 1,)), lax.slice(source, (1,), (n,)))
    repeated = lax.concatenate([edge, ufuncs.logical_and(same_value, same_source)], 0)
    # A value is in both arrays where it is found again in the other one.
    in_both = ufuncs.logical_and(isin(table, a), isin(table, b))
    chosen = ufuncs.logical_not(ufuncs.logical_or(repeated, in_both))
    return _compacted(table, chosen, size, fill_value)


def intersect1d(ar1, ar2, assume_unique=False, return_indices=False, *, size=None, fill_value=None):
    """The distinct elements that are in both arrays, sorted; optionally where each first occurs in both."""
    a, b = promote(ar1, ar2)
    a, b = ravel(a), ravel(b)
    integer = default_int()
    if a.size == 0 or b.size == 0:
        n = 0 if size is None else operator.index(size)
        values = lax.full((n,), convert(fill_value or 0, a.dtype), a.dtype)
        return (values, lax.full((n,), a.size, integer), lax.full((n,), b.size, integer)) if return_indices else values
    table, order = lax.sort((a, lax.iota(integer, a.size)), num_keys=1)
    n = table.shape[0]
    changed = ufuncs.not_equal(lax.slice(table, (0,), (n - 1,)), lax.slice(table, (1,), (n,)))
    first = lax.concatenate([lax.full((1,), True, np.dtype(bool)), changed], 0)
    chosen = ufuncs.logical_and(first, isin(table, b))
    values = _compacted(table, chosen, size, fill_value)
    if not return_indices:
        return values
    where_a = _compacted(order, chosen, size, a.size)
    table_b, order_b = lax.sort((b, lax.iota(integer, b.size)), num_keys=1)
    position = ufuncs.minimum(searchsorted(table_b, values), b.size - 1)
    where_b = take(order_b, position, mode="clip")
    if size is not None:
        total = reductions.sum(chosen)
        present = lax.lt(lax.iota(integer, size), broadcast(total, (size,)))
        where_b = select(present, where_b, convert(b.size, integer))
    return values, where_a, where_b
