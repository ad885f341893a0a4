"""How a checkified program is evaluated: each equation with its checks, the state of the error passed along.

The state is a list of arrays: has a check failed, which one, and the payload (see `checkify.Layout`). Equations that
hold jaxprs get versions of these that take the state ahead of their operands and return it ahead of their results.
"""

import functools

import numpy as np

from cyxla import lax
from cyxla._core.dtypes import issubdtype
from cyxla._engine.array import asarray
from cyxla._engine.aval import ShapedArray
from cyxla._engine.core import ClosedJaxpr
from cyxla._transform.checkpoint import remat_p
from cyxla._transform.jaxprs import bind_equation, interpret, trace_to_jaxpr
from cyxla._transform.jit import jit_p
from cyxla.experimental.checkify import DivisionByZeroError, NaNError, OOBError, Site, check_p
from cyxla.lax.control_flow.common import split_list
from cyxla.lax.control_flow.cond import cond_p
from cyxla.lax.control_flow.loops import while_loop, while_p
from cyxla.lax.control_flow.scan import scan_p

_SCALAR_BOOL, _SCALAR_INT = ShapedArray((), np.bool_), ShapedArray((), np.int32)

# Operations that hand on what they get: a NaN in their result is not their doing.
_MOVES = {
    "abs", "approx_top_k", "argmax", "argmin", "argsort", "bitcast_convert_type", "broadcast_in_dim", "ceil", "clamp",
    "complex", "concatenate", "cond", "conj", "convert_element_type", "copy", "copy_p", "cummax", "cummin",
    "device_put", "dynamic_slice", "dynamic_update_slice", "expand_dims", "floor", "gather", "imag", "io_callback",
    "iota", "jit", "max", "min", "name", "neg", "nextafter", "optimization_barrier", "pad", "pure_callback", "real",
    "reduce_max", "reduce_min", "reduce_precision", "reduce_window_max", "reduce_window_min", "reshape", "rev",
    "round", "scan", "scatter", "select_n", "sign", "slice", "sort", "split", "square", "squeeze", "stack",
    "stop_gradient", "tile", "top_k", "transpose", "unstack", "while",
}  # fmt: skip


# Operations whose jaxpr says how two elements become one.
_COMBINES = {"reduce", "reduce_window", "scatter", "scatter-add", "scatter-mul", "scatter-sub", "select_and_scatter"}


# -- single equations: what is checked, and how


def _first(mask, values):
    """The value (int32) at the first true element of a mask."""
    flat = lax.reshape(mask, (mask.size,))
    values = lax.convert_element_type(lax.reshape(values, (values.size,)), np.int32)
    where = lax.argmax(flat, 0, np.int32)
    return lax.dynamic_index_in_dim(values, where, 0, keepdims=False)


def _any(mask):
    return lax.reduce_or(mask, tuple(range(mask.ndim)))


def _out_of_bounds(starts, limits):
    """Whether some start index is not within [0, limit], the first such index and the position of its axis.

    `starts` has the components of an index vector along its last axis, `limits` a bound for each.
    """
    n = len(limits)
    positions = lax.broadcasted_iota(np.int32, starts.shape, starts.ndim - 1)
    bounds = np.broadcast_to(np.array(limits, np.int64 if starts.dtype.itemsize == 8 else np.int32), starts.shape)
    if n == 0 or starts.size == 0:
        return lax.full((), False, np.bool_), [lax.full((), 0, np.int32)] * 2
    if starts.dtype.kind == "u":
        starts = lax.convert_element_type(starts, np.int32 if starts.dtype.itemsize < 8 else np.int64)
    # Bounds that a narrow index type cannot reach must not wrap around.
    starts = lax.convert_element_type(starts, bounds.dtype)
    mask = lax.bitwise_or(lax.lt(starts, lax.full_like(starts, 0)), lax.gt(starts, asarray(bounds)))
    return _any(mask), [_first(mask, starts), _first(mask, positions)]


def _gather_bounds(operands, params):
    operand, indices = operands
    numbers, sizes = params["dimension_numbers"], params["slice_sizes"]
    axes = numbers.start_index_map
    return _out_of_bounds(indices, [operand.shape[a] - sizes[a] for a in axes]), operand.shape, axes


def _scatter_bounds(operands, params):
    operand, indices, updates = operands
    numbers = params["dimension_numbers"]
    dropped = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    window = iter(numbers.update_window_dims)
    sizes = [1 if a in dropped else updates.shape[next(window)] for a in range(operand.ndim)]
    axes = numbers.scatter_dims_to_operand_dims
    return _out_of_bounds(indices, [operand.shape[a] - sizes[a] for a in axes]), operand.shape, axes


def _slice_bounds(operand, starts, sizes):
    if not starts:
        return _out_of_bounds(lax.full((0,), 0, np.int32), []), operand.shape, ()
    wide = np.int64 if any(s.dtype.itemsize == 8 for s in starts) else np.int32
    rows = [lax.reshape(lax.convert_element_type(s, wide), (1,)) for s in starts]
    axes = tuple(range(operand.ndim))
    vector = lax.concatenate(rows, 0)
    return _out_of_bounds(vector, [operand.shape[a] - sizes[a] for a in axes]), operand.shape, axes


