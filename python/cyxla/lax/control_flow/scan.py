"""`scan`: a loop with a carry over the leading axis of arrays; and `map`."""

import operator

from cyxla import lax
from cyxla._core.config import config
from cyxla._core.errors import ConcretizationTypeError
from cyxla._engine.array import asarray, typeof
from cyxla._engine.autodiff import backward_pass, instantiate_zeros
from cyxla._engine.boundary import api_boundary
from cyxla._engine.core import (
    ClosedJaxpr,
    Jaxpr,
    Literal,
    Primitive,
    Tracer,
    UndefinedPrimal,
    Var,
    Zero,
    aval_to_tangent,
    eval_jaxpr,
    is_undefined_primal,
)
from cyxla._engine.pytree import tree_flatten, tree_map, tree_unflatten
from cyxla._engine.staging import dce_jaxpr
from cyxla._transform.jaxprs import (
    batch_jaxpr,
    hoist,
    jvp_jaxpr,
    keep,
    linearize_jaxpr,
    move_batch_axis,
    spread,
    trace_to_jaxpr,
)
from cyxla._transform.jit import jit_p
from cyxla._transform.lower import lower_fun
from cyxla._transform.references import batch_by_values, is_reference, read_first
from cyxla.lax.control_flow.common import (
    check_references,
    describe_mismatch,
    eager_impl,
    is_zero,
    same_type,
    scalar,
    split_list,
    strengthen,
    to_arrays,
    trace_body,
    union_effects,
    widened,
)

# The body of a scan takes constants, carry, and one slice of each xs; it returns carry, then one slice of each ys.


def _bind(args, jaxpr, num_consts, num_carry, *, length, reverse, unroll, _split_transpose=False, linear=None):
    return scan_p.bind(
        *args, jaxpr=jaxpr, length=length, reverse=reverse, num_consts=num_consts, num_carry=num_carry, unroll=unroll,
        linear=(False,) * len(args), _split_transpose=_split_transpose,
    )  # fmt: skip


def _abstract(*avals, jaxpr, length, num_carry, **params):
    carry, ys = split_list(jaxpr.out_avals, num_carry)
    return carry + [y.update(shape=(length, *y.shape)) for y in ys]


def _fixed_point(spread_once, carry):
    """The carried values for which a property holds once it has gone round."""
    carry = list(carry)
    while True:
        joined = [a or b for a, b in zip(carry, spread_once(carry))]
        if joined == carry:
            return carry
        carry = joined


def _carry_nonzeros(out_nonzeros, const_nonzeros, carry_nonzeros, xs_nonzeros):
    """Which carried values have tangents; `out_nonzeros(nonzeros)` says which results of one step have."""
    n = len(carry_nonzeros)
    return _fixed_point(lambda carry: out_nonzeros([*const_nonzeros, *carry, *xs_nonzeros])[:n], carry_nonzeros)


