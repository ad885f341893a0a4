"""Conditionals: `cond`, `switch`, and the primitive behind both, which runs one of several jaxprs."""

from cyxla import lax
from cyxla._core.config import config
from cyxla._engine.array import asarray, is_arraylike, typeof
from cyxla._engine.autodiff import backward_pass, instantiate_zeros
from cyxla._engine.boundary import api_boundary
from cyxla._engine.core import (
    ClosedJaxpr,
    Jaxpr,
    Primitive,
    UndefinedPrimal,
    Var,
    Zero,
    aval_to_tangent,
    eval_jaxpr,
    get_trace,
    is_undefined_primal,
)
from cyxla._engine.lowering import TOKEN, is_ordered
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._transform.jaxprs import (
    batch_arguments,
    batch_jaxpr,
    hoist,
    jvp_jaxpr,
    keep,
    linearize_jaxpr,
    spread,
    trace_to_jaxpr,
)
from cyxla._transform.references import batch_by_values, batches_elsewhere, is_reference
from cyxla.lax.control_flow.common import (
    check_references,
    eager_impl,
    is_zero,
    same_type,
    scalar,
    to_arrays,
    trace_body,
    union_effects,
)
from cyxla.lax.control_flow.platforms import choice, default_backend, platform_index_p


def _abstract(index, *avals, branches, **params):
    return branches[0].out_avals


def _jvp(primals, tangents, *, branches, **params):
    index, *operands = primals
    nonzeros = [not is_zero(t) for t in tangents[1:]]
    wanted = [False] * len(branches[0].out_avals)
    for branch in branches:
        wanted = [w or n for w, n in zip(wanted, jvp_jaxpr(branch, nonzeros)[1])]
    forward = tuple(jvp_jaxpr(branch, nonzeros, wanted)[0] for branch in branches)
    active = [t for t in tangents[1:] if not is_zero(t)]
    outs = cond_p.bind(index, *operands, *active, branches=forward, **params)
    n = len(wanted)
    return outs[:n], spread(outs[n:], wanted)


def _linearize(primals, tangents, *, branches, **params):
    index, *operands = primals
    nonzeros = tuple(not is_zero(t) for t in tangents[1:])
    primal_branches, linear_branches, n_outs, shared, wanted = _linearized_branches(branches, nonzeros)
    outs = cond_p.bind(index, *operands, branches=primal_branches, **params)
    residuals = outs[n_outs:] + [operands[i] for i in shared]
    active = [t for t in tangents[1:] if not is_zero(t)]
    out_tangents = []
    if any(wanted) or any(branch.effects for branch in linear_branches):
        out_tangents = cond_p.bind(index, *residuals, *active, branches=linear_branches, **params)
    return outs[:n_outs], spread(out_tangents, wanted)


