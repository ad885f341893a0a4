"""What importing Cyxla loads, and that it works beside jax. Each test is a process of its own."""

import os
import subprocess
import sys
import textwrap

import pytest

USE = """
def use(jax):
    import numpy as np
    jnp = jax.numpy
    f = jax.jit(lambda x: jnp.sum(jnp.sin(x) * x))
    x = jnp.arange(4.0)
    values = [f(x), jax.grad(f)(x), jax.vmap(lambda v: v * 2 + 1)(x), jax.random.normal(jax.random.key(0), (3,))]
    values.append(jax.lax.scan(lambda c, v: (c + v, c * v), 0.0, x)[1])
    values.append(x.at[1].set(7.0)[::-1])
    return [np.asarray(v) for v in values]
"""


def python(program, **environment):
    environment = os.environ | {"PYTHONSAFEPATH": "1"} | environment
    done = subprocess.run(
        [sys.executable, "-c", USE + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_import_loads_neither_jaxlib_nor_jax():
    python("""
        import sys
        import cyxla, cyxla.numpy
        loaded = {name.split(".")[0] for name in sys.modules}
        assert not loaded & {"jax", "jaxlib", "scipy", "opt_einsum"}, loaded
    """)


def test_import_leaves_rare_modules_for_later():
    python("""
        import sys
        import numpy, ml_dtypes
        before = set(sys.modules)
        import cyxla, cyxla.numpy as jnp, cyxla.lax as lax
        assert not {"pathlib", "dataclasses", "importlib.metadata"} & (set(sys.modules) - before), set(sys.modules)
        assert not {"cyxla.lax.linalg", "cyxla.numpy.linalg", "cyxla.numpy.setops", "cyxla.random"} & set(sys.modules)
        transformations = {f"cyxla._transform.{name}" for name in ("jit", "grad", "vmap", "checkpoint", "records")}
        assert not transformations & set(sys.modules), transformations & set(sys.modules)
        for module in (jnp, lax):
            assert "linalg" in dir(module)
            for name in dir(module):
                getattr(module, name)
        assert callable(jnp.einsum) and callable(jnp.linalg.norm) and callable(lax.linalg.cholesky)
        names = {}
        exec("from cyxla.numpy import *", names)
        assert names["unique"] is jnp.unique and names["linalg"] is jnp.linalg
        for module in (jnp, lax):
            try:
                module.no_such_name
            except AttributeError as error:
                assert "no_such_name" in str(error)
            else:
                raise AssertionError
    """)


def test_tracing_loads_neither_jaxlib_nor_jax():
    python("""
        import sys
        import cyxla, cyxla.numpy as jnp
        cyxla.make_jaxpr(cyxla.grad(lambda x: jnp.sum(jnp.sin(x) * x)))(cyxla.ShapeDtypeStruct((3,), jnp.float32))
        loaded = {name.split(".")[0] for name in sys.modules}
        assert not loaded & {"jax", "jaxlib"}, loaded
    """)


def test_running_does_not_load_jax():
    python("""
        import sys
        import cyxla
        use(cyxla)
        assert "jaxlib" in sys.modules
        assert not [name for name in sys.modules if name.split(".")[0] == "jax"]
    """)


def test_runs_where_jax_cannot_be_imported():
    python("""
        import sys
        sys.modules["jax"] = None   # any import of it raises ImportError
        import cyxla
        use(cyxla)
    """)


@pytest.mark.parametrize(
    "order",
    [
        "import cyxla; ours = use(cyxla); import jax; theirs = use(jax)",
        "import jax; theirs = use(jax); import cyxla; ours = use(cyxla)",
        "import cyxla; import jax; theirs = use(jax); ours = use(cyxla)",
        "import jax; import cyxla; ours = use(cyxla); theirs = use(jax); again = use(cyxla)",
    ],
)
def test_beside_jax_in_either_order(order):
    pytest.importorskip("jax")
    python(f"""
        import numpy as np
        {order}
        for a, b in zip(ours, theirs, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-6)
    """)


def test_arrays_go_to_jax_and_back_without_a_copy():
    pytest.importorskip("jax")
    python("""
        import cyxla, jax
        import numpy as np

        def address(x):
            return np.from_dlpack(x).ctypes.data

        ours = cyxla.numpy.arange(1024.0)
        theirs = jax.dlpack.from_dlpack(ours)
        back = cyxla.numpy.from_dlpack(theirs)
        assert type(theirs) is not type(ours) and type(back) is type(ours)
        assert address(ours) == address(theirs) == address(back)
        assert not isinstance(theirs, cyxla.Array) and not isinstance(ours, jax.Array)
    """)
