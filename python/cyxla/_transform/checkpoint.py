"""`checkpoint` (also `remat`): intermediate values are computed again for the backward pass instead of being kept.

The primal call keeps nothing but its arguments. Its derivative is one linear equation, `remat_linear`, that holds those
arguments; its transpose runs the function again, with residuals, and then backward.
"""

import functools

from cyxla._engine.array import asarray, is_arraylike
from cyxla._engine.boundary import api_boundary
from cyxla._engine.core import ClosedJaxpr, Jaxpr, Primitive, Zero, eval_jaxpr, is_undefined_primal
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._engine.staging import trace_flat
from cyxla._transform import operations
from cyxla._transform.arguments import DebugInfo, check_result, function_name
from cyxla._transform.jaxprs import (
    batch_arguments,
    batch_jaxpr,
    jvp_jaxpr,
    linearize_jaxpr,
    move_batch_axis,
    spread,
    transpose_jaxpr,
)
from cyxla._transform.jit import jit_p


def _jvp(primals, tangents, *, jaxpr, **params):
    forward, out_nonzeros = jvp_jaxpr(jaxpr, [type(t) is not Zero for t in tangents])
    outs = remat_p.bind(*primals, *[t for t in tangents if type(t) is not Zero], jaxpr=forward, **params)
    n = len(jaxpr.out_avals)
    return outs[:n], spread(outs[n:], out_nonzeros)


def _linearize(primals, tangents, *, jaxpr, **params):
    nonzeros = tuple(type(t) is not Zero for t in tangents)
    outs = remat_p.bind(*primals, jaxpr=jaxpr, **params)
    _, out_nonzeros = jvp_jaxpr(jaxpr, nonzeros)
    active = [t for t in tangents if type(t) is not Zero]
    dots = remat_linear_p.bind(*primals, *active, jaxpr=jaxpr, nonzeros=nonzeros, **params) if any(out_nonzeros) else []
    return outs, spread(dots, out_nonzeros)


def _batch(axis, args, dims, *, jaxpr, **params):
    args, batched = batch_arguments(args, dims)
    closed, out_batched = batch_jaxpr(jaxpr, axis, batched)
    return remat_p.bind(*args, jaxpr=closed, **params), [0 if b else None for b in out_batched]


def _transpose(cotangents, *args, jaxpr, **params):
    linear = [is_undefined_primal(a) for a in args]
    transposed, nonzeros = transpose_jaxpr(jaxpr, linear, [type(ct) is not Zero for ct in cotangents])
    known = [a for a in args if not is_undefined_primal(a)]
    outs = remat_p.bind(*known, *[ct for ct in cotangents if type(ct) is not Zero], jaxpr=transposed, **params)
    found = iter(spread(outs, nonzeros))
    return [next(found) if is_linear else None for is_linear in linear]


remat_p = Primitive(
    "remat2",
    abstract=lambda *avals, jaxpr, **params: jaxpr.out_avals,
    impl=lambda *args, jaxpr, **params: eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, args),
    jvp=_jvp,
    linearize=_linearize,
    transpose=_transpose,
    batch=_batch,
    batch_needs_axis=True,
    lower=lambda ctx, *names, jaxpr, **params: ctx.inline(jaxpr, names),
    multiple_results=True,
    effects=lambda *, jaxpr, **params: jaxpr.effects,
)


# -- the linear program of a checkpointed call


def _tangent_program(jaxpr, nonzeros):
    """(primals, active tangents) -> tangents of the results, as a jaxpr."""
    key = ("remat tangents", nonzeros)
    found = jaxpr.derived.get(key)
    if found is None:
        forward, _ = jvp_jaxpr(jaxpr, nonzeros)
        n = len(jaxpr.out_avals)
        inner = forward.jaxpr
        program = Jaxpr(inner.constvars, inner.invars, inner.outvars[n:], inner.eqns)
        found = jaxpr.derived[key] = ClosedJaxpr(program, forward.consts)
    return found


def _linear_impl(*args, jaxpr, nonzeros, **params):
    program = _tangent_program(jaxpr, nonzeros)
    return eval_jaxpr(program.jaxpr, program.consts, args)


def _linear_jvp(primals, tangents, *, jaxpr, nonzeros, **params):
    program = _tangent_program(jaxpr, nonzeros)
    forward, out_nonzeros = jvp_jaxpr(program, [type(t) is not Zero for t in tangents])
    outs = jit_p.bind(*primals, *[t for t in tangents if type(t) is not Zero], jaxpr=forward, name="checkpoint")
    n = len(program.out_avals)
    return outs[:n], spread(outs[n:], out_nonzeros)