def _linearized_branches(branches, nonzeros):
    """The branches split into primal and linear programs with one common list of residuals.

    Residuals of different branches share a slot where their types agree, as only one branch runs; residuals that are
    operands of the conditional are taken from there.
    """
    key = ("linearize cond", branches, nonzeros)
    found = branches[0].derived.get(key)
    if found is not None:
        return found
    splits = [linearize_jaxpr(branch, nonzeros) for branch in branches]
    n_outs = len(branches[0].out_avals)
    wanted = [any(s.out_nonzeros[i] for s in splits) for i in range(n_outs)]
    slots, assigned, shared = _assign_slots(splits, branches[0].in_avals)
    primal_branches, linear_branches = [], []
    for split, mine in zip(splits, assigned):

        def primal(args, split=split, mine=mine):
            outs = eval_jaxpr(split.primal.jaxpr, split.primal.consts, args)
            filled = [None] * len(slots)
            for slot, value in zip(mine, split.residuals(args, outs)):
                if slot is not None:
                    filled[slot] = value
            return outs[:n_outs] + [_zeros(aval) if v is None else v for v, aval in zip(filled, slots)]

        primal_branches.append(trace_to_jaxpr(primal, branches[0].in_avals))

        def linear(args, split=split, mine=mine):
            residuals, rest, active = (
                args[: len(slots)],
                args[len(slots) : len(slots) + len(shared)],
                args[len(slots) + len(shared) :],
            )
            chosen = [
                rest[shared.index(i)] if slot is None else residuals[slot] for (_, i), slot in zip(split.sources, mine)
            ]
            outs = iter(eval_jaxpr(split.linear.jaxpr, split.linear.consts, chosen + active))
            given = [next(outs) if nonzero else None for nonzero in split.out_nonzeros]
            return [
                instantiate_zeros(Zero(aval_to_tangent(aval))) if t is None else t
                for t, w, aval in zip(given, wanted, branches[0].out_avals)
                if w
            ]

        shared_avals = [branches[0].in_avals[i] for i in shared]
        active_avals = [aval_to_tangent(a) for a, n in zip(branches[0].in_avals, nonzeros) if n]
        linear_branches.append(trace_to_jaxpr(linear, slots + shared_avals + active_avals))
    result = tuple(primal_branches), tuple(linear_branches), n_outs, shared, wanted
    branches[0].derived[key] = result
    return result


def _assign_slots(splits, in_avals):
    """Which residuals of the branches are results of the conditional, and which operands are kept as they are.

    Returns the avals of the results ("slots"); for each branch, the slot of each residual or None for an operand; and
    those operands. A slot has the residual of one branch or another; operands go where the branches that need them have
    slots left over.
    """
    slots, assigned = [], []
    for split in splits:
        free = list(range(len(slots)))
        mine = [None] * len(split.sources)
        for position, (where, _) in enumerate(split.sources):
            if where == "in":
                continue
            aval = split.linear.in_avals[position]
            slot = next((f for f in free if slots[f] is aval), None)
            if slot is None:
                slot = len(slots)
                slots.append(aval)
            else:
                free.remove(slot)
            mine[position] = slot
        assigned.append(mine)
    shared = []
    for i in sorted({i for split in splits for where, i in split.sources if where == "in"}):
        users = [(mine, split.sources.index(("in", i))) for mine, split in zip(assigned, splits)
                 if ("in", i) in split.sources]  # fmt: skip
        slot = next(
            (f for f, a in enumerate(slots) if a is in_avals[i] and all(f not in mine for mine, _ in users)), None
        )
        if slot is None:
            shared.append(i)
        for mine, position in users:
            mine[position] = slot
    return slots, assigned, shared


def _zeros(aval):
    return lax.full(aval.shape, 0, aval.dtype)


def _transpose(cotangents, index, *operands, branches, **params):
    linear = [is_undefined_primal(x) for x in operands]
    known = [x for x in operands if not is_undefined_primal(x)]
    ct_nonzero = tuple(not is_zero(ct) for ct in cotangents)
    key = ("transpose cond", branches, tuple(linear), ct_nonzero)
    found = branches[0].derived.get(key)
    if found is None:
        found = tuple(_transpose_branch(b, linear, ct_nonzero) for b in branches)
        keep(branches[0].derived, key, found, *found)
    cts = [ct for ct in cotangents if not is_zero(ct)]
    outer, found = _share_constants([hoist(b) for b in found])
    outs = iter(cond_p.bind(index, *outer, *known, *cts, branches=tuple(found), **params))
    return [None] + [next(outs) if is_linear else None for is_linear in linear]


def _transpose_branch(branch, linear, ct_nonzero):
    known_avals = [a for a, is_linear in zip(branch.in_avals, linear) if not is_linear]
    ct_avals = [aval_to_tangent(a) for a, n in zip(branch.out_avals, ct_nonzero) if n]

    def transposed(args):
        known, cts = iter(args[: len(known_avals)]), iter(args[len(known_avals) :])
        operands = [UndefinedPrimal(a) if is_linear else next(known) for a, is_linear in zip(branch.in_avals, linear)]
        results = backward_pass(branch.jaxpr, branch.consts, operands, [next(cts) if n else None for n in ct_nonzero])
        return [
            instantiate_zeros(Zero(aval_to_tangent(a))) if ct is None else ct
            for ct, a, is_linear in zip(results, branch.in_avals, linear)
            if is_linear
        ]

    return trace_to_jaxpr(transposed, known_avals + ct_avals)


