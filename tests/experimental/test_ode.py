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


@pytest.mark.parametrize(
    "error, program, match",
    [
        ("TypeError", lambda m: m.experimental.ode.odeint(lambda y, t: y, "text", TIMES), "text"),
        ("TypeError", lambda m: m.experimental.ode.odeint(lambda y, t: y, 1.0, np.arange(3)), "floating"),
    ],
)
def test_errors(error, program, match):
    both_raise(error, program, match)
