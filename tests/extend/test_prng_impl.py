"""Generators of users with the functions of `random`, under transformations; against jax."""

import pickle

import numpy as np
import pytest
from compare import assert_same, in_both

import cyxla

MODULES = in_both(random="random", xrandom="extend.random")


def counter(m):
    """A bad generator: a key is (seed, path), bits are a hash of both and the position."""
    jnp = m.jnp

    def mix(x):
        x = (x ^ (x >> 16)) * jnp.uint32(0x45D9F3B)
        return (x ^ (x >> 16)) * jnp.uint32(0x45D9F3B)

    def seed(number):
        assert number.shape == ()
        return jnp.stack([number.astype(jnp.uint32), jnp.uint32(1), jnp.uint32(0)])

    def split(key, shape):
        assert key.shape == (3,)
        n = int(np.prod(shape))
        path = mix(key[1] * 31 + jnp.arange(n, dtype=jnp.uint32))
        return jnp.stack([jnp.full(n, key[0]), path, jnp.full(n, key[2] + 1)], -1).reshape(*shape, 3)

    def random_bits(key, bit_width, shape):
        assert key.shape == (3,)
        n = int(np.prod(shape))
        return mix(key.sum() + jnp.arange(n, dtype=jnp.uint32)).reshape(shape).astype(f"uint{bit_width}")

    def fold_in(key, data):
        assert key.shape == (3,)
        return key.at[1].set(mix(key[1] + data.astype(jnp.uint32)))

    return m.xrandom.define_prng_impl(
        key_shape=(3,), seed=seed, split=split, random_bits=random_bits, fold_in=fold_in, name="counter", tag="ct"
    )


IMPLS = [counter(m) for m in MODULES]


def data(m, keys):
    return m.random.key_data(keys)


@pytest.mark.parametrize(
    "program",
    [
        lambda m, r, k: r.key_data(k),
        lambda m, r, k: r.uniform(k, (3,)),
        lambda m, r, k: r.normal(k, (2, 2)),
        lambda m, r, k: r.bits(k, (3,), "uint8"),
        lambda m, r, k: r.randint(k, (3,), 0, 10),
        lambda m, r, k: r.key_data(r.split(k)),
        lambda m, r, k: r.key_data(r.split(k, (2, 2))),
        lambda m, r, k: r.key_data(r.fold_in(k, 5)),
        lambda m, r, k: r.permutation(k, 5),
        lambda m, r, k: m.jax.jit(lambda k: r.uniform(r.fold_in(k, 1), (3,)))(k),
        lambda m, r, k: m.jax.jit(lambda k: r.key_data(r.split(k, 3)[1]))(k),
        lambda m, r, k: m.jax.vmap(lambda k: r.uniform(k, (3,)))(r.split(k, 2)),
        lambda m, r, k: m.jax.vmap(lambda k: r.key_data(r.split(k)))(r.split(k, 2)),
        lambda m, r, k: m.jax.vmap(lambda k, i: r.key_data(r.fold_in(k, i)))(r.split(k, 2), np.arange(2)),
        lambda m, r, k: m.jax.vmap(lambda i: r.key_data(r.fold_in(k, i)))(np.arange(2)),
        lambda m, r, k: m.jax.jit(m.jax.vmap(lambda k: r.bernoulli(k, 0.5, (3,))))(r.split(k, (2,))),
        lambda m, r, k: m.jax.lax.scan(lambda k, _: (r.split(k, 1)[0], r.uniform(k)), k, None, length=3)[1],
        lambda m, r, k: m.jax.grad(lambda x: (x * r.uniform(k, (3,))).sum())(1.0),
        lambda m, r, k: str(k.dtype),
        lambda m, r, k: r.uniform(r.wrap_key_data(r.key_data(k), impl=r.key_impl(k))),
    ],
)
def test_functions(program):
    results = [program(m, m.random, m.random.key(7, impl=impl)) for m, impl in zip(MODULES, IMPLS)]
    assert_same(*results)


def test_making_keys():
    results = []
    for m, impl in zip(MODULES, IMPLS):
        make = lambda s, m=m, impl=impl: data(m, m.random.key(s, impl=impl))
        results.append([make(3), m.jax.jit(make)(3), m.jax.vmap(make)(np.arange(3))])
    assert_same(*results)
    ours, impl = MODULES[0], IMPLS[0]
    assert_same(np.asarray(data(ours, ours.xrandom.seed_with_impl(impl, 3))), np.asarray(results[1][0]))
    assert_same(np.asarray(data(ours, ours.xrandom.random_seed(np.arange(3), impl))), np.asarray(results[1][2]))


def test_generators_of_one_name_are_different():
    r = cyxla.random
    first, second = r.key(0, impl=IMPLS[0]), r.key(0, impl=counter(MODULES[0]))
    assert first.dtype != second.dtype
    assert r.key_impl(first) is IMPLS[0] is not r.key_impl(second)
    for m in MODULES:
        with pytest.raises(ValueError):
            m.random.key(0, impl="counter")
    with pytest.raises(TypeError, match="counter"):
        pickle.dumps(IMPLS[0])


def test_generators_of_the_library():
    ours, theirs = MODULES
    for attribute, name in (("threefry", "threefry2x32"), ("rbg", "rbg"), ("unsafe_rbg", "unsafe_rbg")):
        impl = getattr(ours.xrandom, f"{attribute}_prng_impl")
        assert_same(data(ours, ours.random.key(4, impl=impl)), data(theirs, theirs.random.key(4, impl=name)))
    count = np.arange(4, dtype=np.uint32)
    assert_same(*[m.xrandom.threefry_2x32(np.arange(2, dtype=np.uint32), m.jnp.array(count)) for m in MODULES])
