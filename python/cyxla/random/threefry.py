"""The threefry2x32 counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).

The block cipher is one primitive, `threefry2x32`, lowered to five calls of the two groups of four rounds that its 20
rounds are made of. XLA inlines them and fuses all with whatever makes the counters and consumes the bits. (A loop over
the rounds compiles slower and runs through memory five times.)

The other functions here say how seeds, key splits and arrays of bits are made from it. All of them take the data of
keys with any leading batch dimensions, `uint32[..., 2]`. There are two conventions for the counters, chosen by the
option `jax_threefry_partitionable`: one counter for each element (the default; its bits do not depend on how an array
is sharded), or the original one, which pairs the two halves of the array.
"""

import math
from functools import partial

import numpy as np

from cyxla import lax
from cyxla._core.config import config
from cyxla._engine.aval import shaped_array
from cyxla._engine.core import Primitive
from cyxla._engine.dtypes import dtype_code
from cyxla.lax._util import batch_size, broadcast_names, move_axis, to_front, with_shape

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
KEY_PARITY = 0x1BD11BDA
MAX_COUNT = 1 << 32
UINT32 = dtype_code(np.uint32)


# the block cipher -----------------------------------------------------------------------------------------------------


def _threefry_abstract(key0, key1, count0, count1):
    out = key0
    for aval in (key0, key1, count0, count1):
        if aval.code != UINT32:
            raise TypeError(f"threefry2x32: operands must be uint32, got {aval.dtype}")
        if aval.ndim and out.ndim and aval.shape != out.shape:
            raise TypeError(f"threefry2x32: operands must have one shape, got {out.shape} and {aval.shape}")
        out = aval if aval.ndim else out
    out = with_shape(out, out.shape)
    return [out, out]


def _threefry_lower(ctx, key0, key1, count0, count1):
    aval = ctx.avals_out[0]
    t = aval.mlir

    def op(name, a, b):
        return ctx.op(f"stablehlo.{name} {a}, {b} : {t}")

    def rounds(words, rotations):
        x0, x1 = words
        for r in rotations:
            x0 = op("add", x0, x1)
            left = op("shift_left", x1, ctx.constant(r, aval))
            right = op("shift_right_logical", x1, ctx.constant(32 - r, aval))
            x1 = op("xor", x0, op("or", left, right))
        return [x0, x1]

    k0, k1, x0, x1 = broadcast_names(ctx, (key0, key1, count0, count1))
    schedule = (k0, k1, op("xor", op("xor", k0, k1), ctx.constant(KEY_PARITY, aval)))
    words = op("add", x0, k0), op("add", x1, k1)
    for i in range(5):
        rotations = ROTATIONS[i % 2]
        x0, x1 = ctx.call_written(
            "threefry_rounds", (rotations, aval), words, [aval] * 2, [aval] * 2, partial(rounds, rotations=rotations)
        )
        x1 = op("add", op("add", x1, schedule[(i + 2) % 3]), ctx.constant(i + 1, aval))
        words = op("add", x0, schedule[(i + 1) % 3]), x1
    return list(words)


def _threefry_batch(args, dims):
    size = batch_size(args, dims)
    shape = (size, *max((_without(x.shape, d) for x, d in zip(args, dims)), key=len))
    moved = []
    for x, d in zip(args, dims):
        if d is None:
            moved.append(x if x.ndim == 0 else to_front(x, None, size))
        else:
            x = move_axis(x, d, 0)
            moved.append(x if x.shape == shape else lax.broadcast_in_dim(x, shape, (0,)))
    return threefry2x32_p.bind(*moved), [0, 0]


def _without(shape, dim):
    return shape if dim is None else shape[:dim] + shape[dim + 1 :]


threefry2x32_p = Primitive(
    "threefry2x32",
    abstract=_threefry_abstract,
    lower=_threefry_lower,
    batch=_threefry_batch,
    differentiable=False,
    multiple_results=True,
)


# counters -------------------------------------------------------------------------------------------------------------


def _counter_abstract(*, shape):
    aval = shaped_array(shape, UINT32, False)
    return [aval, aval]


def _counter_lower(ctx, *, shape):
    aval = ctx.avals_out[0]
    size = math.prod(shape)
    if size == 1:
        return [ctx.constant(0, aval), ctx.constant(0, aval)]
    if size <= MAX_COUNT:
        low = ctx.op(f"stablehlo.iota dim = 0 : tensor<{size}xui32>")
        if len(shape) > 1:
            low = ctx.op(f"stablehlo.reshape {low} : (tensor<{size}xui32>) -> {aval.mlir}")
        return [ctx.constant(0, aval), low]
    flat, wide = f"tensor<{size}xui64>", aval.mlir.replace("ui32", "ui64")
    count = ctx.op(f"stablehlo.iota dim = 0 : {flat}")
    count = ctx.op(f"stablehlo.reshape {count} : ({flat}) -> {wide}")
    bits = ctx.op(f"stablehlo.constant dense<32> : {wide}")
    high = ctx.op(f"stablehlo.shift_right_logical {count}, {bits} : {wide}")
    return [ctx.op(f"stablehlo.convert {x} : ({wide}) -> {aval.mlir}") for x in (high, count)]


iota_2x32_shape_p = Primitive(
    "iota_2x32_shape",
    abstract=_counter_abstract,
    lower=_counter_lower,
    differentiable=False,
    multiple_results=True,
)


def _counters(shape):
    """High and low words of the row-major index of each element."""
    return iota_2x32_shape_p.bind(shape=shape)


# keys: uint32[..., 2] -------------------------------------------------------------------------------------------------


