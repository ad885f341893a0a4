"""Each case is measured once with each implementation, in one process; `floor` is what neither can beat."""

import importlib

import pytest


@pytest.fixture(params=["cyxla", "jax"])
def impl(request):
    return request.param


@pytest.fixture
def jax(impl):
    """The package under measurement."""
    return importlib.import_module(impl)


@pytest.fixture
def jnp(impl):
    return importlib.import_module(f"{impl}.numpy")


@pytest.fixture
def measure(benchmark):
    """measure(case, f, *args): times f(*args). `per` divides the time, by the number of operations in one call say."""

    def run(case, function, *args, per=1):
        benchmark.group = case
        benchmark.extra_info["per"] = per
        benchmark(function, *args)

    return run


@pytest.fixture
def measure_once(benchmark):
    """measure_once(case, setup, f): times f(setup()), a fresh setup each time, for what is remembered when repeated."""

    def run(case, setup, function, per=1, rounds=15):
        benchmark.group = case
        benchmark.extra_info["per"] = per
        benchmark.pedantic(function, setup=lambda: ((setup(),), {}), rounds=rounds, warmup_rounds=1)

    return run
