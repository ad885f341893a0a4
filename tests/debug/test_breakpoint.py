"""`debug.breakpoint`: a prompt on standard input and output."""

import contextlib
import io
import sys

import numpy as np
import pytest

import cyxla
import cyxla.numpy as jnp


def session(commands, program):
    """What a program prints while the commands are typed at its breakpoints."""
    out, old = io.StringIO(), sys.stdin
    sys.stdin = io.StringIO("\n".join(commands) + "\n")
    try:
        with contextlib.redirect_stdout(out):
            cyxla.block_until_ready(program())
            cyxla.effects_barrier()
    finally:
        sys.stdin = old
    return [answer.strip() for answer in out.getvalue().split("(cydb) ")[1:]]


def inner(y):
    z = y * 2
    name, pair = "abc", {"z": z, "n": 3}
    cyxla.debug.breakpoint()
    return z + len(name) + pair["n"]


def outer(x):
    w = x + 1
    return inner(w)


def test_values_and_frames():
    answers = session(
        [
            "p y",
            "pp z",
            "name",
            "p pair",
            "bt",
            "l",
            "u",
            "p w",
            "p x + np.float32(1)",
            "d",
            "p w",
            "p 1/0",
            "p (",
            "c",
        ],
        lambda: cyxla.jit(outer)(1.0),
    )
    assert answers[0] == "Array(2., dtype=float32)" and answers[1] == "Array(4., dtype=float32)"
    assert answers[2] == "'abc'" and answers[3] == "{'n': 3, 'z': Array(4., dtype=float32)}"
    lines = answers[4].splitlines()
    assert lines[-1].strip() == "cyxla.debug.breakpoint()" and "in inner" in lines[-2] and "in outer" in lines[-4]
    assert any(line.startswith("->") and "breakpoint()" in line for line in answers[5].splitlines())
    assert any(line.startswith("->") and "inner(w)" in line for line in answers[6].splitlines())
    assert answers[7] == "Array(2., dtype=float32)" and answers[8] == "Array(2., dtype=float32)"
    assert answers[10].startswith("*** NameError") and answers[11].startswith("*** ZeroDivisionError")
    assert answers[12].startswith("*** SyntaxError")


@pytest.mark.parametrize("transform", [cyxla.jit, cyxla.grad, lambda f: cyxla.jit(cyxla.grad(f)), cyxla.checkpoint])
def test_transformations(transform):
    assert session(["p y", "c"], lambda: transform(outer)(1.0))[0].startswith("Array(2., dtype=float32")


def test_vmap_stops_for_each_element():
    answers = session(["p y", "c"] * 3, lambda: cyxla.vmap(outer)(jnp.arange(3.0)))
    assert [a for a in answers if a.startswith("Array")] == [f"Array({i}., dtype=float32)" for i in (1, 2, 3)] or [
        a.split(")")[0] for a in answers if a.startswith("Array")
    ] == [f"Array({i}., dtype=float32" for i in (1, 2, 3)]


def test_loops():
    def body(c, x):
        cyxla.debug.breakpoint(ordered=True)
        return c + x, None

    answers = session(["p c", "c"] * 3, lambda: cyxla.lax.scan(body, 0.0, jnp.arange(3.0)))
    assert [a.split("\n")[0] for a in answers if a.startswith("Array")] == [
        f"Array({v}., dtype=float32)" for v in (0, 0, 1)
    ]


def test_num_frames():
    def program():
        cyxla.debug.breakpoint(num_frames=1)

    answers = session(["u", "bt", "c"], program)
    assert answers[0].startswith("This is the topmost frame") and answers[1].count("File") == 1


def test_all_frames():
    def program(x):
        cyxla.debug.breakpoint(filter_frames=False)
        return x

    assert "_transform" in session(["bt", "c"], lambda: cyxla.jit(program)(1.0))[0]


@pytest.mark.parametrize("commands", [["q"], ["p x"], []])
def test_quit_and_end_of_input(commands):
    with pytest.raises(SystemExit):
        session(commands, lambda: outer(np.float32(1)))


def test_token_and_options():
    assert session(["c"], lambda: cyxla.debug.breakpoint(token=jnp.ones(2))) == [""]
    with pytest.raises(ValueError, match="no backend"):
        cyxla.debug.breakpoint(backend="screen")
    with pytest.raises(TypeError, match="no options"):
        cyxla.debug.breakpoint(colour=True)


def test_variables_that_are_no_pytrees():
    def program(x):
        odd = {1: x, "a": 2}
        del odd["a"]
        mixed = {1: 0, "b": 1}
        cyxla.debug.breakpoint()
        return x + odd[1] + len(mixed)

    answers = session(["p mixed", "p odd", "c"], lambda: cyxla.jit(program)(1.0))
    assert answers[:2] == ["{1: 0, 'b': 1}", "{1: Array(1., dtype=float32)}"]
