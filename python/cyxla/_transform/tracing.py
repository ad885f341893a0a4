"""Functions of pytrees as jaxprs, for what calls them later or transforms them."""

from cyxla._engine.core import ClosedJaxpr
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._engine.staging import trace_flat
from cyxla._transform.arguments import check_result
from cyxla._transform.jaxprs import lift_constants


def trace_tree(fun, in_tree, avals, name, debug_info=None):
    """The jaxpr of `fun(*args)`, its constants, and the structure of its result.

    `in_tree` is the structure of the tuple `args`, `name` what an error calls the function. Raises TypeError where a
    result is no array.
    """
    out_tree = None

    def flat(tracers):
        nonlocal out_tree
        out = fun(*tree_unflatten(in_tree, tracers))
        outs, out_tree = tree_flatten(out)
        for leaf in outs:
            check_result(leaf, out, name)
        return outs

    jaxpr, consts = trace_flat(flat, avals, debug_info)
    return jaxpr, consts, out_tree


def trace_lifted(fun, in_tree, avals, name, debug_info=None):
    """As `trace_tree`, with a closed jaxpr whose leading arguments are the constants."""
    jaxpr, consts, out_tree = trace_tree(fun, in_tree, avals, name, debug_info)
    closed, consts = lift_constants(ClosedJaxpr(jaxpr, consts))
    return closed, consts, out_tree


__all__ = ["trace_lifted", "trace_tree"]
