"""Packing of bits into bytes."""

import operator

import numpy as np

from cyxla import lax
from cyxla._engine.array import asarray
from cyxla.lax._util import check_choice, check_kind

from . import reductions, ufuncs
from .axes import canonical_axis
from .promotion import convert
from .shape import moveaxis, ravel

_UINT8 = np.dtype(np.uint8)


def _check_order(bitorder):
    check_choice("packbits", "bitorder", bitorder, ("little", "big"))


def packbits(a, axis=None, bitorder="big"):
    """Truth values packed into the bits of uint8 numbers along ``axis``, zeros added to fill the last one."""
    x = asarray(a)
    check_kind("packbits", x.aval, "biu")
    _check_order(bitorder)
    x = convert(ufuncs.not_equal(x, 0), _UINT8)
    if axis is None:
        x = ravel(x)
        axis = 0
    axis = canonical_axis(axis, x.ndim)
    x = moveaxis(x, axis, -1)
    n = x.shape[-1]
    padding = -n % 8
    if padding:
        x = lax.pad(x, np.uint8(0), [(0, 0, 0)] * (x.ndim - 1) + [(0, padding, 0)])
    x = lax.reshape(x, (*x.shape[:-1], (n + padding) // 8, 8))
    places = lax.iota(_UINT8, 8)
    if bitorder == "big":
        places = lax.rev(places, (0,))
    x = lax.shift_left(x, lax.broadcast_in_dim(places, x.shape, (x.ndim - 1,)))
    return moveaxis(reductions.sum(x, -1, dtype=_UINT8), -1, axis)


def unpackbits(a, axis=None, count=None, bitorder="big"):
    """The bits of uint8 numbers along ``axis``, the first ``count`` of them (or all but the last -count)."""
    x = asarray(a)
    if x.dtype != _UINT8:
        raise TypeError(f"unpackbits: the dtype is {x.dtype}; bits are taken from uint8 arrays only")
    _check_order(bitorder)
    if axis is None:
        x = ravel(x)
        axis = 0
    axis = canonical_axis(axis, x.ndim)
    x = moveaxis(x, axis, -1)
    places = lax.iota(_UINT8, 8)
    if bitorder == "big":
        places = lax.rev(places, (0,))
    shape = (*x.shape, 8)
    x = lax.broadcast_in_dim(x, shape, tuple(range(x.ndim)))
    x = lax.shift_right_logical(x, lax.broadcast_in_dim(places, shape, (len(shape) - 1,)))
    x = lax.bitwise_and(x, lax.full_like(x, 1))
    n = shape[-2] * 8
    x = lax.reshape(x, (*shape[:-2], n))
    if count is not None:
        count = operator.index(count)
        if count > n:
            x = lax.pad(x, np.uint8(0), [(0, 0, 0)] * (x.ndim - 1) + [(0, count - n, 0)])
        else:
            x = lax.slice_in_dim(x, 0, count if count >= 0 else max(n + count, 0), axis=-1)
    return moveaxis(x, -1, axis)