def _jvp(primals, tangents, *, jaxpr, num_consts, num_carry, linear, **params):
    n_xs = len(primals) - num_consts - num_carry
    consts_nz, init_nz, xs_nz = split_list([not is_zero(t) for t in tangents], num_consts, num_carry)
    carry_nz = _carry_nonzeros(lambda nonzeros: jvp_jaxpr(jaxpr, nonzeros)[1], consts_nz, init_nz, xs_nz)
    nonzeros = [*consts_nz, *carry_nz, *xs_nz]
    n_ys = len(jaxpr.out_avals) - num_carry
    forward, out_nz = jvp_jaxpr(jaxpr, nonzeros, [*carry_nz, *[False] * n_ys])
    key = ("scan jvp", num_consts, num_carry, tuple(nonzeros))
    body = jaxpr.derived.get(key)
    sizes = [num_consts, sum(consts_nz), num_carry, sum(carry_nz), n_xs, sum(xs_nz)]
    if body is None:
        avals = forward.in_avals
        consts, carry, xs, consts_dot, carry_dot, xs_dot = split_list(
            avals, num_consts, num_carry, n_xs, sizes[1], sizes[3]
        )

        def step(args):
            consts, consts_dot, carry, carry_dot, xs, xs_dot, _ = split_list(args, *sizes)
            outs = eval_jaxpr(forward.jaxpr, forward.consts, consts + carry + xs + consts_dot + carry_dot + xs_dot)
            carry, ys, carry_dot, ys_dot = split_list(outs, num_carry, n_ys, sum(carry_nz))
            return carry + carry_dot + ys + ys_dot

        body = jaxpr.derived[key] = trace_to_jaxpr(step, consts + consts_dot + carry + carry_dot + xs + xs_dot)
    consts, init, xs = split_list(primals, num_consts, num_carry)
    consts_dot, init_dot, xs_dot = split_list(tangents, num_consts, num_carry)
    consts_dot = [t for t in consts_dot if not is_zero(t)]
    init_dot = [instantiate_zeros(t) for t, nz in zip(init_dot, carry_nz) if nz]
    xs_dot = [t for t in xs_dot if not is_zero(t)]
    outs = _bind(
        consts + consts_dot + init + init_dot + xs + xs_dot, body, num_consts + len(consts_dot),
        num_carry + len(init_dot),
        **params,
    )  # fmt: skip
    carry, carry_dot, ys, ys_dot = split_list(outs, num_carry, sum(carry_nz), n_ys)
    return carry + ys, spread(carry_dot, carry_nz) + spread(ys_dot, out_nz[num_carry:])


def _linearize(primals, tangents, *, jaxpr, num_consts, num_carry, linear, **params):
    # References that the body only reads are constants of the loop, which are no residuals of each step.
    constant = [i < num_consts and is_zero(t) for i, t in enumerate(tangents)]
    jaxpr, primals = read_first(jaxpr, primals, constant)
    consts_nz, init_nz, xs_nz = split_list([not is_zero(t) for t in tangents], num_consts, num_carry)
    carry_nz = _carry_nonzeros(
        lambda nonzeros: linearize_jaxpr(jaxpr, nonzeros).out_nonzeros, consts_nz, init_nz, xs_nz
    )
    nonzeros = (*consts_nz, *carry_nz, *xs_nz)
    plan = jaxpr.derived.get(("scan linearize", num_consts, num_carry, nonzeros))
    if plan is None:
        plan = _plan_linearization(jaxpr, num_consts, num_carry, nonzeros, carry_nz)
        jaxpr.derived[("scan linearize", num_consts, num_carry, nonzeros)] = plan
    primal_body, linear_body, kept, invariant, hoisted, out_nz = plan
    n_ys = len(jaxpr.out_avals) - num_carry
    outs = _bind(primals, primal_body, num_consts, num_carry, **params)
    carry, ys, stacked = split_list(outs, num_carry, n_ys)
    consts_dot, init_dot, xs_dot = split_list(tangents, num_consts, num_carry)
    consts_dot = [t for t in consts_dot if not is_zero(t)]
    init_dot = [instantiate_zeros(t) for t, nz in zip(init_dot, carry_nz) if nz]
    xs_dot = [t for t in xs_dot if not is_zero(t)]
    known_consts = [primals[i] for i in invariant]
    if hoisted is not None:
        known_consts += jit_p.bind(*primals[:num_consts], jaxpr=hoisted, name="residuals")
    # Residuals that are slices of xs need no second stack.
    residual_xs = [primals[i] for i in kept] + stacked
    if not any(out_nz) and not linear_body.effects:
        return carry + ys, [None] * len(out_nz)
    linear_outs = _bind(
        known_consts + consts_dot + init_dot + residual_xs + xs_dot, linear_body,
        len(known_consts) + len(consts_dot), len(init_dot), **params,
    )  # fmt: skip
    carry_dot, ys_dot = split_list(linear_outs, sum(carry_nz))
    return carry + ys, spread(carry_dot, carry_nz) + spread(ys_dot, out_nz[num_carry:])


