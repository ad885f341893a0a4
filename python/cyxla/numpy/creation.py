"""Making arrays: from values, from a shape, from ranges of numbers."""

import math
import operator

import numpy as np

from cyxla import dlpack, lax
from cyxla._engine.array import Array, ArrayImpl, array_from_host, guard_host_to_device, own, typeof
from cyxla._engine.array import asarray as to_array
from cyxla._engine.dispatch import check_new
from cyxla._engine.host import filled
from cyxla._transform.transfer import device_put
from cyxla.lax._util import check_choice, check_not_negative, check_rank

from . import ufuncs
from .axes import broadcast, broadcast_shapes, canonical_axis, canonical_shape
from .elementwise import floor, log10, power, select
from .promotion import common_dtype, convert, default_float, default_int, inexact_dtype, kind, requested_dtype, strong

_PYTHON_SCALARS = (int, float, bool, complex)


def placed(x, device):
    """``x`` on ``device`` (a device or a sharding); as it is for None."""
    if device is None:
        return x

    return device_put(x, device)


# From values.


def array(object, dtype=None, *args, copy=True, order="K", ndmin=0, device=None, out_sharding=None):
    """An array from numbers, nested sequences, NumPy arrays, buffers or other arrays.

    Python numbers give 32-bit dtypes unless x64 mode is on. Raises TypeError for values that are not numbers and
    ValueError for None or for sequences of unequal lengths.

    >>> import cyxla.numpy as jnp
    >>> jnp.array([[1, 2], [3, 4]])
    Array([[1, 2],
           [3, 4]], dtype=int32)
    """
    if args:
        copy, order, ndmin = (*args, *(copy, order, ndmin)[len(args) :])
    if order is not None and order not in ("K", "C"):
        raise NotImplementedError(
            f"order={order!r} is not available: arrays have no memory order; leave it out, or give 'K' or 'C'"
        )
    x = from_value(object, requested_dtype(dtype))
    if x is not object and not isinstance(object, Array):
        check_new(x)
    if copy and x is object:
        x = lax.copy_p.bind(x)
    if x.ndim < ndmin:
        x = lax.expand_dims(x, tuple(range(ndmin - x.ndim)))
    return placed(x, out_sharding if device is None else device)


def asarray(a, dtype=None, order=None, *, copy=None, device=None, out_sharding=None):
    """As ``array``, but an argument that is an array of that dtype already is returned as it is."""
    if a.__class__ is ArrayImpl and dtype is None and not copy and device is None and out_sharding is None:
        return a
    return array(a, dtype, copy=bool(copy), order=order, device=device, out_sharding=out_sharding)


def from_value(value, dtype):
    """An Array of ``dtype`` (None: the one that the value implies) from anything that ``array`` takes."""
    cls = value.__class__
    if isinstance(value, Array):
        return value if dtype is None else strong(convert(value, dtype))
    if cls in _PYTHON_SCALARS:
        return own(to_array(value)) if dtype is None else to_array(np.asarray(value, dtype))
    if isinstance(value, (np.ndarray, np.generic)):
        return _from_numpy(value, dtype)
    if cls is list or cls is tuple or isinstance(value, (list, tuple)):
        return _from_sequence(value, dtype)
    if value is None:
        raise ValueError("None is no array; give numbers, or np.nan for what is missing")
    if hasattr(cls, "__jax_array__"):
        return from_value(value.__jax_array__(), dtype)
    if hasattr(cls, "__array__") or isinstance(value, (memoryview, bytearray, range)):
        return _from_numpy(np.asarray(value), dtype, value)
    if hasattr(cls, "__cuda_array_interface__") or hasattr(cls, "__dlpack__"):
        return _from_numpy(np.from_dlpack(value), dtype, value)
    try:
        view = memoryview(value)
    except TypeError:
        return _from_numpy(np.asarray(value), dtype, value)
    return _from_numpy(np.asarray(view) if not isinstance(value, bytes) else np.asarray(value), dtype, value)


