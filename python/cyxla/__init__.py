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
from cyxla._core.later import later as _later
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

__version__ = "0.1.0"
__version_info__ = (0, 1, 0)

# Loaded when they are first asked for.
_LATER = {
    "_runtime.callbacks": "effects_barrier",
    "_runtime.xla": "Device",
    "_transform.caches": "cache_info clear_caches",
    "_transform.callbacks": "pure_callback",
    "_transform.checkpoint": "checkpoint remat",
    "_transform.checkpoint_policies": "checkpoint_policies",
    "_transform.closure": "closure_convert",
    "_transform.compile_time": "ensure_compile_time_eval",
    "_transform.custom": "custom_gradient custom_jvp custom_vjp",
    "_transform.explain": "explain",
    "_transform.grad": "fwd_and_bwd grad hessian jacfwd jacobian jacrev jvp linear_transpose linearize "
    "value_and_grad vjp",
    "_transform.jit": "jit",
    "_transform.names": "named_call named_scope",
    "_transform.precompile": "precompile",
    "_transform.shapes": "eval_shape make_jaxpr ShapeDtypeStruct",
    "_transform.transfer": "block_until_ready copy_to_host_async device_get device_put",
    "_transform.vmap": "vmap",
    "lax.refs.functions": "empty_ref free_ref freeze new_ref",
    "lax.refs.reference": "Ref",
}
_MODULES = (
    "ad",
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
    "ref",
    "scipy",
    "sharding",
    "stages",
    "typing",
)
__getattr__, __dir__ = _later(__name__, _LATER, _MODULES)
