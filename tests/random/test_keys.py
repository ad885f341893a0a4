"""Typed and raw keys: seeds, splits, inspection, structure, transformations, errors."""

import copy
import pickle

import jax
import numpy as np
import pytest
from scipy import stats

import cyxla
import cyxla.numpy as jnp
from cyxla import lax, random


def data(keys, module=cyxla):
    return np.asarray(module.random.key_data(keys))


@pytest.fixture(scope="module")
def keys():
    return random.split(random.key(0), (2, 3))


# seeds, splits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, -1, 2**32 - 1, 2**40 + 5, -(2**63), np.int8(-1), np.uint8(255), np.int64(7), True])
def test_seeds(seed):
    np.testing.assert_array_equal(data(random.key(seed)), data(jax.random.key(seed), jax))
    np.testing.assert_array_equal(random.PRNGKey(seed), jax.random.PRNGKey(seed))


def test_seed_under_jit_is_the_same():
    np.testing.assert_array_equal(data(cyxla.jit(random.key)(-5)), data(random.key(-5)))
    np.testing.assert_array_equal(cyxla.vmap(random.PRNGKey)(np.arange(3))[2], random.PRNGKey(2))


@pytest.mark.parametrize("shape", [1, 3, (2, 3), (0,), ()], ids=str)
def test_split(shape):
    expected = jax.random.split(jax.random.key(9), shape)
    np.testing.assert_array_equal(data(random.split(random.key(9), shape)), data(expected, jax))
    np.testing.assert_array_equal(random.split(random.PRNGKey(9), shape), data(expected, jax))


@pytest.mark.parametrize("value", [0, 2**32 - 1, np.int32(-3), 1.5, True])
def test_fold_in(value):
    expected = data(jax.random.fold_in(jax.random.key(9), value), jax)
    np.testing.assert_array_equal(data(random.fold_in(random.key(9), value)), expected)
    np.testing.assert_array_equal(random.fold_in(random.PRNGKey(9), value), expected)


def test_raw_and_typed_keys_draw_the_same():
    np.testing.assert_array_equal(random.normal(random.PRNGKey(3), (4,)), random.normal(random.key(3), (4,)))


# inspection -----------------------------------------------------------------------------------------------------------


def test_what_a_key_shows(keys):
    key = random.key(0)
    expected = jax.random.split(jax.random.key(0), (2, 3))
    assert repr(keys) == repr(expected) and str(key) == str(jax.random.key(0))
    assert (keys.shape, keys.ndim, keys.size, keys.nbytes) == ((2, 3), 2, 6, 48)
    assert isinstance(key, cyxla.Array)
    assert (key.dtype.name, key.dtype.itemsize, str(key.dtype)) == ("key<fry>", 8, "key<fry>")
    assert key.dtype == random.key(1).dtype == random.key_dtype()
    assert jnp.issubdtype(key.dtype, cyxla.dtypes.prng_key) and not jnp.issubdtype(np.uint32, cyxla.dtypes.prng_key)
    assert random.key_impl(key) == random.key_impl(random.PRNGKey(0)) == "threefry2x32"
    assert random.key_impl(random.key(0, impl="rbg")) == "rbg"
    assert cyxla.eval_shape(random.key, 0).dtype == key.dtype
    np.testing.assert_array_equal(data(random.wrap_key_data(random.key_data(keys))), data(keys))


def test_copies(keys):
    for copied in (copy.copy(keys), keys.copy(), random.clone(keys), pickle.loads(pickle.dumps(keys))):
        assert copied.dtype == keys.dtype
        np.testing.assert_array_equal(data(copied), data(keys))


# structure ------------------------------------------------------------------------------------------------------------