def _plan_linearization(jaxpr, num_consts, num_carry, nonzeros, carry_nz):
    """The bodies of the primal and the linear scan.

    Residuals that are constants of the loop stay constants, those that depend on constants alone are computed once,
    those that are slices of xs are read from xs again, and the others (carries included) are stacked as further ys of
    the primal scan.
    """
    split = linearize_jaxpr(jaxpr, nonzeros)
    same_always = _invariants(split.primal.jaxpr, num_consts)
    n_outs = len(jaxpr.out_avals)
    out_nz = [nz or wanted for nz, wanted in zip(split.out_nonzeros, [*carry_nz, *[False] * (n_outs - num_carry)])]
    invariant, computed, kept, stacked = [], [], [], []
    for where, i in split.sources:
        if where == "in" and i < num_consts:
            if i not in invariant:
                invariant.append(i)
        elif where == "out" and split.primal.jaxpr.outvars[i] in same_always:
            if i not in computed:
                computed.append(i)
        elif where == "in" and i >= num_consts + num_carry:
            if i not in kept:
                kept.append(i)
        elif (where, i) not in stacked:
            stacked.append((where, i))

    def primal(args):
        outs = eval_jaxpr(split.primal.jaxpr, split.primal.consts, args)
        return outs[:n_outs] + [args[i] if where == "in" else outs[i] for where, i in stacked]

    in_avals, residual_avals = jaxpr.in_avals, {}
    primal_body = trace_to_jaxpr(primal, in_avals)
    for (where, i), aval in zip(split.sources, split.linear.in_avals):
        residual_avals[where, i] = aval
    consts_dot, carry_dot, xs_dot = (
        [aval_to_tangent(a) for a, nz in zip(avals, flags) if nz]
        for avals, flags in zip(
            split_list(in_avals, num_consts, num_carry), split_list(nonzeros, num_consts, num_carry)
        )
    )
    hoisted = None
    if computed:
        program = split.primal.jaxpr
        eqns = [eqn for eqn in program.eqns if not same_always.isdisjoint(eqn.outvars)]
        once = Jaxpr(program.constvars, program.invars[:num_consts], [program.outvars[i] for i in computed], eqns)
        hoisted = ClosedJaxpr(dce_jaxpr(once, [True] * len(computed), True)[0], split.primal.consts)
    sizes = [len(invariant), len(computed), len(consts_dot), len(carry_dot), len(kept), len(stacked)]

    def linear(args):
        known, once, consts_dot, carry_dot, slices, rest, xs_dot = split_list(args, *sizes)
        values = {("in", i): v for i, v in zip(invariant, known)}
        values.update({("out", i): v for i, v in zip(computed, once)})
        values.update({("in", i): v for i, v in zip(kept, slices)})
        values.update(zip(stacked, rest))
        residuals = [values[source] for source in split.sources]
        outs = iter(eval_jaxpr(split.linear.jaxpr, split.linear.consts, residuals + consts_dot + carry_dot + xs_dot))
        given = [next(outs) if nz else None for nz in split.out_nonzeros]
        return [
            instantiate_zeros(Zero(aval_to_tangent(a))) if t is None else t
            for t, a, nz in zip(given, jaxpr.out_avals, out_nz)
            if nz
        ]

    avals = [in_avals[i] for i in invariant] + [residual_avals["out", i] for i in computed]
    avals += consts_dot + carry_dot + [in_avals[i] for i in kept] + [residual_avals[s] for s in stacked] + xs_dot
    return primal_body, trace_to_jaxpr(linear, avals), kept, invariant, hoisted, out_nz


def _invariants(jaxpr, num_consts):
    """The variables of a loop's body that are computed from its constants alone, and are so in every step."""
    known = {*jaxpr.constvars, *jaxpr.invars[:num_consts]}
    found = set()
    for eqn in jaxpr.eqns:
        if not eqn.effects and all(type(a) is Literal or a in known for a in eqn.invars):
            known.update(eqn.outvars)
            found.update(eqn.outvars)
    return found


