"""The generators `rbg` and `unsafe_rbg`, on XLA's RngBitGenerator: fast on accelerators, with weaker guarantees.

`rbg` splits keys by threefry and only draws its bits from the hardware's generator; `unsafe_rbg` does both with it. A
key is `uint32[4]`. The bits of a batch of keys all come from its first key, so that they differ from those of each key
alone.
"""

import math

import numpy as np

from cyxla import lax
from cyxla.random import threefry


def rbg_seed(seed):
    """Key data of integer seeds: that of threefry, twice."""
    half = threefry.threefry_seed(seed)
    return lax.concatenate([half, half], half.ndim - 1)


def rbg_seed_on_host(seed):
    """`rbg_seed` of a NumPy array."""
    half = threefry.threefry_seed_on_host(seed)
    return np.concatenate([half, half], -1)


def rbg_seed_words(seed, wide):
    """`rbg_seed` of one number, of 64 bits or of 32."""
    return 2 * threefry.threefry_seed_words(seed, wide)


def _halves(key):
    """The two threefry keys in each key: uint32[..., 2, 2]."""
    return lax.reshape(key, key.shape[:-1] + (2, 2))


def rbg_split(key, shape):
    """Data of `shape` new keys for each key."""
    batch = key.ndim - 1
    new = threefry.threefry_split(_halves(key), shape)  # batch, 2, *shape, 2
    order = (*range(batch), *range(batch + 1, batch + 1 + len(shape)), batch, new.ndim - 1)
    return lax.reshape(lax.transpose(new, order), key.shape[:-1] + shape + (4,))


def rbg_fold_in(key, data):
    """A new key for each pair of a key and a `uint32`."""
    halves = _halves(key)
    shape = halves.shape[:-1]
    data = lax.broadcast_in_dim(data, shape, tuple(range(data.ndim)))
    return lax.reshape(threefry.threefry_fold_in(halves, data), key.shape)


def rbg_random_bits(key, bit_width, shape):
    """Unsigned integers of `bit_width` random bits, `shape` of them for each key."""
    batch = key.shape[:-1]
    if 0 in batch:
        return lax.full(batch + shape, 0, np.dtype(f"uint{bit_width}"))
    for _ in batch:
        key = lax.squeeze(lax.slice_in_dim(key, 0, 1, axis=0), (0,))
    return lax.rng_bit_generator(key, batch + shape, dtype=np.dtype(f"uint{bit_width}"))[1]


# Both take each tenth block only: neighbouring blocks of the generator are used by the bits drawn from the same key.
_STRIDE = 10


def unsafe_rbg_split(key, shape):
    """Data of `shape` new keys for each key."""
    count, batch = math.prod(shape), key.ndim - 1
    bits = rbg_random_bits(key, 32, (_STRIDE * count, 4))
    bits = lax.slice_in_dim(bits, 0, _STRIDE * count, _STRIDE, axis=batch)
    return lax.reshape(bits, key.shape[:-1] + shape + (4,))


def unsafe_rbg_fold_in(key, data):
    """A new key for each pair of a key and a `uint32`."""
    bits = rbg_random_bits(rbg_seed(data), 32, (_STRIDE, 4))
    axis = bits.ndim - 2
    bits = lax.squeeze(lax.slice_in_dim(bits, _STRIDE - 1, _STRIDE, axis=axis), (axis,))
    bits = lax.broadcast_in_dim(bits, key.shape, tuple(range(key.ndim - bits.ndim, key.ndim)))
    return lax.bitwise_xor(key, bits)
