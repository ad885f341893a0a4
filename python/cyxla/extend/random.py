"""Generators of random bits: those of the library, and new ones.

impl = define_prng_impl(key_shape=(2,), seed=..., split=..., random_bits=..., fold_in=..., name="mine", tag="my")
cyxla.random.normal(cyxla.random.key(0, impl=impl), (3,))
"""

import math

import numpy as np

from cyxla import lax
from cyxla._engine.array import asarray
from cyxla._engine.dtypes import register_extended
from cyxla._transform.vmap import vmap
from cyxla.random import keys as _keys
from cyxla.random.keys import PRNGImpl, random_seed_p
from cyxla.random.keys import rbg_impl as rbg_prng_impl
from cyxla.random.keys import threefry_impl as threefry_prng_impl
from cyxla.random.keys import unsafe_rbg_impl as unsafe_rbg_prng_impl
from cyxla.random.threefry import threefry2x32_p, threefry_2x32


class _DefinedImpl(PRNGImpl):
    """A generator of a user's. It has no name that others could look it up by, and is passed as an object."""

    def __repr__(self):
        return f"PRNGSpec({self.name!r})"

    def __str__(self):
        return self.tag

    def __reduce__(self):
        raise TypeError(f"cannot pickle the generator {self.name!r}: another process could not find it")


def _over_batch(function, key_rank):
    """A function of the data of one key (and numbers) as one of the data of keys with any leading dimensions."""

    def batched(data, *others):
        batch = data.shape[: data.ndim - key_rank]
        if not batch:
            return function(data, *others)
        size = math.prod(batch)
        flat = [lax.reshape(data, (size, *data.shape[len(batch) :]))]
        axes = [0]
        for x in others:
            if getattr(x, "ndim", 0):
                x = lax.reshape(x, (size,))
            flat.append(x)
            axes.append(0 if getattr(x, "ndim", 0) else None)
        out = vmap(function, in_axes=tuple(axes), axis_size=size)(*flat)
        return lax.reshape(out, (*batch, *out.shape[1:]))

    return batched


def define_prng_impl(*, key_shape, seed, split, random_bits, fold_in, name="<unnamed>", tag="?"):
    """Makes a generator of functions on the data of one key, a `uint32` array of shape `key_shape`.

    Args:
      key_shape: shape of the data of a key.
      seed: `(integer) -> key`.
      split: `(key, shape) -> keys`, of shape `shape + key_shape`.
      random_bits: `(key, bit_width, shape) -> unsigned integers` of that width and shape.
      fold_in: `(key, integer) -> key`.
      name: what messages call it.
      tag: what the dtype of its keys is printed with, `key<tag>`.

    Returns the generator, to be passed as `impl=` to `cyxla.random.key` and `wrap_key_data`.
    """
    key_shape = tuple(key_shape)
    rank = len(key_shape)

    def split_all(data, shape):
        return _over_batch(lambda key: split(key, shape), rank)(data)

    def bits_of_all(data, bit_width, shape):
        return _over_batch(lambda key: random_bits(key, bit_width, shape), rank)(data)

    seed_all = _over_batch(seed, 0)
    impl = _DefinedImpl(
        name,
        tag,
        key_shape,
        seed=seed_all,
        seed_on_host=lambda seeds: np.asarray(seed_all(asarray(seeds))),
        split=split_all,
        random_bits=bits_of_all,
        fold_in=_over_batch(fold_in, rank),
    )
    register_extended(impl.dtype, impl.dtype.name)
    return impl


def seed_with_impl(impl, seed):
    """The typed key of an integer seed, for a generator."""
    return _keys.key(seed, impl=impl)


def random_seed(seeds, impl):
    """The typed keys of an array of integer seeds, for a generator."""
    return random_seed_p.bind(seeds, impl=_keys.resolve_impl(impl))


__all__ = [
    "define_prng_impl",
    "random_seed",
    "rbg_prng_impl",
    "seed_with_impl",
    "threefry2x32_p",
    "threefry_2x32",
    "threefry_prng_impl",
    "unsafe_rbg_prng_impl",
]