def _transpose(cotangents, *args, jaxpr, num_consts, num_carry, length, reverse, linear, **params):
    undefined = [is_undefined_primal(a) for a in args]
    consts_lin, carry_lin, xs_lin = split_list(undefined, num_consts, num_carry)
    # A known initial value of a carry that is linear from then on is a zero that was written out.
    if not all(_linear_carries(jaxpr, undefined, num_consts, num_carry)):
        raise ValueError("a scan can be transposed only if its body is linear in all that it carries")
    consts, _, xs = split_list(args, num_consts, num_carry)
    known_consts = [c for c, lin in zip(consts, consts_lin) if not lin]
    known_xs = [x for x, lin in zip(xs, xs_lin) if not lin]
    ct_carry, ct_ys = split_list(cotangents, num_carry)
    ys_nz = tuple(not is_zero(ct) for ct in ct_ys)
    key = ("scan transpose", num_consts, num_carry, tuple(undefined), ys_nz)
    body = jaxpr.derived.get(key)
    const_avals, carry_avals, xs_avals = split_list(jaxpr.in_avals, num_consts, num_carry)
    lin_const_avals = [aval_to_tangent(a) for a, lin in zip(const_avals, consts_lin) if lin]
    lin_carry_avals = [aval_to_tangent(a) for a in carry_avals]
    n_known = len(known_consts)
    if body is None:

        def step(operands):
            known, ct_consts, ct_carry, ct_ys, slices = split_list(
                operands, n_known, len(lin_const_avals), num_carry, sum(ys_nz)
            )
            known, slices, ct_ys = iter(known), iter(slices), iter(ct_ys)
            primals = [UndefinedPrimal(a) if lin else next(known) for a, lin in zip(const_avals, consts_lin)]
            primals += [UndefinedPrimal(a) for a in carry_avals]
            primals += [UndefinedPrimal(a) if lin else next(slices) for a, lin in zip(xs_avals, xs_lin)]
            cts = ct_carry + [next(ct_ys) if nz else None for nz in ys_nz]
            results = backward_pass(jaxpr.jaxpr, jaxpr.consts, primals, cts)
            to_consts, to_carry, to_xs = split_list(results, num_consts, num_carry)
            to_consts = [ct for ct, lin in zip(to_consts, consts_lin) if lin]
            sums = [total if ct is None else lax.add_any(total, ct) for total, ct in zip(ct_consts, to_consts)]
            carry = [instantiate_zeros(Zero(a)) if ct is None else ct for ct, a in zip(to_carry, lin_carry_avals)]
            ct_xs = [
                instantiate_zeros(Zero(aval_to_tangent(a))) if ct is None else ct
                for ct, a, lin in zip(to_xs, xs_avals, xs_lin)
                if lin
            ]
            return sums + carry + ct_xs

        ys_avals = [aval_to_tangent(a) for a, nz in zip(jaxpr.out_avals[num_carry:], ys_nz) if nz]
        avals = [a for a, lin in zip(const_avals, consts_lin) if not lin]
        avals += lin_const_avals + lin_carry_avals + ys_avals + [a for a, lin in zip(xs_avals, xs_lin) if not lin]
        body = trace_to_jaxpr(step, avals)
        keep(jaxpr.derived, key, body, body)
    body, outer = hoist(body)
    init = [instantiate_zeros(Zero(a)) for a in lin_const_avals]
    init += [instantiate_zeros(ct) for ct in ct_carry]
    active_ys = [ct for ct in ct_ys if not is_zero(ct)]
    outs = _bind(
        outer + known_consts + init + active_ys + known_xs,
        body,
        len(outer) + n_known,
        len(init),
        length=length,
        reverse=not reverse,
        **params,
    )
    to_consts, to_carry, to_xs = split_list(outs, len(lin_const_avals), num_carry)
    to_carry = [ct if lin else None for ct, lin in zip(to_carry, carry_lin)]
    return spread(to_consts, consts_lin) + to_carry + spread(to_xs, xs_lin)


