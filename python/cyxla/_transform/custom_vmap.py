"""Functions that say themselves what they are under `vmap`."""

import functools

from cyxla._engine.array import asarray
from cyxla._engine.autodiff import instantiate_zeros, jvp_flat
from cyxla._engine.batching import Axis
from cyxla._engine.boundary import api_boundary
from cyxla._engine.core import Primitive, Zero, aval_to_tangent, eval_jaxpr, get_trace
from cyxla._engine.dtypes import float0
from cyxla._engine.pytree import tree_flatten, tree_structure, tree_unflatten
from cyxla._transform import operations
from cyxla._transform.arguments import function_name
from cyxla._transform.custom import Staged, bind_arguments, evaluated
from cyxla._transform.jaxprs import batch_arguments, jvp_jaxpr, move_batch_axis, spread


def _batch(axis, args, dims, *, call, rule, in_tree, out_tree):
    args, batched = batch_arguments(args, dims)
    _, call_args = tree_unflatten(in_tree, args)
    consts_batched, args_batched = tree_unflatten(in_tree, batched)
    if any(consts_batched):
        raise ValueError(
            f"{function_name(rule)}: the function with this vmap rule closes over a mapped value, which the rule "
            "cannot see; pass the value as an argument"
        )
    result = rule(axis.size, list(args_batched), *call_args)
    if not (isinstance(result, tuple) and len(result) == 2):
        raise TypeError(
            f"the vmap rule {function_name(rule)} must return a pair (result, which of its leaves are batched), it "
            f"returned {result!r:.200}"
        )
    outs, tree = tree_flatten(result[0])
    if tree != out_tree:
        raise ValueError(
            f"the vmap rule {function_name(rule)} returned a result of structure {tree}, the function itself returns "
            f"{out_tree}"
        )
    flags, flags_tree = tree_flatten(result[1])
    if flags_tree != out_tree:
        raise ValueError(
            f"the vmap rule {function_name(rule)} must say for each leaf of its result whether it is batched: a bool "
            f"each, in the structure {out_tree}; it said {result[1]!r:.200}"
        )
    return [asarray(o) for o in outs], [0 if flag else None for flag in flags]


def _jvp(primals, tangents, *, call, rule, in_tree, out_tree):
    nonzeros = [type(t) is not Zero for t in tangents]
    wanted = tuple(aval_to_tangent(a).dtype != float0 for a in call.out_avals)
    closed, _ = jvp_jaxpr(call, nonzeros, wanted)
    active = [t for t in tangents if type(t) is not Zero]
    n = len(primals)

    def jvp_rule(axis_size, in_batched, *values):
        spread_flags = spread(in_batched[n:], nonzeros)
        flags = [bool(p or t) for p, t in zip(in_batched[:n], spread_flags)]

        def aligned(value, is_batched, flag):
            if value is None or is_batched or not flag:
                return value
            return move_batch_axis(asarray(value), None, axis_size)

        args = [aligned(v, b, f) for v, b, f in zip(values[:n], in_batched[:n], flags)]
        dots = [aligned(v, b, f) for v, b, f in zip(spread(values[n:], nonzeros), spread_flags, flags)]
        out_flags = []

        def ruled(leaves):
            outs, out_dims = _batch(
                Axis(axis_size),
                leaves,
                [0 if f else None for f in flags],
                call=call,
                rule=rule,
                in_tree=in_tree,
                out_tree=out_tree,
            )
            out_flags[:] = [d is not None for d in out_dims]
            return outs

        outs, out_dots = jvp_flat(ruled, args, dots)
        chosen = [
            instantiate_zeros(Zero(aval_to_tangent(o.aval))) if t is None else t
            for o, t, w in zip(outs, out_dots, wanted)
            if w
        ]
        return [*outs, *chosen], [*out_flags, *[f for f, w in zip(out_flags, wanted) if w]]

    flat_in = tree_structure(([], tuple([0] * (n + len(active)))))
    flat_out = tree_structure([0] * len(closed.out_avals))
    outs = custom_vmap_call_p.bind(*primals, *active, call=closed, rule=jvp_rule, in_tree=flat_in, out_tree=flat_out)
    return outs[: len(wanted)], spread(outs[len(wanted) :], wanted)


