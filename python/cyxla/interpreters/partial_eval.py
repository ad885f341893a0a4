"""Tracing of functions into jaxprs, and taking apart of jaxprs."""

from typing import Any as Val  # noqa: F401  what a PartialVal knows

from cyxla._engine.array import asarray
from cyxla._engine.core import ClosedJaxpr, Jaxpr, Literal, Var
from cyxla._engine.staging import StagingTracer as DynamicJaxprTracer
from cyxla._engine.staging import dce_jaxpr as _dce_jaxpr
from cyxla._engine.staging import trace_flat, trace_unknown
from cyxla._transform.checkpoint_policies import partial_eval_rules

# Primitive -> rule (saveable, unknown_in, instantiated_in, eqn) -> (the equation of the forward pass, that of the
# backward pass or None, which results the first does not know, which the second has, what the first hands on).
# `checkpoint` asks it what to keep of an equation; `saveable` is its policy.
partial_eval_jaxpr_custom_rules = partial_eval_rules

JaxprTracer = DynamicJaxprTracer


class PartialVal(tuple):
    """A value that is known, or of which the aval is known only: `(None, value)` or `(aval, None)`."""

    __slots__ = ()

    def __new__(cls, xs):
        aval, const = xs
        if (aval is None) == (const is None):
            raise ValueError(f"PartialVal: give an aval or a value, and None for the other; got {xs!r:.200}")
        return super().__new__(cls, (aval, const))

    @classmethod
    def known(cls, const):
        """Of a value."""
        return cls((None, const))

    @classmethod
    def unknown(cls, aval):
        """Of an aval."""
        return cls((aval, None))

    def is_known(self):
        return self[0] is None

    def get_known(self):
        """The value, or None."""
        return self[1] if self.is_known() else None

    def get_aval(self):
        return asarray(self[1]).aval if self.is_known() else self[0]

    def merge_with_known(self, val):
        """The values of which some were not known, given the value of this one if it was not."""
        return self[1] if self.is_known() else val


def trace_to_jaxpr_dynamic(fun, in_avals, *, keep_inputs=None, lower=False, auto_dce=False):
    """The jaxpr of a `WrappedFun` that returns a list of arrays.

    Returns the jaxpr, the avals of its results and its constants.
    """
    jaxpr, consts = trace_flat(lambda tracers: list(fun.call_wrapped(*tracers)), list(in_avals))
    if auto_dce:
        jaxpr, _ = _dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars), True)
    if keep_inputs is not None:
        invars = [v for v, keep in zip(jaxpr.invars, keep_inputs) if keep]
        jaxpr = jaxpr.replace(invars=invars)
    return jaxpr, jaxpr.out_avals, list(consts)


def trace_to_jaxpr_nounits(fun, pvals, instantiate=False):
    """Evaluates what known arguments of a `WrappedFun` determine, and traces the rest.

    Returns a jaxpr from the unknown arguments, behind constants, to the unknown results, one `PartialVal` a result,
    and the constants. `instantiate`, a bool or one a result, makes known results unknown ones.
    """
    pvals = [PartialVal(p) for p in pvals]
    unknown = [p.get_aval() for p in pvals if not p.is_known()]

    def full(tracers):
        rest = iter(tracers)
        return list(fun.call_wrapped(*[p.get_known() if p.is_known() else next(rest) for p in pvals]))

    jaxpr, consts, values = trace_unknown(full, unknown)
    wanted = [instantiate] * len(values) if isinstance(instantiate, bool) else list(instantiate)
    consts, constvars, outvars, out_pvals = list(consts), list(jaxpr.constvars), [], []
    unknown_outs = iter(jaxpr.outvars)
    for value, want in zip(values, wanted):
        if value is not None and not want:
            out_pvals.append(PartialVal.known(value))
            continue
        if value is None:
            outvars.append(next(unknown_outs))
        else:
            outvars.append(Var(value.aval))
            constvars.append(outvars[-1])
            consts.append(value)
        out_pvals.append(PartialVal.unknown(outvars[-1].aval))
    return Jaxpr(constvars, jaxpr.invars, outvars, jaxpr.eqns), out_pvals, tuple(consts)


def dce_jaxpr(jaxpr, used_outputs, instantiate=False):
    """Drops from a jaxpr what the outputs marked in `used_outputs` do not need.

    Returns the jaxpr, and which of its inputs are left; with `instantiate` (a bool, or one an input) they are kept.
    """
    used_outputs = list(used_outputs)
    if len(used_outputs) != len(jaxpr.outvars):
        raise ValueError(f"dce_jaxpr: {len(used_outputs)} marks for {len(jaxpr.outvars)} outputs")
    inner = _with_inner_rules(jaxpr, used_outputs)
    return _dce_jaxpr(inner, used_outputs, instantiate)


def _with_inner_rules(jaxpr, used_outputs):
    """The jaxpr after the rules in `dce_rules` changed the equations of their primitives."""
    if not any(eqn.primitive in dce_rules for eqn in jaxpr.eqns):
        return jaxpr
    live = {v for v, used in zip(jaxpr.outvars, used_outputs) if used and type(v) is not Literal}
    eqns = []
    for eqn in reversed(jaxpr.eqns):
        used = [v in live for v in eqn.outvars]
        rule = dce_rules.get(eqn.primitive)
        if rule is not None and (any(used) or eqn.effects):
            _, eqn = rule(used, eqn)
            if eqn is None:
                continue
        if any(v in live for v in eqn.outvars) or eqn.effects:
            live.update(v for v in eqn.invars if type(v) is not Literal)
        eqns.append(eqn)
    return jaxpr.replace(eqns=eqns[::-1])


def dce_jaxpr_consts(jaxpr, used_outputs, instantiate=False):
    """As `dce_jaxpr`, dropping constants too. Returns the jaxpr, which constants are left, which inputs are."""
    n = len(jaxpr.constvars)
    lifted = jaxpr.replace(constvars=[], invars=[*jaxpr.constvars, *jaxpr.invars])
    keep = [instantiate] * len(jaxpr.invars) if isinstance(instantiate, bool) else list(instantiate)
    new, used = dce_jaxpr(lifted, used_outputs, [False] * n + keep)
    split = sum(used[:n])
    return new.replace(constvars=new.invars[:split], invars=new.invars[split:]), used[:n], used[n:]


def _dce_inner(used_outputs, eqn, name, inner, wrap):
    new, used_inputs = dce_jaxpr(inner, used_outputs)
    if not any(used_outputs) and not new.effects:
        return [False] * len(eqn.invars), None
    new_eqn = eqn.replace(
        invars=[v for v, used in zip(eqn.invars, used_inputs) if used],
        outvars=[v for v, used in zip(eqn.outvars, used_outputs) if used],
        params={**eqn.params, name: wrap(new)},
    )
    return used_inputs, new_eqn


def dce_jaxpr_call_rule(used_outputs, eqn):
    """The rule, for `dce_rules`, of a primitive with a parameter `call_jaxpr` that is a `Jaxpr`."""
    return _dce_inner(used_outputs, eqn, "call_jaxpr", eqn.params["call_jaxpr"], lambda new: new)


def dce_jaxpr_closed_call_rule(used_outputs, eqn):
    """The rule, for `dce_rules`, of a primitive with a parameter `call_jaxpr` that is a `ClosedJaxpr`."""
    closed = eqn.params["call_jaxpr"]
    return _dce_inner(used_outputs, eqn, "call_jaxpr", closed.jaxpr, lambda new: ClosedJaxpr(new, closed.consts))


# Primitive -> rule (used_outputs, eqn) -> (used_inputs, eqn or None).
dce_rules: dict = {}
