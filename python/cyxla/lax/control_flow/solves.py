"""`custom_linear_solve`: solutions of linear systems, differentiated by solving again, not through the solver."""

from typing import NamedTuple

from cyxla import lax
from cyxla._engine.autodiff import instantiate_zeros, jvp_flat
from cyxla._engine.core import ClosedJaxpr, Primitive, Zero, aval_to_tangent, eval_jaxpr
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._transform.jaxprs import batch_arguments, batch_jaxpr, move_batch_axis, transpose_jaxpr
from cyxla.lax.control_flow.common import is_zero, split_list, to_arrays, trace_body


class Solvers(NamedTuple):
    """The functions of a system as jaxprs, each with its own constants ahead of a vector; None where not given."""

    matvec: ClosedJaxpr
    vecmat: ClosedJaxpr | None
    solve: ClosedJaxpr
    transpose_solve: ClosedJaxpr | None


def _counts(solvers, num_b):
    """How many constants each function has."""
    return [0 if s is None else len(s.in_avals) - num_b for s in solvers]


def _abstract(*avals, solvers, num_b):
    return solvers.solve.out_avals


def _run(*args, solvers, num_b):
    n = _counts(solvers, num_b)
    _, _, consts, _, b = split_list(args, *n)
    return eval_jaxpr(solvers.solve.jaxpr, solvers.solve.consts, consts + b)


def _jvp(primals, tangents, *, solvers, num_b):
    n = _counts(solvers, num_b)
    outs = linear_solve_p.bind(*primals, solvers=solvers, num_b=num_b)
    x = outs[:num_b]
    matvec_consts = split_list(primals, *n)[0]
    matvec_dots, _, _, _, b_dots = split_list(tangents, *n)
    # From A x = b follows A dx = db - dA x.
    right = [instantiate_zeros(t) for t in b_dots]
    if not all(is_zero(t) for t in matvec_dots):

        def at_x(consts):
            return eval_jaxpr(solvers.matvec.jaxpr, solvers.matvec.consts, [*consts, *x])

        _, changes = jvp_flat(at_x, matvec_consts, [None if is_zero(t) else t for t in matvec_dots])
        right = [r if c is None else lax.sub(r, c) for r, c in zip(right, changes)]
    dx = linear_solve_p.bind(*primals[: len(primals) - num_b], *right, solvers=solvers, num_b=num_b)[:num_b]
    aux = [Zero(aval_to_tangent(o.aval)) for o in outs[num_b:]]
    return outs, dx + aux


def _transpose(cotangents, *args, solvers, num_b):
    if solvers.transpose_solve is None:
        raise TypeError(
            "custom_linear_solve: grad and vjp need transpose_solve, a solver of the transposed system; or pass "
            "symmetric=True"
        )
    n = _counts(solvers, num_b)
    matvec, vecmat, solve, transpose_solve, _ = split_list(args, *n)
    swapped = Solvers(solvers.vecmat, solvers.matvec, solvers.transpose_solve, solvers.solve)
    cts = [instantiate_zeros(ct) for ct in cotangents[:num_b]]
    outs = linear_solve_p.bind(*vecmat, *matvec, *transpose_solve, *solve, *cts, solvers=swapped, num_b=num_b)
    return [None] * sum(n) + outs[:num_b]


def _batch(axis, args, dims, *, solvers, num_b):
    n = _counts(solvers, num_b)
    args, batched = batch_arguments(args, dims)
    *consts, b = split_list(args, *n)
    *const_flags, _ = split_list(batched, *n)
    b = [v if d is not None else move_batch_axis(v, None, axis.size) for v, d in zip(b, dims[len(dims) - num_b :])]
    new = Solvers(
        *[
            None if s is None else batch_jaxpr(s, axis, [*flags, *[True] * num_b], True)[0]
            for s, flags in zip(solvers, const_flags)
        ]
    )
    outs = linear_solve_p.bind(*[c for group in consts for c in group], *b, solvers=new, num_b=num_b)
    return outs, [0] * len(outs)


