"""Loops with a condition: `while_loop`, and `fori_loop`, which is a scan where its bounds are known."""

import weakref

from cyxla import lax
from cyxla._core.config import config
from cyxla._core.errors import TracerBoolConversionError
from cyxla._engine.array import ArrayImpl, asarray, is_arraylike, typeof
from cyxla._engine.boundary import api_boundary
from cyxla._engine.core import Primitive, Tracer, eval_jaxpr
from cyxla._engine.lowering import TOKEN, is_ordered
from cyxla._engine.pytree import tree_flatten, tree_map, tree_unflatten
from cyxla._transform.jaxprs import batch_arguments, batch_jaxpr, jvp_jaxpr, move_batch_axis, spread, trace_to_jaxpr
from cyxla._transform.references import batch_by_values, is_reference, linearize_by_values
from cyxla.lax._util import scalar_like
from cyxla.lax.control_flow.common import (
    check_references,
    describe_mismatch,
    eager_impl,
    is_zero,
    same_type,
    split_list,
    strengthen,
    to_arrays,
    trace_body,
    union_effects,
    widened,
)


def _carry_tangents(body_jaxpr, const_nonzeros, carry_nonzeros):
    """Which carried values have tangents once the loop has run a while: the fixed point."""
    carry = list(carry_nonzeros)
    while True:
        _, out = jvp_jaxpr(body_jaxpr, [*const_nonzeros, *carry], carry)
        joined = [a or b for a, b in zip(carry, out)]
        if joined == carry:
            return carry
        carry = joined


def _jvp(primals, tangents, *, cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts):
    if any(map(is_reference, primals)):
        options = {"cond_jaxpr": cond_jaxpr, "body_jaxpr": body_jaxpr}
        options |= {"cond_nconsts": cond_nconsts, "body_nconsts": body_nconsts}
        return linearize_by_values(while_p, primals, tangents, options)
    cond_consts, body_consts, init = split_list(primals, cond_nconsts, body_nconsts)
    _, body_dots, init_dots = split_list(tangents, cond_nconsts, body_nconsts)
    const_nonzeros = [not is_zero(t) for t in body_dots]
    carry_nonzeros = _carry_tangents(body_jaxpr, const_nonzeros, [not is_zero(t) for t in init_dots])
    n_carry, n_dots = len(init), sum(carry_nonzeros)
    forward, _ = jvp_jaxpr(body_jaxpr, const_nonzeros + carry_nonzeros, carry_nonzeros)
    active_consts = [t for t in body_dots if not is_zero(t)]
    n_consts = body_nconsts + len(active_consts)
    key = ("while jvp", body_jaxpr, tuple(const_nonzeros), tuple(carry_nonzeros))
    found = cond_jaxpr.derived.get(key)
    if found is None:
        # jvp_jaxpr takes all primals and then all tangents; the loop's body takes constants before what is carried.
        def body(args):
            consts, dots, carry, carry_dots = split_list(args, body_nconsts, len(active_consts), n_carry)
            return eval_jaxpr(forward.jaxpr, forward.consts, consts + carry + dots + carry_dots)

        avals = forward.in_avals
        order = (
            avals[:body_nconsts]
            + avals[body_nconsts + n_carry : body_nconsts + n_carry + len(active_consts)]
            + avals[body_nconsts : body_nconsts + n_carry]
            + avals[body_nconsts + n_carry + len(active_consts) :]
        )

        def test(args):
            return eval_jaxpr(cond_jaxpr.jaxpr, cond_jaxpr.consts, args[: cond_nconsts + n_carry])

        dot_avals = avals[body_nconsts + n_carry + len(active_consts) :]
        found = trace_to_jaxpr(body, order), trace_to_jaxpr(test, cond_jaxpr.in_avals + dot_avals)
        cond_jaxpr.derived[key] = found
    new_body, new_cond = found
    from cyxla._engine.autodiff import instantiate_zeros

    dots = [instantiate_zeros(t) for t, nonzero in zip(init_dots, carry_nonzeros) if nonzero]
    outs = while_p.bind(
        *cond_consts, *body_consts, *active_consts, *init, *dots,
        cond_jaxpr=new_cond, body_jaxpr=new_body, cond_nconsts=cond_nconsts, body_nconsts=n_consts,
    )  # fmt: skip
    assert len(outs) == n_carry + n_dots
    return outs[:n_carry], spread(outs[n_carry:], carry_nonzeros)