_BOUNDS = {
    "gather": _gather_bounds,
    "dynamic_slice": lambda operands, params: _slice_bounds(operands[0], operands[1:], params["slice_sizes"]),
    "dynamic_update_slice": lambda operands, params: _slice_bounds(operands[0], operands[2:], operands[1].shape),
    **dict.fromkeys(
        ("scatter", "scatter_add", "scatter_sub", "scatter_mul", "scatter_min", "scatter_max", "scatter-add",
         "scatter-sub", "scatter-mul", "scatter-min", "scatter-max"),
        _scatter_bounds,
    ),
}  # fmt: skip


def _is_inexact(dtype):
    return not hasattr(dtype, "physical_shape") and issubdtype(dtype, np.inexact)


def _where(eqn):
    if eqn.source is None:
        return ""
    file, line, function = eqn.source
    return f", at {file}:{line} ({function.rpartition('.')[2]})"


def _codes(eqn, errors):
    """The codes of the failures of an equation of `check_p` that belong to these kinds of errors."""
    return [site.code for site, _ in eqn.params["metadata"] if site.category in errors]


def _own_sites(eqn, errors):
    """The checks to make at an equation itself, by category."""
    name, found = eqn.primitive.name, {}
    where = _where(eqn)
    if OOBError in errors and name in _BOUNDS:
        shape = eqn.invars[0].aval.shape
        if name == "gather":
            axes = eqn.params["dimension_numbers"].start_index_map
        elif name.startswith("scatter"):
            axes = eqn.params["dimension_numbers"].scatter_dims_to_operand_dims
        else:
            axes = tuple(range(len(shape)))

        def describe(index, position):
            axis = axes[int(position)]
            return (
                f"out-of-bounds index {int(index)} for axis {axis} of size {shape[axis]}, of an array of shape "
                f"{shape}{where}"
            )

        found[OOBError] = Site(OOBError, (_SCALAR_INT, _SCALAR_INT), describe)
    if DivisionByZeroError in errors and name == "div":
        found[DivisionByZeroError] = Site(DivisionByZeroError, (), lambda: f"division by zero{where}")
    if (
        NaNError in errors
        and name not in _MOVES
        and not _held(eqn)
        and any(_is_inexact(v.aval.dtype) for v in eqn.outvars)
    ):
        found[NaNError] = Site(NaNError, (), lambda: f"nan generated by primitive: {name}{where}")
    return found


# -- what a jaxpr checks


class _Plan:
    """The checks of a jaxpr: the sites of each equation, and of all equations in order.

    `evaluated` says that it cannot be run as it is: it has sites, or checks of the user's to leave out.
    """

    def __init__(self, closed, errors):
        self.own = {}
        self.sites = []
        self.evaluated = False
        for eqn in closed.jaxpr.eqns:
            if eqn.primitive is check_p:
                self.evaluated = True
                if _codes(eqn, errors):
                    self.sites.append((eqn.params["metadata"], tuple(v.aval for v in eqn.invars[2:])))
                continue
            inner = [_plan(jaxpr, errors) for jaxpr in _held(eqn)]
            if any(plan.evaluated for plan in inner):
                self.evaluated = True
                for plan in inner:
                    self.sites += plan.sites
            else:
                self.own[eqn] = _own_sites(eqn, errors)
                self.sites += [(((s, tuple(range(len(s.avals)))),), s.avals) for s in self.own[eqn].values()]
                self.evaluated |= bool(self.own[eqn])


def _plan(closed, errors):
    key = ("checks", errors)
    found = closed.derived.get(key)
    if found is None:
        found = closed.derived[key] = _Plan(closed, errors)
    return found


def collect(closed, errors):
    """The places at which a jaxpr makes checks: `(((site, places in the payload), ...), avals of the payload)`."""
    return _plan(closed, errors).sites


def _held(eqn):
    """The jaxprs in an equation's parameters that are run as a part of it."""
    found = []
    if eqn.primitive.name in _COMBINES:
        return found
    for value in eqn.params.values():
        for item in value if type(value) is tuple else (value,):
            if isinstance(item, ClosedJaxpr):
                found.append(item)
    return found


# -- the state


def initial_state(layout):
    """No error."""
    return [lax.full((), False, np.bool_), lax.full((), 0, np.int32)] + [
        lax.full(a.shape, 0, a.dtype) if not hasattr(a.dtype, "physical_shape") else lax.empty(a.shape, a.dtype)
        for a in layout.avals
    ]


def _record(state, layout, failed, code, payload):
    """The state after a check; the first failure is kept."""
    pred, old_code, *old = state
    new = lax.bitwise_and(failed, lax.bitwise_not(pred))
    old = list(old)
    for place, value in zip(layout.places([p.aval for p in payload]), payload):
        old[place] = lax.select(lax.broadcast_in_dim(new, value.shape, ()), lax.stop_gradient(value), old[place])
    return [lax.bitwise_or(pred, failed), lax.select(new, code, old_code), *old]


