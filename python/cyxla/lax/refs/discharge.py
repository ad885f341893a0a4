"""References replaced by values: a jaxpr that writes to references becomes one that returns their last content.

An evaluator of equations for which a reference is a `Cell`, the value it holds at this point of the program. Loops
carry these values round, conditionals return them. It runs when a program is compiled, and on the linear part of a
function before that is transposed; until then jaxprs have references.
"""

from cyxla._engine import autodiff, core
from cyxla._engine.array import MutableArray
from cyxla._engine.autodiff import instantiate_zeros
from cyxla._engine.aval import AbstractRef
from cyxla._engine.batching import batch_flat
from cyxla._engine.config import epoch
from cyxla._engine.core import ClosedJaxpr, Eqn, Jaxpr, Var, Zero, aval_to_tangent, eval_jaxpr
from cyxla._engine.dispatch import call_with_references
from cyxla._engine.staging import trace_unknown
from cyxla._transform import compile as compilation
from cyxla._transform import jit, references
from cyxla._transform.checkpoint import remat_p
from cyxla._transform.custom import custom_jvp_call_p, custom_vjp_call_p
from cyxla._transform.jaxprs import bind_equation, interpret, linearize_jaxpr, move_batch_axis, spread, trace_to_jaxpr
from cyxla.lax.control_flow.common import split_list
from cyxla.lax.control_flow.cond import cond_p
from cyxla.lax.control_flow.loops import while_loop, while_p
from cyxla.lax.control_flow.scan import scan_p
from cyxla.lax.refs import indexing
from cyxla.lax.refs.primitives import (
    DIRECT,
    addupdate_p,
    check_batched,
    check_differentiable,
    free_ref_p,
    freeze_p,
    get_p,
    new_ref_p,
    swap_p,
    with_type,
)


class Cell:
    """What a reference holds at a point of a program."""

    __slots__ = ("aval", "frozen", "value", "written")

    def __init__(self, value, aval):
        self.aval = aval
        self.value = with_type(value, aval)
        self.written = False
        self.frozen = False

    def get(self):
        if self.frozen:
            raise RuntimeError(
                f"a reference of type Ref{{{self.aval.str_short()}}} is used after freeze or free_ref ended its life; "
                "use the value that freeze returned"
            )
        return self.value

    def set(self, value):
        self.get()
        self.value = with_type(value, self.aval)
        self.written = True


# -- equations on references


def _new_ref(operands, params):
    (value,) = operands
    return [Cell(value, value.aval)]


def _get(operands, params):
    cell, *arrays = operands
    return [indexing.read(cell.get(), params["index"], arrays)]


def _swap(operands, params):
    cell, value, *arrays = operands
    index, held = params["index"], cell.get()
    old = indexing.read(held, index, arrays)
    cell.set(indexing.write(held, index, arrays, value))
    return [old]


def _addupdate(operands, params):
    cell, value, *arrays = operands
    cell.set(indexing.add(cell.get(), params["index"], arrays, value))
    return []


def _freeze(operands, params):
    (cell,) = operands
    value = cell.get()
    cell.frozen = True
    return [value]


def _free_ref(operands, params):
    _freeze(operands, params)
    return []


# -- equations that hold jaxprs


def _is_cell(x):
    return isinstance(x, Cell)


def _values(operands):
    return [x.get() if _is_cell(x) else x for x in operands]


def _store(operands, positions, values):
    for position, value in zip(positions, values):
        operands[position].set(value)


def _call(primitive):
    def rule(operands, params):
        pure, written = discharge_jaxpr(params["jaxpr"], tuple(map(_is_cell, operands)))
        n = len(params["jaxpr"].out_avals)
        options = {k: v for k, v in params.items() if k not in ("jaxpr", "donated_invars")}
        outs = primitive.bind(*_values(operands), jaxpr=pure, **options)
        _store(operands, written, outs[n:])
        return outs[:n]

    return rule


