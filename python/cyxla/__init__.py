"""Cyxla: jit, grad, vmap and pmap over a NumPy-like API, compiled by XLA, on an engine in Cython and C++."""

from cyxla import _wiring as _wiring  # isort: skip
from cyxla import errors as errors
from cyxla import lax as lax
from cyxla._engine.array import Array as Array
from cyxla._transform.jit import jit as jit
from cyxla._transform.jit import clear_caches as clear_caches
from cyxla._transform.shapes import ShapeDtypeStruct as ShapeDtypeStruct
from cyxla._transform.shapes import eval_shape as eval_shape
from cyxla._transform.shapes import make_jaxpr as make_jaxpr
