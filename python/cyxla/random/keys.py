"""PRNG keys: their dtypes, the primitives on them, and the functions that make, split and inspect them.

A typed key array has an extended dtype such as `key<fry>`. Its physical representation is a `uint32` array with further
trailing dimensions, `key_shape`; that is what programs compute with. `random_wrap` and `random_unwrap` go from one view
to the other. The primitives take arrays of keys of any shape and say nothing of the generator: that is in the key's
dtype, whose `impl` holds the functions of one generator (see threefry.py).
"""

import math
from collections.abc import Callable, Sequence
from operator import index

import numpy as np

from cyxla import lax
from cyxla._core.config import config
from cyxla._core.extended import ExtendedDType, prng_key
from cyxla._engine.array import Array, array_from_physical, array_from_words, asarray, with_aval
from cyxla._engine.aval import shaped_array
from cyxla._engine.core import Primitive
from cyxla._engine.dtypes import dtype_code, register_extended
from cyxla._transform.lower import lower_fun
from cyxla.lax import extended
from cyxla.lax._util import batch_size, kind_of, move_axis, to_front
from cyxla.random import rbg, threefry

INT32_SIZE = 1 << 31


class PRNGImpl:
    """One generator: functions on the data of keys, `uint32[*batch, *key_shape]`.

    Attributes:
      name: what users call it ("threefry2x32").
      tag: how its dtype is printed (`key<fry>`).
      key_shape: shape of the data of one key.
      seed: `(integers[*batch]) -> keys[*batch]`.
      seed_on_host: the same, of NumPy arrays.
      seed_words: `(integer, whether it has 64 bits) -> tuple`, the words of one key; or None.
      split: `(keys[*batch], shape) -> keys[*batch, *shape]`.
      random_bits: `(keys[*batch], bit_width, shape) -> unsigned integers[*batch, *shape]`.
      fold_in: `(keys[*batch], uint32[*batch] or uint32[]) -> keys[*batch]`.
      dtype: the extended dtype of its keys.
    """

    def __init__(
        self,
        name: str,
        tag: str,
        key_shape: tuple,
        *,
        seed: Callable,
        seed_on_host: Callable,
        split: Callable,
        random_bits: Callable,
        fold_in: Callable,
        seed_words: Callable | None = None,
    ):
        self.name, self.tag, self.key_shape = name, tag, tuple(key_shape)
        self.seed, self.seed_on_host, self.seed_words = seed, seed_on_host, seed_words
        self.split, self.random_bits, self.fold_in = split, random_bits, fold_in
        self.dtype = KeyType(self)

    def __repr__(self):
        return self.tag

    def __reduce__(self):
        return _impl_by_name, (self.name,)


class KeyType(ExtendedDType):
    """The dtype of the keys of one generator."""

    type = prng_key
    physical_dtype = np.dtype(np.uint32)

    def __init__(self, impl: PRNGImpl):
        self.impl = impl
        self.name = f"key<{impl.tag}>"
        self.physical_shape = impl.key_shape
        self.itemsize = 4 * math.prod(impl.key_shape)

    def __eq__(self, other):
        return type(other) is KeyType and self.impl is other.impl

    def __hash__(self):
        return hash((KeyType, self.name))

    def __reduce__(self):
        return _dtype_by_name, (self.impl.name,)


_impls: dict[str, PRNGImpl] = {}


def register_impl(impl: PRNGImpl) -> PRNGImpl:
    """Makes a generator known by its name."""
    if impl.name in _impls:
        raise ValueError(f"a PRNG implementation named {impl.name} exists already")
    register_extended(impl.dtype, impl.dtype.name)
    _impls[impl.name] = impl
    return impl


def _impl_by_name(name: str) -> PRNGImpl:
    try:
        return _impls[name]
    except KeyError:
        names = ", ".join(f'"{n}"' for n in _impls)
        raise ValueError(f"there is no generator of the name {name!r}; choose one of {names}") from None


