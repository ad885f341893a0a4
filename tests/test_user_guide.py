"""Runs the code blocks of a user guide to JAX after the change of import, and compares each with jax.

The blocks share one namespace, as a reader would type them; SEEDS has the data that the guide takes for granted, CALLS
what to call where a block only defines a function.
"""

import pathlib
import re
import types

import numpy as np
import pytest

import cyxla

GUIDE = pathlib.Path(__file__).parent / "data" / "jax_user_guide.md"

SEEDS = {
    "Grad (Differentiation)": """
params = jnp.array([0.5, -1.0, 2.0])
x = jnp.arange(12.0).reshape(4, 3)
y = jnp.array([1.0, 2.0, 3.0, 4.0])
""",
    "Vmap (Automatic Vectorization)": """
params = jnp.array([0.5, -1.0, 2.0])
X_batch = jnp.arange(12.0).reshape(4, 3)
""",
    "Handling complex data structures (Dicts, Lists, Tuples)": "x = jnp.arange(5.0)",
}

CALLS = {
    "Anti-Patterns (NEVER)": ["bad_func(2.0)", "bad_func(3.0)", "counter"],
    "Jit (Just-In-Time Compilation)": ["complex_math(jnp.linspace(0.1, 2.0, 7))", "complex_math(1.0)"],
    "1. Differentiable Physics: Solving a Simple ODE": [
        "loss_fn(jnp.array([1.0, 0.5]), 0.25)",
        "optimize_initial_state(jnp.array([1.0, 0.5]), 0.25)",
        "jit(optimize_initial_state)(jnp.array([1.0, 0.5]), 0.25)",
    ],
    "Static Arguments in JIT": ["power_loop(1.5, 3)", "power_loop(jnp.arange(3.0), 2)"],
    "Avoid Python Control Flow": [
        "safe_divide(1.0, jnp.array(0.0))",
        "jit(safe_divide)(1.0, 4.0)",
        "vmap(safe_divide)(jnp.ones(3), jnp.array([0.0, 1.0, 2.0]))",
        "grad(safe_divide, argnums=1)(1.0, 4.0)",
    ],
    "NaN Gradients": ["grad(safe_sqrt)(0.0)", "safe_sqrt(jnp.arange(3.0))"],
}


def python_blocks():
    """(heading, code) of every Python block, in order."""
    heading, blocks = "", []
    for match in re.finditer(r"^#+ ([^\n]+)$|^```(\w+)\n(.*?)^```$", GUIDE.read_text("utf-8"), re.M | re.S):
        if match[1]:
            heading = match[1]
        elif match[2] == "python":
            blocks.append((heading, match[3]))
    return blocks


def ported(code):
    """The code after the change of import. There is no pmap yet."""
    code = re.sub(r"^import jax$", "import cyxla as jax", code, flags=re.M)
    code = re.sub(r"^(import|from) jax\b", r"\1 cyxla", code, flags=re.M)
    return code if hasattr(cyxla, "pmap") else code.replace(", pmap", "")


def uncommented(heading, first, last):
    """The commented lines of the block under a heading, from the one that starts with `first` to that with `last`."""
    code = dict(BLOCKS)[heading]
    lines = [line[2:] for line in code.splitlines() if line.startswith("# ")]
    start = next(i for i, line in enumerate(lines) if line.startswith(first))
    stop = next(i for i, line in enumerate(lines) if line.strip().startswith(last))
    return "\n".join(lines[start : stop + 1])


def numbers(namespace):
    """What of a namespace can be compared: the values, less modules, functions and names of Python's own."""
    skip = (types.ModuleType, types.FunctionType)
    return {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_") and not isinstance(value, skip) and not callable(value) and name != "os"
    }


def snapshot(package, value):
    """A value as NumPy arrays; of a typed key its data."""

    def leaf(x):
        is_key = hasattr(x, "dtype") and package.dtypes.issubdtype(x.dtype, package.dtypes.prng_key)
        return np.asarray(package.random.key_data(x) if is_key else x)

    return [leaf(x) for x in package.tree.leaves(value)]


def run_all(package, port):
    """For every block: {name or expression: value} after it, or the exception that ended it."""
    namespace, outcomes = {}, []
    exec(port("import jax\nimport jax.numpy as jnp\nfrom jax import grad, jit, random, vmap\n"), namespace)
    for heading, code in BLOCKS:
        try:
            exec(SEEDS.get(heading, ""), namespace)
            exec(compile(port(code), f"<{heading}>", "exec"), namespace)
            values = {c: eval(c, namespace) for c in CALLS.get(heading, ())} | numbers(namespace)
            outcomes.append({name: snapshot(package, value) for name, value in values.items()})
        except Exception as error:
            outcomes.append(error)
    return namespace, outcomes


BLOCKS = python_blocks()


@pytest.fixture(scope="module")
def outcomes():
    jax = pytest.importorskip("jax")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
        return run_all(cyxla, ported)[1], run_all(jax, lambda code: code)[1]


@pytest.fixture(scope="module")
def namespace():
    return run_all(cyxla, ported)[0]


def test_the_guide_is_all_there():
    assert len(BLOCKS) == 16


@pytest.mark.parametrize("i", range(len(BLOCKS)), ids=[heading for heading, _ in BLOCKS])
def test_block_gives_what_jax_gives(outcomes, i):
    ours, theirs = outcomes[0][i], outcomes[1][i]
    if isinstance(ours, Exception):
        raise ours
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert len(ours[name]) == len(theirs[name]), name
        for a, b in zip(ours[name], theirs[name]):
            assert a.dtype == b.dtype, name
            np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6, err_msg=name)


def test_basic_pattern(outcomes):
    values = outcomes[0][[heading for heading, _ in BLOCKS].index("Basic Pattern - Differentiate and JIT")]
    np.testing.assert_allclose(values["val"], [np.sin(2.0) + 4], rtol=1e-6)
    np.testing.assert_allclose(values["slope"], [np.cos(2.0) + 4], rtol=1e-6)


def test_side_effect_runs_once(namespace):
    assert namespace["counter"] == 1


def test_item_assignment_fails_and_says_what_to_write(namespace):
    code = uncommented("Anti-Patterns (NEVER)", "x[0] = 1.0", "x[0] = 1.0")
    with pytest.raises(TypeError, match=r"\.at\["):
        exec(code, namespace)


def test_python_if_on_a_tracer_fails_and_says_what_to_write(namespace):
    exec(ported(uncommented('The "Tracer" Error', "@jit", "if x > 0")), namespace)
    with pytest.raises(cyxla.errors.TracerBoolConversionError, match="cond"):
        namespace["func"](1.0)
