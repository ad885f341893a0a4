"""Transformations of whole jaxprs, for the primitives that hold jaxprs (jit, control flow, custom derivatives).

Each result is kept with the jaxpr it came from (`ClosedJaxpr.derived`), so it is computed once and dies with it.
"""

from typing import NamedTuple

from cyxla._engine.array import ArrayImpl, with_aval
from cyxla._engine.autodiff import backward_pass, instantiate_zeros, jvp_flat, linearize_flat
from cyxla._engine.batching import Axis, batch_flat
from cyxla._engine.core import (
    ClosedJaxpr,
    Jaxpr,
    Literal,
    Tracer,
    UndefinedPrimal,
    Var,
    Zero,
    aval_to_tangent,
    eval_jaxpr,
)
from cyxla._engine.staging import trace_flat
from cyxla._transform import operations


def trace_to_jaxpr(fun, avals, debug_info=None):
    """The closed jaxpr of `fun(list of arrays) -> list of arrays`. Its constants may be tracers of outer traces."""
    return ClosedJaxpr(*trace_flat(fun, avals, debug_info))


def bind_equation(eqn, operands):
    """The list of the results of an equation, bound to its primitive again."""
    outs = eqn.primitive.bind(*operands, **eqn.params)
    return outs if eqn.primitive.multiple_results else [outs]


def interpret(jaxpr, consts, args, apply, of_literal=lambda array: array):
    """The results of a jaxpr, where `apply(eqn, operands)` gives the list of those of each equation.

    What stands for an array is for `apply` to say; `of_literal(array)` does for a literal.
    """
    env = dict(zip(jaxpr.constvars, consts))
    env.update(zip(jaxpr.invars, args))

    def read(atom):
        return of_literal(atom.val) if type(atom) is Literal else env[atom]

    for eqn in jaxpr.eqns:
        env.update(zip(eqn.outvars, apply(eqn, [read(atom) for atom in eqn.invars])))
    return [read(atom) for atom in jaxpr.outvars]


def lift_constants(closed):
    """The jaxpr with its constants as leading arguments, and those constants."""
    jaxpr = closed.jaxpr
    if not jaxpr.constvars:
        return closed, []
    lifted = Jaxpr([], jaxpr.constvars + jaxpr.invars, jaxpr.outvars, jaxpr.eqns, debug_info=jaxpr.debug_info)
    return ClosedJaxpr(lifted, []), closed.consts


def hoist(closed):
    """The jaxpr with those constants as leading arguments that are no concrete arrays, and these constants.

    They come from rules of the user's that close over references, or over values of a transformation under way.
    """
    outer = [not isinstance(c, ArrayImpl) for c in closed.consts]
    if not any(outer):
        return closed, []
    found = closed.derived.get("hoist")
    if found is not None:
        return found
    jaxpr = closed.jaxpr
    moved = [v for v, o in zip(jaxpr.constvars, outer) if o]
    kept = [v for v, o in zip(jaxpr.constvars, outer) if not o]
    lifted = Jaxpr(kept, moved + jaxpr.invars, jaxpr.outvars, jaxpr.eqns, debug_info=jaxpr.debug_info)
    consts = [c for c, o in zip(closed.consts, outer) if not o]
    result = closed.derived["hoist"] = ClosedJaxpr(lifted, consts), [c for c, o in zip(closed.consts, outer) if o]
    return result


def keep(table, key, value, *jaxprs):
    """Remembers what was derived of a jaxpr, unless some of it belongs to a transformation under way; returns it."""
    if not any(isinstance(c, Tracer) for closed in jaxprs for c in closed.consts):
        table[key] = value
    return value


def _evaluate(closed):
    return lambda args: eval_jaxpr(closed.jaxpr, closed.consts, args)


def _zeros(aval):
    return instantiate_zeros(Zero(aval_to_tangent(aval)))


