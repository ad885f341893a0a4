"""Which intermediate values `checkpoint` keeps: policies, names for values, and a program split by a policy.

A policy is a function `(primitive, *avals, **params)` of an equation; what it returns says whether the equation's
results are kept for the backward pass (True or `Saveable`) or computed again (False or `Recompute`).
"""

import types
from typing import NamedTuple

from cyxla._engine.array import asarray
from cyxla._engine.autodiff import add_tangents, jvp_flat
from cyxla._engine.aval import AbstractRef
from cyxla._engine.core import ClosedJaxpr, Eqn, Jaxpr, Primitive, Var, Zero, eval_jaxpr
from cyxla._engine.pytree import tree_map
from cyxla._engine.staging import trace_flat
from cyxla._transform.jaxprs import (
    batch_arguments,
    batch_jaxpr,
    bind_equation,
    interpret,
    linearize_jaxpr,
    move_batch_axis,
    spread,
)


class _Answer:
    """An answer of a policy."""

    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return self.name

    def __bool__(self):
        return self is Saveable


Saveable = _Answer("Saveable")
Recompute = _Answer("Recompute")


class Offloadable(NamedTuple):
    """The answer of a policy that wants a value kept in another kind of memory.

    The value is kept; it moves where a device has more than one kind of memory.
    """

    src: str
    dst: str


# -- names of values

name_p = Primitive(
    "name",
    abstract=lambda aval, *, name: aval,
    impl=lambda x, *, name: x,
    linear=True,
    transpose=lambda ct, x, *, name: [ct],
    batch=lambda args, dims, *, name: (name_p.bind(args[0], name=name), dims[0]),
    lower=lambda ctx, x, *, name: x,
)


def checkpoint_name(x, name):
    """The arrays of a pytree under a name by which a policy can ask for them; their values are the same.

    >>> import cyxla, cyxla.numpy as jnp
    >>> from cyxla.ad_checkpoint import checkpoint_name
    >>> policy = cyxla.checkpoint_policies.save_only_these_names("s")
    >>> f = cyxla.checkpoint(lambda x: jnp.cos(checkpoint_name(jnp.sin(x), "s")), policy=policy)
    >>> cyxla.grad(f)(0.0)
    Array(-0., dtype=float32, weak_type=True)
    """
    if not isinstance(name, str):
        raise TypeError(f"checkpoint_name takes a string as name, got {name!r:.200}")
    return tree_map(lambda leaf: name_p.bind(asarray(leaf), name=name), x)


# -- policies


def everything_saveable(*_, **__):
    """Keeps everything: nothing is computed twice."""
    return True


def nothing_saveable(*_, **__):
    """Keeps nothing but the arguments, as without a policy."""
    return False


def dots_saveable(prim, *_, **__):
    """Keeps the results of matrix products and convolutions."""
    return prim.name in ("dot_general", "conv_general_dilated")


def dots_with_no_batch_dims_saveable(prim, *_, **params):
    """Keeps the results of matrix products without batch dimensions, such as those with a layer's weights."""
    if prim.name != "dot_general":
        return False
    _, (lhs_batch, rhs_batch) = params["dimension_numbers"]
    return not lhs_batch and not rhs_batch


def offload_dot_with_no_batch_dims(offload_src, offload_dst):
    """A policy that keeps matrix products without batch dimensions in another kind of memory."""

    def policy(prim, *args, **params):
        return Offloadable(offload_src, offload_dst) if dots_with_no_batch_dims_saveable(prim, **params) else Recompute

    return policy


def save_anything_except_these_names(*names_not_to_save):
    """A policy that keeps all values but those with one of these names."""
    names = frozenset(names_not_to_save)
    return lambda prim, *_, **params: not (prim is name_p and params["name"] in names)


def save_any_names_but_these(*names_not_to_save):
    """A policy that keeps the values that have a name, other than these."""
    names = frozenset(names_not_to_save)
    return lambda prim, *_, **params: prim is name_p and params["name"] not in names


def save_only_these_names(*names_which_can_be_saved):
    """A policy that keeps the values with one of these names, and no others."""
    names = frozenset(names_which_can_be_saved)
    return lambda prim, *_, **params: prim is name_p and params["name"] in names


def save_from_both_policies(policy_1, policy_2):
    """A policy that keeps what either of two policies keeps."""
    return lambda prim, *args, **params: policy_1(prim, *args, **params) or policy_2(prim, *args, **params)


def save_and_offload_only_these_names(
    *, names_which_can_be_saved, names_which_can_be_offloaded, offload_src, offload_dst
):
    """A policy that keeps values with some names where they are, and with other names in another kind of memory."""
    saved, offloaded = frozenset(names_which_can_be_saved), frozenset(names_which_can_be_offloaded)
    both = saved & offloaded
    if both:
        raise ValueError(f"a name is to be either saved or offloaded, {sorted(both)} are in both lists")

    def policy(prim, *_, **params):
        if prim is not name_p:
            return Recompute
        if params["name"] in saved:
            return Saveable
        return Offloadable(offload_src, offload_dst) if params["name"] in offloaded else Recompute

    return policy


