"""`checkpoint` (also `remat`): intermediate values are computed again for the backward pass instead of being kept.

The primal call keeps nothing but its arguments. Its derivative is one linear equation, `remat_linear`, that holds those
arguments; its transpose runs the function again, with residuals, and then backward.
"""

import functools

from cyxla._engine.array import asarray, is_arraylike, typeof
from cyxla._engine.boundary import api_boundary
from cyxla._engine.core import ClosedJaxpr, Jaxpr, Primitive, Zero, aval_to_tangent, eval_jaxpr, is_undefined_primal
from cyxla._engine.dtypes import float0
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._engine.staging import dce_jaxpr, trace_flat
from cyxla._transform.arguments import DebugInfo, argument_path, check_result, function_name
from cyxla._transform.checkpoint_policies import split_by_policy
from cyxla._transform.jaxprs import (
    batch_arguments,
    batch_jaxpr,
    hoist,
    jvp_jaxpr,
    keep,
    linearize_jaxpr,
    move_batch_axis,
    spread,
    trace_to_jaxpr,
    transpose_jaxpr,
)
from cyxla._transform.jit import jit_p, resolve_names
from cyxla._transform.references import batch_by_values, batches_elsewhere, is_reference
from cyxla._transform.remembered import remembered


def _jvp(primals, tangents, *, jaxpr, **params):
    forward, out_nonzeros = jvp_jaxpr(jaxpr, [type(t) is not Zero for t in tangents])
    outs = remat_p.bind(*primals, *[t for t in tangents if type(t) is not Zero], jaxpr=forward, **params)
    n = len(jaxpr.out_avals)
    return outs[:n], spread(outs[n:], out_nonzeros)


def _linearize(primals, tangents, *, jaxpr, prevent_cse, policy, **params):
    if any(map(is_reference, primals)):
        raise ValueError(
            "a function under checkpoint uses a reference from outside and is being differentiated: it would be read "
            "and written a second time, for the backward pass. Make the reference inside, or read it before the call"
        )
    nonzeros = tuple(type(t) is not Zero for t in tangents)
    n, kept = len(jaxpr.out_avals), 0
    again = jaxpr
    if policy is not None:
        jaxpr, again, kept = split_by_policy(jaxpr, policy)
    outs = remat_p.bind(*primals, jaxpr=jaxpr, prevent_cse=prevent_cse, policy=None, **params)
    nonzeros += (False,) * kept
    out_nonzeros = linearize_jaxpr(again, nonzeros).out_nonzeros
    dots = []
    if any(out_nonzeros):
        active = [t for t in tangents if type(t) is not Zero]
        operands = [*primals, *outs[n:], *active]
        dots = remat_linear_p.bind(*operands, jaxpr=again, nonzeros=nonzeros, prevent_cse=prevent_cse)
    return outs[:n], spread(dots, out_nonzeros)


def _batch(axis, args, dims, *, jaxpr, **params):
    if batches_elsewhere(args, dims):
        return batch_by_values(remat_p, axis, args, dims, {"jaxpr": jaxpr, **params})
    args, batched = batch_arguments(args, dims)
    closed, out_batched = batch_jaxpr(jaxpr, axis, batched)
    return remat_p.bind(*args, jaxpr=closed, **params), [0 if b else None for b in out_batched]


def _transpose(cotangents, *args, jaxpr, **params):
    linear = [is_undefined_primal(a) for a in args]
    transposed, nonzeros = transpose_jaxpr(jaxpr, linear, [type(ct) is not Zero for ct in cotangents])
    known = [a for a in args if not is_undefined_primal(a)]
    transposed, outer = hoist(transposed)
    outs = remat_p.bind(*outer, *known, *[ct for ct in cotangents if type(ct) is not Zero], jaxpr=transposed, **params)
    found = iter(spread(outs, nonzeros))
    return [next(found) if is_linear else None for is_linear in linear]


def _lower(ctx, *names, jaxpr, prevent_cse, differentiated, **params):
    if prevent_cse and differentiated and names:
        # Without the barrier XLA would recognize the computation of the forward pass and keep its values after all.
        types = ", ".join(aval.mlir for aval in ctx.avals_in)
        outs = ctx.op(f"stablehlo.optimization_barrier {', '.join(names)} : {types}", len(names))
        names = [outs] if len(names) == 1 else outs
    return ctx.inline(jaxpr, names)


remat_p = Primitive(
    "remat2",
    abstract=lambda *avals, jaxpr, **params: jaxpr.out_avals,
    impl=lambda *args, jaxpr, **params: eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, args),
    jvp=_jvp,
    linearize=_linearize,
    transpose=_transpose,
    batch=_batch,
    batch_needs_axis=True,
    lower=_lower,
    multiple_results=True,
    effects=lambda *, jaxpr, **params: jaxpr.effects,
)


# -- the linear program of a checkpointed call