def jvp_jaxpr(closed, nonzeros, instantiate=False):
    """Forward mode: `(primals, tangents of the active arguments) -> (results, their tangents)`.

    `nonzeros` says which arguments have tangents. Tangents that are zero are left out of the results, except where
    `instantiate` (a bool, or one an output) asks for them. Returns the jaxpr and which results have tangents.
    """
    nonzeros = tuple(nonzeros)
    n_out = len(closed.jaxpr.outvars)
    instantiate = (instantiate,) * n_out if isinstance(instantiate, bool) else tuple(instantiate)
    key = ("jvp", nonzeros, instantiate)
    found = closed.derived.get(key)
    if found is not None:
        return found
    avals = closed.in_avals
    out_nonzeros = []

    def jvp(args):
        primals, active = args[: len(avals)], iter(args[len(avals) :])
        tangents = [next(active) if nonzero else None for nonzero in nonzeros]
        outs, out_tangents = jvp_flat(_evaluate(closed), primals, tangents)
        out_tangents = [
            _zeros(v.aval) if t is None and wanted else t
            for t, wanted, v in zip(out_tangents, instantiate, closed.jaxpr.outvars)
        ]
        out_nonzeros[:] = [t is not None for t in out_tangents]
        return outs + [t for t in out_tangents if t is not None]

    tangent_avals = [aval_to_tangent(a) for a, nonzero in zip(avals, nonzeros) if nonzero]
    result = closed.derived[key] = trace_to_jaxpr(jvp, avals + tangent_avals), tuple(out_nonzeros)
    return result


class Linearized(NamedTuple):
    """A jaxpr split into what evaluates it and what is linear in its tangents.

    `primal`: arguments -> results, then new residuals. `linear`: residuals, then tangents of the active arguments ->
    tangents of the results that have one. `sources` says where each residual is found: `("in", i)` among the arguments,
    `("out", j)` among the outputs of `primal`.
    """

    primal: ClosedJaxpr
    linear: ClosedJaxpr
    sources: tuple
    num_outs: int
    out_nonzeros: tuple

    def residuals(self, args, primal_outs):
        return [args[i] if where == "in" else primal_outs[i] for where, i in self.sources]


def linearize_jaxpr(closed, nonzeros):
    """Splits a jaxpr into a primal and a linear program; see `Linearized`."""
    nonzeros = tuple(nonzeros)
    key = ("linearize", nonzeros)
    found = closed.derived.get(key)
    if found is not None:
        return found
    program = None
    num_outs = len(closed.jaxpr.outvars)

    def primal(args):
        nonlocal program
        outs, program = linearize_flat(_evaluate(closed), args, list(nonzeros), True)
        program.prune(num_outs)
        return outs + [c for c in program.consts if isinstance(c, Tracer)]

    primal_closed = trace_to_jaxpr(primal, closed.in_avals)
    jaxpr = primal_closed.jaxpr
    place = {}
    for i, var in enumerate(jaxpr.invars):
        place[var] = ("in", i)
    for j, var in enumerate(jaxpr.outvars[:num_outs]):
        if type(var) is Var:
            place.setdefault(var, ("out", j))
    outvars = list(jaxpr.outvars[:num_outs])
    sources, residual_vars = [], []
    known_vars, known = [], []
    traced = iter(jaxpr.outvars[num_outs:])
    for var, value in zip(program.constvars, program.consts):
        if not isinstance(value, Tracer):
            known_vars.append(var)
            known.append(value)
            continue
        source = next(traced)
        if type(source) is not Var or source not in place:
            if type(source) is Var:
                place[source] = ("out", len(outvars))
                sources.append(place[source])
            else:
                sources.append(("out", len(outvars)))
            outvars.append(source)
        else:
            sources.append(place[source])
        residual_vars.append(var)
    primal_closed = ClosedJaxpr(Jaxpr(jaxpr.constvars, jaxpr.invars, outvars, jaxpr.eqns), primal_closed.consts)
    linear = Jaxpr(
        known_vars,
        residual_vars + program.invars,
        [v for v in program.outvars if v is not None],
        program.prelude + program.eqns,
    )
    result = closed.derived[key] = Linearized(
        primal_closed,
        ClosedJaxpr(linear, known),
        tuple(sources),
        num_outs,
        tuple(v is not None for v in program.outvars),
    )
    return result


