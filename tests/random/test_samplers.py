"""Samplers draw, bit for bit, the numbers that jax draws with the same key."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

import cyxla

N = (301,)
TABLE = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
PROBABILITIES = np.arange(10, dtype=np.float32) / 45
SHAPES = [(), (7,), (0,), (2, 3, 4)]


def bits_of(x):
    x = np.asarray(x)
    return x.dtype, x.shape, x.tobytes()


def check(draw):
    """`draw(random, key)` gives the same arrays with jax.random and cyxla.random."""
    expected, got = draw(jax.random, jax.random.key(42)), draw(cyxla.random, cyxla.random.key(42))
    assert got.weak_type == expected.weak_type
    assert bits_of(got) == bits_of(expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["bits", "uniform", "normal"])
def test_shapes(name, shape):
    check(lambda r, k: getattr(r, name)(k, shape))


def test_large_array():
    check(lambda r, k: r.bits(k, (257, 1031)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_bits_dtypes(dtype):
    check(lambda r, k: r.bits(k, (5, 3), dtype))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3fn"])
def test_uniform_dtypes(dtype):
    check(lambda r, k: r.uniform(k, N, dtype, -3, 7.5))


def test_uniform_bounds():
    low, high = np.float32([[-1], [2]]), np.float32([0, 5, 9])
    check(lambda r, k: r.uniform(k, (2, 3), minval=low, maxval=high))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64"])
def test_normal_dtypes(dtype):
    check(lambda r, k: r.normal(k, N, dtype))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("name", ["gumbel", "exponential", "laplace", "logistic", "cauchy", "maxwell"])
def test_continuous(name, dtype):
    check(lambda r, k: getattr(r, name)(k, N, dtype))


CASES = {
    "gumbel high": lambda r, k: r.gumbel(k, N, mode="high"),
    "truncated_normal": lambda r, k: r.truncated_normal(k, -1, 2, N),
    "truncated_normal arrays": lambda r, k: r.truncated_normal(k, np.float32([-1, 0]), np.float32([[0.5], [3]])),
    "randint uint8": lambda r, k: r.randint(k, N, 3, 256, "uint8"),
    "randint int16": lambda r, k: r.randint(k, N, -40000, 100, "int16"),
    "randint": lambda r, k: r.randint(k, N, -5, 17),
    "randint full": lambda r, k: r.randint(k, N, -(2**31), 2**31 - 1),
    "randint uint32": lambda r, k: r.randint(k, N, 7, 2**31 - 1, "uint32"),
    "randint arrays": lambda r, k: r.randint(k, (3, 2), np.int32([0, 5]), np.int32([[3], [6], [2]])),
    "randint float bounds": lambda r, k: r.randint(k, (3, 2), 0.0, 5.5),
    "randint empty range": lambda r, k: r.randint(k, (3,), 5, 3),
    "bernoulli": lambda r, k: r.bernoulli(k, 0.3, N),
    "bernoulli scalar": lambda r, k: r.bernoulli(k),
    "bernoulli array": lambda r, k: r.bernoulli(k, np.float32([0.1, 0.9]), (30, 2)),
    "bernoulli high": lambda r, k: r.bernoulli(k, 0.3, N, mode="high"),
    "rademacher": lambda r, k: r.rademacher(k, N),
    "rademacher uint8": lambda r, k: r.rademacher(k, N, "uint8"),
    "permutation": lambda r, k: r.permutation(k, 301),
    "permutation of one": lambda r, k: r.permutation(k, 1),
    "permutation rounds": lambda r, k: r.permutation(k, 3000),
    "permutation axis": lambda r, k: r.permutation(k, TABLE, axis=1),
    "permutation independent": lambda r, k: r.permutation(k, TABLE, axis=1, independent=True),
    "choice": lambda r, k: r.choice(k, 10, (4,)),
    "choice one": lambda r, k: r.choice(k, 10),
    "choice no replacement": lambda r, k: r.choice(k, 10, (4,), replace=False),
    "choice of array": lambda r, k: r.choice(k, TABLE, (5, 2), axis=1),
    "choice p": lambda r, k: r.choice(k, 10, (40,), p=PROBABILITIES),
    "choice p no replacement": lambda r, k: r.choice(k, 10, (4,), p=PROBABILITIES, replace=False),
    "choice none": lambda r, k: r.choice(k, TABLE, (0,), axis=1),
    "categorical": lambda r, k: r.categorical(k, TABLE),
    "categorical axis": lambda r, k: r.categorical(k, TABLE, axis=0, shape=(5, 4)),
    "categorical no replacement": lambda r, k: r.categorical(k, TABLE, shape=(2, 3), replace=False),
    "categorical high": lambda r, k: r.categorical(k, TABLE, mode="high"),
    "lognormal": lambda r, k: r.lognormal(k, 0.3, N),
    "pareto": lambda r, k: r.pareto(k, np.float32([0.3, 2]), (31, 2)),
    "rayleigh": lambda r, k: r.rayleigh(k, 0.3, N),
    "wald": lambda r, k: r.wald(k, 0.3, N),
    "weibull_min": lambda r, k: r.weibull_min(k, 0.3, 2.0, N),
    "triangular": lambda r, k: r.triangular(k, 0.3, 0.4, 2.0, N),
    "geometric": lambda r, k: r.geometric(k, 0.3, N),
    "geometric int16": lambda r, k: r.geometric(k, np.float32([0.3, 0.9]), dtype="int16"),
}

# jax takes seconds to compile each of these; what it draws is in expected.json (written by write_expected below).
SLOW_CASES = {
    "gamma": lambda r, k: r.gamma(k, np.float32([0.1, 0.7, 1, 3, 100])),
    "loggamma": lambda r, k: r.loggamma(k, np.float32([1e-5, 0.1, 0.7, 1, 3])),
    "beta": lambda r, k: r.beta(k, np.float32([0.1, 0.7, 1, 3, 100]), 2.0),
    "dirichlet": lambda r, k: r.dirichlet(k, np.float32([0.1, 0.7, 3]), (4,)),
    "t": lambda r, k: r.t(k, 3.0, (50,)),
    "f": lambda r, k: r.f(k, 3.0, 4.0, (50,)),
    "ball": lambda r, k: r.ball(k, 3, 2, (50,)),
    "poisson": lambda r, k: r.poisson(k, np.float32([0, 0.1, 3, 30, 100, np.nan])),
    "binomial": lambda r, k: r.binomial(k, np.float32([10, 1000, np.nan, -1]), np.float32([0.2, 0.9, 0.5, 0.5])),
    "multinomial": lambda r, k: r.multinomial(k, np.float32([5, 60]), np.float32([[0.1, 0.2, 0.7]] * 2)),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case):
    check(CASES[case])


EXPECTED = Path(__file__).with_name("expected.json")


def write_expected():
    """Draws the slow cases with jax. Run it as `python tests/random/test_samplers.py`."""
    drawn = {case: np.asarray(draw(jax.random, jax.random.key(42))) for case, draw in SLOW_CASES.items()}
    rows = {
        case: {"dtype": x.dtype.name, "shape": x.shape, "values": [float(v) for v in x.ravel()]}
        for case, x in drawn.items()
    }
    lines = ",\n".join(f"{json.dumps(case)}: {json.dumps(row)}" for case, row in rows.items())
    EXPECTED.write_text(f"{{\n{lines}\n}}\n")


@pytest.mark.parametrize("case", SLOW_CASES)
def test_slow_case(case):
    row = json.loads(EXPECTED.read_text())[case]
    got = np.asarray(SLOW_CASES[case](cyxla.random, cyxla.random.key(42)))
    assert (got.dtype.name, got.shape) == (row["dtype"], tuple(row["shape"]))
    # Not to the last bit: the host's vector instructions differ from those of the machine that drew them.
    np.testing.assert_allclose(got.ravel(), row["values"], rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["orthogonal", "multivariate_normal", "double_sided_maxwell"])
def test_nearly_equal(name):
    """The last bit is LAPACK's, or depends on how XLA fuses a sum with what comes before it."""
    cov = np.float32([[2, 0.5, 0.1], [0.5, 1, 0.2], [0.1, 0.2, 1.5]])
    draw = {
        "orthogonal": lambda r, k: r.orthogonal(k, 3, (2,)),
        "multivariate_normal": lambda r, k: r.multivariate_normal(k, np.float32([1, 2, 3]), cov, (5,)),
        "double_sided_maxwell": lambda r, k: r.double_sided_maxwell(k, 0.3, np.float32([1, 2])),
    }[name]
    expected, got = draw(jax.random, jax.random.key(1)), draw(cyxla.random, cyxla.random.key(1))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_x64():
    def draw(r, k):
        return [
            r.bits(k, (5,)),
            r.uniform(k, (5,)),
            r.normal(k, (5,), "complex128"),
            r.randint(k, (5,), -7, 2**40),
            r.randint(k, (5,), 3, 100, "uint64"),
            r.permutation(k, 5),
            r.split(r.PRNGKey(2**40 + 5)),
        ]

    with jax.enable_x64(True):
        expected = draw(jax.random, jax.random.key(7))
    with cyxla.enable_x64(True):
        got = draw(cyxla.random, cyxla.random.key(7))
    assert [bits_of(x) for x in got] == [bits_of(x) for x in expected]