def _tangent_program(jaxpr, nonzeros):
    """(primals, active tangents) -> tangents of the results, as a jaxpr."""
    key = ("remat tangents", nonzeros)
    found = jaxpr.derived.get(key)
    if found is None:
        split = linearize_jaxpr(jaxpr, nonzeros)
        n = len(jaxpr.in_avals)

        def program(args):
            outs = eval_jaxpr(split.primal.jaxpr, split.primal.consts, args[:n])
            residuals = split.residuals(args[:n], outs)
            return eval_jaxpr(split.linear.jaxpr, split.linear.consts, residuals + args[n:])

        active = [aval_to_tangent(a) for a, nonzero in zip(jaxpr.in_avals, nonzeros) if nonzero]
        found = jaxpr.derived[key] = trace_to_jaxpr(program, jaxpr.in_avals + active)
    return found


def _linear_abstract(*avals, jaxpr, nonzeros, **params):
    wanted = linearize_jaxpr(jaxpr, nonzeros).out_nonzeros
    return [aval_to_tangent(a) for a, nonzero in zip(jaxpr.out_avals, wanted) if nonzero]


def _linear_impl(*args, jaxpr, nonzeros, **params):
    program = _tangent_program(jaxpr, nonzeros)
    return eval_jaxpr(program.jaxpr, program.consts, args)


def _linear_jvp(primals, tangents, *, jaxpr, nonzeros, **params):
    program = _tangent_program(jaxpr, nonzeros)
    forward, out_nonzeros = jvp_jaxpr(program, [type(t) is not Zero for t in tangents])
    outs = jit_p.bind(*primals, *[t for t in tangents if type(t) is not Zero], jaxpr=forward, name="checkpoint")
    n = len(program.out_avals)
    return outs[:n], spread(outs[n:], out_nonzeros)


def _linear_transpose(cotangents, *args, jaxpr, nonzeros, prevent_cse):
    n = len(jaxpr.in_avals)
    ct_nonzeros = tuple(type(ct) is not Zero for ct in cotangents)
    program, present = _transposed_program(jaxpr, nonzeros, ct_nonzeros)
    active = [ct for ct in cotangents if type(ct) is not Zero]
    program, outer = hoist(program)
    found = remat_p.bind(
        *outer, *args[:n], *active, jaxpr=program, prevent_cse=prevent_cse, differentiated=True, policy=None
    )
    return [None] * n + spread(found, present)


def _transposed_program(jaxpr, nonzeros, ct_nonzeros):
    """(primals, cotangents that are not zero) -> cotangents of the active arguments; and which of those there are."""
    key = ("remat transpose", nonzeros, ct_nonzeros)
    found = jaxpr.derived.get(key)
    if found is None:
        split = linearize_jaxpr(jaxpr, nonzeros)
        n, n_residuals = len(jaxpr.in_avals), len(split.sources)
        linear = [False] * n_residuals + [True] * sum(nonzeros)
        transposed, present = transpose_jaxpr(split.linear, linear, ct_nonzeros)

        def program(args):
            outs = eval_jaxpr(split.primal.jaxpr, split.primal.consts, args[:n])
            residuals = split.residuals(args[:n], outs)
            return eval_jaxpr(transposed.jaxpr, transposed.consts, residuals + args[n:])

        closed = trace_to_jaxpr(program, jaxpr.in_avals + transposed.in_avals[n_residuals:])
        # Results that only the next layer needed are not computed again.
        needed, _ = dce_jaxpr(closed.jaxpr, [True] * len(closed.out_avals), True)
        found = keep(jaxpr.derived, key, (ClosedJaxpr(needed, closed.consts), present), closed)
    return found


def _linear_batch(axis, args, dims, *, jaxpr, nonzeros, **params):
    args = [move_batch_axis(a, d, axis.size) for a, d in zip(args, dims)]
    closed, _ = batch_jaxpr(jaxpr, axis, [True] * len(jaxpr.in_avals), True)
    outs = remat_linear_p.bind(*args, jaxpr=closed, nonzeros=nonzeros, **params)
    return outs, [0] * len(outs)


remat_linear_p = Primitive(
    "remat_linear",
    abstract=_linear_abstract,
    impl=_linear_impl,
    jvp=_linear_jvp,
    transpose=_linear_transpose,
    batch=_linear_batch,
    batch_needs_axis=True,
    lower=lambda ctx, *names, jaxpr, nonzeros, **params: ctx.inline(_tangent_program(jaxpr, nonzeros), names),
    multiple_results=True,
)