def transpose_jaxpr(closed, linear, ct_nonzeros):
    """The transpose of a jaxpr that is linear in the arguments marked in `linear`.

    Returns a jaxpr `(other arguments, cotangents of the results marked in ct_nonzeros) -> cotangents`, and which of the
    linear arguments have a cotangent.
    """
    linear, ct_nonzeros = tuple(linear), tuple(ct_nonzeros)
    key = ("transpose", linear, ct_nonzeros)
    found = closed.derived.get(key)
    if found is not None:
        return found
    avals = closed.in_avals
    known_avals = [a for a, is_linear in zip(avals, linear) if not is_linear]
    nonzero_out = []

    def transposed(args):
        known, cts = iter(args[: len(known_avals)]), iter(args[len(known_avals) :])
        operands = [UndefinedPrimal(a) if is_linear else next(known) for a, is_linear in zip(avals, linear)]
        cotangents = [next(cts) if nonzero else None for nonzero in ct_nonzeros]
        results = backward_pass(closed.jaxpr, closed.consts, operands, cotangents)
        results = [ct for ct, is_linear in zip(results, linear) if is_linear]
        nonzero_out[:] = [ct is not None for ct in results]
        return [ct for ct in results if ct is not None]

    ct_avals = [aval_to_tangent(a) for a, nonzero in zip(closed.out_avals, ct_nonzeros) if nonzero]
    result = trace_to_jaxpr(transposed, known_avals + ct_avals), tuple(nonzero_out)
    return keep(closed.derived, key, result, result[0])


def batch_jaxpr(closed, axis, batched, instantiate=False):
    """A jaxpr that applies another to batches; batch axes are axis 0, of the arguments marked in `batched`.

    Results are batched where they depend on batched arguments or where `instantiate` (a bool, or one an output) asks.
    Returns the jaxpr and which results are batched.
    """
    batched = tuple(batched)
    n_out = len(closed.jaxpr.outvars)
    instantiate = (instantiate,) * n_out if isinstance(instantiate, bool) else tuple(instantiate)
    key = ("batch", axis.size, axis.name, axis.spmd_name, batched, instantiate)
    found = closed.derived.get(key)
    if found is not None:
        return found
    out_batched = []

    def batch(args):
        dims = [0 if b else None for b in batched]
        outs, out_dims = batch_flat(_evaluate(closed), axis, args, dims)
        out_batched[:] = [d is not None or wanted for d, wanted in zip(out_dims, instantiate)]
        return [
            move_batch_axis(out, d, axis.size) if d is not None or wanted else out
            for out, d, wanted in zip(outs, out_dims, instantiate)
        ]

    avals = [aval.update(shape=(axis.size, *aval.shape)) if b else aval for aval, b in zip(closed.in_avals, batched)]
    result = closed.derived[key] = trace_to_jaxpr(batch, avals), tuple(out_batched)
    return result


def move_batch_axis(value, dim, size, to=0):
    """A batched value with its batch axis at `to`; a value that is not batched (dim None) is repeated."""
    lax = operations.lax

    if dim is None:
        shape = list(value.shape)
        shape.insert(to, size)
        return lax.broadcast_in_dim(value, tuple(shape), tuple(i for i in range(len(shape)) if i != to))
    if dim == to:
        return value
    order = [i for i in range(value.ndim) if i != dim]
    order.insert(to, dim)
    return lax.transpose(value, tuple(order))


def with_weakness(array, weak):
    """The array, weakly typed or not."""
    if isinstance(array, ArrayImpl):
        return with_aval(array, array.aval.update(weak_type=weak))
    return operations.lax.convert_element_type_p.bind(array, new_dtype=array.dtype, weak_type=weak, sharding=None)


def spread(values, present):
    """A list with a value, taken in turn, for every true flag, and None for the others."""
    values = iter(values)
    return [next(values) if p else None for p in present]


def batch_arguments(args, dims):
    """Operands with their batch axes moved to the front, and which of them are batched."""
    moved = [a if d is None else move_batch_axis(a, d, None) for a, d in zip(args, dims)]
    return moved, tuple(d is not None for d in dims)


__all__ = [
    "Axis",
    "Linearized",
    "batch_arguments",
    "batch_jaxpr",
    "hoist",
    "jvp_jaxpr",
    "keep",
    "lift_constants",
    "linearize_jaxpr",
    "move_batch_axis",
    "spread",
    "trace_to_jaxpr",
    "transpose_jaxpr",
]