def _linearize(primals, tangents, **params):
    # How often the loop runs is not known beforehand, so its intermediate values cannot be kept: the linear program
    # runs the loop again, in forward mode. It has no transpose.
    if any(map(is_reference, primals)):
        return linearize_by_values(while_p, primals, tangents, params)
    outs = while_p.bind(*primals, **params)
    _, out_tangents = _jvp(primals, tangents, **params)
    return outs, out_tangents


def _transpose(cotangents, *args, **params):
    raise ValueError(
        "reverse-mode differentiation of lax.while_loop (or of lax.fori_loop with bounds that are not known when it is "
        "traced) is impossible: the values of all its steps would have to be kept, and their number is not known. Use "
        "lax.scan, or lax.fori_loop with Python integers as bounds."
    )


def _batch(axis, args, dims, *, cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts):
    if any(map(is_reference, args)):
        options = {"cond_jaxpr": cond_jaxpr, "body_jaxpr": body_jaxpr}
        options |= {"cond_nconsts": cond_nconsts, "body_nconsts": body_nconsts}
        return batch_by_values(while_p, axis, args, dims, options)
    args, batched = batch_arguments(args, dims)
    cond_consts, body_consts, init = split_list(args, cond_nconsts, body_nconsts)
    cond_batched, body_batched, carry = split_list(batched, cond_nconsts, body_nconsts)
    while True:
        _, out = batch_jaxpr(body_jaxpr, axis, [*body_batched, *carry], carry)
        joined = [a or b for a, b in zip(carry, out)]
        _, (pred_batched,) = batch_jaxpr(cond_jaxpr, axis, [*cond_batched, *joined])
        if pred_batched:
            joined = [True] * len(carry)
        if joined == carry:
            break
        carry = joined
    init = [
        x if b or not wanted else move_batch_axis(x, None, axis.size)
        for x, b, wanted in zip(init, batched[cond_nconsts + body_nconsts :], carry)
    ]
    new_cond, (pred_batched,) = batch_jaxpr(cond_jaxpr, axis, [*cond_batched, *carry])
    new_body, _ = batch_jaxpr(body_jaxpr, axis, [*body_batched, *carry], carry)
    out_dims = [0 if b else None for b in carry]
    if not pred_batched:
        outs = while_p.bind(
            *cond_consts, *body_consts, *init,
            cond_jaxpr=new_cond, body_jaxpr=new_body, cond_nconsts=cond_nconsts, body_nconsts=body_nconsts,
        )  # fmt: skip
        return outs, out_dims
    # The loop runs as long as any element's would; elements that are done keep their values.
    key = ("while batched predicate", new_body, cond_nconsts)
    found = new_cond.derived.get(key)
    if found is None:

        def test(operands):
            (pred,) = eval_jaxpr(new_cond.jaxpr, new_cond.consts, operands)
            return [lax.reduce_or(pred, (0,))]

        def body(operands):
            test_consts, step_consts, values = split_list(operands, cond_nconsts, body_nconsts)
            (pred,) = eval_jaxpr(new_cond.jaxpr, new_cond.consts, test_consts + values)
            stepped = eval_jaxpr(new_body.jaxpr, new_body.consts, step_consts + values)
            return [
                lax.select(lax.broadcast_in_dim(pred, new.shape, (0,)), new, old) for new, old in zip(stepped, values)
            ]

        found = new_cond.derived[key] = (
            trace_to_jaxpr(test, new_cond.in_avals),
            trace_to_jaxpr(body, new_cond.in_avals[:cond_nconsts] + new_body.in_avals),
        )
    any_cond, frozen_body = found
    outs = while_p.bind(
        *cond_consts, *cond_consts, *body_consts, *init,
        cond_jaxpr=any_cond, body_jaxpr=frozen_body, cond_nconsts=cond_nconsts,
        body_nconsts=cond_nconsts + body_nconsts,
    )  # fmt: skip
    return outs, out_dims