def _batch(axis, args, dims, *, branches, **params):
    index, *operands = args
    index_dim, *operand_dims = dims
    if batches_elsewhere(args, dims) or (index_dim is not None and any(map(is_reference, operands))):
        return batch_by_values(cond_p, axis, args, dims, {"branches": branches, **params})
    operands, batched = batch_arguments(operands, operand_dims)
    n_outs = len(branches[0].out_avals)
    if index_dim is None:
        wanted = [False] * n_outs
        for branch in branches:
            wanted = [w or b for w, b in zip(wanted, batch_jaxpr(branch, axis, batched)[1])]
        batched_branches = tuple(batch_jaxpr(branch, axis, batched, wanted)[0] for branch in branches)
        outs = cond_p.bind(index, *operands, branches=batched_branches, **params)
        return outs, [0 if w else None for w in wanted]
    # Which branch runs differs within the batch: all of them run, and each element takes its own.
    index = (
        index
        if index_dim == 0
        else lax.transpose(index, (index_dim, *(i for i in range(index.ndim) if i != index_dim)))
    )
    results = []
    for branch in branches:
        closed, _ = batch_jaxpr(branch, axis, batched, True)
        results.append(eval_jaxpr(closed.jaxpr, closed.consts, operands))
    outs = []
    for cases in zip(*results):
        which = lax.broadcast_in_dim(index, cases[0].shape, (0,))
        outs.append(lax.select_n(lax.ne(which, lax.full_like(which, 0)) if len(branches) == 2 else which, *cases))
    return outs, [0] * n_outs


def _lower(ctx, index, *operands, branches, branches_platforms=None):
    if branches_platforms is not None:
        # What another platform's branch does need not exist on this one.
        branches = (branches[choice(branches_platforms, ctx.platform)],)
    if len(branches) == 1:
        return ctx.inline(branches[0], operands)
    # Whichever branch runs, the token that comes out is that of its last ordered effect.
    ordered = any(map(is_ordered, branches))
    regions = ", ".join(f"{{\n{ctx.body(branch, operands, with_token=ordered)}\n}}" for branch in branches)
    types = [TOKEN] * ordered + [a.mlir for a in ctx.avals_out]
    n = len(types)
    outs = ctx.op(f'"stablehlo.case"({index}) ({regions}) : (tensor<i32>) -> ({", ".join(types)})', n)
    if n == 1:
        outs = [outs]
    if ordered:
        ctx.token, *outs = outs
    return outs


cond_p = Primitive(
    "cond",
    abstract=_abstract,
    impl=eager_impl(lambda: cond_p, lambda params: params["branches"][0]),
    jvp=_jvp,
    linearize=_linearize,
    transpose=_transpose,
    batch=_batch,
    batch_needs_axis=True,
    lower=_lower,
    multiple_results=True,
    effects=lambda *, branches, **params: union_effects(*branches),
    skip_canonicalization=True,
)


