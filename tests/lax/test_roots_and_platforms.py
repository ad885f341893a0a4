"""custom_root and platform_dependent, beside jax."""

import jax
import numpy as np
import pytest
from compare import agree, both_raise

import cyxla

C = np.array([1.0, 2.0, 5.0], np.float32)


def newton(m):
    return lambda f, x: m.lax.fori_loop(0, 12, lambda _, v: v - f(v) / m.jvp(f, (v,), (m.numpy.ones_like(v),))[1], x)


def square_root(m, c):
    return m.lax.custom_root(lambda x: x**2 - c, m.numpy.ones_like(c), newton(m), lambda g, y: y / g(1.0))


def fixed_point(m, a, b):
    """x = tanh(a @ x) / 2 + b, a system in a pytree."""

    def f(v):
        return {"x": v["x"] - m.numpy.tanh(a @ v["x"]) / 2 - b}

    def iterate(f, v):
        return m.lax.fori_loop(0, 40, lambda _, u: {"x": u["x"] - f(u)["x"]}, v), {"steps": 40.0}

    def tangent_solve(g, y):
        matrix = m.jacobian(lambda u: g({"x": u})["x"])(y["x"])
        return {"x": m.numpy.linalg.solve(matrix, y["x"])}

    root, aux = m.lax.custom_root(f, {"x": m.numpy.zeros_like(b)}, iterate, tangent_solve, has_aux=True)
    return root["x"], aux["steps"]


A = np.array([[0.2, -0.4, 0.1], [0.3, 0.1, 0.5], [-0.2, 0.6, 0.3]], np.float32)

PROGRAMS = {
    "root": lambda m: square_root(m, 2.0),
    "gradient": lambda m: m.grad(lambda c: square_root(m, c))(2.0),
    "second derivative": lambda m: m.hessian(lambda c: square_root(m, c))(2.0),
    "jvp": lambda m: m.jvp(lambda c: square_root(m, c), (3.0,), (2.0,)),
    "mapped": lambda m: m.vmap(m.value_and_grad(lambda c: square_root(m, c)))(C),
    "under jit": lambda m: m.jit(m.grad(lambda c: square_root(m, c) ** 3))(2.0),
    "system": lambda m: fixed_point(m, A, C)[0],
    "system, derivative": lambda m: m.grad(lambda a, b: fixed_point(m, a, b)[0].sum(), (0, 1))(A, C),
    "system, in reverse and under jit": lambda m: m.jit(m.jacrev(lambda b: fixed_point(m, A, b)[0]))(C),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_custom_root(name):
    agree(PROGRAMS[name], rtol=1e-4)


def identity(f, x):
    return x


@pytest.mark.parametrize(
    "program, message",
    [
        (lambda m: m.lax.custom_root(lambda x: (x, x), 1.0, identity, lambda g, y: y), "f must"),
        (lambda m: m.lax.custom_root(lambda x: x, 1.0, lambda f, x: (x, x), lambda g, y: y), "solve must"),
        (
            lambda m: m.grad(lambda c: m.lax.custom_root(lambda x: x - c, 1.0, identity, lambda g, y: (y, y)))(1.0),
            "tangent_solve must",
        ),
    ],
)
def test_root_errors(program, message):
    both_raise("TypeError", program, message)


def root_of(m, solve=identity, tangent_solve=lambda g, y: y, **options):
    return m.grad(lambda c: m.lax.custom_root(lambda x: x - c, 1.0, solve, tangent_solve, **options), has_aux=True)(1.0)


@pytest.mark.parametrize(
    "error, program, message",
    [
        ("TypeError", lambda m: m.lax.custom_root(3, 1.0, identity, lambda g, y: y), "f must be a function"),
        ("TypeError", lambda m: root_of(m, tangent_solve=3), "tangent_solve must be a function"),
        ("ValueError", lambda m: root_of(m, has_aux=True), "auxiliary"),
        ("ValueError", lambda m: root_of(m, lambda f, x: (x, x, x), has_aux=True), "auxiliary"),
        ("ValueError", lambda m: root_of(m, tangent_solve=lambda g, y: g(m.numpy.ones(3)).sum()), r"float32\[3\]"),
        ("ValueError", lambda m: root_of(m, tangent_solve=lambda g, y: y / g(1)), "int32"),
    ],
)
def test_wrong_solvers_of_roots(error, program, message):
    both_raise(error, program, message)


def solution(m, matvec=lambda x: x, solve=lambda mv, b: b, *transposed, **options):
    return m.lax.custom_linear_solve(matvec, m.numpy.ones(3), solve, *transposed, **options)


@pytest.mark.parametrize(
    "error, program, message",
    [
        ("ValueError", lambda m: solution(m, lambda x: None), "matvec must"),
        ("ValueError", lambda m: solution(m, solve=lambda mv, b: None), "solve must"),
        ("TypeError", lambda m: solution(m, solve=lambda mv, b: (b,)), "solve must"),
        ("ValueError", lambda m: solution(m, lambda x: x, lambda mv, b: b, lambda mv, b: None), "transpose_solve must"),
        ("ValueError", lambda m: solution(m, has_aux=True), "auxiliary"),
        ("ValueError", lambda m: solution(m, solve=lambda mv, b: (b, b, b), has_aux=True), "auxiliary"),
    ],
)
def test_wrong_linear_solvers(error, program, message):
    both_raise(error, program, message)


def by_platform(m, x):
    return m.lax.platform_dependent(x, cpu=lambda v: m.numpy.sin(v), tpu=lambda v: v * 100, default=lambda v: v * 7)


PLATFORM = {
    "eager": lambda m: by_platform(m, C),
    "under jit": lambda m: m.jit(lambda x: by_platform(m, x))(C),
    "gradient": lambda m: m.grad(lambda x: by_platform(m, x).sum())(C),
    "gradient under jit": lambda m: m.jit(m.grad(lambda x: by_platform(m, x).sum()))(C),
    "mapped": lambda m: m.vmap(lambda x: by_platform(m, x))(C),
    "default only": lambda m: m.jit(lambda x: m.lax.platform_dependent(x, default=lambda v: v + 3))(C),
    "default taken": lambda m: m.jit(lambda x: m.lax.platform_dependent(x, tpu=lambda v: v, default=lambda v: v + 3))(
        C
    ),
}


@pytest.mark.parametrize("name", PLATFORM)
def test_platform_dependent(name):
    agree(PLATFORM[name])


def test_only_the_branch_of_the_platform_is_compiled():
    text = cyxla.jit(lambda x: by_platform(cyxla, x)).lower(C).as_text()
    assert "sine" in text
    assert "case" not in text and "1.000000e+02" not in text
    ours, theirs = (m.make_jaxpr(lambda x, m=m: by_platform(m, x))(C) for m in (cyxla, jax))
    assert str(ours) == str(theirs)


def test_no_function_for_the_platform():
    both_raise("NotImplementedError", lambda m: m.lax.platform_dependent(1.0, tpu=lambda v: v), "tpu")
    two = {"tpu": lambda v: v, "cuda": lambda v: v + 1}
    both_raise("NotImplementedError", lambda m: m.jit(lambda x: m.lax.platform_dependent(x, **two))(1.0), "cpu")


def test_errors_of_platform_dependent():
    both_raise("NotImplementedError", lambda m: m.lax.platform_dependent(1.0), "no functions")
    both_raise("TypeError", lambda m: m.lax.platform_dependent(1.0, cpu=lambda x: x, default=3), "default must")
    both_raise("TypeError", lambda m: m.lax.platform_dependent(1.0, cpu=3), "cpu must")