def _custom_call(primitive):
    def rule(operands, params):
        closed = params["call_jaxpr"]
        if any(map(_is_cell, operands)):
            # Differentiated before this, or never.
            return evaluate(closed.jaxpr, closed.consts, operands)
        pure, _ = discharge_jaxpr(closed, (False,) * len(operands))
        return primitive.bind(*operands, **{**params, "call_jaxpr": pure})

    return rule


def _cond(operands, params):
    index, *operands = operands
    branches = params["branches"]
    which = tuple(map(_is_cell, operands))
    written = sorted({i for branch in branches for i in discharge_jaxpr(branch, which)[1]})
    pure = tuple(discharge_jaxpr(branch, which, tuple(written))[0] for branch in branches)
    outs = cond_p.bind(index, *_values(operands), **{**params, "branches": pure})
    n = len(branches[0].out_avals)
    _store(operands, written, outs[n:])
    return outs[:n]


def _scan(operands, params):
    jaxpr, num_consts, num_carry = params["jaxpr"], params["num_consts"], params["num_carry"]
    which = tuple(map(_is_cell, operands))
    pure, written = discharge_jaxpr(jaxpr, which)
    body, order = _scan_body(pure, written, num_consts, num_carry, len(jaxpr.out_avals))
    values = _values(operands)
    n_written = sum(i < num_consts for i in written)
    outs = scan_p.bind(
        *[values[i] for i in order],
        **{
            **params,
            "jaxpr": body,
            "num_consts": num_consts - n_written,
            "num_carry": num_carry + n_written,
            "linear": (False,) * len(order),
        },
    )
    # The references among the constants are carried; of those that are scanned over, the last contents are stacked.
    carried, results, stacked = split_list(outs, n_written, len(jaxpr.out_avals))
    _store(operands, written, carried + stacked)
    return results


def _scan_body(pure, written, num_consts, num_carry, n_outs):
    """The body of the scan of values, and which operand of the scan of references each of its operands is."""
    written_consts = [i for i in written if i < num_consts]
    constants = [i for i in range(num_consts) if i not in written_consts]
    order = [*constants, *written_consts, *range(num_consts, len(pure.in_avals))]
    if not written_consts:
        return pure, order
    key = ("scan of references", num_consts, num_carry)
    found = pure.derived.get(key)
    if found is None:

        def step(args):
            given = dict(zip(order, args))
            outs = eval_jaxpr(pure.jaxpr, pure.consts, [given[i] for i in range(len(order))])
            results, finals = split_list(outs, n_outs)
            carried, stacked = split_list(finals, len(written_consts))
            return carried + results + stacked

        found = pure.derived[key] = trace_to_jaxpr(step, [pure.in_avals[i] for i in order])
    return found, order


def _while(operands, params):
    test, body = params["cond_jaxpr"], params["body_jaxpr"]
    of_test, of_body, init = split_list(operands, params["cond_nconsts"], params["body_nconsts"])
    unwritten = (False,) * len(init)
    pure_test, test_writes = discharge_jaxpr(test, (*map(_is_cell, of_test), *unwritten))
    pure_body, body_writes = discharge_jaxpr(body, (*map(_is_cell, of_body), *unwritten))
    # One reference may be an operand of both.
    cells = list({id(c): c for c in [of_test[i] for i in test_writes] + [of_body[i] for i in body_writes]}.values())
    place = {id(cell): i for i, cell in enumerate(cells)}

    def run(pure, writes, consts, contents, carry):
        args = [contents[place[id(c)]] if id(c) in place else c.get() if _is_cell(c) else c for c in consts]
        outs = eval_jaxpr(pure.jaxpr, pure.consts, args + carry)
        contents = list(contents)
        n = len(outs) - len(writes)
        for position, value in zip(writes, outs[n:]):
            contents[place[id(consts[position])]] = value
        return outs[:n], contents

    def tested(contents, carry):
        (pred,), contents = run(pure_test, test_writes, of_test, contents, carry)
        return pred, contents

    def step(state):
        _, contents, carry = state
        carry, contents = run(pure_body, body_writes, of_body, contents, carry)
        pred, contents = tested(contents, carry) if test_writes else (None, contents)
        return pred, contents, carry

    start = [c.get() for c in cells]
    # A test that writes is made after each step, so that what it writes goes round.
    pred, start = tested(start, init) if test_writes else (None, start)
    test_fun = (lambda state: state[0]) if test_writes else (lambda state: tested(state[1], state[2])[0])
    _, contents, outs = while_loop(test_fun, step, (pred, start, init))
    _store(cells, range(len(cells)), contents)
    return [with_type(out, aval) for out, aval in zip(outs, body.out_avals)]


