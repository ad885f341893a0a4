"""Options that watch over programs: NaNs, transfers, ranks, compilations; and evaluation while tracing."""

import inspect
import logging
import warnings

import jax
import numpy as np
import pytest
from compare import agree

import cyxla
import cyxla.numpy as jnp
from cyxla._core.config import TRANSFER_GUARDS

X = np.arange(3, dtype=np.float32)


# -- debug_nans, debug_infs

NANS = {
    "eager": lambda jax: jax.numpy.log(-1.0),
    "division": lambda jax: jax.numpy.zeros(3) / 0.0,
    "jit": lambda jax: jax.jit(lambda x: jax.numpy.sin(jax.numpy.log(x - 1) * 2))(X),
    "nested jit": lambda jax: jax.jit(lambda x: jax.jit(lambda y: jax.numpy.log(y - 1))(x) * 2)(X),
    "inside only": lambda jax: jax.jit(lambda x: jax.numpy.where(jax.numpy.isnan(jax.numpy.log(x - 1)), 0, 1))(X),
    "grad": lambda jax: jax.grad(lambda x: jax.numpy.sqrt(x) * 0)(0.0),
    "jit grad": lambda jax: jax.jit(jax.grad(lambda x: jax.numpy.sqrt(x) * 0))(0.0),
    "vmap": lambda jax: jax.vmap(lambda x: jax.numpy.log(x - 1))(X),
    "scan": lambda jax: jax.lax.scan(lambda c, x: (jax.numpy.log(c), c), -1.0, X),
    "complex": lambda jax: jax.numpy.asarray(X * 1j) * np.nan,
    "bfloat16": lambda jax: jax.numpy.asarray(X, jax.numpy.bfloat16) * np.nan,
    "integers": lambda jax: jax.jit(lambda x: x + 1)(np.arange(3)),
    "keys": lambda jax: jax.random.key_data(jax.random.key(0)),
    "infinity": lambda jax: jax.jit(lambda x: 1 / x)(np.float32(0)),
    "clean": lambda jax: jax.jit(lambda x: x * 2)(X),
}


@pytest.mark.parametrize("option", ["debug_nans", "debug_infs"])
@pytest.mark.parametrize("name", NANS)
def test_debug_values(name, option):
    def outcome(lib):
        with getattr(lib, option)(True):
            try:
                return NANS[name](lib) is not None
            except FloatingPointError:
                return "raises"

    assert outcome(cyxla) == outcome(jax)


def test_the_operation_and_its_line_are_named():
    def f(x):
        y = jnp.sin(x)
        return jnp.log(y - 2) * 3

    line = inspect.getsourcelines(f)[1] + 2
    with cyxla.debug_nans(True):
        with pytest.raises(
            FloatingPointError, match=rf"\(nan\) encountered in log, at .*test_debug_options.py:{line} "
        ):
            cyxla.jit(f)(X)
        with pytest.raises(FloatingPointError, match="encountered in log"):
            f(X)


def test_debug_values_can_be_switched():
    f = cyxla.jit(lambda x: jnp.log(x - 1))
    for _ in range(2):
        assert np.isnan(np.asarray(f(X))).any() and np.isnan(np.asarray(jnp.log(-jnp.asarray(X)))).any()
        with cyxla.debug_nans(True):
            with pytest.raises(FloatingPointError):
                f(X)
            with pytest.raises(FloatingPointError):
                jnp.log(-jnp.asarray(X + 1))


def test_donated_arguments():
    f = cyxla.jit(lambda x: jnp.log(x - 1), donate_argnums=0)
    with cyxla.debug_nans(True), pytest.raises(FloatingPointError, match="donated"):
        f(jnp.asarray(X) + 0)


@pytest.mark.parametrize("option, value", [("debug_nans", np.nan), ("debug_infs", np.inf)])
@pytest.mark.parametrize(
    "make",
    [
        lambda jax, v: jax.numpy.array([v]),
        lambda jax, v: jax.numpy.asarray(v),
        lambda jax, v: jax.numpy.asarray(np.array([v], np.float32)),
        lambda jax, v: jax.numpy.float32(v),
        lambda jax, v: jax.numpy.full(3, v),
        lambda jax, v: jax.numpy.full_like(np.ones(2, np.float32), v),
        lambda jax, v: jax.device_put(np.array([v], np.float32)),
        lambda jax, v: jax.jit(lambda: jax.numpy.isnan(jax.numpy.array([v])))(),
    ],
)
@pytest.mark.parametrize("compiled", [True, False])
def test_values_of_new_arrays(option, value, make, compiled):
    def fails(lib):
        with getattr(lib, option)(True), lib.disable_jit(not compiled):
            try:
                make(lib, value)
            except FloatingPointError:
                return True
        return False

    assert fails(cyxla) == fails(jax)


@pytest.mark.parametrize("option", ["debug_nans", "debug_infs"])
@pytest.mark.parametrize("name", ["median", "nanmedian", "nanmax", "nanargmax", "nanstd", "nan_to_num"])
def test_a_value_that_is_not_selected_is_no_failure(option, name):
    with getattr(cyxla, option)(True):
        getattr(jnp, name)(jnp.arange(4.0))


