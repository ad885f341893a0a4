"""odeint: against closed forms, SciPy's integrators and jax, with derivatives."""

import importlib

import jax
import numpy as np
import pytest
import scipy.integrate
from compare import both_raise

import cyxla
import cyxla.numpy as jnp
from cyxla.experimental.ode import odeint

for module in ("jax", "cyxla"):
    importlib.import_module(f"{module}.experimental.ode")


@pytest.fixture(autouse=True)
def double_precision():
    with cyxla.enable_x64(True), jax.enable_x64(True):
        yield


TIMES = np.array([0.0, 0.3, 1.1, 2.0])


def lotka_volterra(y, t, a, b):
    prey, predators = y["prey"], y["predators"]
    return {"prey": a * prey - b * prey * predators, "predators": b * prey * predators - predators * (1 + t / 4)}


START = {"prey": np.array([1.0, 2.0]), "predators": np.array([1.0, 0.5])}


def populations(m, y0, t, a, b):
    return m.experimental.ode.odeint(lotka_volterra, y0, t, a, b, rtol=1e-9, atol=1e-9)


def objective(m, y0, t, a, b):
    ys = populations(m, y0, t, a, b)
    return (ys["prey"] ** 2 * m.numpy.arange(4.0)[:, None]).sum() + (ys["predators"][1:] ** 3).sum()


def test_closed_form():
    ys = odeint(lambda y, t, k: -k * y, np.float64(3), TIMES, 1.5)
    np.testing.assert_allclose(ys, 3 * np.exp(-1.5 * TIMES), rtol=1e-7)
    rotation = odeint(lambda y, t: 1j * y, np.complex128(1), TIMES, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(rotation, np.exp(1j * TIMES), rtol=1e-8)


def test_against_scipy():
    def flat(t, y):
        out = lotka_volterra({"prey": y[:2], "predators": y[2:]}, t, 1.2, 0.8)
        return np.concatenate([out["prey"], out["predators"]])

    y0 = np.concatenate([START["prey"], START["predators"]])
    expected = scipy.integrate.solve_ivp(flat, (0, 2), y0, "DOP853", TIMES, rtol=1e-12, atol=1e-12).y.T
    ys = populations(cyxla, START, TIMES, 1.2, 0.8)
    np.testing.assert_allclose(np.concatenate([ys["prey"], ys["predators"]], 1), expected, rtol=1e-6)


def test_gradients():
    args = START, TIMES, 1.2, 0.8
    ours = cyxla.grad(lambda *a: objective(cyxla, *a), argnums=(0, 1, 2, 3))(*args)
    theirs = jax.grad(lambda *a: objective(jax, *a), argnums=(0, 1, 2, 3))(*args)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    h = 1e-5
    slope = (objective(cyxla, START, TIMES, 1.2 + h, 0.8) - objective(cyxla, START, TIMES, 1.2 - h, 0.8)) / (2 * h)
    np.testing.assert_allclose(ours[2], slope, rtol=1e-5)


def test_values_closed_over_have_gradients():
    def last(k):
        return odeint(lambda y, t: -k * y, np.float64(1), TIMES)[-1]

    np.testing.assert_allclose(cyxla.grad(last)(0.7), -2 * np.exp(-1.4), rtol=1e-6)


def test_mapped_and_jitted():
    rates = np.array([0.5, 1.0, 2.0])
    solve = cyxla.jit(cyxla.vmap(lambda k: odeint(lambda y, t, k: -k * y, np.float64(1), TIMES, k)))
    np.testing.assert_allclose(solve(rates), np.exp(-rates[:, None] * TIMES), rtol=1e-6)


def test_steps_are_bounded():
    # A single step to each time, far too long for this accuracy.
    few = odeint(lambda y, t: y * jnp.cos(20 * t), np.float64(1), TIMES, mxstep=1, hmax=0.01)
    assert not np.allclose(few[-1], np.exp(np.sin(40.0) / 20), rtol=1e-3)
    short = odeint(lambda y, t: y * jnp.cos(20 * t), np.float64(1), TIMES, rtol=1.0, atol=1.0, hmax=0.002)
    np.testing.assert_allclose(short[-1], np.exp(np.sin(40.0) / 20), rtol=1e-6)


def evaluated_at(m, func, y0, **options):
    """The times at which odeint evaluates a function, and its result."""
    times = []

    def recorded(y, t):
        m.debug.callback(lambda t: times.append(float(t)), t)
        return func(m.numpy, y, t)

    ys = np.asarray(m.experimental.ode.odeint(recorded, y0, TIMES, **options))
    m.effects_barrier()
    return np.sort(times), ys


@pytest.mark.parametrize(
    "options",
    [
        {"rtol": 1e-3, "atol": 1e-3},
        {"rtol": 1e-3, "atol": 1e-6},
        {"rtol": 1e-4, "atol": 1e-4, "mxstep": 3},
        {"rtol": 1e-2, "hmax": 0.1},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "func, y0",
    [
        (lambda n, y, t: y * n.cos(20 * t), np.float64(1)),
        (lambda n, y, t: n.stack([y[0] * (1 - y[1]), y[1] * (y[0] - 1)]), np.array([1.0, 2.0])),
    ],
    ids=["scalar", "vector"],
)
def test_steps_are_those_of_jax(func, y0, options):
    times, ys = evaluated_at(cyxla, func, y0, **options)
    expected_times, expected = evaluated_at(jax, func, y0, **options)
    np.testing.assert_allclose(times, expected_times, rtol=1e-7)
    np.testing.assert_allclose(ys, expected, rtol=1e-7)


@pytest.mark.parametrize("dtype", ["float16", "float32", "complex64"])
def test_dtypes(dtype):
    def f(m):
        with m.enable_x64(False):
            y0, t = m.numpy.ones(2, dtype), m.numpy.arange(3, dtype=dtype if dtype == "float16" else "float32")
            return m.experimental.ode.odeint(lambda y, t: -y, y0, t, rtol=1e-2, atol=1e-2)

    ours, theirs = f(cyxla), f(jax)
    assert ours.dtype == theirs.dtype == dtype
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=3e-2)


@pytest.mark.parametrize(
    "error, program, match",
    [
        ("TypeError", lambda m: m.experimental.ode.odeint(lambda y, t: y, "text", TIMES), "text"),
        ("TypeError", lambda m: m.experimental.ode.odeint(lambda y, t: y, 1.0, np.arange(3)), "floating"),
    ],
)
def test_errors(error, program, match):
    both_raise(error, program, match)
