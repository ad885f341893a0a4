"""Derivatives that the user gives: `custom_jvp`, `custom_vjp` and what their rules are written with."""

from cyxla._transform.closure import closure_convert as closure_convert
from cyxla._transform.custom import CustomVJPPrimal as CustomVJPPrimal
from cyxla._transform.custom import SymbolicZero as SymbolicZero
from cyxla._transform.custom import custom_gradient as custom_gradient
from cyxla._transform.custom import custom_jvp as custom_jvp
from cyxla._transform.custom import custom_jvp_call_p as custom_jvp_call_p
from cyxla._transform.custom import custom_vjp as custom_vjp
from cyxla._transform.custom import custom_vjp_call_p as custom_vjp_call_p
from cyxla._transform.custom import custom_vjp_primal_tree_values as custom_vjp_primal_tree_values
from cyxla._transform.custom import zero_from_primal as zero_from_primal
from cyxla._transform.linear_call import linear_call as linear_call
