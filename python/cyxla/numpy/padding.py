"""``pad`` and its modes."""

import math

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array, asarray
from cyxla.lax._util import check_choice

from . import reductions
from .axes import broadcast
from .creation import array, linspace
from .elementwise import round
from .promotion import convert, kind
from .quantiles import median
from .shape import flip, moveaxis

_ALLOWED_OPTIONS = {
    "constant": {"constant_values"},
    "edge": set(),
    "linear_ramp": {"end_values"},
    "maximum": {"stat_length"},
    "mean": {"stat_length"},
    "median": {"stat_length"},
    "minimum": {"stat_length"},
    "reflect": {"reflect_type"},
    "symmetric": {"reflect_type"},
    "wrap": set(),
    "empty": set(),
}
_STATISTICS = {"maximum": reductions.amax, "minimum": reductions.amin, "mean": reductions.mean, "median": median}


def pad(array, pad_width, mode="constant", **kwargs):
    """``array`` with elements added before and after along each axis.

    ``pad_width`` is n, (before, after), ((before, after), ...) for each axis, or a dict from axis to one of these.
    ``mode`` says what is added: "constant" (``constant_values``), "edge", "linear_ramp" (``end_values``), "maximum",
    "minimum", "mean" and "median" (of ``stat_length`` elements), "reflect" and "symmetric" (``reflect_type`` "even" or
    "odd"), "wrap", "empty", or a function that is called with each vector, its pad widths, the axis and ``kwargs``.

    >>> import cyxla.numpy as jnp
    >>> jnp.pad(jnp.array([1, 2]), (1, 2), mode="edge")
    Array([1, 1, 2, 2, 2], dtype=int32)
    """
    x = asarray(array)
    widths = _pad_widths(pad_width, x.ndim)
    if callable(mode):
        return _pad_with_function(x, widths, mode, kwargs)
    allowed = _ALLOWED_OPTIONS.get(mode)
    if allowed is None:
        raise NotImplementedError(
            f"pad: mode={mode!r} is unknown; choose one of {', '.join(map(repr, _ALLOWED_OPTIONS))}, or a function"
        )
    unknown = set(kwargs) - allowed
    if unknown:
        raise ValueError(f"pad: mode {mode!r} does not take {', '.join(sorted(unknown))}")
    if mode in ("constant", "empty"):
        return _pad_constant(x, widths, kwargs.get("constant_values", 0))
    if mode == "wrap":
        return _pad_each_axis(x, widths, _wrap)
    if mode in ("reflect", "symmetric"):
        odd = kwargs.get("reflect_type", "even")
        check_choice("pad", "reflect_type", odd, ("even", "odd"))
        return _pad_each_axis(
            x, widths, lambda y, axis, before, after: _mirror(y, axis, before, after, mode, odd == "odd")
        )
    if mode == "edge":
        return _pad_each_axis(x, widths, _edge)
    if mode == "linear_ramp":
        ends = _per_axis(kwargs.get("end_values", 0), x.ndim, "end_values")
        return _pad_each_axis(x, widths, lambda y, axis, before, after: _ramp(y, axis, before, after, ends[axis]))
    lengths = kwargs.get("stat_length")
    lengths = [(None, None)] * x.ndim if lengths is None else _concrete_pairs(lengths, x.ndim, "stat_length")
    return _pad_each_axis(
        x, widths, lambda y, axis, before, after: _statistic(y, axis, before, after, mode, lengths[axis])
    )


def _pad_widths(pad_width, ndim):
    if isinstance(pad_width, dict):
        widths = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            widths[axis] = _concrete_pairs(width, 1, "pad_width")[0]
        return widths
    return _concrete_pairs(pad_width, ndim, "pad_width")


def _concrete_pairs(value, ndim, name):
    pairs = np.asarray(value)
    if pairs.dtype.kind not in "iu":
        raise TypeError(f"pad: {name}={value!r} must hold integers")
    if pairs.size and pairs.min() < 0:
        raise ValueError(f"pad: {name}={value!r} is negative")
    try:
        if pairs.ndim == 1 and pairs.size == 1:
            pairs = pairs.reshape(())
        pairs = np.broadcast_to(pairs, (ndim, 2))
    except ValueError:
        raise ValueError(
            f"pad: {name}={value!r} must be a number, a pair (before, after), or a pair for each axis"
        ) from None
    return [(int(before), int(after)) for before, after in pairs]


def _per_axis(value, ndim, name):
    """A pair (before, after) of scalar Arrays for each axis."""
    values = array(value, copy=False)
    if values.shape == (1,):
        values = lax.reshape(values, ())
    if values.ndim and values.shape not in ((2,), (1, 2), (ndim, 2), (ndim, 1)):
        raise ValueError(
            f"pad: {name} of shape {values.shape} must be a number, a pair (before, after), or a pair for each axis"
        )
    if values.ndim == 1:
        values = lax.reshape(values, (1, 2))
    values = broadcast(values, (ndim, 2))
    return [tuple([lax.reshape(lax.slice(values, (i, j), (i + 1, j + 1)), ()) for j in range(2)]) for i in range(ndim)]


