"""The primitives of the library, each as `NAME_p`."""

import importlib

from cyxla import lax
from cyxla._engine.core import all_primitives
from cyxla.extend.core import CallPrimitive

call_p = CallPrimitive("call")
closed_call_p = CallPrimitive("closed_call")

# Where the name of a primitive, as jaxprs print it, is not that of its variable.
_PRINTED = {
    "add_jaxvals": "add_any",
    "empty2": "empty",
    "linear_solve": "custom_linear_solve",
    "remat": "remat2",
    "scatter_add": "scatter-add",
    "scatter_max": "scatter-max",
    "scatter_min": "scatter-min",
    "scatter_mul": "scatter-mul",
    "scatter_sub": "scatter-sub",
}
# Modules with primitives, besides those of `lax`, that importing the library may not have loaded.
_MODULES = (
    "cyxla.lax.linalg",
    "cyxla.lax.refs",
    "cyxla.random",
    "cyxla.scipy.special",
    "cyxla._transform.callbacks",
    "cyxla._transform.checkpoint",
    "cyxla._transform.custom",
    "cyxla._transform.custom_vmap",
    "cyxla._transform.linear_call",
    "cyxla.debug",
)


def _by_name():
    for module in (*(f"cyxla.lax.{family}" for family in lax._LATER), *_MODULES):
        importlib.import_module(module)
    names = {printed: variable for variable, printed in _PRINTED.items()}
    return {f"{names.get(name, name)}_p": primitive for name, primitive in all_primitives().items()}


def __getattr__(name):
    if name.endswith("_p"):
        found = all_primitives().get(_PRINTED.get(name[:-2], name[:-2])) or _by_name().get(name)
        if found is not None:
            return found
    raise AttributeError(f"module 'cyxla.extend.core.primitives' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_by_name()})