@api_boundary
def switch(index, branches, *operands, operand=None):
    """Calls one of several functions: `branches[clamp(index, 0, len(branches) - 1)](*operands)`.

    All branches take the same operands and return results of the same structure, shapes and dtypes. Raises TypeError
    where the index is not an integer scalar or results differ, ValueError for no branches, OverflowError for an index
    of more than 64 bits.

    >>> from cyxla import lax
    >>> lax.switch(1, [lambda x: x, lambda x: x * 10.0], 2.0)
    Array(20., dtype=float32, weak_type=True)
    """
    if operand is not None:
        if operands:
            raise TypeError("switch: pass operands by position or as operand=, not both")
        operands = (operand,)
    branches = tuple(branches)
    for branch in branches:
        if not callable(branch):
            raise TypeError(f"switch: branches must be functions, got {branch!r:.200}")
    if not branches:
        raise ValueError("switch: an empty sequence of branches was given; at least one is needed")
    if isinstance(index, int) and not isinstance(index, bool):
        # As if it were a 64-bit array made one of 32 bits, as all are: beyond these, integers wrap before the clamp.
        if not -(1 << 63) <= index < 1 << 64:
            raise OverflowError(f"switch: the branch index must be an integer of at most 64 bits, got {index}")
        index = (index + (1 << 31)) % (1 << 32) - (1 << 31)
    aval = typeof(index)
    if aval.shape:
        raise TypeError(f"switch: the branch index must be a scalar, got one of shape {aval.shape}")
    if aval.dtype.kind not in "iu":
        raise TypeError(f"switch: the branch index must be an integer, got dtype {aval.dtype}")
    if len(branches) == 1:
        return branches[0](*operands)
    if config.jax_disable_jit and not hasattr(index, "_trace"):
        return branches[max(0, min(int(index), len(branches) - 1))](*operands)
    index = lax.convert_element_type(asarray(index), "int32")
    index = lax.clamp(scalar(0, "int32"), index, scalar(len(branches) - 1, "int32"))
    return conditional(index, branches, operands, "switch")


_missing = object()


@api_boundary
def cond(pred, true_fun, false_fun, *operands, operand=_missing, linear=None):
    """Calls `true_fun(*operands)` where `pred` is true, else `false_fun(*operands)`; only one of them runs.

    `pred` is a boolean (or numeric) scalar. The functions return results of the same structure, shapes and dtypes.
    Raises TypeError where `pred` is not a scalar or the results differ.

    >>> from cyxla import lax
    >>> lax.cond(True, lambda x: x + 1.0, lambda x: x - 1.0, 2.0)
    Array(3., dtype=float32, weak_type=True)
    """
    if len(operands) == 2 and not callable(true_fun) and callable(false_fun) and callable(operands[1]):
        # The old form cond(pred, true_operand, true_fun, false_operand, false_fun).
        true_operand, true_function, false_operand, false_function = true_fun, false_fun, *operands
        return cond(
            pred, lambda ops: true_function(ops[0]), lambda ops: false_function(ops[1]), (true_operand, false_operand)
        )
    if operand is not _missing:
        if operands:
            raise TypeError("cond: pass operands by position or as operand=, not both")
        operands = (operand,)
    if not (callable(true_fun) and callable(false_fun)):
        raise TypeError(
            "cond takes the functions true_fun and false_fun after the predicate, got "
            f"{true_fun!r:.100} and {false_fun!r:.100}"
        )
    if pred is None:
        raise TypeError("cond: the predicate is None; give a boolean scalar")
    if not is_arraylike(pred):
        raise TypeError(
            f"cond: the predicate must be a boolean scalar, got {pred!r:.200} of type {type(pred).__name__}"
        )
    aval = typeof(pred)
    if aval.shape:
        raise TypeError(
            f"cond: the predicate must be a scalar, got an array of shape {aval.shape}; reduce it with .any() or "
            ".all(), or use jnp.where for an elementwise choice"
        )
    if aval.dtype.kind not in "biuf":
        raise TypeError(f"cond: the predicate must be a boolean or a number, got dtype {aval.dtype}")
    if config.jax_disable_jit and not hasattr(pred, "_trace"):
        return true_fun(*operands) if pred else false_fun(*operands)
    pred = asarray(pred)
    if aval.dtype.kind != "b":
        pred = lax.ne(pred, scalar(0, aval.dtype))
    index = lax.convert_element_type(pred, "int32")
    return conditional(index, (false_fun, true_fun), operands, "cond")