RULES = {
    new_ref_p: _new_ref,
    get_p: _get,
    swap_p: _swap,
    addupdate_p: _addupdate,
    freeze_p: _freeze,
    free_ref_p: _free_ref,
    jit.jit_p: _call(jit.jit_p),
    remat_p: _call(remat_p),
    custom_jvp_call_p: _custom_call(custom_jvp_call_p),
    custom_vjp_call_p: _custom_call(custom_vjp_call_p),
    cond_p: _cond,
    scan_p: _scan,
    while_p: _while,
}


# -- whole jaxprs


def has_references(effects):
    """Whether a program with these effects makes or uses references."""
    return any(getattr(effect, "of_references", False) for effect in effects)


def _is_concerned(eqn, operands):
    if eqn.primitive is new_ref_p or any(map(_is_cell, operands)):
        return True
    # An operation on a reference that stays one is none of ours.
    return eqn.primitive not in DIRECT and eqn.primitive.effects is not None and has_references(eqn.effects)


def _apply(eqn, operands):
    if not _is_concerned(eqn, operands):
        return bind_equation(eqn, operands)
    rule = RULES.get(eqn.primitive)
    if rule is None:
        raise TypeError(
            f"{eqn.primitive.name} takes or makes references, and there is no rule that makes values of them: "
            "pass it what the reference holds, ref[...]"
        )
    return rule(operands, eqn.params)


def evaluate(jaxpr, consts, args):
    """The results of a jaxpr; a reference is a `Cell`, or stays what it is."""
    return interpret(jaxpr, consts, args, _apply)


def discharge_jaxpr(closed, which, wanted=None):
    """A jaxpr without the references among its arguments marked in `which`, and those that it makes.

    It takes the contents of the former, and returns behind its results the last contents of those it writes to, or of
    those `wanted` (their positions among the arguments). Returns it and these positions.
    """
    key = ("discharge", which, wanted)
    found = closed.derived.get(key)
    if found is not None:
        return found
    positions = ()

    def pure(args):
        nonlocal positions
        avals = closed.in_avals
        args = [Cell(x, aval.inner_aval) if marked else x for x, aval, marked in zip(args, avals, which)]
        outs = evaluate(closed.jaxpr, closed.consts, args)
        positions = wanted
        if positions is None:
            positions = tuple(i for i, marked in enumerate(which) if marked and args[i].written)
        return outs + [args[i].value for i in positions]

    avals = [aval.inner_aval if marked else aval for aval, marked in zip(closed.in_avals, which)]
    result = trace_to_jaxpr(pure, avals, closed.jaxpr.debug_info), positions
    closed.derived[key] = result
    return result


def without_references(closed):
    """The jaxpr without the references that it makes itself."""
    return discharge_jaxpr(closed, (False,) * len(closed.in_avals))[0]


def discharge_linear(jaxpr, consts):
    """A linear jaxpr without references to what is linear, as `trace_unknown` returns it.

    References among its constants stay: what is linear is not written to them.
    """

    def pure(args):
        cells = [Cell(x, v.aval.inner_aval) if type(v.aval) is AbstractRef else x for x, v in zip(args, jaxpr.invars)]
        return evaluate(jaxpr, consts, cells)

    avals = [v.aval.inner_aval if type(v.aval) is AbstractRef else v.aval for v in jaxpr.invars]
    return trace_unknown(pure, avals)


# -- equations whose references cannot be followed