# -- ensure_compile_time_eval


def known(jax, x):
    jnp = jax.numpy
    with jax.ensure_compile_time_eval():
        n = jnp.sum(jnp.arange(4))
        branch = "big" if n > 3 else "small"
        m = jax.jit(lambda v: v + 1)(n)
        y = x * jnp.float32(m)
    assert branch == "big" and int(m) == 7
    return y + int(n)


@pytest.mark.parametrize("transform", ["jit", "grad", "vmap", "checkpoint", "none"])
def test_compile_time_eval(transform):
    def program(jax):
        f = lambda x: known(jax, x)
        return (f if transform == "none" else getattr(jax, transform)(f))(X[2] if transform == "grad" else X)

    agree(program)


def test_compile_time_eval_ends():
    def f(x):
        with cyxla.ensure_compile_time_eval():
            pass
        assert isinstance(jnp.arange(3) + 1, cyxla.core.Tracer if hasattr(cyxla, "core") else cyxla.Array)
        with pytest.raises(RuntimeError), cyxla.ensure_compile_time_eval():
            raise RuntimeError
        return jnp.sin(1.0) + x

    assert len(cyxla.make_jaxpr(f)(1.0).eqns) >= 2
    np.testing.assert_allclose(cyxla.jit(f)(1.0), np.sin(1.0) + 1, rtol=1e-6)


# -- disable_jit


def types_seen(lib, program):
    seen = []

    def note(*values):
        seen.extend("tracer" if "Tracer" in type(v).__name__ else "array" if hasattr(v, "aval") else v for v in values)

    with lib.disable_jit():
        program(lib, note)
    return seen


UNJITTED = {
    "jit": lambda jax, note: jax.jit(lambda x: (note(x), x)[1])(jax.numpy.asarray(X)),
    "scan": lambda jax, note: jax.lax.scan(lambda c, x: (note(c, x), (c + x, x))[1], 0.0, jax.numpy.asarray(X)),
    "while": lambda jax, note: jax.lax.while_loop(lambda c: c < 2, lambda c: (note(c), c + 1)[1], 0),
    "fori": lambda jax, note: jax.lax.fori_loop(0, 2, lambda i, c: (note(i, c), c + 1)[1], 0),
    "cond": lambda jax, note: jax.lax.cond(
        True, lambda x: (note(x, "yes"), x)[1], lambda x: (note(x, "no"), x)[1], jax.numpy.asarray(X)
    ),
    "switch": lambda jax, note: jax.lax.switch(1, [lambda: (note("a"), 1.0)[1], lambda: (note("b"), 2.0)[1]]),
    "map": lambda jax, note: jax.lax.map(lambda x: (note(x), x)[1], jax.numpy.asarray(X)),
    "grad": lambda jax, note: jax.grad(jax.jit(lambda x: (note(x), x * x)[1]))(2.0),
    "vmap": lambda jax, note: jax.vmap(jax.jit(lambda x: (note(x), x * x)[1]))(jax.numpy.asarray(X)),
}


@pytest.mark.parametrize("name", UNJITTED)
def test_disable_jit(name):
    assert types_seen(cyxla, UNJITTED[name]) == types_seen(jax, UNJITTED[name])


@pytest.mark.parametrize("upper", [3, None])
def test_loops_that_nothing_but_a_program_can_run_are_not_disabled(upper):
    def program(lib):
        lax = lib.lax
        if upper is None:
            one = lambda x: lax.fori_loop(0, x, lambda i, c: c + i, x)
        else:
            one = lambda x: lax.while_loop(lambda c: c < upper, lambda c: c + 1, x)
        with lib.disable_jit():
            return lib.vmap(one)(np.arange(4))

    agree(program)


# -- log_compiles


def test_log_compiles(caplog):
    with caplog.at_level(logging.WARNING, logger="cyxla"):
        cyxla.jit(lambda x: x * 3)(X)
        assert not caplog.records
        with cyxla.log_compiles():

            def logged(x):
                return x * 4

            cyxla.jit(logged)(X)
            text = caplog.text
            assert "Traced logged" in text and "Compiled logged" in text and "float32[3]" in text
            caplog.clear()
            jnp.cos(jnp.ones((4, 5, 6)))
            assert "Compiled cos" in caplog.text
            caplog.clear()
            cyxla.jit(logged)(X)
            assert not caplog.records


# -- transfer guards