def conditional(index, functions, operands, api, **params):
    leaves, in_tree = tree_flatten(operands)
    leaves = to_arrays(leaves, api)
    avals = [x.aval for x in leaves]
    traced = [trace_body(f, in_tree, avals, api) for f in functions]
    out_tree = traced[0][2]
    for number, (_, _, tree) in enumerate(traced):
        if tree != out_tree:
            raise TypeError(
                f"{api}: {_names(api, 0)} and {_names(api, number)} must return results of the same structure; they "
                f"return {out_tree} and {tree}"
            )
    for function, (_, mine, _) in zip(functions, traced):
        check_references(leaves, mine, function, api)
    consts, branches = _share_constants([(closed, mine) for closed, mine, _ in traced])
    _check_types(branches, api)
    outs = cond_p.bind(index, *consts, *leaves, branches=tuple(branches), **params)
    return tree_unflatten(out_tree, outs)


def _share_constants(lifted):
    """The constants of all branches, each once, and the branches as jaxprs that take all of them before operands."""
    consts, places = [], {}
    for _, mine in lifted:
        for const in mine:
            if id(const) not in places:
                places[id(const)] = len(consts)
                consts.append(const)
    const_avals = tuple(asarray(c).aval for c in consts)
    branches = [_with_all_constants(closed, tuple(places[id(c)] for c in mine), const_avals) for closed, mine in lifted]
    return consts, branches


def _with_all_constants(closed, places, const_avals):
    """The branch as one that takes further constants: its own are at `places` among them."""
    if places == tuple(range(len(const_avals))):
        return closed
    key = ("constants", places, const_avals)
    found = closed.derived.get(key)
    if found is None:
        jaxpr = closed.jaxpr
        own = dict(zip(places, jaxpr.invars))
        constants = [own.get(i) or Var(aval) for i, aval in enumerate(const_avals)]
        invars = constants + jaxpr.invars[len(places) :]
        found = closed.derived[key] = ClosedJaxpr(
            Jaxpr(jaxpr.constvars, invars, jaxpr.outvars, jaxpr.eqns), closed.consts
        )
    return found


def _names(api, number):
    return ("false_fun", "true_fun")[number] if api == "cond" else f"branch {number}"


def _check_types(branches, api):
    """Raises TypeError where branches return different shapes or dtypes. Weak types are those of the first one."""
    first = branches[0].out_avals
    for number, branch in enumerate(branches):
        for position, (a, b) in enumerate(zip(first, branch.out_avals)):
            if not same_type(a, b):
                raise TypeError(
                    f"{api}: {_names(api, 0)} and {_names(api, number)} must return results of equal types; result "
                    f"{position} is {a.str_short()} in one and {b.str_short()} in the other. Convert one of them, for "
                    "example with .astype."
                )


@api_boundary
def platform_dependent(*args, default=None, **per_platform):
    """Calls one of several functions, by the platform that the program is compiled for.

    `per_platform` has functions by platform name (cpu, cuda, rocm, tpu); `default` is for all others. All take `args`
    and return results of the same structure, shapes and dtypes. Only the chosen one is compiled.

    Raises NotImplementedError where there is no function for the platform.

    >>> from cyxla import lax
    >>> lax.platform_dependent(1.0, cpu=lambda x: x + 1.0, default=lambda x: x)
    2.0
    """
    platforms = tuple((name,) for name in per_platform)
    functions = tuple(per_platform.values())
    if default is not None:
        platforms, functions = (*platforms, None), (*functions, default)
    if not functions:
        raise NotImplementedError("platform_dependent: no functions were given, for no platform and as no default")
    for name, function in {"default": default, **per_platform}.items():
        if function is not None and not callable(function):
            raise TypeError(f"platform_dependent: {name} must be a function, got {function!r:.200}")
    if len(functions) == 1 and default is not None:
        return default(*args)
    if get_trace() is None:
        return functions[choice(platforms, default_backend())](*args)
    index = platform_index_p.bind(platforms=platforms)
    return conditional(index, functions, args, "platform_dependent", branches_platforms=platforms)