def _as_values(primitive, avals, params):
    """One equation, of operands of these types, as a jaxpr of contents; and which operands it writes to."""
    invars = [Var(aval) for aval in avals]
    outvars = [Var(aval) for aval in primitive.abstract(*avals, **params)]
    closed = ClosedJaxpr(Jaxpr([], invars, outvars, [Eqn(primitive, invars, outvars, params)]), [])
    return discharge_jaxpr(closed, tuple(type(aval) is AbstractRef for aval in avals))


def _contents(x):
    return get_p.bind(x, index=()) if references.is_reference(x) else x


def _batch_by_values(primitive, axis, args, dims, params):
    avals = [
        x.aval if dim is None else x.aval.update(shape=x.shape[:dim] + x.shape[dim + 1 :]) for x, dim in zip(args, dims)
    ]
    pure, written = _as_values(primitive, avals, params)
    outs, out_dims = batch_flat(
        lambda values: eval_jaxpr(pure.jaxpr, pure.consts, values), axis, [_contents(x) for x in args], list(dims)
    )
    n = len(outs) - len(written)
    for position, out, out_dim in zip(written, outs[n:], out_dims[n:]):
        check_batched(args[position], dims[position], primitive.name)
        swap_p.bind(args[position], move_batch_axis(out, out_dim, axis.size, dims[position]), index=())
    return outs[:n], out_dims[:n]


def _linearize_by_values(primitive, primals, tangents, params):
    pure, written = _as_values(primitive, [x.aval for x in primals], params)
    values = [_contents(x) for x in primals]
    dots = [t if type(t) is Zero else _contents(t) for t in tangents]
    split = linearize_jaxpr(pure, [type(t) is not Zero for t in dots])
    outs = eval_jaxpr(split.primal.jaxpr, split.primal.consts, values)
    active = [t for t in dots if type(t) is not Zero]
    linear = eval_jaxpr(split.linear.jaxpr, split.linear.consts, split.residuals(values, outs) + active)
    out_dots = spread(linear, split.out_nonzeros)
    n = split.num_outs - len(written)
    for position, value, dot in zip(written, outs[n:], out_dots[n:]):
        swap_p.bind(primals[position], value, index=())
        if type(tangents[position]) is not Zero:
            aval = aval_to_tangent(value.aval)
            swap_p.bind(
                tangents[position], with_type(instantiate_zeros(Zero(aval) if dot is None else dot), aval), index=()
            )
        elif dot is not None:
            check_differentiable(primals[position], dot, primitive.name)
    return outs[:n], out_dots[:n]


def _inner_variables(eqn, i):
    """Where jaxprs of an equation take its operand i: pairs of jaxpr and variable. None where that is not known."""
    params = eqn.params
    if eqn.primitive in (jit.jit_p, remat_p, scan_p):
        return [(inner := params["jaxpr"].jaxpr, inner.invars[i])]
    if eqn.primitive is cond_p:
        return [(branch.jaxpr, branch.jaxpr.invars[i - 1]) for branch in params["branches"]]
    if eqn.primitive is while_p:
        test, body, n = params["cond_jaxpr"].jaxpr, params["body_jaxpr"].jaxpr, params["cond_nconsts"]
        return [(test, test.invars[i])] if i < n else [(body, body.invars[i - n])]
    return None


def _uses(jaxpr, var):
    """The primitives that a reference is an operand of in a jaxpr and those inside."""
    found = set()
    for eqn in jaxpr.eqns:
        for i, x in enumerate(eqn.invars):
            if x is not var:
                continue
            inner = _inner_variables(eqn, i)
            found.update(*(_uses(*pair) for pair in inner) if inner is not None else [{eqn.primitive}])
    return found


def _read_first(closed, operands, which):
    invars = closed.jaxpr.invars
    read = tuple(marked and _uses(closed.jaxpr, v) <= {get_p} for marked, v in zip(which, invars))
    if not any(read):
        return closed, operands
    pure, _ = discharge_jaxpr(closed, read)
    return pure, [_contents(x) if marked else x for x, marked in zip(operands, read)]


