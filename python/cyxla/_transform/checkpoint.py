"""`checkpoint` (also `remat`): intermediate values are computed again for the backward pass instead of being kept.

The primal call keeps nothing but its arguments, and what its policy says. Its derivative is one equation of the same
primitive that takes those and runs the function again; the transpose of that runs it again and then backward.
"""

import functools
from typing import NamedTuple

from cyxla._engine.array import asarray, is_arraylike, typeof
from cyxla._engine.boundary import api_boundary
from cyxla._engine.core import ClosedJaxpr, Literal, Primitive, Zero, aval_to_tangent, eval_jaxpr, is_undefined_primal
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._engine.staging import dce_jaxpr
from cyxla._transform.arguments import DebugInfo, argument_path, function_name
from cyxla._transform.checkpoint_policies import has_rules, nothing_saveable, rules_key, split_by_policy
from cyxla._transform.jaxprs import (
    batch_arguments,
    batch_jaxpr,
    hoist,
    jvp_jaxpr,
    keep,
    linearize_jaxpr,
    spread,
    trace_to_jaxpr,
    transpose_jaxpr,
)
from cyxla._transform.jit import jit_p, resolve_names
from cyxla._transform.references import (
    batch_by_values,
    batches_elsewhere,
    have_rules,
    is_reference,
    linearize_by_values,
    read_first,
)
from cyxla._transform.remembered import remembered
from cyxla._transform.tracing import trace_lifted


def _jvp(primals, tangents, *, jaxpr, **params):
    forward, out_nonzeros = jvp_jaxpr(jaxpr, [type(t) is not Zero for t in tangents])
    outs = remat_p.bind(*primals, *[t for t in tangents if type(t) is not Zero], jaxpr=forward, **params)
    n = len(jaxpr.out_avals)
    return outs[:n], spread(outs[n:], out_nonzeros)


def _linearize(primals, tangents, *, jaxpr, policy, differentiated, **params):
    # What is read of references is kept: others may have written to them when the backward pass comes.
    jaxpr, primals = read_first(jaxpr, primals, [type(t) is Zero for t in tangents])
    if any(map(is_reference, primals)) and not have_rules(jaxpr, primals):
        # Written once only. Rules that users gave are applied where the function is computed again, below.
        options = {"jaxpr": jaxpr, "policy": policy, "differentiated": differentiated, **params}
        return linearize_by_values(remat_p, primals, tangents, options)
    n = len(jaxpr.out_avals)
    split = _split(jaxpr, policy, tuple(type(t) is not Zero for t in tangents))
    outs = remat_p.bind(*primals, jaxpr=split.forward, policy=None, differentiated=differentiated, **params)
    dots = []
    if any(split.out_nonzeros):
        residuals = [x for x, needed in zip(primals, split.needed) if needed] + outs[n:]
        active = [t for t in tangents if type(t) is not Zero]
        dots = remat_p.bind(*residuals, *active, jaxpr=split.linear, policy=None, differentiated=True, **params)
    return outs[:n], spread(dots, split.out_nonzeros)


class _Split(NamedTuple):
    """A checkpointed program and its derivative.

    `forward`: arguments -> results, then the values that are kept for the derivative. `linear`: the arguments marked in
    `needed`, kept values, tangents of the active arguments -> tangents of the results marked in `out_nonzeros`.
    """

    forward: ClosedJaxpr
    linear: ClosedJaxpr
    needed: list
    out_nonzeros: tuple


def _split(jaxpr, policy, nonzeros):
    key = ("remat", policy, nonzeros, rules_key())
    found = jaxpr.derived.get(key)
    if found is not None:
        return found
    if policy is None and not has_rules(jaxpr):
        forward, again, n_kept = jaxpr, jaxpr, 0
    else:
        forward, again, n_kept = split_by_policy(jaxpr, policy or nothing_saveable)
    split = linearize_jaxpr(again, nonzeros + (False,) * n_kept)
    n_args, n = len(jaxpr.in_avals), len(again.in_avals)

    def program(args):
        outs = eval_jaxpr(split.primal.jaxpr, split.primal.consts, args[:n])
        residuals = split.residuals(args[:n], outs)
        return eval_jaxpr(split.linear.jaxpr, split.linear.consts, residuals + args[n:])

    active = [aval_to_tangent(a) for a, nonzero in zip(jaxpr.in_avals, nonzeros) if nonzero]
    closed = trace_to_jaxpr(program, again.in_avals + active)
    tangents = [False] * n + [True] * len(active)
    linear, used = dce_jaxpr(closed.jaxpr, [True] * len(closed.out_avals), tangents)
    # Of what the policy wants kept, that which the derivative does not need is not.
    wanted = [True] * len(jaxpr.out_avals) + used[n_args:n]
    needed_forward, _ = dce_jaxpr(forward.jaxpr, wanted, True)
    found = jaxpr.derived[key] = _Split(
        ClosedJaxpr(needed_forward, forward.consts),
        ClosedJaxpr(linear, closed.consts),
        used[:n_args],
        split.out_nonzeros,
    )
    return found