def _linear_carries(jaxpr, linear, num_consts, num_carry):
    """Which carried values depend on linear operands, sooner or later."""
    consts, carry, xs = split_list(linear, num_consts, num_carry)

    def once(carry):
        live = {v for v, lin in zip(jaxpr.jaxpr.invars, [*consts, *carry, *xs]) if lin}
        for eqn in jaxpr.jaxpr.eqns:
            if any(type(v) is Var and v in live for v in eqn.invars):
                live.update(eqn.outvars)
        return [type(v) is Var and v in live for v in jaxpr.jaxpr.outvars[:num_carry]]

    return _fixed_point(once, carry)


def _batch(axis, args, dims, *, jaxpr, num_consts, num_carry, linear, **params):
    if any(
        dim is not None and is_reference(x) and dim != (i >= num_consts) for i, (x, dim) in enumerate(zip(args, dims))
    ):
        options = {"jaxpr": jaxpr, "num_consts": num_consts, "num_carry": num_carry, "linear": linear, **params}
        return batch_by_values(scan_p, axis, args, dims, options)
    consts_b, init_b, xs_b = split_list([d is not None for d in dims], num_consts, num_carry)
    n_ys = len(jaxpr.out_avals) - num_carry
    carry_b = _fixed_point(
        lambda carry: batch_jaxpr(jaxpr, axis, [*consts_b, *carry, *xs_b], [*carry, *[False] * n_ys])[1], init_b
    )
    body, out_b = batch_jaxpr(jaxpr, axis, [*consts_b, *carry_b, *xs_b], [*carry_b, *[False] * n_ys])
    moved = []
    for i, (value, dim) in enumerate(zip(args, dims)):
        if i < num_consts:
            moved.append(value if dim is None else move_batch_axis(value, dim, axis.size))
        elif i < num_consts + num_carry:
            wanted = carry_b[i - num_consts]
            moved.append(move_batch_axis(value, dim, axis.size) if wanted else value)
        else:
            # Axis 0 of xs is the one that is scanned over.
            moved.append(value if dim is None else move_batch_axis(value, dim, axis.size, 1))
    outs = _bind(moved, body, num_consts, num_carry, **params)
    out_dims = [0 if b else None for b in out_b[:num_carry]] + [1 if b else None for b in out_b[num_carry:]]
    return outs, out_dims


def _as_while(*args, jaxpr, length, reverse, num_consts, num_carry, unroll, **params):
    """The scan as a while loop over slices, or with everything unrolled as no loop at all."""
    consts, init, xs = split_list(args, num_consts, num_carry)
    y_avals = jaxpr.out_avals[num_carry:]
    unroll = length if unroll is True else max(int(unroll), 1)

    def body(carry, slices):
        outs = eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, consts + carry + slices)
        return split_list(outs, num_carry)

    if length == 0:
        return init + [lax.full((0, *a.shape), 0, a.dtype) for a in y_avals]
    if unroll >= length:
        carry, rows = init, []
        for i in reversed(range(length)) if reverse else range(length):
            carry, ys = body(carry, [lax.index_in_dim(x, i, 0, keepdims=False) for x in xs])
            rows.append(ys)
        if reverse:
            rows.reverse()
        stacked = [lax.concatenate([lax.expand_dims(row[k], (0,)) for row in rows], 0) for k in range(len(y_avals))]
        return carry + stacked

    one = scalar(1, "int32")

    def advance(i, carry, ys):
        index = lax.sub(scalar(length - 1, "int32"), i) if reverse else i
        slices = [lax.dynamic_index_in_dim(x, index, 0, keepdims=False) for x in xs]
        carry, new = body(carry, slices)
        ys = [lax.dynamic_update_index_in_dim(y, n, index, 0) for y, n in zip(ys, new)]
        return lax.add(i, one), carry, ys

    def step(state):
        i, carry, ys = state
        for _ in range(unroll):
            i, carry, ys = advance(i, carry, ys)
        return i, carry, ys

    whole = length - length % unroll
    ys = [lax.full((length, *a.shape), 0, a.dtype) for a in y_avals]
    from cyxla.lax.control_flow.loops import while_loop

    state = (scalar(0, "int32"), init, ys)
    state = while_loop(lambda state: lax.lt(state[0], scalar(whole, "int32")), step, state)
    for _ in range(length % unroll):
        state = advance(*state)
    return list(state[1]) + list(state[2])