def _dtype_by_name(name: str) -> KeyType:
    return _impl_by_name(name).dtype


def default_impl() -> PRNGImpl:
    """The generator that the option `jax_default_prng_impl` names."""
    return _impl_by_name(config.jax_default_prng_impl)


def resolve_impl(spec) -> PRNGImpl:
    """The generator of a name, a key dtype, or None for the default one."""
    if spec is None:
        return default_impl()
    if isinstance(spec, PRNGImpl):
        return spec
    if isinstance(spec, str):
        return _impl_by_name(spec)
    if isinstance(spec, KeyType):
        return spec.impl
    raise TypeError(
        f"{spec!r} of type {type(spec).__name__} names no generator; give a name such as 'threefry2x32', or the dtype "
        "of a key"
    )


# primitives -----------------------------------------------------------------------------------------------------------


def _key_aval(shape, impl):
    return shaped_array(shape, dtype_code(impl.dtype), False)


def _impl_of(aval, name):
    if not isinstance(aval.dtype, KeyType):
        raise TypeError(
            f"{name}: typed keys are needed, got dtype {aval.dtype}; make them by jax.random.key or "
            "jax.random.wrap_key_data"
        )
    return aval.dtype.impl


def _wrap_abstract(base, *, impl):
    rank = len(impl.key_shape)
    _check_key_data(base, impl)
    return _key_aval(base.shape[: base.ndim - rank], impl)


def _unwrap_abstract(keys):
    impl = _impl_of(keys, "random_unwrap")
    return shaped_array(keys.shape + impl.key_shape, dtype_code(np.uint32), False)


def _batch_leading(primitive):
    """Batching of a primitive that treats every key of its one operand alike and appends dimensions."""

    def rule(args, dims, **params):
        return primitive.bind(move_axis(args[0], dims[0], 0), **params), 0

    return rule


def _wrap_batch(args, dims, *, impl):
    return random_wrap_p.bind(move_axis(args[0], dims[0], 0), impl=impl), 0


random_wrap_p = Primitive(
    "random_wrap",
    abstract=_wrap_abstract,
    impl=lambda base, *, impl: with_aval(base, _wrap_abstract(base.aval, impl=impl)),
    batch=_wrap_batch,
    lower=lambda ctx, base, *, impl: base,
    differentiable=False,
)
random_unwrap_p = Primitive(
    "random_unwrap",
    abstract=_unwrap_abstract,
    impl=lambda keys: with_aval(keys, _unwrap_abstract(keys.aval)),
    lower=lambda ctx, keys: keys,
    differentiable=False,
)
random_unwrap_p.batch = _batch_leading(random_unwrap_p)


def unwrap(keys):
    """The data of an array of keys."""
    return random_unwrap_p.bind(keys)


def wrap(data, impl):
    """The array of keys whose data is given."""
    return random_wrap_p.bind(data, impl=impl)


def _by_counters(function):
    """A lowering rule from a function of arrays whose program depends on `jax_threefry_partitionable`."""
    rules = {partitionable: lower_fun(function) for partitionable in (True, False)}
    return lambda ctx, *names, **params: rules[config.jax_threefry_partitionable](ctx, *names, **params)


def _seed_impl(seeds, *, impl):
    # On the host: a key of a new seed must not cost a compilation.
    if seeds.ndim == 0 and impl.seed_words is not None:
        return array_from_words(impl.seed_words(int(seeds), seeds.itemsize > 4), _key_aval((), impl))
    return array_from_physical(impl.seed_on_host(np.asarray(seeds)), _key_aval(seeds.shape, impl))


random_seed_p = Primitive(
    "random_seed",
    abstract=lambda seeds, *, impl: _key_aval(seeds.shape, impl),
    impl=_seed_impl,
    lower=lower_fun(lambda seeds, *, impl: wrap(impl.seed(seeds), impl)),
    batch=lambda args, dims, *, impl: (random_seed_p.bind(args[0], impl=impl), dims[0]),
    differentiable=False,
)