checkpoint_policies = types.SimpleNamespace(
    everything_saveable=everything_saveable,
    nothing_saveable=nothing_saveable,
    dots_saveable=dots_saveable,
    checkpoint_dots=dots_saveable,
    dots_with_no_batch_dims_saveable=dots_with_no_batch_dims_saveable,
    checkpoint_dots_with_no_batch_dims=dots_with_no_batch_dims_saveable,
    offload_dot_with_no_batch_dims=offload_dot_with_no_batch_dims,
    save_anything_except_these_names=save_anything_except_these_names,
    save_any_names_but_these=save_any_names_but_these,
    save_only_these_names=save_only_these_names,
    save_from_both_policies=save_from_both_policies,
    save_and_offload_only_these_names=save_and_offload_only_these_names,
)


# -- an equation whose result is known


def _known_jvp(primals, tangents, *, jaxpr, num_results):
    """The derivative of the equation; its value is the known one."""
    n = len(primals) - num_results
    given = [None if type(t) is Zero else t for t in tangents[:n]]
    _, dots = jvp_flat(lambda args: eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, args), list(primals[:n]), given)
    return list(primals[n:]), dots


def _known_linearize(primals, tangents, *, jaxpr, num_results):
    """The derivative of the equation; its value is the known one, wherever the rule needs it too."""
    n = len(primals) - num_results
    operands, known = list(primals[:n]), list(primals[n:])
    tangents = tangents[:n]
    eqn = jaxpr.jaxpr.eqns[0] if len(jaxpr.jaxpr.eqns) == 1 else None
    if eqn is not None and eqn.primitive.jvps is not None and eqn.invars == jaxpr.jaxpr.invars:
        total = Zero(known[0].aval)
        for rule, tangent in zip(eqn.primitive.jvps, tangents):
            if rule is not None and type(tangent) is not Zero:
                total = add_tangents(total, rule(tangent, known[0], *operands, **eqn.params))
        return known, [total]
    split = linearize_jaxpr(jaxpr, [type(t) is not Zero for t in tangents])
    outs = eval_jaxpr(split.primal.jaxpr, split.primal.consts, operands)
    active = [t for t in tangents if type(t) is not Zero]
    dots = eval_jaxpr(split.linear.jaxpr, split.linear.consts, split.residuals(operands, outs) + active)
    return known, spread(dots, split.out_nonzeros)


def _known_batch(axis, args, dims, *, jaxpr, num_results):
    args, batched = batch_arguments(args, dims)
    n = len(args) - num_results
    closed, _ = batch_jaxpr(jaxpr, axis, batched[:n], True)
    known = [x if b else move_batch_axis(x, None, axis.size) for x, b in zip(args[n:], batched[n:])]
    return known_p.bind(*args[:n], *known, jaxpr=closed, num_results=num_results), [0] * num_results


def _known(args, num_results):
    return list(args[len(args) - num_results :])


known_p = Primitive(
    "known_result",
    abstract=lambda *avals, jaxpr, num_results: _known(avals, num_results),
    impl=lambda *args, jaxpr, num_results: _known(args, num_results),
    jvp=_known_jvp,
    linearize=_known_linearize,
    batch=_known_batch,
    batch_needs_axis=True,
    lower=lambda ctx, *names, jaxpr, num_results: _known(names, num_results),
    multiple_results=True,
)


# -- an equation that computes values of another one, by which these are not differentiated

again_p = Primitive(
    "computed_again",
    abstract=lambda *avals, jaxpr: jaxpr.out_avals,
    impl=lambda *args, jaxpr: eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, args),
    jvp=lambda primals, tangents, *, jaxpr: _without_tangents(again_p.bind(*primals, jaxpr=jaxpr)),
    batch=lambda axis, args, dims, *, jaxpr: _again_batch(axis, args, dims, jaxpr),
    batch_needs_axis=True,
    lower=lambda ctx, *names, jaxpr: ctx.inline(jaxpr, names),
    multiple_results=True,
    effects=lambda *, jaxpr: jaxpr.effects,
)


def _without_tangents(outs):
    return outs, [Zero(x.aval) for x in outs]


def _again_batch(axis, args, dims, jaxpr):
    args, batched = batch_arguments(args, dims)
    closed, out_batched = batch_jaxpr(jaxpr, axis, batched)
    return again_p.bind(*args, jaxpr=closed), [0 if b else None for b in out_batched]


# -- splitting a program

# What users say of their primitives: (saveable, unknown_in, instantiated_in, eqn) -> (the equation of the forward pass,
# that of the backward pass, which results the former does not know, which the latter has, variables that the former
# hands to the latter). `saveable` is the policy.
partial_eval_rules: dict = {}


