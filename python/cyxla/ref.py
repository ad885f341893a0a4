"""Mutable arrays: references that programs read and overwrite, inside and outside of transformed functions."""

from cyxla._engine.aval import AbstractRef as AbstractRef
from cyxla.lax.refs.functions import addupdate as addupdate
from cyxla.lax.refs.functions import empty_ref as empty_ref
from cyxla.lax.refs.functions import free_ref as free_ref
from cyxla.lax.refs.functions import freeze as freeze
from cyxla.lax.refs.functions import get as get
from cyxla.lax.refs.functions import new_ref as new_ref
from cyxla.lax.refs.functions import set as set
from cyxla.lax.refs.functions import swap as swap
from cyxla.lax.refs.reference import Ref as Ref

__all__ = ["AbstractRef", "Ref", "addupdate", "empty_ref", "free_ref", "freeze", "get", "new_ref", "set", "swap"]