def _pad_constant(x, widths, value):
    simple = not hasattr(value, "__iter__") or (isinstance(value, (Array, np.ndarray)) and value.ndim == 0)
    if simple:
        config = [(before, after, 0) for before, after in widths]
        return lax.pad(x, convert(value, x.dtype), config)
    values = _per_axis(value, x.ndim, "constant_values")
    for axis, (before, after) in enumerate(widths):
        none = [(0, 0, 0)] * x.ndim
        if before:
            none[axis] = (before, 0, 0)
            x = lax.pad(x, convert(values[axis][0], x.dtype), none)
        if after:
            none[axis] = (0, after, 0)
            x = lax.pad(x, convert(values[axis][1], x.dtype), none)
    return x


def _pad_each_axis(x, widths, extend):
    for axis, (before, after) in enumerate(widths):
        if before or after:
            if x.shape[axis] == 0:
                raise ValueError(f"pad: axis {axis} is empty, so this mode has no elements to repeat")
            parts = extend(x, axis, before, after)
            x = lax.concatenate([part for part in parts if part.shape[axis]], axis)
    return x


def _at(x, axis, low, high):
    return lax.slice_in_dim(x, low, high, axis=axis)


def _spread(x, axis, n):
    shape = list(x.shape)
    shape[axis] = n
    return broadcast(x, tuple(shape))


def _edge(x, axis, before, after):
    n = x.shape[axis]
    return [_spread(_at(x, axis, 0, 1), axis, before), x, _spread(_at(x, axis, n - 1, n), axis, after)]


def _wrap(x, axis, before, after):
    n = x.shape[axis]
    copies, rest = divmod(before, n)
    head = [_at(x, axis, n - rest, n)] + [x] * copies
    copies, rest = divmod(after, n)
    return [*head, x, *[x] * copies, _at(x, axis, 0, rest)]


def _mirror(x, axis, before, after, mode, odd):
    n = x.shape[axis]
    skip = 1 if mode == "reflect" else 0
    if n == 1 and skip:
        # One element has nothing to be reflected but itself.
        return _edge(x, axis, before, after)
    head, tail = [], []
    block = x
    left = before
    while left > 0:
        step = min(left, n - skip)
        piece = flip(_at(block, axis, skip, skip + step), axis)
        if odd:
            piece = 2 * _at(block, axis, 0, 1) - piece
        head.insert(0, piece)
        left -= step
        block = lax.concatenate([piece, block], axis)
    block = x
    right = after
    while right > 0:
        size = block.shape[axis]
        step = min(right, n - skip)
        piece = flip(_at(block, axis, size - skip - step, size - skip), axis)
        if odd:
            piece = 2 * _at(block, axis, size - 1, size) - piece
        tail.append(piece)
        right -= step
        block = lax.concatenate([block, piece], axis)
    return [*head, x, *tail]


def _ramp(x, axis, before, after, ends):
    n = x.shape[axis]

    def ramp(edge, end, count):
        y = linspace(
            convert(end, x.dtype) if kind(x.dtype) not in "iu" else end,
            lax.squeeze(edge, (axis,)),
            count,
            endpoint=False,
            axis=axis,
        )
        return convert(lax.floor(y) if kind(x.dtype) in "iu" else y, x.dtype)

    return [
        ramp(_at(x, axis, 0, 1), ends[0], before),
        x,
        flip(ramp(_at(x, axis, n - 1, n), ends[1], after), axis),
    ]


def _statistic(x, axis, before, after, mode, lengths):
    n = x.shape[axis]
    statistic = _STATISTICS[mode]
    pieces = []
    for front, length in ((True, lengths[0]), (False, lengths[1])):
        length = n if length is None else min(length, n)
        if length == 0:
            raise ValueError(f"pad: stat_length=0 leaves no elements to take the {mode} of")
        part = _at(x, axis, 0, length) if front else _at(x, axis, n - length, n)
        value = statistic(part, axis=axis, keepdims=True)
        if kind(x.dtype) in "iu" and mode in ("mean", "median"):
            value = round(value)
        pieces.append(convert(value, x.dtype))
    return [_spread(pieces[0], axis, before), x, _spread(pieces[1], axis, after)]


def _pad_with_function(x, widths, function, kwargs):
    x = _pad_constant(x, widths, 0)
    for axis in range(x.ndim):
        vectors = moveaxis(x, axis, -1)
        shape = vectors.shape
        rows = lax.reshape(vectors, (math.prod(shape[:-1]), shape[-1]))
        padded = []
        for i in range(rows.shape[0]):
            row = lax.squeeze(_at(rows, 0, i, i + 1), (0,))
            result = function(row, widths[axis], axis, kwargs)
            padded.append(lax.expand_dims(row if result is None else asarray(result), (0,)))
        x = moveaxis(lax.reshape(lax.concatenate(padded, 0), shape), -1, axis)
    return x