def has_rules(closed):
    """Whether a program has equations for which a user has registered a rule."""
    if not partial_eval_rules:
        return False
    return any(
        eqn.primitive in partial_eval_rules or (eqn.primitive.name == "jit" and has_rules(eqn.params["jaxpr"]))
        for eqn in closed.jaxpr.eqns
    )


def rules_key():
    """What the split of a program depends on besides the policy."""
    return tuple(partial_eval_rules.items())


def _alone(eqn):
    """A program of one equation."""
    invars = [Var(a.aval) for a in eqn.invars]
    outvars = [Var(v.aval) for v in eqn.outvars]
    return ClosedJaxpr(Jaxpr([], invars, outvars, [eqn.replace(invars=invars, outvars=outvars)]), [])


def _known_equation(eqn, values):
    """The equation, whose results have the given values."""
    params = {"jaxpr": _alone(eqn), "num_results": len(values)}
    return Eqn(known_p, eqn.invars + values, eqn.outvars, params)


def _split_by_rule(eqn, policy):
    """An equation of the forward pass, those of the backward pass, and the values kept with their variables in it."""
    n = len(eqn.invars)
    known, staged, unknown_out, inst_out, residuals = partial_eval_rules[eqn.primitive](
        policy, (False,) * n, (True,) * n, eqn
    )
    unknown_out, inst_out = list(unknown_out), list(inst_out)
    if known is None or any(unknown_out) or not set(eqn.outvars) <= set(known.outvars):
        raise ValueError(
            f"the rule of {eqn.primitive} in partial_eval_jaxpr_custom_rules leaves results unknown, though all "
            "operands are known in the forward pass: its first equation has to compute all results"
        )
    if staged is eqn and all(inst_out):
        return known, [eqn], []
    available = set(eqn.invars)
    kept = [(v, Var(v.aval)) for v in residuals if type(v) is Var and v not in available]
    values, equations = list(eqn.outvars), []
    if staged is not None:
        renamed = dict(kept)
        # The results have their derivatives from the equation that there was, so these have other variables.
        values = [Var(v.aval) for v in staged.outvars]
        fresh = dict(zip(staged.outvars, values))
        operands = [renamed.get(v, v) if type(v) is Var else v for v in staged.invars]
        equations.append(Eqn(again_p, operands, values, {"jaxpr": _alone(staged)}))
        values = [fresh[v] if inst else None for v, inst in zip(eqn.outvars, inst_out)]
    else:
        values = [None] * len(eqn.outvars)
    for i, v in enumerate(eqn.outvars):
        if values[i] is None:
            values[i] = Var(v.aval)
            kept.append((v, values[i]))
    return known, [*equations, _known_equation(eqn, values)], kept


def _with_calls_written_out(closed):
    """The jaxpr with the equations of jitted functions in the place of calls, so that a policy sees them."""

    def evaluate(closed, args):
        return interpret(closed.jaxpr, closed.consts, args, apply)

    def apply(eqn, operands):
        if eqn.primitive.name == "jit":
            return evaluate(eqn.params["jaxpr"], operands)
        return bind_equation(eqn, operands)

    if not any(eqn.primitive.name == "jit" for eqn in closed.jaxpr.eqns):
        return closed
    return ClosedJaxpr(*trace_flat(lambda args: evaluate(closed, args), closed.in_avals))


def split_by_policy(closed, policy):
    """Two programs: one that also returns what the policy keeps, and one that takes it after the arguments.

    Returns them and the number of values kept.
    """
    key = ("policy", policy, rules_key())
    found = closed.derived.get(key)
    if found is not None:
        return found
    written_out = _with_calls_written_out(closed)
    jaxpr = written_out.jaxpr
    kept, forward_eqns, recompute = [], [], []
    for eqn in jaxpr.eqns:
        if eqn.primitive in partial_eval_rules:
            known, equations, values = _split_by_rule(eqn, policy)
            forward_eqns.append(known)
            recompute += equations
            kept += values
            continue
        forward_eqns.append(eqn)
        avals = [a.aval for a in eqn.invars]
        answer = policy(eqn.primitive, *avals, **eqn.params)
        # What is done to a reference is done again, to another one.
        on_reference = any(type(a) is AbstractRef for a in (*avals, *(v.aval for v in eqn.outvars)))
        if on_reference or (not answer and not isinstance(answer, Offloadable)):
            recompute.append(eqn)
            continue
        given = [Var(v.aval) for v in eqn.outvars]
        recompute.append(_known_equation(eqn, given))
        kept += zip(eqn.outvars, given)
    forward = Jaxpr(jaxpr.constvars, jaxpr.invars, jaxpr.outvars + [v for v, _ in kept], forward_eqns)
    again = Jaxpr(jaxpr.constvars, jaxpr.invars + [v for _, v in kept], jaxpr.outvars, recompute)
    consts = written_out.consts
    found = ClosedJaxpr(forward, consts), ClosedJaxpr(again, consts), len(kept)
    closed.derived[key] = found
    return found