def _batch(axis, args, dims, *, jaxpr, **params):
    if batches_elsewhere(args, dims):
        return batch_by_values(remat_p, axis, args, dims, {"jaxpr": jaxpr, **params})
    args, batched = batch_arguments(args, dims)
    closed, out_batched = batch_jaxpr(jaxpr, axis, batched)
    return remat_p.bind(*args, jaxpr=closed, **params), [0 if b else None for b in out_batched]


def _transpose(cotangents, *args, jaxpr, **params):
    linear = tuple(is_undefined_primal(a) for a in args)
    program, nonzeros = _transposed(jaxpr, linear, tuple(type(ct) is not Zero for ct in cotangents))
    known = [a for a in args if not is_undefined_primal(a)]
    program, outer = hoist(program)
    cts = [ct for ct in cotangents if type(ct) is not Zero]
    outs = remat_p.bind(*outer, *known, *cts, jaxpr=program, **params)
    found = iter(spread(outs, nonzeros))
    return [next(found) if is_linear else None for is_linear in linear]


def _transposed(jaxpr, linear, ct_nonzeros):
    key = ("remat transpose", linear, ct_nonzeros)
    found = jaxpr.derived.get(key)
    if found is None:
        closed, nonzeros = transpose_jaxpr(jaxpr, linear, ct_nonzeros)
        # Results that only the next layer needed are not computed again.
        program, _ = dce_jaxpr(closed.jaxpr, [True] * len(closed.out_avals), True)
        found = keep(jaxpr.derived, key, (ClosedJaxpr(program, closed.consts), nonzeros), closed)
    return found


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
    return trace_lifted(call, in_tree, avals, name, DebugInfo("checkpoint", name))


def print_saved_residuals(f, *args, **kwargs):
    """Prints the values that `f(*args, **kwargs)` keeps for its backward pass, and where they come from.

    >>> import cyxla, cyxla.numpy as jnp
    >>> from cyxla.ad_checkpoint import print_saved_residuals
    >>> print_saved_residuals(lambda x: x * 2.0 * x, 1.0)
    f32[] from the argument x
    f32[] output of mul from ...
    """
    from cyxla._transform.grad import vjp

    leaves, in_tree = tree_flatten((args, kwargs))

    def call(*values):
        args, kwargs = tree_unflatten(in_tree, values)
        return f(*args, **kwargs)

    # Differentiated as it is traced, so that equations know the user's lines.
    closed = trace_to_jaxpr(lambda values: tree_flatten(vjp(call, *values)[1])[0], [typeof(leaf) for leaf in leaves])
    jaxpr = closed.jaxpr
    kept = dict.fromkeys(var for var in jaxpr.outvars if type(var) is not Literal)
    for var in jaxpr.constvars:
        if var in kept:
            _print(var, "from a constant")
    for i, var in enumerate(jaxpr.invars):
        if var in kept:
            _print(var, f"from the argument {argument_path(f, in_tree, None, i)}")
    for var in kept:
        if var not in jaxpr.constvars and var not in jaxpr.invars:
            _print(var, _origin(jaxpr, var))


def _print(var, origin):
    print(f"{var.aval.str_short(short_dtypes=True)} {origin}")


def _origin(jaxpr, atom):
    """Which equation of a jaxpr, or of a checkpointed call in it, computes a value."""
    for eqn in jaxpr.eqns:
        for i, var in enumerate(eqn.outvars):
            if var is not atom:
                continue
            if eqn.primitive is remat_p:
                inner = eqn.params["jaxpr"].jaxpr
                return _origin(inner, inner.outvars[i])
            what = f"output of {eqn.primitive}"
            if eqn.primitive is jit_p:
                what = f"output of the jitted function {eqn.params['name']}"
            elif eqn.primitive.name == "name":
                what = f"named {eqn.params['name']!r}"
            file, line, function = eqn.source or ("an unknown file", 0, "")
            return f"{what} from {file}:{line} ({function.rpartition('.')[2]})"
    return "from a constant"


__all__ = ["checkpoint", "print_saved_residuals"]