def checkpoint(fun=None, *, prevent_cse=True, policy=None, static_argnums=(), static_argnames=()):
    """A function whose intermediate values are computed again when it is differentiated in reverse mode.

    Takes less memory and more time. `policy` is one of `cyxla.checkpoint_policies`, or a function
    `(primitive, *avals, **params) -> bool` that says which equations' results are kept nevertheless. `static_argnums`
    and `static_argnames` are arguments that are not arrays; `prevent_cse=False` is for functions used inside `scan`,
    where XLA cannot undo the recomputation anyway.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.grad(cyxla.checkpoint(lambda x: jnp.sin(jnp.sin(x))))(1.0)
    Array(0.36003..., dtype=float32, weak_type=True)
    """
    if fun is None:
        options = {k: v for k, v in locals().items() if k != "fun"}
        return functools.partial(checkpoint, **options)
    if not callable(fun):
        raise TypeError(f"checkpoint takes a function, got {fun!r:.200}")
    if policy is not None and not callable(policy):
        raise TypeError(f"the policy of a checkpoint is a function of an equation, got {policy!r:.200}")
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    numbers, names = resolve_names(fun, numbers, names)

    @api_boundary
    @functools.wraps(fun)
    def checkpointed(*args, **kwargs):
        static = {i % len(args) for i in numbers if -len(args) <= i < len(args)} if args else set()
        dynamic = tuple(a for i, a in enumerate(args) if i not in static)
        named = {k: v for k, v in kwargs.items() if k in names}
        kwargs = {k: v for k, v in kwargs.items() if k not in names}
        leaves, in_tree = tree_flatten((dynamic, kwargs))
        for leaf in leaves:
            if not is_arraylike(leaf):
                raise TypeError(
                    f"{function_name(fun)} is checkpointed and was called with {leaf!r:.200} of type "
                    f"{type(leaf).__name__}: name arguments that are not arrays in static_argnums"
                )
        arrays = [asarray(leaf) for leaf in leaves]
        avals = tuple(a.aval for a in arrays)

        def call(call_args, call_kwargs):
            rest = iter(call_args)
            return fun(*[a if i in static else next(rest) for i, a in enumerate(args)], **call_kwargs, **named)

        static_key = tuple((i, type(args[i]), args[i]) for i in sorted(static))
        named_key = tuple((k, type(v), v) for k, v in sorted(named.items()))
        key = ("checkpoint", avals, static_key, named_key)
        values = [v for *_, v in (*static_key, *named_key)]
        closed, consts, out_tree = remembered(
            fun, in_tree, key, lambda: _trace(call, function_name(fun), in_tree, avals), values
        )
        outs = remat_p.bind(
            *consts, *arrays, jaxpr=closed, prevent_cse=prevent_cse, differentiated=False, policy=policy
        )
        return tree_unflatten(out_tree, outs)

    return checkpointed


remat = checkpoint


def _trace(call, name, in_tree, avals):
    """The jaxpr of a call, with its constants as leading arguments; the constants; the structure of the result."""
    out_tree = None

    def flat(tracers):
        nonlocal out_tree
        out = call(*tree_unflatten(in_tree, tracers))
        outs, out_tree = tree_flatten(out)
        for leaf in outs:
            check_result(leaf, out, name)
        return outs

    jaxpr, consts = trace_flat(flat, avals, DebugInfo("checkpoint", name))
    lifted = Jaxpr([], jaxpr.constvars + jaxpr.invars, jaxpr.outvars, jaxpr.eqns, debug_info=jaxpr.debug_info)
    return ClosedJaxpr(lifted, []), consts, out_tree


def print_saved_residuals(f, *args, **kwargs):
    """Prints the values that `f(*args, **kwargs)` keeps for its backward pass, and where they come from.

    >>> import cyxla, cyxla.numpy as jnp
    >>> from cyxla.ad_checkpoint import print_saved_residuals
    >>> print_saved_residuals(lambda x: x * 2.0 * x, 1.0)
    f32[] from the argument x
    f32[] output of mul from ...
    """
    leaves, in_tree = tree_flatten((args, kwargs))
    avals = [typeof(leaf) for leaf in leaves]
    closed, consts, _ = _trace(lambda a, k: f(*a, **k), function_name(f), in_tree, avals)
    inexact = [aval_to_tangent(a).dtype != float0 for a in avals]
    split = linearize_jaxpr(closed, [False] * len(consts) + inexact)
    kept = dict(zip(split.sources, split.linear.jaxpr.invars))
    for (where, i), var in sorted(kept.items(), key=lambda item: item[0]):
        aval = var.aval.str_short(short_dtypes=True)
        if where == "out":
            print(f"{aval} {_origin(split.primal.jaxpr, split.primal.jaxpr.outvars[i])}")
        elif i < len(consts):
            print(f"{aval} from a constant")
        else:
            print(f"{aval} from the argument {argument_path(f, in_tree, None, i - len(consts))}")


def _origin(jaxpr, atom):
    """Which equation of a jaxpr, or of a call in it, computes a value."""
    for eqn in jaxpr.eqns:
        for i, var in enumerate(eqn.outvars):
            if var is not atom:
                continue
            if eqn.primitive in (jit_p, remat_p):
                inner = eqn.params["jaxpr"].jaxpr
                return _origin(inner, inner.outvars[i])
            file, line, function = eqn.source or ("an unknown file", 0, "")
            return f"output of {eqn.primitive} from {file}:{line} ({function.rpartition('.')[2]})"
    return "from a constant or an argument of a call"


__all__ = ["checkpoint", "print_saved_residuals"]
