"""Cyxla: jit, grad, vmap and pmap over a NumPy-like API, compiled by XLA, on an engine in Cython and C++.

A program written for JAX changes its imports:

    import cyxla as jax
    import cyxla.numpy as jnp
"""

from cyxla import _wiring as _wiring  # isort: skip

from cyxla import dtypes as dtypes
from cyxla import errors as errors
from cyxla import lax as lax
from cyxla import numpy as numpy
from cyxla import tree as tree
from cyxla import tree_util as tree_util
from cyxla._core.config import check_tracer_leaks as check_tracer_leaks
from cyxla._core.config import checking_leaks as checking_leaks
from cyxla._core.config import config as config
from cyxla._core.config import debug_infs as debug_infs
from cyxla._core.config import debug_nans as debug_nans
from cyxla._core.config import default_device as default_device
from cyxla._core.config import default_matmul_precision as default_matmul_precision
from cyxla._core.config import default_prng_impl as default_prng_impl
from cyxla._core.config import disable_jit as disable_jit
from cyxla._core.config import enable_checks as enable_checks
from cyxla._core.config import enable_custom_prng as enable_custom_prng
from cyxla._core.config import enable_x64 as enable_x64
from cyxla._core.config import explain_cache_misses as explain_cache_misses
from cyxla._core.config import log_compiles as log_compiles
from cyxla._core.config import numpy_dtype_promotion as numpy_dtype_promotion
from cyxla._core.config import numpy_rank_promotion as numpy_rank_promotion
from cyxla._core.config import threefry_partitionable as threefry_partitionable
from cyxla._core.config import transfer_guard as transfer_guard
from cyxla._core.config import transfer_guard_device_to_device as transfer_guard_device_to_device
from cyxla._core.config import transfer_guard_device_to_host as transfer_guard_device_to_host
from cyxla._core.config import transfer_guard_host_to_device as transfer_guard_host_to_device
from cyxla._engine.array import Array as Array
from cyxla._engine.array import typeof as typeof
from cyxla._engine.dtypes import float0 as float0
from cyxla._runtime.backend import default_backend as default_backend
from cyxla._runtime.backend import device_count as device_count
from cyxla._runtime.backend import devices as devices
from cyxla._runtime.backend import host_count as host_count
from cyxla._runtime.backend import host_id as host_id
from cyxla._runtime.backend import local_device_count as local_device_count
from cyxla._runtime.backend import local_devices as local_devices
from cyxla._runtime.backend import process_count as process_count
from cyxla._runtime.backend import process_index as process_index
from cyxla._runtime.backend import process_indices as process_indices
from cyxla._runtime.callbacks import effects_barrier as effects_barrier
from cyxla._transform.caches import cache_info as cache_info
from cyxla._transform.caches import clear_caches as clear_caches
from cyxla._transform.callbacks import pure_callback as pure_callback
from cyxla._transform.checkpoint import checkpoint as checkpoint
from cyxla._transform.checkpoint_policies import checkpoint_policies as checkpoint_policies
from cyxla._transform.closure import closure_convert as closure_convert
from cyxla._transform.compile_time import ensure_compile_time_eval as ensure_compile_time_eval
from cyxla._transform.custom import custom_gradient as custom_gradient
from cyxla._transform.custom import custom_jvp as custom_jvp
from cyxla._transform.custom import custom_vjp as custom_vjp
from cyxla._transform.explain import explain as explain
from cyxla._transform.grad import fwd_and_bwd as fwd_and_bwd
from cyxla._transform.grad import grad as grad
from cyxla._transform.grad import hessian as hessian
from cyxla._transform.grad import jacfwd as jacfwd
from cyxla._transform.grad import jacrev as jacrev
from cyxla._transform.grad import jvp as jvp
from cyxla._transform.grad import linear_transpose as linear_transpose
from cyxla._transform.grad import linearize as linearize
from cyxla._transform.grad import value_and_grad as value_and_grad
from cyxla._transform.grad import vjp as vjp
from cyxla._transform.jit import jit as jit
from cyxla._transform.names import named_call as named_call
from cyxla._transform.names import named_scope as named_scope
from cyxla._transform.precompile import precompile as precompile
from cyxla._transform.shapes import ShapeDtypeStruct as ShapeDtypeStruct
from cyxla._transform.shapes import eval_shape as eval_shape
from cyxla._transform.shapes import make_jaxpr as make_jaxpr
from cyxla._transform.transfer import block_until_ready as block_until_ready
from cyxla._transform.transfer import copy_to_host_async as copy_to_host_async
from cyxla._transform.transfer import device_get as device_get
from cyxla._transform.transfer import device_put as device_put
from cyxla._transform.vmap import vmap as vmap

__version__ = "0.1.0"
__version_info__ = (0, 1, 0)

remat = checkpoint
jacobian = jacrev

# Modules that are loaded when they are first asked for.
_LAZY = {
    "ad_checkpoint",
    "api_util",
    "core",
    "custom_derivatives",
    "debug",
    "dlpack",
    "experimental",
    "extend",
    "ffi",
    "flatten_util",
    "interpreters",
    "nn",
    "ops",
    "random",
    "scipy",
    "sharding",
    "stages",
    "typing",
}


def __getattr__(name):
    import importlib

    if name in _LAZY:
        return importlib.import_module(f"cyxla.{name}")
    if name == "Device":
        from cyxla._runtime.backend import device_class

        return device_class()
    raise AttributeError(f"module 'cyxla' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_LAZY, "Device"})