def _linear_transpose(cotangents, *args, jaxpr, nonzeros, prevent_cse, **params):
    lax = operations.lax

    n = len(jaxpr.in_avals)
    primals = list(args[:n])
    if prevent_cse:
        # Without the barrier XLA would recognize the computation of the forward pass and keep its values after all.
        primals = list(lax.optimization_barrier(tuple(primals)))
    split = linearize_jaxpr(jaxpr, nonzeros)
    outs = jit_p.bind(*primals, jaxpr=split.primal, name="checkpoint")
    residuals = split.residuals(primals, outs)
    active = iter(cotangents)
    cts = [next(active) for nonzero in split.out_nonzeros if nonzero]
    linear = [False] * len(residuals) + [True] * sum(nonzeros)
    transposed, ct_present = transpose_jaxpr(split.linear, linear, [type(ct) is not Zero for ct in cts])
    found = jit_p.bind(*residuals, *[ct for ct in cts if type(ct) is not Zero], jaxpr=transposed, name="checkpoint")
    return [None] * n + spread(found, ct_present)


def _linear_batch(axis, args, dims, *, jaxpr, nonzeros, **params):
    args = [move_batch_axis(a, d, axis.size) for a, d in zip(args, dims)]
    closed, _ = batch_jaxpr(jaxpr, axis, [True] * len(jaxpr.in_avals), True)
    outs = remat_linear_p.bind(*args, jaxpr=closed, nonzeros=nonzeros, **params)
    return outs, [0] * len(outs)


remat_linear_p = Primitive(
    "remat_linear",
    abstract=lambda *avals, jaxpr, nonzeros, **params: _tangent_program(jaxpr, nonzeros).out_avals,
    impl=_linear_impl,
    jvp=_linear_jvp,
    transpose=_linear_transpose,
    batch=_linear_batch,
    batch_needs_axis=True,
    lower=lambda ctx, *names, jaxpr, nonzeros, **params: ctx.inline(_tangent_program(jaxpr, nonzeros), names),
    multiple_results=True,
)


def checkpoint(fun=None, *, prevent_cse=True, policy=None, static_argnums=()):
    """A function whose intermediate values are computed again when it is differentiated in reverse mode.

    Takes less memory and more time. `static_argnums` are arguments that are not arrays; `prevent_cse=False` is for
    functions used inside `scan`, where XLA cannot undo the recomputation anyway.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.grad(cyxla.checkpoint(lambda x: jnp.sin(jnp.sin(x))))(1.0)
    Array(0.36003..., dtype=float32, weak_type=True)
    """
    if fun is None:
        return functools.partial(checkpoint, prevent_cse=prevent_cse, policy=policy, static_argnums=static_argnums)
    if not callable(fun):
        raise TypeError(f"checkpoint takes a function, got {fun!r:.200}")
    if policy is not None:
        raise ValueError(
            f"checkpoint recomputes all intermediate values; the policy {policy!r} asks for some of them to be kept, "
            "which is not supported"
        )
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)

    @api_boundary
    @functools.wraps(fun)
    def checkpointed(*args, **kwargs):
        static = {i % len(args) for i in numbers} if args else set()
        dynamic = tuple(a for i, a in enumerate(args) if i not in static)
        leaves, in_tree = tree_flatten((dynamic, kwargs))
        for leaf in leaves:
            if not is_arraylike(leaf):
                raise TypeError(
                    f"{function_name(fun)} is checkpointed and was called with {leaf!r:.200} of type "
                    f"{type(leaf).__name__}: name arguments that are not arrays in static_argnums"
                )
        out_tree = None

        def flat(tracers):
            nonlocal out_tree
            traced, traced_kwargs = tree_unflatten(in_tree, tracers)
            rest = iter(traced)
            out = fun(*[a if i in static else next(rest) for i, a in enumerate(args)], **traced_kwargs)
            outs, out_tree = tree_flatten(out)
            for leaf in outs:
                check_result(leaf, out, function_name(fun))
            return outs

        arrays = [asarray(leaf) for leaf in leaves]
        jaxpr, consts = trace_flat(flat, [a.aval for a in arrays], DebugInfo("checkpoint", function_name(fun)))
        closed = ClosedJaxpr(Jaxpr([], jaxpr.constvars + jaxpr.invars, jaxpr.outvars, jaxpr.eqns), [])
        outs = remat_p.bind(
            *consts, *arrays, jaxpr=closed, prevent_cse=prevent_cse, differentiated=False, policy=policy
        )
        return tree_unflatten(out_tree, outs)

    return checkpointed


__all__ = ["checkpoint"]