scan_p = Primitive(
    "scan",
    abstract=_abstract,
    impl=eager_impl(lambda: scan_p, lambda params: params["jaxpr"]),
    jvp=_jvp,
    linearize=_linearize,
    transpose=_transpose,
    batch=_batch,
    batch_needs_axis=True,
    lower=lower_fun(_as_while, multiple_results=True),
    multiple_results=True,
    effects=lambda *, jaxpr, **params: union_effects(jaxpr),
    skip_canonicalization=True,
)


@api_boundary
def scan(f, init, xs=None, length=None, reverse=False, unroll=1, _split_transpose=False):
    """Loops over the leading axis of `xs`, carrying a value along: `carry, y = f(carry, x)`.

    `init` and `xs` are pytrees; all arrays of `xs` have the same leading size, or `xs` is None and `length` gives the
    number of steps. Returns the last carry and the `y`s stacked along a new leading axis. `reverse` goes from the last
    slice to the first; `unroll` is the number of steps per iteration of the compiled loop (True: all of them).

    Raises TypeError where the carry changes its structure, shapes or dtypes, ValueError for sizes that disagree and
    numbers among the `xs`, IndexError for arrays without axes among them.

    >>> import cyxla.numpy as jnp
    >>> from cyxla import lax
    >>> lax.scan(lambda s, x: (s + x, s * x), 0.0, jnp.array([1.0, 2.0, 3.0]))
    (Array(6., dtype=float32), Array([0., 2., 9.], dtype=float32))
    """
    if not callable(f):
        raise TypeError(f"scan takes a function (carry, x) -> (carry, y) first, got {f!r:.200}")
    init_leaves, init_tree = tree_flatten(init)
    init_leaves = to_arrays(init_leaves, "scan")
    xs_leaves, xs_tree = tree_flatten(xs)
    xs_leaves = to_arrays(xs_leaves, "scan")
    length = _length(xs_leaves, xs, length)
    try:
        unroll = unroll if isinstance(unroll, bool) else operator.index(unroll)
    except TypeError:
        raise TypeError(f"scan: unroll must be a bool or a number of steps, got {unroll!r:.200}") from None
    if unroll < 0:
        raise ValueError(f"scan: unroll must be a bool or a number of steps, got {unroll!r}")
    if config.jax_disable_jit:
        return _scan_python(f, init, xs_leaves, xs_tree, length, reverse)
    x_avals = [typeof(x).update(shape=x.shape[1:]) for x in xs_leaves]
    in_tree = tree_flatten((init, xs))[1]

    def traced():
        return trace_body(f, in_tree, [x.aval for x in init_leaves] + x_avals, "scan")

    body, consts, out_tree = traced()
    carry_tree = _carry_tree(out_tree, f)
    n = len(init_leaves)
    if carry_tree == init_tree:
        # A weakly typed initial value takes the dtype that the body gives the carry.
        for _ in range(2):
            wide = widened([x.aval for x in init_leaves], body.out_avals[:n])
            if not any(wide):
                break
            init_leaves = [strengthen(x, a) if w else x for x, a, w in zip(init_leaves, body.out_avals, wide)]
            body, consts, out_tree = traced()
    avals = [x.aval for x in init_leaves]
    if carry_tree != init_tree or not all(same_type(a, b) for a, b in zip(avals, body.out_avals)):
        m = carry_tree.num_leaves
        raise TypeError(describe_mismatch("scan", "carry", init_tree, avals, carry_tree, body.out_avals[:m]))
    check_references(init_leaves + xs_leaves, consts, f, "scan")
    outs = scan_p.bind(
        *consts, *init_leaves, *xs_leaves, jaxpr=body, length=length, reverse=bool(reverse), num_consts=len(consts),
        num_carry=n,
        unroll=unroll if unroll is not False else 1, linear=(False,) * (len(consts) + n + len(xs_leaves)),
        _split_transpose=_split_transpose,
    )  # fmt: skip
    return tree_unflatten(out_tree, outs)


