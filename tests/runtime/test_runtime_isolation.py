"""What must hold of a whole process: each test is a program of its own."""

import importlib.util
import os
import subprocess
import sys
import textwrap

import pytest

USE_EVERYTHING = """
import gc
import sys
import numpy as np
import ml_dtypes
from cyxla._runtime import backend, buffers, cache, compiler, dlpack, execute, sharding
from cyxla._runtime.options import options

def use_everything():
    device = backend.default_device()
    text = '''module @m { func.func public @main(%a: tensor<16xf32>) -> (tensor<16xf32>, tensor<f32>) {
      %0 = stablehlo.add %a, %a : tensor<16xf32>
      %1 = stablehlo.constant dense<1.0> : tensor<f32>
      return %0, %1 : tensor<16xf32>, tensor<f32> } }'''
    executable = compiler.compile(text, [device])
    aval = buffers.BufferAval
    runner = execute.prepare(executable, [aval((16,), np.dtype("float32")), aval((), np.dtype("float32"))], device)
    class Export:
        def __init__(self, buffer):
            self.buffer = buffer
        def __dlpack__(self, **kwargs):
            return dlpack.to_dlpack(self.buffer, **kwargs)
        def __dlpack_device__(self):
            return dlpack.dlpack_device(self.buffer)
    for dtype in ("float32", "int32", "bool", ml_dtypes.bfloat16, ml_dtypes.int4, "float64"):
        made = buffers.host_to_device(np.ones(16, dtype), device)
        if dtype == "float32":
            everything = [made, *runner.run([made])]
        else:
            everything = [made]
        for buffer in everything:
            for method in (buffers.is_ready, buffers.on_device_size, buffers.is_deleted,
                           buffers.copy_to_host_async, buffers.device_to_host, buffers.device_of):
                method(buffer)
            buffers.block_until_ready([buffer])
            buffers.copy_to_device(buffer, device, always=True)
            buffers.with_aval(buffer, buffer.aval, device)
            if dtype != ml_dtypes.int4:
                buffers.unsafe_pointer(buffer)
                taken = dlpack.from_dlpack(Export(buffer))
                assert buffers.unsafe_pointer(taken) == buffers.unsafe_pointer(buffer)
            buffers.delete(buffer)
    compiler.cost_analysis(executable), compiler.memory_analysis(executable), compiler.hlo_text(executable)
    compiler.deserialize(compiler.serialize(executable), [device])
    sharding.SingleDeviceSharding(device).memory_kind
    compiler.register_lapack()
    for wrong in ("nonsense", text.replace("add", "no_such_op")):
        try:
            compiler.compile(wrong, [device])
        except RuntimeError:
            pass
        else:
            raise AssertionError(wrong)
    gc.collect()
"""

needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")


def run(program, **environment):
    """Runs a program; returns what it wrote to stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_jax_is_never_imported():
    # Not even in vain: jaxlib remembers a failed import, and jax would suffer from it later.
    watch = """
import sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "jax":
            print("import of", name)
sys.meta_path.insert(0, Watch())
"""
    output, errors = run(watch + USE_EVERYTHING + "use_everything()\nassert 'jax' not in sys.modules")
    assert output == ""
    assert "PjRt-IFRT" not in errors


def test_works_where_jax_cannot_be_imported():
    run("import sys; sys.modules['jax'] = None\n" + USE_EVERYTHING + "use_everything()")


def test_jaxlib_is_not_loaded_before_it_is_needed():
    run("""
        import sys
        from cyxla._runtime import backend, buffers, cache, compiler, dlpack, execute, options, plugins, sharding
        assert not any(m.split('.')[0] == 'jaxlib' for m in sys.modules), sorted(sys.modules)
        plugins.names()
        assert not any(m.split('.')[0] == 'jaxlib' for m in sys.modules)
        backend.devices()
        assert 'jaxlib' in sys.modules
    """)


@needs_jax
@pytest.mark.parametrize("order, x64", [("jax first", "1"), ("jax last", "1"), ("jax between", "0")])
def test_beside_jax(order, x64):
    import_jax = textwrap.dedent("""
        import jax
        import jax.numpy as jnp
        def use_jax():
            assert jax.config.jax_enable_x64 == (expected == "1")
            x = jax.jit(lambda x: jnp.sin(x) + 1)(jnp.arange(16.0))
            assert x.dtype == ("float64" if expected == "1" else "float32")
            ours = dlpack.from_dlpack(x)
            assert buffers.unsafe_pointer(ours) == x.unsafe_buffer_pointer()
            assert (buffers.device_to_host(ours) == np.asarray(x)).all()
            big = buffers.host_to_device(np.float64(1) / np.arange(1, 9), backend.default_device())
            assert buffers.device_to_host(big).dtype == "float64"
            # jaxlib remembers a failed import of jax, and then makes jax arrays without avals.
            theirs = jax.dlpack.from_dlpack(np.ones(16, "float32"))
            assert theirs.aval.shape == (16,) and theirs._arrays[0].aval.shape == (16,)
            assert (jax.dlpack.from_dlpack(theirs) + theirs == 2).all()
            assert jax.numpy.asarray(np.arange(3)).dtype == ("int64" if expected == "1" else "int32")
    """)
    parts = {
        "jax first": [import_jax, USE_EVERYTHING, "use_jax(); use_everything(); use_jax()"],
        "jax last": [USE_EVERYTHING, import_jax, "use_everything(); use_jax(); use_everything()"],
        "jax between": [USE_EVERYTHING, "use_everything()", import_jax, "use_jax(); use_everything(); use_jax()"],
    }[order]
    run("\n".join([f"expected = {x64!r}", *parts]), JAX_ENABLE_X64=x64)


def test_number_of_cpu_devices():
    program = """
        from cyxla._runtime import backend, buffers
        import numpy as np
        print(backend.device_count(), end=" ")
        first, *_, last = backend.devices()
        moved = buffers.copy_to_device(buffers.host_to_device(np.arange(4.0), first), last)
        assert buffers.device_of(moved) == last and (buffers.device_to_host(moved) == np.arange(4.0)).all()
        # A device that went and came back is another one.
        backend.clear_backends()
        print(backend.device_count())
    """
    assert run(program, XLA_FLAGS="--xla_force_host_platform_device_count=3")[0].split() == ["3", "3"]
    assert run(program, JAX_NUM_CPU_DEVICES="2")[0].split() == ["2", "2"]


def test_platforms_variable():
    program = """
        from cyxla._runtime import backend
        try:
            print(backend.default_backend())
        except RuntimeError as error:
            print(error)
    """
    assert run(program, JAX_PLATFORMS="cpu")[0].strip() == "cpu"
    assert "'toaster' could not be started" in run(program, JAX_PLATFORMS="toaster")[0]


def test_users_log_level_stands():
    program = "from cyxla._runtime import backend; backend.devices()"
    assert "PjRt-IFRT" in run(program, TF_CPP_MIN_LOG_LEVEL="0")[1]
    program += "; import os; assert 'TF_CPP_MIN_LOG_LEVEL' not in os.environ"
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == ""


def test_cache_is_shared_by_processes(tmp_path):
    program = USE_EVERYTHING + "use_everything(); print(cache.statistics.hits, cache.statistics.stores)"
    environment = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    hits, stores = run(program, **environment)[0].split()
    assert hits == "0" and stores != "0"
    assert run(program, **environment)[0].split() == [stores, "0"]