def _split_abstract(keys, *, shape):
    return _key_aval(keys.shape + shape, _impl_of(keys, "random_split"))


def _split_lower(keys, *, shape):
    impl = keys.dtype.impl
    return wrap(impl.split(unwrap(keys), shape), impl)


random_split_p = Primitive(
    "random_split", abstract=_split_abstract, lower=_by_counters(_split_lower), differentiable=False
)
random_split_p.batch = _batch_leading(random_split_p)


def _fold_in_abstract(keys, data):
    impl = _impl_of(keys, "random_fold_in")
    if keys.ndim and data.ndim and keys.shape != data.shape:
        raise TypeError(
            f"fold_in: the keys of shape {keys.shape} and the data of shape {data.shape} must have one shape"
        )
    if data.dtype != np.uint32:
        raise TypeError(f"fold_in: the data must be uint32, it is {data.dtype}")
    return _key_aval(keys.shape or data.shape, impl)


def _fold_in_lower(keys, data):
    impl = keys.dtype.impl
    base, shape = unwrap(keys), keys.shape or data.shape
    if keys.shape != shape:
        dims = tuple(range(len(shape), len(shape) + len(impl.key_shape)))
        base = lax.broadcast_in_dim(base, shape + impl.key_shape, dims)
    return wrap(impl.fold_in(base, data), impl)


def _fold_in_batch(args, dims):
    size = batch_size(args, dims)
    if any(x.ndim - (d is not None) for x, d in zip(args, dims)):  # within the batch, arrays
        keys, data = (to_front(x, d, size) for x, d in zip(args, dims))
        shape = keys.shape if keys.ndim > data.ndim else data.shape
        keys, data = (x if x.shape == shape else lax.broadcast_in_dim(x, shape, (0,)) for x in (keys, data))
    else:
        keys, data = args
    return random_fold_in_p.bind(keys, data), 0


random_fold_in_p = Primitive(
    "random_fold_in",
    abstract=_fold_in_abstract,
    lower=_by_counters(_fold_in_lower),
    batch=_fold_in_batch,
    differentiable=False,
)


def _bits_abstract(keys, *, bit_width, shape):
    _impl_of(keys, "random_bits")
    return shaped_array(keys.shape + shape, dtype_code(f"uint{bit_width}"), False)


def _bits_lower(keys, *, bit_width, shape):
    return keys.dtype.impl.random_bits(unwrap(keys), bit_width, shape)


random_bits_p = Primitive("random_bits", abstract=_bits_abstract, lower=_by_counters(_bits_lower), differentiable=False)
random_bits_p.batch = _batch_leading(random_bits_p)

random_clone_p = Primitive(
    "random_clone",
    abstract=lambda keys: keys,
    batch=lambda args, dims: (random_clone_p.bind(*args), dims[0]),
    impl=lambda keys: keys,
    lower=lambda ctx, keys: keys,
    differentiable=False,
)


# checks ---------------------------------------------------------------------------------------------------------------


def _is_typed(x) -> bool:
    return isinstance(getattr(x, "dtype", None), KeyType)


def _check_key_data(data, impl: PRNGImpl):
    if not all(hasattr(data, attr) for attr in ("ndim", "shape", "dtype")):
        raise TypeError(
            f"{data!r:.200} of type {type(data).__name__} is no key: keys are made by jax.random.key or "
            "jax.random.PRNGKey"
        )
    if data.ndim < 1:
        raise TypeError(
            f"the data of a key is a uint32 array of shape {impl.key_shape}, got a scalar of dtype {data.dtype}"
        )
    rank = len(impl.key_shape)
    if tuple(data.shape[data.ndim - rank :]) != impl.key_shape:
        raise TypeError(
            f"the data of a {impl.name} key is a uint32 array of shape {impl.key_shape}, got shape {tuple(data.shape)}"
        )
    if data.dtype != np.uint32:
        raise TypeError(f"the data of a key is a uint32 array, got dtype {data.dtype}")


