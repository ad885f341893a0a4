"""Random orders and choices of array elements."""

import math
from functools import partial
from operator import index

import numpy as np

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._transform.jit import jit
from cyxla.lax._util import canonicalize_axis
from cyxla.numpy.promotion import kind
from cyxla.random._arguments import array_argument, check_enough, place
from cyxla.random.continuous import gumbel
from cyxla.random.keys import KeyType, single_key
from cyxla.random.uniform_family import randint, random_bits, subkeys, uniform


@partial(jit, static_argnums=(2,))
def _shuffle(key, x, axis):
    # Sorting by random words. Equal words would keep their order; enough rounds make the bias of that small.
    rounds = math.ceil(3 * math.log(max(1, x.size)) / math.log(np.iinfo(np.uint32).max))
    for _ in range(rounds):
        key, subkey = subkeys(key)
        _, x = lax.sort_key_val(random_bits(subkey, 32, x.shape), x, axis)
    return x


def permutation(key, x, axis=0, independent=False, *, out_sharding=None):
    """A random order of an array's slices along an axis, or of `0, ..., x - 1` for an integer `x`.

    Args:
      key: a PRNG key.
      x: array or integer.
      axis: axis whose slices are permuted.
      independent: permute each vector along the axis by itself.

    Raises TypeError for scalars that are not integers, ValueError for an axis out of range.

    >>> import cyxla as jax
    >>> jax.random.permutation(jax.random.key(0), 4)
    Array([0, 1, 3, 2], dtype=int32)
    """
    key = single_key("permutation", key)
    x = array_argument("permutation", x)
    axis = canonicalize_axis(axis, x.ndim or 1)
    if x.ndim == 0:
        if kind(x.dtype) not in "iu":
            raise TypeError(f"permutation: a number must be an integer, got {x.dtype}; arrays need an axis")
        return place(_shuffle(key, jnp.arange(index(x), dtype=x.dtype), axis), out_sharding)
    if (independent or x.ndim == 1) and not isinstance(x.dtype, KeyType):
        return place(_shuffle(key, x, axis), out_sharding)
    order = _shuffle(key, jnp.arange(x.shape[axis]), 0)
    return place(jnp.take(x, order, axis, unique_indices=True), out_sharding)


def choice(key, a, shape=(), replace=True, p=None, axis=0, mode=None):
    """Random elements of an array, or of `0, ..., a - 1` for an integer `a`.

    Args:
      key: a PRNG key.
      a: array or integer.
      shape: how many to choose, a sequence of ints.
      replace: whether an element may be chosen more than once.
      p: probabilities of the elements along the axis; by default all are the same.
      axis: axis of `a` along which elements lie. The result has `shape` in its place.
      mode: resolution ("high" or "low") of the variables that decide among elements with probabilities.

    Raises ValueError if more elements are wanted than there are without replacement.
    """
    key = single_key("choice", key)
    if not isinstance(shape, (tuple, list, np.ndarray)):
        raise TypeError(f"choice: shape={shape!r} must be a sequence of integers, such as ({shape!r},)")
    shape = tuple(index(n) for n in shape)
    a = array_argument("choice", a)
    axis = canonicalize_axis(axis, a.ndim or 1)
    population = a.shape[axis] if a.ndim else int(a)
    draws = math.prod(shape)
    if draws == 0:
        return lax.full(shape, 0, np.int32 if a.ndim == 0 and a.weak_type else a.dtype)
    if population <= 0:
        raise ValueError("choice: there is nothing to choose from, as a is empty or not positive")
    if not replace:
        check_enough("choice", draws, population)
    if p is None and not replace:
        order = permutation(key, a if a.ndim else population, axis)
        chosen = lax.slice_in_dim(order, 0, draws, axis=axis)
    else:
        if p is None:
            ind = randint(key, shape, 0, population)
        else:
            ind = _weighted(key, array_argument("choice", p, 1), population, draws, shape, replace, mode)
        chosen = jnp.take(a, ind, axis) if a.ndim else ind
    return jnp.reshape(chosen, (*a.shape[:axis], *shape, *a.shape[axis + 1 :]) if a.ndim else shape)


def _weighted(key, p, population, draws, shape, replace, mode):
    if p.shape != (population,):
        raise ValueError(f"choice: p must hold the probabilities of the {population} elements, its shape is {p.shape}")
    if kind(p.dtype) not in "fc":
        p = p.astype(float)
    default = jnp.arange(0).dtype
    if replace:
        cumulative = jnp.cumsum(p)
        r = cumulative[-1] * (1 - uniform(key, shape, p.dtype))
        return jnp.searchsorted(cumulative, r).astype(default)
    noisy = gumbel(key, (population,), p.dtype, mode) + jnp.log(p)
    return lax.top_k(noisy, draws)[1].astype(default)