def test_original_counters():
    def draw(r, k):
        return [
            *(r.bits(k, (3, 3), dtype) for dtype in ("uint8", "uint16", "uint32")),
            r.bits(k),
            r.normal(k, (4,)),
            r.key_data(r.split(k, (2, 3))),
            r.key_data(r.fold_in(k, 7)),
        ]

    try:
        jax.config.update("jax_threefry_partitionable", False)
        cyxla.config.update("jax_threefry_partitionable", False)
        expected, got = draw(jax.random, jax.random.key(7)), draw(cyxla.random, cyxla.random.key(7))
    finally:
        jax.config.update("jax_threefry_partitionable", True)
        cyxla.config.update("jax_threefry_partitionable", True)
    assert [bits_of(x) for x in got] == [bits_of(x) for x in expected]


@pytest.mark.parametrize("impl", ["rbg", "unsafe_rbg"])
def test_rbg(impl):
    def draw(r):
        k = r.key(5, impl=impl)
        return [
            r.key_data(k),
            r.key_data(r.split(k, (2, 3))),
            r.key_data(r.fold_in(k, 3)),
            r.bits(k, (7,)),
            r.bits(k, (7,), "uint8"),
        ]

    assert [bits_of(x) for x in draw(cyxla.random)] == [bits_of(x) for x in draw(jax.random)]


if __name__ == "__main__":
    write_expected()