def _have_rules(closed, operands):
    uses = [_uses(closed.jaxpr, v) for v, x in zip(closed.jaxpr.invars, operands) if references.is_reference(x)]
    used = set().union(*uses)
    rules = used & {custom_jvp_call_p, custom_vjp_call_p}
    if rules and used - rules - {get_p}:
        raise ValueError(
            "a function that passes a reference to a function with a derivative rule of its own, and that writes to "
            "one, cannot be differentiated under checkpoint: it would write again when it is computed again. Make "
            "the reference inside, or write to it outside of the checkpoint"
        )
    return bool(rules)


# -- programs called with references


class ReferenceProgram:
    """A jaxpr that takes references or closes over some, as a program that is called with them."""

    __slots__ = ("is_reference", "pure", "references", "written")

    def __init__(self, closed):
        pairs = list(zip(closed.jaxpr.constvars, closed.consts))
        closed_over = [(v, c) for v, c in pairs if isinstance(c, MutableArray)]
        others = [(v, c) for v, c in pairs if not isinstance(c, MutableArray)]
        jaxpr = closed.jaxpr
        invars = [v for v, _ in closed_over] + jaxpr.invars
        lifted = Jaxpr([v for v, _ in others], invars, jaxpr.outvars, jaxpr.eqns, debug_info=jaxpr.debug_info)
        which = tuple(type(v.aval) is AbstractRef for v in invars)
        self.references = [c for _, c in closed_over]
        pure, self.written = discharge_jaxpr(ClosedJaxpr(lifted, [c for _, c in others]), which)
        # The contents of references come before the results: they are first to get the memory of the old ones.
        n = len(jaxpr.outvars)
        outvars = pure.jaxpr.outvars[n:] + pure.jaxpr.outvars[:n]
        self.pure = pure.replace(jaxpr=pure.jaxpr.replace(outvars=outvars))
        self.is_reference = which

    def program(self, name, donated=(), keep_unused=False, record=None, **options):
        first = len(self.references)
        given = {first + i for i in donated if not self.is_reference[first + i]}
        return compilation.Program(
            self.pure,
            name,
            donated=frozenset(given | set(self.written)),
            keep_unused=keep_unused,
            record=record,
            **options,
        )


def _evaluate_eagerly(primitive, args, params):
    """A primitive on concrete arrays and references to some."""
    rule = RULES.get(primitive)
    if primitive in DIRECT or (rule is not None and primitive not in (jit.jit_p, scan_p, while_p, cond_p)):
        return primitive.impl(*args, **params)
    if rule is None:
        core.reject_references(primitive, args)
    operands = list({id(x): x for x in args}.values())
    numbers = {id(x): i for i, x in enumerate(operands)}
    positions = tuple(numbers[id(x)] for x in args)
    owner = params["branches"][0] if primitive is cond_p else params.get("jaxpr") or params["body_jaxpr"]
    device = next((x.device for x in operands if not isinstance(x, MutableArray) and x.committed), None)
    avals = tuple(x.aval for x in operands)
    key = ("references", primitive.name, avals, positions, tuple(params.items()), device, epoch())
    found = owner.derived.get(key)
    if found is None:
        invars = [Var(aval) for aval in avals]
        outvars = [Var(aval) for aval in primitive.abstract(*[x.aval for x in args], **params)]
        eqn = Eqn(primitive, [invars[i] for i in positions], outvars, params)
        program = ReferenceProgram(ClosedJaxpr(Jaxpr([], invars, outvars, [eqn]), []))
        executable = program.program(primitive.name, device=device).compile(device, committed=device is not None)
        found = owner.derived[key] = executable, program.written
    return call_with_references(found[0], operands, found[1])


core.install_references(_evaluate_eagerly)
autodiff.install_discharge(discharge_linear)
compilation.install_discharge(has_references, without_references)
references.install(ReferenceProgram, _batch_by_values, _linearize_by_values, _read_first, _have_rules)

__all__ = [
    "ReferenceProgram",
    "discharge_jaxpr",
    "discharge_linear",
    "evaluate",
    "has_references",
    "without_references",
]