def _words(key):
    """The two words of key data, each of the batch shape."""
    return [lax.squeeze(lax.slice_in_dim(key, i, i + 1, axis=key.ndim - 1), (key.ndim - 1,)) for i in (0, 1)]


def _join(high, low):
    expanded = [lax.expand_dims(x, (x.ndim,)) for x in (high, low)]
    return lax.concatenate(expanded, high.ndim)


def _encrypt(key, count0, count1):
    """The two words of the cipher of each counter under each key, of shape batch + count shape."""
    k0, k1 = _words(key)
    batch, shape = k0.shape, count0.shape
    if batch:
        full = batch + shape
        k0, k1 = (lax.broadcast_in_dim(k, full, tuple(range(len(batch)))) for k in (k0, k1))
        dims = tuple(range(len(batch), len(full)))
        count0, count1 = (lax.broadcast_in_dim(x, full, dims) for x in (count0, count1))
    return threefry2x32_p.bind(k0, k1, count0, count1)


def _paired(key, size):
    """The original scheme: the counters 0..size-1, as pairs of one from the first and one from the second half."""
    if size >= MAX_COUNT:
        raise ValueError(
            f"{size} words from one key are more than the original threefry counters reach (2**32 - 1); "
            "set jax_threefry_partitionable to True"
        )
    count = lax.iota(np.uint32, size)
    if size % 2:
        count = lax.concatenate([count, lax.full((1,), 0, np.uint32)], 0)
    half = (size + 1) // 2
    words = _encrypt(key, lax.slice_in_dim(count, 0, half), lax.slice_in_dim(count, half, 2 * half))
    axis = words[0].ndim - 1
    return lax.slice_in_dim(lax.concatenate(list(words), axis), 0, size, axis=axis)


def threefry_2x32(keypair, count):
    """The cipher of an array of counters under one key.

    Args:
      keypair: the two `uint32` words of a key.
      count: `uint32` array, whose two halves are the first and second words of the blocks.

    Returns an array of the shape of `count`.
    """
    key0, key1 = keypair
    if not (lax.dtype(count) == lax.dtype(key0) == lax.dtype(key1) == np.uint32):
        raise TypeError("threefry_2x32: the key and the counts must be uint32")
    flat = lax.reshape(count, (count.size,))
    size, half = count.size, (count.size + 1) // 2
    if size % 2:
        flat = lax.concatenate([flat, lax.full((1,), 0, np.uint32)], 0)
    words = threefry2x32_p.bind(key0, key1, lax.slice_in_dim(flat, 0, half), lax.slice_in_dim(flat, half, 2 * half))
    return lax.reshape(lax.slice_in_dim(lax.concatenate(list(words), 0), 0, size), count.shape)


def threefry_seed(seed):
    """Key data of integer seeds: their high and low 32 bits."""
    low = lax.convert_element_type(seed, np.uint32)
    if seed.dtype.itemsize > 4:
        shift = np.array(32, seed.dtype)
        high = lax.convert_element_type(lax.shift_right_logical(seed, shift), np.uint32)
    else:
        high = lax.full(seed.shape, 0, np.uint32)
    return _join(high, low)


def threefry_seed_on_host(seed):
    """`threefry_seed` of a NumPy array."""
    words = np.zeros(seed.shape + (2,), np.uint32)
    if seed.dtype.itemsize > 4:
        words[..., 0] = seed.view(np.uint64) >> np.uint64(32)
    words[..., 1] = seed.astype(np.uint32)
    return words


def threefry_seed_words(seed, wide):
    """`threefry_seed` of one number, of 64 bits or of 32."""
    return (seed >> 32 & 0xFFFFFFFF if wide else 0), seed & 0xFFFFFFFF


def threefry_split(key, shape):
    """Data of `shape` new keys for each key."""
    if config.jax_threefry_partitionable:
        return _join(*_encrypt(key, *_counters(shape)))
    words = _paired(key, 2 * math.prod(shape))
    return lax.reshape(words, key.shape[:-1] + shape + (2,))


def threefry_fold_in(key, data):
    """A new key for each pair of a key and a `uint32`; one `uint32` may go with all keys."""
    return _join(*threefry2x32_p.bind(*_words(key), np.uint32(0), data))


def threefry_random_bits(key, bit_width, shape):
    """Unsigned integers of 8, 16, 32 or 64 random bits, `shape` of them for each key."""
    dtype = np.dtype(f"uint{bit_width}")
    if config.jax_threefry_partitionable:
        high, low = _encrypt(key, *_counters(shape))
        if bit_width == 64:
            return _wide(high, low)
        bits = lax.bitwise_xor(high, low)
        return bits if bit_width == 32 else lax.convert_element_type(bits, dtype)
    size, batch = math.prod(shape), key.shape[:-1]
    words = _paired(key, -(-bit_width * size // 32))
    axis = len(batch)
    if bit_width == 64:
        bits = _wide(lax.slice_in_dim(words, 0, size, axis=axis), lax.slice_in_dim(words, size, 2 * size, axis=axis))
    elif bit_width == 32:
        bits = words
    else:
        parts = 32 // bit_width
        full = (*words.shape, parts)
        words = lax.broadcast_in_dim(words, full, tuple(range(axis + 1)))
        shift = lax.mul(lax.broadcasted_iota(np.uint32, full, axis + 1), np.uint32(bit_width))
        bits = lax.convert_element_type(lax.shift_right_logical(words, shift), dtype)
        bits = lax.slice_in_dim(lax.reshape(bits, batch + (words.shape[axis] * parts,)), 0, size, axis=axis)
    return lax.reshape(bits, batch + shape)


def _wide(high, low):
    high, low = (lax.convert_element_type(x, np.uint64) for x in (high, low))
    return lax.bitwise_or(lax.shift_left(high, np.uint64(32)), low)