def _lower(ctx, *names, cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts):
    if is_ordered(cond_jaxpr):
        return ctx.inline_function(
            _with_test_in_body(cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts), names, ctx.avals_in
        )
    types = [a.mlir for a in ctx.avals_in]
    n_consts = cond_nconsts + body_nconsts
    ordered = is_ordered(body_jaxpr)
    if len(names) == n_consts and not body_jaxpr.effects:
        return []
    # Constants go round with what is carried: regions of `while` see nothing but their arguments.
    inner = [ctx.fresh() for _ in names]
    token, outer_token = ctx.fresh(), ctx.token
    outer = ctx.fresh()
    bound = [f"{a} = {b}" for a, b in zip(inner, names)]
    test = ctx.body(cond_jaxpr, inner[:cond_nconsts] + inner[n_consts:])
    ctx.token = token
    step = ctx.body(body_jaxpr, inner[cond_nconsts:], inner[:n_consts], types[:n_consts], with_token=ordered)
    if ordered:
        bound.insert(0, f"{token} = {outer_token}")
        types.insert(0, TOKEN)
    n = len(types)
    header = f"{outer}:{n} = stablehlo.while({', '.join(bound)}) : {', '.join(types)}"
    ctx.write(f"{header}\ncond {{\n{test}\n}} do {{\n{step}\n}}")
    ctx.token = f"{outer}#0" if ordered else outer_token
    return [f"{outer}#{i}" for i in range(n_consts + ordered, n)]


def _with_test_in_body(cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts):
    """The loop with its test at the end of its body, for tests with ordered effects: their order goes round with it."""

    def test(consts, carry):
        return eval_jaxpr(cond_jaxpr.jaxpr, cond_jaxpr.consts, consts + carry)[0]

    def loop(args):
        cond_consts, body_consts, init = split_list(args, cond_nconsts, body_nconsts)

        def step(state):
            carry = eval_jaxpr(body_jaxpr.jaxpr, body_jaxpr.consts, body_consts + state[1])
            return test(cond_consts, carry), carry

        return while_loop(lambda state: state[0], step, (test(cond_consts, init), init))[1]

    return loop


while_p = Primitive(
    "while",
    abstract=lambda *avals, cond_jaxpr, body_jaxpr, **params: body_jaxpr.out_avals,
    impl=eager_impl(lambda: while_p, lambda params: params["body_jaxpr"]),
    jvp=_jvp,
    linearize=_linearize,
    transpose=_transpose,
    batch=_batch,
    batch_needs_axis=True,
    lower=_lower,
    multiple_results=True,
    effects=lambda *, cond_jaxpr, body_jaxpr, **params: union_effects(cond_jaxpr, body_jaxpr),
    skip_canonicalization=True,
)


@api_boundary
def while_loop(cond_fun, body_fun, init_val):
    """Repeats `val = body_fun(val)` as long as `cond_fun(val)` is true, from `init_val`; returns the last value.

    `val` is a pytree whose structure, shapes and dtypes do not change. Can be differentiated in forward mode only.
    Raises TypeError where the condition is not a boolean scalar or the value changes its type.

    >>> from cyxla import lax
    >>> lax.while_loop(lambda x: x < 100, lambda x: x * 2, 3)
    Array(192, dtype=int32, weak_type=True)
    """
    if not (callable(cond_fun) and callable(body_fun)):
        raise TypeError("while_loop takes two functions, cond_fun and body_fun, and an initial value")
    leaves, tree = tree_flatten(init_val)
    leaves = to_arrays(leaves, "while_loop")
    if config.jax_disable_jit:
        try:
            return _while_python(cond_fun, body_fun, init_val)
        except TracerBoolConversionError:
            pass  # Whether to go on is not known while an outer function is traced: a loop of the program, then.
    in_tree = tree_flatten((init_val,))[1]
    body, body_consts, out_tree = trace_body(body_fun, in_tree, [x.aval for x in leaves], "while_loop")
    wide = widened([x.aval for x in leaves], body.out_avals[: len(leaves)]) if out_tree == tree else []
    if any(wide):
        leaves = [strengthen(x, a) if w else x for x, a, w in zip(leaves, body.out_avals, wide)]
        body, body_consts, out_tree = trace_body(body_fun, in_tree, [x.aval for x in leaves], "while_loop")
    avals = [x.aval for x in leaves]
    if out_tree != tree or not all(same_type(a, b) for a, b in zip(avals, body.out_avals)):
        raise TypeError(describe_mismatch("while_loop", "loop value", tree, avals, out_tree, body.out_avals))
    test, cond_consts, cond_tree = trace_body(cond_fun, in_tree, avals, "while_loop")
    if len(test.out_avals) != 1 or cond_tree.num_nodes != 1:
        raise TypeError(
            f"while_loop: cond_fun must return one boolean scalar, it returned a tree of structure {cond_tree}"
        )
    aval = test.out_avals[0]
    if aval.shape or aval.dtype != bool:
        raise TypeError(f"while_loop: cond_fun must return a boolean scalar, it returned {aval.str_short()}")
    check_references(leaves, [*cond_consts, *body_consts], body_fun, "while_loop")
    outs = while_p.bind(
        *cond_consts, *body_consts, *leaves,
        cond_jaxpr=test, body_jaxpr=body, cond_nconsts=len(cond_consts), body_nconsts=len(body_consts),
    )  # fmt: skip
    return tree_unflatten(tree, outs)


