"""`extend.backend` and `extend.mlir`."""

import subprocess
import sys

import numpy as np
import pytest

import cyxla
from cyxla.extend import backend, mlir
from cyxla.interpreters.mlir import make_ir_context


def test_clients():
    client = backend.get_backend()
    assert backend.get_backend("cpu") is client is backend.backends()["cpu"]
    assert backend.get_default_device() == cyxla.devices()[0]
    assert backend.backend_xla_version("cpu") is None
    with pytest.raises(RuntimeError):
        backend.get_backend("abacus")


def test_compile_options():
    options = backend.get_compile_options(1, 1, env_options_overrides={"xla_cpu_enable_fast_math": False})
    assert options.num_replicas == options.num_partitions == 1
    assert options.env_option_overrides == [("xla_cpu_enable_fast_math", False)]
    with pytest.raises(ValueError, match="1000 devices"):
        backend.get_compile_options(1000, 1)


def test_factories_and_caches():
    """In a process of its own: clients last as long as the process."""
    program = """
import cyxla, functools
from cyxla.extend import backend
client = backend.get_backend()
calls = []
backend.register_backend_factory("mine", lambda: (calls.append(1), client)[1])
assert backend.get_backend("mine") is client is backend.get_backend("mine") and calls == [1]
assert cyxla.devices("mine") == cyxla.devices()
try:
    backend.register_backend_factory("mine", lambda: client)
except RuntimeError as error:
    assert "mine" in str(error)
else:
    raise SystemExit("registered twice")
cache = functools.lru_cache(lambda: calls.append(2))
backend.register_backend_cache(cache, "test")
cache(), cache(), backend.clear_backends(), cache()
assert calls == [1, 2, 2]
assert cyxla.numpy.ones(2).sum() == 2
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_programs_are_compiled_again():
    f = cyxla.jit(lambda x: x + 1)
    assert f(1) == 2
    backend.clear_in_memory_compilation_cache()
    assert f(1) == 2


def test_portable_artifacts():
    text = cyxla.jit(lambda x: x * 2).lower(np.float32(1)).as_text()
    artifact = mlir.serialize_portable_artifact(text, "1.0.0")
    assert b"StableHLO" in artifact
    with make_ir_context() as context:
        assert "stablehlo.multiply" in str(mlir.deserialize_portable_artifact(artifact, context))
