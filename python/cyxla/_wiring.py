"""Tells the engine what the layers above it provide: the runtime, the exceptions. Imported before anything else."""

import importlib

from cyxla._core import config, errors
from cyxla._engine import array, core, dispatch, host
from cyxla._runtime import backend
from cyxla._runtime import host as runtime_host

array.install_runtime(lambda: importlib.import_module("cyxla._runtime.arrays"))
core.install_errors(errors)
core.install_loader(lambda name: importlib.import_module(f"cyxla._core.{name}"))
backend.install_default_device(lambda: config.default_device.value)
host.install_state(lambda: runtime_host.state() if config.config.cyxla_native else None)

# The compiler puts itself in the place of this when the first program loads it.
dispatch.install_compiler(
    lambda *args, **options: importlib.import_module("cyxla._transform.compile").compile_closed(*args, **options)
)
dispatch.install_value_check(lambda *args: importlib.import_module("cyxla._transform.debug_values").check(*args))
