"""Mutable arrays: references, the primitives that read and write them, and their replacement by values."""

from cyxla.lax.refs import discharge as discharge
from cyxla.lax.refs.primitives import addupdate_p as addupdate_p
from cyxla.lax.refs.primitives import free_ref_p as free_ref_p
from cyxla.lax.refs.primitives import freeze_p as freeze_p
from cyxla.lax.refs.primitives import get_p as get_p
from cyxla.lax.refs.primitives import new_ref_p as new_ref_p
from cyxla.lax.refs.primitives import swap_p as swap_p
from cyxla.lax.refs.reference import Ref as Ref