def _lower(ctx, *names, solvers, num_b):
    _, _, consts, _, b = split_list(names, *_counts(solvers, num_b))
    return ctx.inline(solvers.solve, consts + b)


linear_solve_p = Primitive(
    "custom_linear_solve",
    abstract=_abstract,
    impl=_run,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    batch_needs_axis=True,
    lower=_lower,
    multiple_results=True,
)


def custom_linear_solve(matvec, b, solve, transpose_solve=None, symmetric=False, has_aux=False):
    """The solution x of `matvec(x) = b`, computed by `solve(matvec, b)`, with derivatives by further solves.

    `matvec` is linear, `b` a pytree of arrays and x has its structure. `transpose_solve(vecmat, b)` solves the
    transposed system and is needed for reverse mode; `symmetric=True` takes `solve` for it. With `has_aux`, the
    solvers return `(x, auxiliary data)`.

    Raises TypeError where `matvec` or a solver changes the structure, ValueError where it changes shapes or returns
    another number of arrays.

    >>> import cyxla.numpy as jnp
    >>> from cyxla import lax
    >>> lax.custom_linear_solve(lambda x: 2.0 * x, jnp.ones(2), lambda matvec, b: b / 2.0, symmetric=True)
    Array([0.5, 0.5], dtype=float32)
    """
    leaves, tree = tree_flatten(b)
    leaves = to_arrays(leaves, "custom_linear_solve")
    avals = [x.aval for x in leaves]
    in_tree = tree_flatten((b,))[1]

    def traced(fun, what):
        closed, consts, out_tree = trace_body(fun, in_tree, avals, "custom_linear_solve")
        found = out_tree
        if has_aux and what != "matvec":
            if len(out_tree.children()) != 2:
                raise ValueError(
                    f"custom_linear_solve: with has_aux=True, {what} must return (solution, auxiliary data), it "
                    f"returned {out_tree}"
                )
            found = out_tree.children()[0]
        if found.num_leaves != tree.num_leaves:
            raise ValueError(
                f"custom_linear_solve: {what} must return as many arrays as b has, {tree}; it returned {out_tree}"
            )
        if found != tree:
            raise TypeError(
                f"custom_linear_solve: {what} must return what has the structure of b, {tree}; it returned {out_tree}"
            )
        for got, aval in zip(closed.out_avals, avals):
            if got.shape != aval.shape:
                raise ValueError(
                    f"custom_linear_solve: {what} must keep the shapes of b; an array {aval.str_short()} became "
                    f"{got.str_short()}"
                )
        return closed, consts, out_tree

    matvec_jaxpr, matvec_consts, _ = traced(matvec, "matvec")
    solve_jaxpr, solve_consts, out_tree = traced(lambda v: solve(matvec, v), "solve")
    vecmat_jaxpr, vecmat_consts, back, back_consts = None, [], None, []
    if symmetric:
        vecmat_jaxpr, vecmat_consts, back, back_consts = matvec_jaxpr, matvec_consts, solve_jaxpr, solve_consts
    elif transpose_solve is not None:
        n = len(matvec_consts)
        transposed, present = transpose_jaxpr(matvec_jaxpr, [False] * n + [True] * len(leaves), [True] * len(leaves))
        if not all(present):
            raise TypeError("custom_linear_solve: the result of matvec does not depend on all of its argument")
        vecmat_jaxpr, vecmat_consts = transposed, matvec_consts

        def vecmat(v):
            values = tree_flatten(v)[0]
            return tree_unflatten(tree, eval_jaxpr(transposed.jaxpr, transposed.consts, [*matvec_consts, *values]))

        back, back_consts, _ = traced(lambda v: transpose_solve(vecmat, v), "transpose_solve")
    outs = linear_solve_p.bind(
        *matvec_consts,
        *vecmat_consts,
        *solve_consts,
        *back_consts,
        *leaves,
        solvers=Solvers(matvec_jaxpr, vecmat_jaxpr, solve_jaxpr, back),
        num_b=len(leaves),
    )
    return tree_unflatten(out_tree, outs)