def typed(key):
    """A key array as a typed one, and whether it was a raw `uint32` array before."""
    if _is_typed(key):
        return key, False
    if key is None:
        raise TypeError("a key is needed, got None; make one by jax.random.key(seed)")
    impl = default_impl()
    _check_key_data(key, impl)
    if config.jax_legacy_prng_key == "error":
        raise ValueError(
            "a raw uint32 array is used as a key, which jax_legacy_prng_key='error' forbids; make keys by "
            "jax.random.key"
        )
    return wrap(asarray(key), impl), True


def single_key(name: str, key):
    """A key given to a sampler, as a typed one of shape ()."""
    return _single(name, key)[0]


def _single(name: str, key):
    """The key as a typed one of shape (), and whether it was a raw array before."""
    key, raw = typed(key)
    if key.ndim:
        shape = tuple(key.shape) + (key.dtype.impl.key_shape if raw else ())
        raise ValueError(f"{name} takes one key, got an array of keys of shape {shape}; map over them with jax.vmap")
    return key, raw


# functions ------------------------------------------------------------------------------------------------------------


def _seed_array(name: str, seed) -> Array:
    if type(seed) is int and -INT32_SIZE <= seed < INT32_SIZE and not config.jax_random_seed_offset:
        return asarray(seed)
    if isinstance(seed, int) and not isinstance(seed, bool):
        seed = np.int64(seed)  # OverflowError for what does not fit
    if isinstance(seed, (str, bytes)):
        raise TypeError(f"a seed is an integer, got {seed!r:.200}")
    if seed is None:
        raise ValueError(f"a seed is an integer, got {seed!r:.200}")
    seed = asarray(seed)
    if seed.ndim:
        raise TypeError(f"{name} takes one seed, got an array of shape {seed.shape}; map over them with jax.vmap")
    kind = kind_of(seed.aval)
    if kind not in "biu":
        raise TypeError(f"a seed is an integer, got {seed!r:.200}")
    if kind == "b":
        seed = lax.convert_element_type(seed, np.int32)
    if offset := config.jax_random_seed_offset:
        seed = lax.add(seed, asarray(offset, seed.dtype))
    return seed


def key(seed, *, impl=None, dtype=None) -> Array:
    """Makes a typed PRNG key from an integer seed.

    Args:
      seed: an integer, or an integer scalar array. Without `jax_enable_x64` its low 32 bits count.
      impl: name or dtype of the generator; by default that of the option `jax_default_prng_impl`.
      dtype: a key dtype, in place of `impl`.

    Raises TypeError for seeds that are not integer scalars, OverflowError for those beyond 64 bits.

    >>> import cyxla as jax
    >>> jax.random.key(0)
    Array((), dtype=key<fry>) overlaying:
    [0 0]
    """
    if dtype is not None:
        if impl is not None:
            raise ValueError("key: impl and dtype both name a generator; give one of them")
        impl = dtype
    impl = resolve_impl(impl)
    return random_seed_p.bind(_seed_array("key", seed), impl=impl)


def PRNGKey(seed, *, impl=None) -> Array:
    """Makes a PRNG key as a raw `uint32` array from an integer seed. See `key` for the arguments.

    >>> import cyxla as jax
    >>> jax.random.PRNGKey(7)
    Array([0, 7], dtype=uint32)
    """
    impl = resolve_impl(impl)
    return unwrap(random_seed_p.bind(_seed_array("PRNGKey", seed), impl=impl))