def _state_avals(layout):
    return [_SCALAR_BOOL, _SCALAR_INT, *layout.avals]


# -- evaluation


def evaluate(closed, errors, layout, state, args):
    """Evaluates a jaxpr and its checks: the state afterwards, and the results."""
    plan = _plan(closed, errors)

    def apply(eqn, operands):
        nonlocal state
        operands = [asarray(x) for x in operands]
        if eqn.primitive is check_p:
            pred, code, *payload = operands
            codes = _codes(eqn, errors)
            if codes:
                # Of the failures that another function's error may hold, those of the kinds that are asked for.
                if len(codes) < len(eqn.params["metadata"]):
                    asked = [lax.eq(code, asarray(np.int32(c))) for c in codes]
                    pred = lax.bitwise_and(pred, functools.reduce(lax.bitwise_or, asked))
                state = _record(state, layout, pred, code, payload)
            return []
        if eqn not in plan.own:
            state, outs = _evaluate_held(eqn, errors, layout, state, operands)
        else:
            state = _check_before(plan.own[eqn], eqn, layout, state, operands)
            outs = bind_equation(eqn, operands)
            state = _check_after(plan.own[eqn], layout, state, outs)
        return outs

    outs = interpret(closed.jaxpr, closed.consts, args, apply)
    return state, [asarray(x) for x in outs]


def _check_before(sites, eqn, layout, state, operands):
    site = sites.get(OOBError)
    if site is not None:
        (failed, payload), _, _ = _BOUNDS[eqn.primitive.name](operands, eqn.params)
        state = _record(state, layout, failed, asarray(np.int32(site.code)), payload)
    site = sites.get(DivisionByZeroError)
    if site is not None:
        divisor = operands[1]
        failed = _any(lax.eq(divisor, lax.full_like(divisor, 0)))
        state = _record(state, layout, failed, asarray(np.int32(site.code)), [])
    return state


def _check_after(sites, layout, state, outs):
    site = sites.get(NaNError)
    if site is not None:
        for out in outs:
            if _is_inexact(out.dtype):
                state = _record(state, layout, _any(lax.ne(out, out)), asarray(np.int32(site.code)), [])
    return state


def _checked(closed, errors, layout):
    """The jaxpr (state, arguments) -> (state, results)."""
    key = ("checked", errors, layout)
    found = closed.derived.get(key)
    if found is None:
        n = 2 + len(layout.avals)

        def run(args):
            state, outs = evaluate(closed, errors, layout, args[:n], args[n:])
            return state + outs

        found = closed.derived[key] = trace_to_jaxpr(run, _state_avals(layout) + list(closed.in_avals))
    return found


def _evaluate_held(eqn, errors, layout, state, operands):
    """An equation whose jaxprs make checks."""
    primitive, params, n = eqn.primitive, eqn.params, len(state)
    if primitive is jit_p or primitive is remat_p:
        params = {k: v for k, v in params.items() if k != "donated_invars"}
        outs = primitive.bind(*state, *operands, **{**params, "jaxpr": _checked(params["jaxpr"], errors, layout)})
        return outs[:n], outs[n:]
    if primitive is cond_p:
        branches = tuple(_checked(branch, errors, layout) for branch in params["branches"])
        outs = cond_p.bind(operands[0], *state, *operands[1:], **{**params, "branches": branches})
        return outs[:n], outs[n:]
    if primitive is scan_p:
        return _scan(errors, layout, state, operands, **params)
    if primitive is while_p:
        return _while(errors, layout, state, operands, **params)
    # Calls with rules of their own for derivatives and the like: what they do is what counts here.
    [closed] = _held(eqn)[:1]
    return evaluate(closed, errors, layout, state, operands)


def _scan(errors, layout, state, operands, *, jaxpr, num_consts, num_carry, linear, **params):
    n = len(state)
    key = ("checked scan", errors, layout, num_consts)
    body = jaxpr.derived.get(key)
    if body is None:
        consts, rest = split_list(jaxpr.in_avals, num_consts)

        def step(args):
            consts, state, rest = split_list(args, num_consts, n)
            state, outs = evaluate(jaxpr, errors, layout, state, consts + rest)
            return state + outs

        body = jaxpr.derived[key] = trace_to_jaxpr(step, consts + _state_avals(layout) + rest)
    consts, rest = split_list(operands, num_consts)
    outs = scan_p.bind(
        *consts, *state, *rest, jaxpr=body, num_consts=num_consts, num_carry=num_carry + n,
        linear=(False,) * (len(operands) + n), **params,
    )  # fmt: skip
    return outs[:n], outs[n:]


def _while(errors, layout, state, operands, *, cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts):
    cond_consts, body_consts, init = split_list(operands, cond_nconsts, body_nconsts)

    def test(state, values):
        state, (go_on,) = evaluate(cond_jaxpr, errors, layout, state, cond_consts + values)
        return go_on, state, values

    def step(carry):
        _, state, values = carry
        return test(*evaluate(body_jaxpr, errors, layout, state, body_consts + values))

    _, state, values = while_loop(lambda carry: carry[0], step, test(state, init))
    return state, values