def _from_numpy(value, dtype, shown=None):
    if value.dtype.kind in "OSUMm":
        shown = value if shown is None else shown
        raise TypeError(
            f"{shown!r:.200} of dtype {value.dtype} cannot be an array here: elements are booleans or numbers"
        )
    if dtype is not None and dtype != value.dtype:
        if value.dtype.kind == "c" and kind(dtype) not in "cb":
            value = value.real
        with np.errstate(all="ignore"):
            value = np.asarray(value).astype(dtype)
    return to_array(value)


def _collect(value, leaves):
    if isinstance(value, (list, tuple)):
        for item in value:
            _collect(item, leaves)
    else:
        leaves.append(value)
    return leaves


def _from_sequence(value, dtype):
    guard_host_to_device(value)
    leaves = _collect(value, [])
    classes = {leaf.__class__ for leaf in leaves}
    if classes <= {bool, int, float, complex}:
        if dtype is None:
            if not classes or (float in classes and complex not in classes):
                dtype = default_float()
            elif complex in classes:
                dtype = common_dtype(1j)[0]
            else:
                dtype = default_int() if int in classes else np.dtype(bool)
            return array_from_host(np.array(value, dtype=dtype))
        return array_from_host(np.array(value).astype(dtype))
    for i, leaf in enumerate(leaves):
        if leaf is None:
            raise ValueError("None is no array; give numbers, or np.nan for what is missing")
        if not isinstance(leaf, Array) and leaf.__class__ not in _PYTHON_SCALARS:
            leaves[i] = from_value(leaf, None)
    if dtype is None:
        dtype = common_dtype(*leaves)[0]
    if kind(dtype) != "k" and all(isinstance(leaf, (ArrayImpl, *_PYTHON_SCALARS)) for leaf in leaves):
        # Nothing abstract in it: built on the host, without a computation for each element.
        try:
            with np.errstate(all="ignore"):
                return array_from_host(np.asarray(_on_host(value, dtype), dtype))
        except ValueError as error:
            raise TypeError(f"the items of a list do not form an array: {error}") from None
    from .joining import stack

    rows = [from_value(item, dtype) for item in value]
    if any(row.shape != rows[0].shape for row in rows):
        raise TypeError(
            f"the items of a list must have one shape, theirs are {', '.join([str(x.shape) for x in rows])}"
        )
    return stack(rows)


def _on_host(value, dtype):
    if isinstance(value, (list, tuple)):
        return [_on_host(item, dtype) for item in value]
    return np.asarray(value).astype(dtype) if not isinstance(value, _PYTHON_SCALARS) else value


def copy(a, order=None):
    """A copy of ``a``, as a distinct array."""
    return array(a, copy=True, order=order or "K")


def astype(x, dtype, /, *, copy=False, device=None):
    """``x`` converted to ``dtype``; complex to real drops the imaginary part, as NumPy does."""
    x = to_array(x)
    target = requested_dtype(dtype) if dtype is not None else default_float()
    if kind(x.dtype) == "c" and kind(target) == "b":
        x = ufuncs.not_equal(x, 0)
    if x.dtype != target:
        x = convert(x, target)
    else:
        x = strong(x)
    if copy:
        x = lax.copy_p.bind(x)
    return placed(x, device)


def frombuffer(buffer, dtype=float, count=-1, offset=0):
    """A 1-D array over the bytes of an object with the buffer protocol."""
    return asarray(np.frombuffer(buffer=buffer, dtype=dtype, count=count, offset=offset))


def fromstring(string, dtype=float, count=-1, *, sep):
    """A 1-D array from numbers written in text and separated by ``sep``."""
    return asarray(np.fromstring(string=string, dtype=dtype, count=count, sep=sep))