def split(key, num: int | Sequence[int] = 2) -> Array:
    """Splits a key into `num` new ones, or an array of them of shape `num`.

    >>> import cyxla as jax
    >>> key, subkey = jax.random.split(jax.random.key(0))
    >>> jax.random.split(key, (2, 3)).shape
    (2, 3)
    """
    key, raw = _single("split", key)
    shape = tuple([index(n) for n in num]) if isinstance(num, (tuple, list)) else (index(num),)
    if shape and min(shape) < 0:
        raise ValueError(f"split: num={num} is a negative number of keys")
    new = random_split_p.bind(key, shape=shape)
    return unwrap(new) if raw else new


def fold_in(key, data) -> Array:
    """Makes a new key from a key and an integer (taken as a `uint32`), such as the number of a step."""
    key, raw = _single("fold_in", key)
    if isinstance(data, int):
        data = np.array(data, np.uint32)  # OverflowError for what does not fit
    data = asarray(data)
    if data.ndim:
        raise TypeError(f"fold_in takes one integer, got an array of shape {data.shape}; map over them with jax.vmap")
    new = random_fold_in_p.bind(key, lax.convert_element_type(data, np.uint32))
    return unwrap(new) if raw else new


def clone(key):
    """A copy of a key, for reuse on purpose (key reuse checkers do not count it)."""
    if not _is_typed(key):
        return asarray(key)
    return random_clone_p.bind(key)


def key_data(keys) -> Array:
    """The `uint32` data of an array of keys; raw keys are returned as they are."""
    if _is_typed(keys):
        return unwrap(keys)
    _check_key_data(keys, default_impl())
    return asarray(keys)


def wrap_key_data(key_bits_array, *, impl=None, dtype=None) -> Array:
    """The typed keys whose data is a `uint32` array with the generator's trailing key shape.

    >>> import cyxla as jax, numpy as np
    >>> jax.random.wrap_key_data(np.array([1, 2], np.uint32))
    Array((), dtype=key<fry>) overlaying:
    [1 2]
    """
    if dtype is not None:
        if impl is not None:
            raise ValueError("wrap_key_data: impl and dtype both name a generator; give one of them")
        impl = dtype
    impl = resolve_impl(impl)
    _check_key_data(key_bits_array, impl)
    return wrap(asarray(key_bits_array), impl)


def key_impl(keys):
    """The name of the generator that an array of keys is for, or the generator itself if no name stands for it."""
    impl = typed(keys)[0].dtype.impl
    return impl.name if _impls.get(impl.name) is impl else impl


def key_dtype(impl_spec=None):
    """The dtype of the keys of a generator, given by name; by default of the default one."""
    return resolve_impl(impl_spec).dtype


extended.install()

# the generators -------------------------------------------------------------------------------------------------------

threefry_impl = register_impl(
    PRNGImpl(
        "threefry2x32",
        "fry",
        (2,),
        seed=threefry.threefry_seed,
        seed_on_host=threefry.threefry_seed_on_host,
        seed_words=threefry.threefry_seed_words,
        split=threefry.threefry_split,
        random_bits=threefry.threefry_random_bits,
        fold_in=threefry.threefry_fold_in,
    )
)
rbg_impl = register_impl(
    PRNGImpl(
        "rbg",
        "rbg",
        (4,),
        seed=rbg.rbg_seed,
        seed_on_host=rbg.rbg_seed_on_host,
        seed_words=rbg.rbg_seed_words,
        split=rbg.rbg_split,
        random_bits=rbg.rbg_random_bits,
        fold_in=rbg.rbg_fold_in,
    )
)
unsafe_rbg_impl = register_impl(
    PRNGImpl(
        "unsafe_rbg",
        "urbg",
        (4,),
        seed=rbg.rbg_seed,
        seed_on_host=rbg.rbg_seed_on_host,
        seed_words=rbg.rbg_seed_words,
        split=rbg.unsafe_rbg_split,
        random_bits=rbg.rbg_random_bits,
        fold_in=rbg.unsafe_rbg_fold_in,
    )
)
