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


# -- splitting a program


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
    key = ("policy", policy)
    found = closed.derived.get(key)
    if found is not None:
        return found
    written_out = _with_calls_written_out(closed)
    jaxpr = written_out.jaxpr
    kept, recompute = [], []
    for eqn in jaxpr.eqns:
        avals = [a.aval for a in eqn.invars]
        answer = policy(eqn.primitive, *avals, **eqn.params)
        # What is done to a reference is done again, to another one.
        on_reference = any(type(a) is AbstractRef for a in (*avals, *(v.aval for v in eqn.outvars)))
        if on_reference or (not answer and not isinstance(answer, Offloadable)):
            recompute.append(eqn)
            continue
        invars = [Var(a) for a in avals]
        outvars = [Var(v.aval) for v in eqn.outvars]
        alone = ClosedJaxpr(Jaxpr([], invars, outvars, [eqn.replace(invars=invars, outvars=outvars)]), [])
        given = [Var(v.aval) for v in eqn.outvars]
        params = {"jaxpr": alone, "num_results": len(given)}
        recompute.append(Eqn(known_p, eqn.invars + given, eqn.outvars, params))
        kept += zip(eqn.outvars, given)
    forward = Jaxpr(jaxpr.constvars, jaxpr.invars, jaxpr.outvars + [v for v, _ in kept], jaxpr.eqns)
    again = Jaxpr(jaxpr.constvars, jaxpr.invars + [v for _, v in kept], jaxpr.outvars, recompute)
    consts = written_out.consts
    found = ClosedJaxpr(forward, consts), ClosedJaxpr(again, consts), len(kept)
    closed.derived[key] = found
    return found