def fromfile(*args, **kwargs):
    """Not available: it is not a pure function. Use ``asarray(numpy.fromfile(...))``."""
    raise NotImplementedError(
        "fromfile reads a file, which a traced program cannot; write jnp.asarray(np.fromfile(...))"
    )


def fromiter(*args, **kwargs):
    """Not available: it is not a pure function. Use ``asarray(numpy.fromiter(...))``."""
    raise NotImplementedError(
        "fromiter uses an iterator up, which a traced program cannot; write jnp.asarray(np.fromiter(...))"
    )


def from_dlpack(x, /, *, device=None, copy=None):
    """An array over the memory of ``x``, an object with ``__dlpack__``; shared where possible."""
    return dlpack.from_dlpack(x, device=device, copy=copy)


# From a shape.


def zeros(shape, dtype=None, *, device=None, out_sharding=None):
    """Zeros of ``shape``, float by default.

    >>> import cyxla.numpy as jnp
    >>> jnp.zeros((2, 3), dtype=int)
    Array([[0, 0, 0],
           [0, 0, 0]], dtype=int32)
    """
    if device is None and out_sharding is None:
        made = filled(shape, 0, dtype)
        if made is not None:
            return made
    dtype = default_float() if dtype is None else requested_dtype(dtype)
    return placed(lax.full(canonical_shape(shape), 0, dtype), out_sharding if device is None else device)


def ones(shape, dtype=None, *, device=None, out_sharding=None):
    """Ones of ``shape``, float by default."""
    if device is None and out_sharding is None:
        made = filled(shape, 1, dtype)
        if made is not None:
            return made
    dtype = default_float() if dtype is None else requested_dtype(dtype)
    return placed(lax.full(canonical_shape(shape), 1, dtype), out_sharding if device is None else device)


def empty(shape, dtype=None, *, device=None, out_sharding=None):
    """As ``zeros``: arrays are never left uninitialized."""
    return zeros(shape, dtype, device=device, out_sharding=out_sharding)


def full(shape, fill_value, dtype=None, *, device=None, out_sharding=None):
    """An array of ``shape`` whose elements are ``fill_value``, which is broadcast where it is an array.

    >>> import cyxla.numpy as jnp
    >>> jnp.full((2,), 7)
    Array([7, 7], dtype=int32, weak_type=True)
    """
    dtype = requested_dtype(dtype)
    fill = from_value(fill_value, dtype)
    check_new(fill)
    device = out_sharding if device is None else device
    shape = canonical_shape(shape)
    if fill.ndim == 0:
        return placed(lax.full(shape, fill, dtype), device)
    return placed(broadcast_to_shape(fill, shape), device)


def broadcast_to_shape(x, shape):
    if x.shape != shape and broadcast_shapes(x.shape, shape) != shape:
        raise ValueError(f"full: fill_value of shape {x.shape} does not broadcast to shape {shape}")
    return broadcast(x, shape)


def zeros_like(a, dtype=None, shape=None, *, device=None, out_sharding=None):
    """Zeros of the shape and dtype of ``a``, unless others are given."""
    return _filled_like(a, 0, dtype, shape, out_sharding if device is None else device)


def ones_like(a, dtype=None, shape=None, *, device=None, out_sharding=None):
    """Ones of the shape and dtype of ``a``, unless others are given."""
    return _filled_like(a, 1, dtype, shape, out_sharding if device is None else device)


def empty_like(prototype, dtype=None, shape=None, *, device=None):
    """As ``zeros_like``: arrays are never left uninitialized."""
    return _filled_like(prototype, 0, dtype, shape, device)


def full_like(a, fill_value, dtype=None, shape=None, *, device=None, out_sharding=None):
    """An array of the shape and dtype of ``a`` whose elements are ``fill_value``."""
    device = out_sharding if device is None else device
    fill = from_value(fill_value, None)
    check_new(fill)
    if fill.ndim == 0:
        return _filled_like(a, fill_value, dtype, shape, device)
    aval = _like(a)
    target = aval.dtype if dtype is None else requested_dtype(dtype)
    shape = aval.shape if shape is None else canonical_shape(shape)
    return placed(broadcast_to_shape(convert(fill, target), shape), device)