TRANSFERS = {
    "numpy to jit": lambda lib, f, x: f(X),
    "number to jit": lambda lib, f, x: f(1.5),
    "array to jit": lambda lib, f, x: f(x),
    "numpy operand": lambda lib, f, x: x + X,
    "number operand": lambda lib, f, x: x + 1.5,
    "asarray": lambda lib, f, x: lib.numpy.asarray(X),
    "array": lambda lib, f, x: lib.numpy.array(X),
    "list": lambda lib, f, x: lib.numpy.array([1.0, 2.0]),
    "arange": lambda lib, f, x: lib.numpy.arange(3),
    "device_put": lambda lib, f, x: lib.device_put(X),
    "device_put number": lambda lib, f, x: lib.device_put(1.5),
    "device_put array": lambda lib, f, x: lib.device_put(x, lib.devices()[0]),
    "device_get": lambda lib, f, x: lib.device_get(x),
    "to numpy": lambda lib, f, x: np.asarray(x),
    "constant": lambda lib, f, x: lib.jit(lambda y: y + X)(x),
    "vmap": lambda lib, f, x: lib.vmap(lambda y: y + y)(x),
}
DIRECTIONS = ["", "_host_to_device", "_device_to_host", "_device_to_device"]


@pytest.mark.parametrize("level", ["allow", "disallow", "disallow_explicit", "log"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_transfer_guards(level, direction):
    def outcomes(lib):
        f, out = lib.jit(lambda x: x * 2), {}
        x = lib.numpy.asarray(X)
        for program in TRANSFERS.values():
            program(lib, f, x)
        for name, program in TRANSFERS.items():
            with getattr(lib, f"transfer_guard{direction}")(level):
                try:
                    program(lib, f, x)
                    out[name] = True
                except lib.errors.JaxRuntimeError:
                    out[name] = False
        return out

    assert outcomes(cyxla) == outcomes(jax)


def test_transfer_guard_messages(caplog):
    with cyxla.transfer_guard("disallow"), pytest.raises(cyxla.errors.JaxRuntimeError, match=r"\(3,\).*device_put"):
        jnp.asarray(X)
    with caplog.at_level(logging.WARNING, logger="cyxla"), cyxla.transfer_guard("log"):
        jnp.asarray(X)
        assert "host-to-device transfer of an array of shape (3,)" in caplog.text
        caplog.clear()
        cyxla.device_put(X)
        assert not caplog.records
    with caplog.at_level(logging.WARNING, logger="cyxla"), cyxla.transfer_guard("log_explicit"):
        cyxla.device_put(X)
        assert "host-to-device" in caplog.text


def test_transfer_guard_option():
    cyxla.config.update("jax_transfer_guard", "disallow")
    try:
        with pytest.raises(cyxla.errors.JaxRuntimeError):
            jnp.asarray(X)
        with cyxla.transfer_guard("allow"):
            jnp.asarray(X)
    finally:
        # To what they were: an update to "allow" would set the guards of the three directions too.
        for guard in TRANSFER_GUARDS:
            guard.set_global(None)
    jnp.asarray(X)


# -- numpy_rank_promotion, default_matmul_precision

A, B = np.ones((2, 3), np.float32), np.ones(3, np.float32)
RANKS = {
    "add": lambda jnp: jnp.asarray(A) + B,
    "function": lambda jnp: jnp.arctan2(A, B),
    "comparison": lambda jnp: jnp.asarray(A) == B,
    "logical": lambda jnp: jnp.logical_and(A > 0, B > 0),
    "power": lambda jnp: jnp.asarray(A) ** B,
    "clip": lambda jnp: jnp.clip(A, B, None),
    "scalar": lambda jnp: jnp.asarray(A) + 1,
    "rank 0": lambda jnp: jnp.asarray(A) + jnp.float32(1),
    "equal ranks": lambda jnp: jnp.asarray(A) + B[None],
    "matmul": lambda jnp: jnp.asarray(A) @ B,
    "broadcast_to": lambda jnp: jnp.broadcast_to(B, (2, 3)),
    "update": lambda jnp: jnp.asarray(A).at[0].set(B),
    "var": lambda jnp: jnp.var(A, axis=0),
    "norm": lambda jnp: jnp.linalg.norm(A),
}


@pytest.mark.parametrize("name", RANKS)
def test_rank_promotion(name):
    def outcome(lib):
        with lib.numpy_rank_promotion("raise"):
            try:
                return RANKS[name](lib.numpy).shape
            except ValueError:
                return "raises"

    assert outcome(cyxla) == outcome(jax)
    with cyxla.numpy_rank_promotion("warn"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        RANKS[name](jnp)
    assert bool(caught) == (outcome(cyxla) == "raises")


@pytest.mark.parametrize("precision", ["default", "high", "highest", "bfloat16", "tensorfloat32", "float32", None])
def test_matmul_precision(precision):
    def used(lib):
        with lib.default_matmul_precision(precision):
            f = lambda a: (lib.numpy.matmul(a, a) + lib.numpy.einsum("ij,jk", a, a)).sum()
            jaxpr = lib.make_jaxpr(lib.grad(f))(np.ones((3, 3), np.float32))
        return [str(e.params["precision"]) for e in jaxpr.eqns if "precision" in e.params]

    assert used(cyxla) == used(jax)


def test_unknown_values_are_refused():
    for lib in (cyxla, jax):
        for context in (lib.default_matmul_precision, lib.transfer_guard, lib.numpy_rank_promotion):
            with pytest.raises(ValueError), context("never"):
                pass
