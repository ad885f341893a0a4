"""`closure_convert`: what a function closes over, as arguments; for custom derivatives of functions of functions."""

from cyxla._engine.core import Tracer, aval_to_tangent, eval_jaxpr
from cyxla._engine.dtypes import float0
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._transform.arguments import DebugInfo, function_name
from cyxla._transform.shapes import abstract
from cyxla._transform.tracing import trace_tree


def closure_convert(fun, *example_args):
    """A function that takes what `fun` closes over as further arguments, and the list of those values.

    Hoisted are the values that a transformation under way may differentiate with respect to; others stay part of the
    function. It is called as `converted(*args, *values)`, with arguments of the types of `example_args`.

    >>> import cyxla
    >>> def scaled(a):
    ...     f, values = cyxla.closure_convert(lambda x: a * x, 2.0)
    ...     return f(2.0, *values)
    >>> cyxla.grad(scaled)(3.0)
    Array(2., dtype=float32, weak_type=True)
    """
    if not callable(fun):
        raise TypeError(f"closure_convert takes a function, got {fun!r:.200}")
    leaves, in_tree = tree_flatten(example_args)
    avals = [abstract(leaf) for leaf in leaves]
    name = function_name(fun)
    jaxpr, consts, out_tree = trace_tree(fun, in_tree, avals, name, DebugInfo("closure_convert", name))
    is_hoisted = [isinstance(c, Tracer) and aval_to_tangent(c.aval).dtype != float0 for c in consts]
    n_hoisted = sum(is_hoisted)

    def converted(*args):
        split = len(args) - n_hoisted
        given = iter(args[split:])
        values = [next(given) if hoisted else c for c, hoisted in zip(consts, is_hoisted)]
        arg_leaves, arg_tree = tree_flatten(args[:split])
        if arg_tree != in_tree:
            raise TypeError(
                f"{name} was converted for arguments of structure {in_tree} and {n_hoisted} values that it closes "
                f"over; it was called with {arg_tree} before them"
            )
        return tree_unflatten(out_tree, eval_jaxpr(jaxpr, values, arg_leaves))

    converted.__name__ = name
    return converted, [c for c, hoisted in zip(consts, is_hoisted) if hoisted]