MASK = np.array([[True, False, True], [False, False, True]])
STRUCTURE = {
    "reshape": (lambda k: k.reshape(6), lambda d: d.reshape(6, 2)),
    "transpose": (lambda k: k.T, lambda d: d.transpose(1, 0, 2)),
    "row": (lambda k: k[1], lambda d: d[1]),
    "slice": (lambda k: k[:, ::2], lambda d: d[:, ::2]),
    "negative": (lambda k: k[-1, 1:], lambda d: d[-1, 1:]),
    "gather": (lambda k: k[np.array([1, 0, 1])], lambda d: d[[1, 0, 1]]),
    "expand": (lambda k: k[:, None], lambda d: d[:, None]),
    "squeeze": (lambda k: jnp.squeeze(k[:1], 0), lambda d: d[0]),
    "concatenate": (lambda k: jnp.concatenate([k, k], 1), lambda d: np.concatenate([d, d], 1)),
    "stack": (lambda k: jnp.stack([k, k], 1), lambda d: np.stack([d, d], 1)),
    "broadcast": (lambda k: jnp.broadcast_to(k[0], (4, 3)), lambda d: np.broadcast_to(d[0], (4, 3, 2))),
    "flip": (lambda k: jnp.flip(k, 1), lambda d: d[:, ::-1]),
    "roll": (lambda k: jnp.roll(k, 1, 0), lambda d: np.roll(d, 1, 0)),
    "tile": (lambda k: jnp.tile(k, (2, 1)), lambda d: np.tile(d, (2, 1, 1))),
    "where": (lambda k: jnp.where(MASK, k, k[::-1]), lambda d: np.where(MASK[..., None], d, d[::-1])),
    "take": (lambda k: jnp.take(k, 1, axis=1), lambda d: d[:, 1]),
    "at set": (lambda k: k.at[0, 1].set(k[1, 2])[0], lambda d: np.stack([d[0, 0], d[1, 2], d[0, 2]])),
    "dynamic_slice": (lambda k: lax.dynamic_slice(k, (1, 5), (1, 2)), lambda d: d[1:, 1:]),
    "dynamic_index": (lambda k: lax.dynamic_index_in_dim(k, 1, 1), lambda d: d[:, 1:2]),
    "optimization_barrier": (lax.optimization_barrier, lambda d: d),
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_structure(keys, name):
    on_keys, on_data = STRUCTURE[name]
    np.testing.assert_array_equal(data(on_keys(keys)), on_data(data(keys)))


def test_structure_under_vmap(keys):
    for name in ("gather", "where", "stack"):
        on_keys, on_data = STRUCTURE[name]
        both = jnp.stack([keys, keys[::-1]])
        got = data(cyxla.vmap(on_keys)(both))
        np.testing.assert_array_equal(got, np.stack([on_data(data(keys)), on_data(data(keys)[::-1])]))


def test_new_arrays_of_keys(keys):
    for made, value in ((jnp.zeros((2,), keys.dtype), 0), (jnp.ones_like(keys), 1), (jnp.full((3,), random.key(7)), 7)):
        assert made.dtype == keys.dtype and set(data(made).ravel().tolist()) <= {0, value}
    assert cyxla.device_get(keys).dtype == keys.dtype


def test_iteration_and_equality(keys):
    assert [data(k).tolist() for k in keys[0]] == data(keys)[0].tolist()
    assert bool((keys == keys).all()) and not bool((keys != keys).any())
    np.testing.assert_array_equal(keys == keys[0, 0], [[True, False, False], [False] * 3])
    np.testing.assert_array_equal(cyxla.vmap(lambda a, b: a == b)(keys, keys[::-1]), np.zeros((2, 3), bool))


def test_permuting_and_choosing_keys(keys):
    row, key = keys[0], random.key(3)
    order = random.permutation(key, 3)
    np.testing.assert_array_equal(data(random.permutation(key, row)), data(row)[np.asarray(order)])
    assert random.choice(key, row, (4,)).shape == (4,)


# transformations ------------------------------------------------------------------------------------------------------


def test_vmap_is_one_key_at_a_time(keys):
    for draw in (
        lambda k: random.normal(k, (2,)),
        lambda k: random.bits(k, (3,), "uint8"),
        lambda k: random.key_data(random.split(k)),
        lambda k: random.key_data(random.fold_in(k, 5)),
        lambda k: random.permutation(k, 5),
        lambda k: random.randint(k, (), 0, 9),
    ):
        expected = np.stack([np.stack([np.asarray(draw(k)) for k in row]) for row in keys])
        np.testing.assert_array_equal(cyxla.vmap(cyxla.vmap(draw))(keys), expected)
    key = random.key(1)
    folded = cyxla.vmap(lambda i: random.fold_in(key, i))(np.arange(3))
    np.testing.assert_array_equal(data(folded)[2], data(random.fold_in(key, 2)))
    moved = cyxla.vmap(cyxla.vmap(lambda k: random.normal(k, (2,))), in_axes=1, out_axes=2)(keys)
    np.testing.assert_array_equal(moved[1, :, 2], random.normal(keys[1, 2], (2,)))


def test_vmap_over_parameters_only():
    """One key for all members of the batch: each draws the same."""
    key, a = random.key(1), np.float32([0.5, 2.0, 2.0])
    got = cyxla.vmap(lambda a: random.gamma(key, a, (2,)))(a)
    np.testing.assert_array_equal(got[1], got[2])
    np.testing.assert_array_equal(got[1], random.gamma(key, 2.0, (2,)))


def test_control_flow(keys):
    key = random.key(0)
    last, draws = lax.scan(lambda c, k: (random.fold_in(c, 1), random.uniform(k)), key, keys[0])
    np.testing.assert_array_equal(draws, cyxla.vmap(random.uniform)(keys[0]))
    expected = key
    for _ in range(3):
        expected = random.fold_in(expected, 1)
    np.testing.assert_array_equal(data(last), data(expected))
    looped = lax.fori_loop(0, 3, lambda i, k: random.fold_in(k, 1), key)
    np.testing.assert_array_equal(data(looped), data(expected))
    taken = lax.cond(True, lambda k: random.split(k)[0], lambda k: k, key)
    np.testing.assert_array_equal(data(taken), data(random.split(key)[0]))


def test_jit_and_grad():
    key, x = random.key(0), np.ones(3, np.float32)
    noise = np.asarray(random.normal(key, (3,)))
    grads = cyxla.jit(cyxla.grad(lambda x, k: (x * random.normal(k, (3,))).sum()))(x, key)
    np.testing.assert_array_equal(grads, noise)
    low, high = np.float32(-1), np.float32(3)
    slopes = cyxla.grad(lambda a, b: random.uniform(key, minval=a, maxval=b), (0, 1))(low, high)
    u = float(random.uniform(key))
    np.testing.assert_allclose(slopes, (1 - u, u), rtol=1e-6)
    assert cyxla.jit(lambda k: k)(key).dtype == key.dtype


def test_gamma_derivative():
    a = np.float32([0.1, 0.5, 1, 3, 20])
    for name in ("gamma", "loggamma"):
        expected = jax.grad(lambda a, name=name: getattr(jax.random, name)(jax.random.key(1), a).sum())(a)
        got = cyxla.grad(lambda a, name=name: getattr(random, name)(random.key(1), a).sum())(a)
        np.testing.assert_allclose(got, expected, rtol=2e-5)


def test_jaxprs_show_keys():
    text = str(cyxla.make_jaxpr(lambda k: random.bits(random.split(k)[0], (3,)))(random.key(0)))
    for piece in ("key<fry>[]", "random_split[shape=(2,)]", "random_bits[bit_width=32 shape=(3,)]"):
        assert piece in text


def test_options():
    try:
        cyxla.config.update("jax_default_prng_impl", "rbg")
        assert random.key_impl(random.key(0)) == "rbg" and random.PRNGKey(0).shape == (4,)
    finally:
        cyxla.config.update("jax_default_prng_impl", "threefry2x32")
    try:
        cyxla.config.update("jax_random_seed_offset", 5)
        assert data(random.key(1)).tolist() == [0, 6]
    finally:
        cyxla.config.update("jax_random_seed_offset", 0)


# distributions --------------------------------------------------------------------------------------------------------

N = 20_000
DISTRIBUTIONS = {
    "uniform": (lambda k: random.uniform(k, (N,), minval=-1, maxval=2), stats.uniform(-1, 3)),
    "normal": (lambda k: random.normal(k, (N,)), stats.norm()),
    "truncated_normal": (lambda k: random.truncated_normal(k, -1, 2, (N,)), stats.truncnorm(-1, 2)),
    "exponential": (lambda k: random.exponential(k, (N,)), stats.expon()),
    "gumbel": (lambda k: random.gumbel(k, (N,)), stats.gumbel_r()),
    "laplace": (lambda k: random.laplace(k, (N,)), stats.laplace()),
    "logistic": (lambda k: random.logistic(k, (N,)), stats.logistic()),
    "cauchy": (lambda k: random.cauchy(k, (N,)), stats.cauchy()),
    "gamma": (lambda k: random.gamma(k, 0.7, (N,)), stats.gamma(0.7)),
    "beta": (lambda k: random.beta(k, 0.7, 2.0, (N,)), stats.beta(0.7, 2)),
    "t": (lambda k: random.t(k, 4.0, (N,)), stats.t(4)),
    "wald": (lambda k: random.wald(k, 1.5, (N,)), stats.invgauss(1.5)),
    "maxwell": (lambda k: random.maxwell(k, (N,)), stats.maxwell()),
    "rayleigh": (lambda k: random.rayleigh(k, 2.0, (N,)), stats.rayleigh(scale=2)),
    "triangular": (lambda k: random.triangular(k, 0.0, 1.0, 4.0, (N,)), stats.triang(0.25, 0, 4)),
    "weibull_min": (lambda k: random.weibull_min(k, 2.0, 1.5, (N,)), stats.weibull_min(1.5, scale=2)),
    "lognormal": (lambda k: random.lognormal(k, 0.5, (N,)), stats.lognorm(0.5)),
    "pareto": (lambda k: random.pareto(k, 3.0, (N,)), stats.pareto(3)),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distribution(name):
    draw, distribution = DISTRIBUTIONS[name]
    assert stats.kstest(np.asarray(draw(random.key(17)), np.float64), distribution.cdf).pvalue > 1e-3


def test_discrete_distributions():
    k = random.key(5)
    counts = np.bincount(random.randint(k, (N,), 0, 10), minlength=10)
    assert stats.chisquare(counts).pvalue > 1e-3
    p = np.float32([0.1, 0.2, 0.7])
    counts = np.bincount(random.categorical(k, np.log(p), shape=(N,)), minlength=3)
    assert stats.chisquare(counts, N * p.astype(float) / p.sum()).pvalue > 1e-3
    counts = np.bincount(random.choice(k, 3, (N,), p=p), minlength=3)
    assert stats.chisquare(counts, N * p.astype(float) / p.sum()).pvalue > 1e-3
    assert abs(float(random.bernoulli(k, 0.3, (N,)).mean()) - 0.3) < 0.01
    assert sorted(random.permutation(k, 100).tolist()) == list(range(100))
    without = cyxla.vmap(lambda k: random.choice(k, 5, (2,), replace=False))(random.split(k, 500))
    assert (without[:, 0] != without[:, 1]).all() and len(np.unique(np.asarray(without), axis=0)) == 20


# errors ---------------------------------------------------------------------------------------------------------------

ERRORS = {
    "float seed": lambda r, n: r.key(1.0),
    "seed array": lambda r, n: r.key(np.arange(3)),
    "no seed": lambda r, n: r.key(None),
    "text seed": lambda r, n: r.key("a"),
    "large seed": lambda r, n: r.key(2**64),
    "unknown impl": lambda r, n: r.key(1, impl="dice"),
    "impl type": lambda r, n: r.key(1, impl=3),
    "impl and dtype": lambda r, n: r.key(1, impl="rbg", dtype=r.key_dtype()),
    "not a key": lambda r, n: r.uniform(3),
    "None": lambda r, n: r.uniform(None),
    "float key": lambda r, n: r.split(np.zeros(2, np.float32)),
    "key shape": lambda r, n: r.split(np.zeros(3, np.uint32)),
    "key batch": lambda r, n: r.split(r.split(r.key(0))),
    "raw key batch": lambda r, n: r.bits(np.zeros((3, 2), np.uint32)),
    "wrap shape": lambda r, n: r.wrap_key_data(np.zeros(3, np.uint32)),
    "wrap dtype": lambda r, n: r.wrap_key_data(np.zeros(2, np.float32)),
    "split number": lambda r, n: r.split(r.key(0), 2.0),
    "fold_in range": lambda r, n: r.fold_in(r.key(0), -1),
    "fold_in array": lambda r, n: r.fold_in(r.key(0), np.arange(2)),
    "bits dtype": lambda r, n: r.bits(r.key(0), dtype="int32"),
    "uniform dtype": lambda r, n: r.uniform(r.key(0), dtype="int32"),
    "uniform bounds": lambda r, n: r.uniform(r.key(0), (2,), minval=np.ones(3, np.float32)),
    "shape": lambda r, n: r.uniform(r.key(0), (2.5,)),
    "normal dtype": lambda r, n: r.normal(r.key(0), dtype=int),
    "randint dtype": lambda r, n: r.randint(r.key(0), (2,), 0, 5, "float32"),
    "randint shape": lambda r, n: r.randint(r.key(0), (2,), np.zeros(3, np.int32), 5),
    "randint range": lambda r, n: r.randint(r.key(0), (2,), 0, 2**40),
    "bernoulli p": lambda r, n: r.bernoulli(r.key(0), 1),
    "bernoulli shape": lambda r, n: r.bernoulli(r.key(0), np.ones(2, np.float32), (3,)),
    "permutation scalar": lambda r, n: r.permutation(r.key(0), 1.5),
    "permutation axis": lambda r, n: r.permutation(r.key(0), np.ones((2, 3)), axis=2),
    "permutation list": lambda r, n: r.permutation(r.key(0), [1, 2]),
    "choice empty": lambda r, n: r.choice(r.key(0), 0),
    "choice too many": lambda r, n: r.choice(r.key(0), 5, (6,), replace=False),
    "choice p": lambda r, n: r.choice(r.key(0), 5, p=np.ones(4, np.float32)),
    "choice shape": lambda r, n: r.choice(r.key(0), 5, 2),
    "categorical shape": lambda r, n: r.categorical(r.key(0), np.zeros((2, 3), np.float32), shape=(4,)),
    "categorical list": lambda r, n: r.categorical(r.key(0), [0.0, 1.0]),
    "categorical ints": lambda r, n: r.categorical(r.key(0), np.zeros(3, np.int32)),
    "gumbel mode": lambda r, n: r.gumbel(r.key(0), mode="middle"),
    "truncated shape": lambda r, n: r.truncated_normal(r.key(0), np.zeros(3, np.float32), 1, (2,)),
    "poisson impl": lambda r, n: r.poisson(r.key(0, impl="rbg"), 3.0),
    "dirichlet scalar": lambda r, n: r.dirichlet(r.key(0), np.float32(1)),
    "covariance shape": lambda r, n: r.multivariate_normal(r.key(0), n.zeros(2), n.eye(3)),
    "covariance method": lambda r, n: r.multivariate_normal(r.key(0), n.zeros(2), n.eye(2), method="magic"),
    "add": lambda r, n: r.key(0) + r.key(0),
    "add a number": lambda r, n: r.key(0) + 1,
    "divide by a number": lambda r, n: r.key(0) // 2,
    "compare with a number": lambda r, n: r.key(0) < 1,
    "arithmetic function": lambda r, n: n.hypot(r.key(0), 1),
    "choose": lambda r, n: n.where(True, r.key(0), 1),
    "negate": lambda r, n: -r.key(0),
    "compare": lambda r, n: r.key(0) < r.key(0),
    "to numpy": lambda r, n: np.asarray(r.key(0)),
    "int": lambda r, n: int(r.key(0)),
    "bool": lambda r, n: bool(r.key(0)),
    "iterate": lambda r, n: iter(r.key(0)),
    "hash": lambda r, n: hash(r.key(0)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_of_jax_types(name):
    with pytest.raises(Exception) as expected:
        ERRORS[name](jax.random, jax.numpy)
    with pytest.raises(expected.type):
        ERRORS[name](random, jnp)


def test_grad_of_a_key_is_an_error():
    with pytest.raises(TypeError, match="key<fry>"):
        cyxla.grad(lambda k: random.normal(k))(random.key(0))
