"""Tells the engine what the layers above it provide: the runtime, the exceptions. Imported before anything else."""

import importlib

from cyxla._core import config, errors
from cyxla._engine import array, core, host
from cyxla._runtime import backend
from cyxla._runtime import host as runtime_host

array.install_runtime(lambda: importlib.import_module("cyxla._runtime.arrays"))
core.install_errors(errors)
core.install_loader(lambda name: importlib.import_module(f"cyxla._core.{name}"))
backend.install_default_device(lambda: config.default_device.value)
host.install_state(lambda: runtime_host.state() if config.config.cyxla_native else None)