def _linearize(primals, tangents, *, rule, **params):
    raise ValueError(
        f"a function with the vmap rule {function_name(rule)} has forward derivatives only: the rule is for the "
        "function as a whole, not for what remains of it in reverse mode. Wrap it in a custom_vjp for that."
    )


custom_vmap_call_p = Primitive(
    "custom_vmap_call",
    abstract=lambda *avals, call, **params: call.out_avals,
    impl=lambda *args, call, **params: eval_jaxpr(call.jaxpr, call.consts, args),
    jvp=_jvp,
    linearize=_linearize,
    batch=_batch,
    batch_needs_axis=True,
    lower=lambda ctx, *names, call, **params: ctx.inline(call, names),
    multiple_results=True,
    effects=lambda *, call, **params: call.effects,
)


class custom_vmap:
    """A function whose vectorization is given by the user, with `def_vmap`.

    It has forward derivatives; those apply to the rule, too. Calling it raises AttributeError before it has a rule.

    >>> import cyxla, cyxla.numpy as jnp
    >>> from cyxla.custom_batching import custom_vmap
    >>> @custom_vmap
    ... def total(x):
    ...     return x.sum()
    >>> @total.def_vmap
    ... def rule(axis_size, in_batched, x):
    ...     print("batch of", axis_size)
    ...     return x.sum(1), True
    >>> cyxla.vmap(total)(jnp.ones((2, 3)))
    batch of 2
    Array([3., 3.], dtype=float32)
    """

    def __init__(self, fun):
        functools.update_wrapper(self, fun)
        self.fun = fun
        self.vmap_rule = None

    def def_vmap(self, vmap_rule):
        """Sets the rule `vmap_rule(axis_size, in_batched, *args) -> (result, out_batched)`; returns it.

        `in_batched` has a bool for each leaf of each argument; batched ones have the batch axis in front. The result
        has the structure of the function's, and `out_batched` has it too, with a bool for each leaf.
        """
        self.vmap_rule = vmap_rule
        return vmap_rule

    @api_boundary
    def __call__(self, *args, **kwargs):
        if self.vmap_rule is None:
            raise AttributeError(f"{function_name(self.fun)} has no vmap rule yet: give it one with its def_vmap")
        args = bind_arguments(self.fun, args, kwargs)
        if get_trace() is None:
            return evaluated(self.fun, args, ())
        staged = Staged(self.fun, args, (), "custom_vmap")
        structure = tree_structure((staged.consts, tree_unflatten(staged.in_tree, staged.leaves)))
        outs = custom_vmap_call_p.bind(
            *staged.consts,
            *staged.leaves,
            call=staged.closed,
            rule=self.vmap_rule,
            in_tree=structure,
            out_tree=staged.out_tree,
        )
        return tree_unflatten(staged.out_tree, outs)


def sequential_vmap(f):
    """A function that `vmap` applies to one member after the other, as by `lax.map`, instead of to whole batches.

    >>> import cyxla, cyxla.numpy as jnp
    >>> from cyxla.custom_batching import sequential_vmap
    >>> cyxla.vmap(sequential_vmap(lambda x: x.sum()))(jnp.ones((2, 3)))
    Array([3., 3.], dtype=float32)
    """
    mapped = custom_vmap(f)

    @mapped.def_vmap
    def rule(axis_size, in_batched, *args):
        leaves, tree = tree_flatten(args)
        flags = tree_flatten(tuple(in_batched))[0]

        def member(batched):
            return mapped(
                *tree_unflatten(tree, [a if b is None else b for a, b in zip(leaves, spread(batched, flags))])
            )

        out = operations.lax.map(member, [a for a, flag in zip(leaves, flags) if flag])
        return out, tree_unflatten(tree_structure(out), [True] * tree_structure(out).num_leaves)

    return mapped