def _like(a):
    if hasattr(a, "shape") and hasattr(a, "dtype") and not isinstance(a, (Array, np.ndarray, np.generic)):
        return a
    return typeof(a)


def _filled_like(a, value, dtype, shape, device):
    aval = _like(a)
    weak = dtype is None and getattr(aval, "weak_type", False)
    dtype = aval.dtype if dtype is None else requested_dtype(dtype)
    shape = tuple(aval.shape) if shape is None else canonical_shape(shape)
    if weak:
        return placed(lax.full(shape, convert(value, dtype, True) if not isinstance(value, Array) else value), device)
    return placed(lax.full(shape, value, dtype), device)


# From ranges.


def _concrete(value, what):
    if isinstance(value, Array):
        if value.ndim:
            raise TypeError(f"arange: {what} must be a scalar, got an array of shape {value.shape}")
        letter = kind(value.dtype)
        return operator.index(value) if letter in "iu" else float(value) if letter == "f" else value.item()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return value.item()
    if not isinstance(value, (int, float, complex)):
        raise TypeError(f"arange requires numbers, got {value!r} of type {type(value).__name__} as {what}")
    return value


def arange(start, stop=None, step=None, dtype=None, *, device=None, out_sharding=None):
    """Numbers from ``start`` to ``stop`` (excluded) in steps of ``step``; ``arange(n)`` starts at 0.

    The arguments must be concrete: the length of the result depends on them.

    >>> import cyxla.numpy as jnp
    >>> jnp.arange(2, 10, 3)
    Array([2, 5, 8], dtype=int32)
    """
    device = out_sharding if device is None else device
    if start is None:
        raise TypeError("arange requires numbers, got None as its first argument")
    if dtype is None:
        dtype = common_dtype(*[value for value in (start, stop, step) if value is not None])[0]
        if kind(dtype) == "b":
            dtype = default_int()
    else:
        dtype = requested_dtype(dtype)
    if stop is None:
        start, stop = 0, _concrete(start, "stop")
    else:
        start, stop = _concrete(start, "start"), _concrete(stop, "stop")
    step = 1 if step is None else _concrete(step, "step")
    if isinstance(start, complex) or isinstance(stop, complex) or isinstance(step, complex):
        return placed(to_array(np.arange(start, stop, step, dtype=dtype)), device)
    if all(isinstance(value, int) for value in (start, stop, step)):
        size = max(0, -((start - stop) // step))
    else:
        size = max(0, math.ceil((stop - start) / step))
    if kind(dtype) == "b":
        return placed(to_array(np.arange(start, stop, step, dtype=bool)), device)
    x = lax.iota(dtype, size)
    if step != 1:
        x = ufuncs.multiply(convert(step, dtype), x)
    if start != 0:
        x = ufuncs.add(convert(start, dtype), x)
    return placed(x, device)


def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0, *, device=None):
    """``num`` numbers evenly spaced from ``start`` to ``stop``, which is included if ``endpoint``.

    With ``retstep`` the spacing is returned too. Raises ValueError for a negative ``num``.

    >>> import cyxla.numpy as jnp
    >>> jnp.linspace(0, 1, 5)
    Array([0.  , 0.25, 0.5 , 0.75, 1.  ], dtype=float32)
    """
    num = operator.index(num)
    check_not_negative("linspace", "num", num)
    if dtype is None:
        dtype = inexact_dtype(common_dtype(start, stop)[0])
    else:
        dtype = requested_dtype(dtype)
    compute = inexact_dtype(common_dtype(start, stop, np.zeros((), dtype))[0])
    start, stop = convert(start, compute), convert(stop, compute)
    shape = broadcast_shapes(start.shape, stop.shape)
    start, stop = broadcast(start, shape), broadcast(stop, shape)
    steps = num - 1 if endpoint else num
    step = convert(math.nan, compute)
    if num > 1:
        step = ufuncs.divide(ufuncs.subtract(stop, start), convert(steps, compute))
        fraction = convert(lax.iota(_counting_dtype(compute), steps), compute)
        fraction = lax.reshape(ufuncs.divide(fraction, convert(steps, compute)), (steps,) + (1,) * len(shape))
        first, last = lax.reshape(start, (1, *shape)), lax.reshape(stop, (1, *shape))
        x = ufuncs.add(ufuncs.multiply(first, 1 - fraction), ufuncs.multiply(last, fraction))
        if endpoint:
            x = lax.concatenate([x, last], 0)
    elif num == 1:
        step = convert(math.nan, compute) if endpoint else ufuncs.subtract(stop, start)
        x = lax.reshape(start, (1, *shape))
    else:
        x = lax.full((0, *shape), 0, compute)
    if axis != 0:
        axis = canonical_axis(axis, len(shape) + 1)
        x = lax.transpose(x, (*range(1, axis + 1), 0, *range(axis + 1, x.ndim)))
    if kind(dtype) in "iu" and kind(compute) not in "iu":
        x = floor(x)
    x = placed(convert(x, dtype), device)
    return (x, step) if retstep else x


def _counting_dtype(dtype):
    return dtype if kind(dtype) == "f" else default_float()


def logspace(start, stop, num=50, endpoint=True, base=10.0, dtype=None, axis=0):
    """``base`` to the powers that are evenly spaced from ``start`` to ``stop``."""
    dtype = inexact_dtype(common_dtype(start, stop)[0]) if dtype is None else requested_dtype(dtype)
    compute = inexact_dtype(common_dtype(start, stop, np.zeros((), dtype))[0])
    exponents = linspace(start, stop, num, endpoint, dtype=compute, axis=axis)
    return convert(power(convert(base, compute), exponents), dtype)


def geomspace(start, stop, num=50, endpoint=True, dtype=None, axis=0):
    """``num`` numbers of a geometric progression from ``start`` to ``stop``."""
    dtype = inexact_dtype(common_dtype(start, stop)[0]) if dtype is None else requested_dtype(dtype)
    compute = inexact_dtype(common_dtype(start, stop, np.zeros((), dtype))[0])
    start, stop = convert(start, compute), convert(stop, compute)
    shape = broadcast_shapes(start.shape, stop.shape)
    start, stop = broadcast(start, shape), broadcast(stop, shape)
    sign = convert(1, compute)
    if kind(compute) != "c":
        both_negative = ufuncs.logical_and(ufuncs.equal(lax.sign(start), -1), ufuncs.equal(lax.sign(stop), -1))
        sign = select(both_negative, -sign, sign)
        start, stop = start * sign, stop * sign
    exponents = linspace(log10(start), log10(stop), num, endpoint, dtype=compute, axis=0)
    x = power(convert(10.0, compute), exponents)
    # The ends are given, not computed.
    if num > 0:
        x = lax.concatenate([lax.reshape(start, (1, *shape)), lax.slice_in_dim(x, 1, num)], 0)
    if num > 1 and endpoint:
        x = lax.concatenate([lax.slice_in_dim(x, 0, num - 1), lax.reshape(stop, (1, *shape))], 0)
    x = x * sign
    axis = canonical_axis(axis, x.ndim)
    if axis != 0:
        x = lax.transpose(x, (*range(1, axis + 1), 0, *range(axis + 1, x.ndim)))
    return convert(x, dtype)


# Matrices of a pattern.


def eye(N, M=None, k=0, dtype=None, *, device=None):
    """An N x M matrix with ones on the ``k``-th diagonal and zeros elsewhere.

    >>> import cyxla.numpy as jnp
    >>> jnp.eye(2, dtype=int)
    Array([[1, 0],
           [0, 1]], dtype=int32)
    """
    rows = operator.index(N)
    columns = rows if M is None else operator.index(M)
    check_not_negative("eye", "shape", (rows, columns))
    dtype = default_float() if dtype is None else requested_dtype(dtype)
    integer = default_int()
    i = ufuncs.add(lax.broadcasted_iota(integer, (rows, columns), 0), convert(k, integer))
    return placed(convert(ufuncs.equal(i, lax.broadcasted_iota(integer, (rows, columns), 1)), dtype), device)


def identity(n, dtype=None):
    """The n x n identity matrix."""
    return eye(n, dtype=dtype)


def tri(N, M=None, k=0, dtype=None):
    """An N x M matrix with ones at and below the ``k``-th diagonal."""
    M = N if M is None else M
    dtype = np.dtype(np.float32) if dtype is None else requested_dtype(dtype)
    return convert(triangle_mask((operator.index(N), operator.index(M)), k), dtype)


def triangle_mask(shape, k):
    """A bool matrix that is set at and below the ``k``-th diagonal."""
    integer = default_int()
    rows = lax.broadcasted_iota(integer, shape, 0)
    if k.__class__ is not int or k != 0:
        rows = ufuncs.add(rows, convert(k, integer))
    return lax.ge(rows, lax.broadcasted_iota(integer, shape, 1))


def vander(x, N=None, increasing=False):
    """The matrix whose columns are powers of the vector ``x``. Raises ValueError where x is not 1-D."""
    x = to_array(x)
    check_rank("vander", "x", x, 1, 1)
    N = x.shape[0] if N is None else operator.index(N)
    check_not_negative("vander", "N", N)
    powers = lax.iota(x.dtype, N)
    if not increasing:
        powers = ufuncs.subtract(convert(N - 1, x.dtype), powers)
    return power(lax.reshape(x, (x.shape[0], 1)), lax.reshape(powers, (1, N)))


# Grids.


def meshgrid(*xi, copy=True, sparse=False, indexing="xy"):
    """Coordinate matrices of the grid spanned by 1-D coordinate vectors, as a list.

    ``indexing`` is "xy" (Cartesian: the first two axes swapped) or "ij".
    """
    if not copy:
        raise ValueError("meshgrid: copy=False asks for views, which arrays do not have; leave copy out")
    check_choice("meshgrid", "indexing", indexing, ("xy", "ij"))
    vectors = [to_array(x) for x in xi]
    if any(x.ndim != 1 for x in vectors):
        raise ValueError(f"meshgrid: vectors or scalars are needed, got shapes {[x.shape for x in vectors]}")
    n = len(vectors)
    axis_of = list(range(n))
    if indexing == "xy" and n >= 2:
        axis_of[:2] = [1, 0]
    shape = [0] * n
    for i, x in zip(axis_of, vectors):
        shape[i] = x.shape[0]
    grids = []
    for i, x in zip(axis_of, vectors):
        target = tuple([m if j == i or not sparse else 1 for j, m in enumerate(shape)])
        grids.append(lax.broadcast_in_dim(x, target, (i,)))
    return grids


def indices(dimensions, dtype=None, sparse=False):
    """For each axis of a grid of the given dimensions, an array of the indices along it."""
    dimensions = canonical_shape(dimensions)
    dtype = default_int() if dtype is None else requested_dtype(dtype)
    n = len(dimensions)
    if sparse:
        return tuple(
            [
                lax.broadcasted_iota(dtype, tuple([m if i == j else 1 for j, m in enumerate(dimensions)]), i)
                for i in range(n)
            ]
        )
    grids = [lax.expand_dims(lax.broadcasted_iota(dtype, dimensions, i), (0,)) for i in range(n)]
    return lax.concatenate(grids, 0) if grids else lax.full((0,), 0, dtype)