def _length(xs, tree, length):
    sizes = set()
    for x in xs:
        if x.ndim == 0:
            from cyxla.tree_util import keystr, tree_flatten_with_path

            path, leaf = next((p, leaf) for p, leaf in tree_flatten_with_path(tree)[0] if not typeof(leaf).shape)
            error = IndexError if hasattr(leaf, "shape") else ValueError
            raise error(f"scan: xs{keystr(path)} is a scalar without a leading axis to loop over; pass it in the carry")
        sizes.add(x.shape[0])
    if length is not None:
        if isinstance(length, Tracer):
            raise ConcretizationTypeError(
                length,
                "scan: length must be known when the loop is traced; fori_loop takes traced bounds",
            )
        try:
            length = int(length)
        except (TypeError, ValueError) as error:
            raise type(error)(f"scan: length must be an integer, got {length!r:.200}") from None
        if any(size != length for size in sizes):
            raise ValueError(f"scan: length={length} is not the size of the leading axes of xs, {sorted(sizes)}")
        return length
    if len(sizes) > 1:
        raise ValueError(f"scan: the leading axes of xs must be equally long, their sizes are {sorted(sizes)}")
    if not sizes:
        raise ValueError("scan needs xs or length: without arrays to scan over, length gives the number of steps")
    return sizes.pop()


def _carry_tree(out_tree, f):
    children = out_tree.children()
    if len(children) != 2 or out_tree.node_data()[0] not in (tuple, list):
        from cyxla._transform.arguments import function_name

        raise TypeError(
            f"scan: {function_name(f)} must return a pair (carry, y), it returned a tree of structure {out_tree}; "
            "return None as y where there is nothing to stack"
        )
    return children[0]


def _scan_python(f, carry, xs, xs_tree, length, reverse):
    rows, trees = [], None
    for i in reversed(range(length)) if reverse else range(length):
        carry, y = f(carry, tree_unflatten(xs_tree, [lax.index_in_dim(x, i, 0, keepdims=False) for x in xs]))
        leaves, trees = tree_flatten(y)
        rows.append(leaves)
    if trees is None:
        raise ValueError("scan of length 0 has no result to take its structure from with jit disabled")
    if reverse:
        rows.reverse()
    stacked = [lax.concatenate([lax.expand_dims(asarray(v), (0,)) for v in column], 0) for column in zip(*rows)]
    return carry, tree_unflatten(trees, stacked)


@api_boundary
def map(f, xs, *, batch_size=None):
    """Applies a function to each slice of `xs` along its leading axis, one after the other, and stacks the results.

    `batch_size` handles that many slices at a time by `vmap`.

    >>> import cyxla.numpy as jnp
    >>> from cyxla import lax
    >>> lax.map(lambda x: x * 2, jnp.arange(3))
    Array([0, 2, 4], dtype=int32)
    """
    if not batch_size:
        return scan(_mapped(f), (), xs)[1]
    from cyxla._transform.vmap import vmap

    leaves, tree = tree_flatten(xs)
    leaves = to_arrays(leaves, "map")
    length = _length(leaves, xs, None)
    batches, rest = divmod(length, batch_size)
    whole = [
        lax.reshape(lax.slice_in_dim(x, 0, batches * batch_size), (batches, batch_size, *x.shape[1:])) for x in leaves
    ]
    if not batches:
        return vmap(f)(xs)
    ys = scan(_mapped(vmap(f)), (), tree_unflatten(tree, whole))[1]
    ys = tree_map(lambda y: lax.reshape(y, (batches * batch_size, *y.shape[2:])), ys)
    if not rest:
        return ys
    last = vmap(f)(tree_unflatten(tree, [lax.slice_in_dim(x, batches * batch_size, length) for x in leaves]))
    return tree_map(lambda a, b: lax.concatenate([a, b], 0), ys, last)


def _mapped(f):
    return lambda _, x: ((), f(x))