def _while_python(cond_fun, body_fun, value):
    value = tree_map(asarray, value)
    while cond_fun(value):
        value = body_fun(value)
    return value


def _known_integer(value):
    """A number, or a concrete array's value, as a Python integer; None if not known."""
    if isinstance(value, ArrayImpl) or not hasattr(value, "aval"):
        return int(value)
    return None


@api_boundary
def fori_loop(lower, upper, body_fun, init_val, *, unroll=None):
    """Repeats `val = body_fun(i, val)` for i from `lower` to `upper - 1`, from `init_val`.

    With Python integers (or concrete arrays) as bounds the loop is a scan and can be differentiated in reverse mode;
    otherwise it is a while_loop. `unroll` is the number of steps per iteration of the compiled loop; more than one
    needs static bounds. These may be floats or booleans too, which are made integers; a float bound that is traced
    makes the index a float. Raises TypeError where the bounds are not real scalars of one dtype or the value changes
    its type, ValueError for a bound that is None.

    >>> from cyxla import lax
    >>> lax.fori_loop(0, 10, lambda i, s: s + i, 0)
    Array(45, dtype=int32, weak_type=True)
    """
    if not callable(body_fun):
        raise TypeError(f"fori_loop takes a function of the index and the value, got {body_fun!r:.200}")
    for bound, name in ((lower, "lower"), (upper, "upper")):
        if bound is None:
            raise ValueError(f"fori_loop: the bound {name} must be an integer scalar, got None")
        kinds = "iuf" if isinstance(bound, Tracer) else "biuf"
        if not is_arraylike(bound) or typeof(bound).shape or typeof(bound).dtype.kind not in kinds:
            shown = typeof(bound).str_short() if is_arraylike(bound) else repr(bound)
            raise TypeError(f"fori_loop: the bound {name} must be an integer scalar, got {shown}")
    first, last = _known_integer(lower), _known_integer(upper)
    a, b = typeof(lower), typeof(upper)
    kinds = a.dtype.kind + b.dtype.kind
    if a.dtype != b.dtype and (not (a.weak_type or b.weak_type) or "u" in kinds or kinds not in ("ii", "ff")):
        raise TypeError(f"fori_loop: the bounds must have one dtype, got {a.dtype} and {b.dtype}")
    dtype = a.dtype if not a.weak_type else b.dtype
    if first is not None and last is not None:
        if config.jax_disable_jit:
            for i in range(first, last):
                init_val = body_fun(i, init_val)
            return init_val
        from cyxla.lax.control_flow.scan import scan

        def step(carry, _):
            i, value = carry
            return (lax.add(i, scalar_like(i, 1)), body_fun(i, value)), None

        # A Python integer, whatever integer type the bounds have.
        start = asarray(first)
        (_, result), _ = scan(
            _by_body(body_fun, step), (start, init_val), None, length=max(last - first, 0), unroll=unroll or 1
        )
        return result
    if unroll is not None and not (isinstance(unroll, int) and int(unroll) in (0, 1)):
        raise ValueError("fori_loop: unroll needs bounds that are known when the loop is traced")
    start, stop = (x if x.dtype == dtype else lax.convert_element_type(x, dtype) for x in map(asarray, (lower, upper)))

    def test(state):
        i, stop, _ = state
        return lax.lt(i, stop)

    def advance(state):
        i, stop, value = state
        return lax.add(i, scalar_like(i, 1)), stop, body_fun(i, value)

    return while_loop(test, advance, (start, stop, init_val))[2]


_steps = weakref.WeakKeyDictionary()


def _by_body(body_fun, step):
    """The same step function for the same body, so that its trace is found again."""
    try:
        found = _steps.get(body_fun)
        if found is None:
            reference = weakref.ref(body_fun)

            def weak_step(carry, _):
                i, value = carry
                return (lax.add(i, scalar_like(i, 1)), reference()(i, value)), None

            found = _steps[body_fun] = weak_step
        return found
    except TypeError:
        return step
