"""Derivatives of primitives: forward rules, transposes, and what rules work with.

    ad.defjvp(mul_p, lambda t, x, y: mul(t, y), lambda t, x, y: mul(x, t))

A forward rule of `primitive_jvps` takes primals and tangents, some of which may be `Zero`, and the parameters, and
returns the results and their tangents. A rule of `primitive_transposes` takes the cotangent, the operands, those to
transpose for being `UndefinedPrimal`, and the parameters, and returns a cotangent or None for each operand.
"""

from functools import partial, reduce

from cyxla._engine.array import asarray
from cyxla._engine.autodiff import (
    JVPTrace,
    JVPTracer,
    add_tangents,
    jvp_flat,
    linearize_flat,
)
from cyxla._engine.autodiff import instantiate_zeros as _instantiate_zeros
from cyxla._engine.core import (
    UndefinedPrimal,
    Zero,
    aval_to_tangent,
    is_undefined_primal,
)
from cyxla._engine.pytree import tree_flatten
from cyxla.interpreters._tables import RuleTable, checked_primitive
from cyxla.lax.binary import add_any_p as add_jaxvals_p


def instantiate_zeros(tangent):
    """A `Zero` as an array of zeros; anything else unchanged."""
    return _instantiate_zeros(tangent)


def zeros_like_aval(aval):
    """An array of zeros with an aval's shape and dtype."""
    return instantiate_zeros(Zero(aval))


def add_jaxvals(x, y):
    """The sum of two tangents or cotangents that are arrays."""
    return add_jaxvals_p.bind(x, y)


def _tangents_of(primitive, outs, tangent):
    return [tangent(out) for out in outs] if primitive.multiple_results else tangent(outs)


def _by_operand(primitive, primals, tangents, **params):
    out = primitive.bind(*primals, **params)
    terms = [
        rule(t, out, *primals, **params)
        for rule, t in zip(primitive.jvps, tangents)
        if rule is not None and type(t) is not Zero
    ]
    return out, reduce(add_tangents, terms, Zero.from_primal_value(out))


def _by_linearity(primitive, primals, tangents, **params):
    out = primitive.bind(*primals, **params)
    if all(type(t) is Zero for t in tangents):
        return out, _tangents_of(primitive, out, Zero.from_primal_value)
    return out, primitive.bind(*map(instantiate_zeros, tangents), **params)


def _without_tangent(primitive, primals, tangents, **params):
    out = primitive.bind(*primals, **params)
    return out, _tangents_of(primitive, out, Zero.from_primal_value)


def _read_jvp(primitive):
    if not primitive.differentiable:
        return partial(_without_tangent, primitive)
    if primitive.jvps is not None:
        return partial(_by_operand, primitive)
    if primitive.linear:
        return partial(_by_linearity, primitive)
    return primitive.jvp


def _write_jvp(primitive, rule):
    primitive.jvp, primitive.jvps, primitive.linearize = rule, None, None
    primitive.linear, primitive.differentiable = False, True


def _write_jvps(primitive, rules):
    _write_jvp(checked_primitive(primitive), None)
    primitive.jvps = tuple(rules)


primitive_jvps = RuleTable("primitive_jvps", _read_jvp, _write_jvp)
primitive_transposes = RuleTable(
    "primitive_transposes", lambda p: p.transpose, lambda p, rule: setattr(p, "transpose", rule)
)


def get_primitive_transpose(p):
    """The transpose rule of a primitive; NotImplementedError if it has none."""
    try:
        return primitive_transposes[p]
    except KeyError:
        raise NotImplementedError(
            f"{p} has no transpose rule, which reverse-mode differentiation needs; set primitive_transposes[{p}_p]"
        ) from None


def defjvp(primitive, *jvprules):
    """Sets the derivative of a primitive of one result: a rule `(t, *primals, **params) -> tangent` for each operand.

    None is for operands that the result does not depend on smoothly.
    """

    def with_answer(rule):
        return None if rule is None else lambda t, ans, *primals, **params: rule(t, *primals, **params)

    _write_jvps(primitive, map(with_answer, jvprules))


def defjvp2(primitive, *jvprules):
    """As `defjvp`, with rules `(t, result, *primals, **params) -> tangent`."""
    _write_jvps(primitive, jvprules)


def deflinear(primitive, transpose_rule):
    """Says that a primitive is linear in all operands, with transpose `(ct, **params) -> cotangents`."""
    deflinear2(primitive, lambda ct, *operands, **params: transpose_rule(ct, **params))


def deflinear2(primitive, transpose_rule):
    """Says that a primitive is linear in all operands, with transpose `(ct, *operands, **params) -> cotangents`."""
    _write_jvp(checked_primitive(primitive), None)
    primitive.linear = True
    primitive.transpose = transpose_rule


def defbilinear(prim, lhs_rule, rhs_rule):
    """Says that a primitive is linear in each of two operands.

    The rules `(ct, lhs, rhs, **params) -> cotangent` are its transposes in one and in the other.
    """

    def transpose(ct, lhs, rhs, **params):
        if is_undefined_primal(lhs):
            if is_undefined_primal(rhs):
                raise TypeError(f"{prim} is linear in each operand, but not in both of them together")
            return [lhs_rule(ct, lhs, rhs, **params), None]
        return [None, rhs_rule(ct, lhs, rhs, **params)]

    defjvp(
        prim,
        lambda t, lhs, rhs, **params: prim.bind(t, rhs, **params),
        lambda t, lhs, rhs, **params: prim.bind(lhs, t, **params),
    )
    prim.transpose = transpose


def _flat(fun):
    return getattr(fun, "call_wrapped", fun)


def jvp(fun, primals, tangents, has_aux=False, instantiate=True, transform_stack=True):
    """Forward mode on a function of arrays with a list of results (a `WrappedFun`, say).

    Returns the lists of results and tangents, the latter as arrays or with `instantiate=False` some `Zero`; with
    `has_aux`, `fun` returns `(results, aux)`, and aux comes third.
    """
    aux = None

    def flat(args):
        nonlocal aux
        outs = _flat(fun)(*args)
        if has_aux:
            outs, aux = outs
        return outs

    given = [None if type(t) is Zero or t is None else asarray(t) for t in tangents]
    outs, tangents_out = jvp_flat(flat, [asarray(x) for x in primals], given)
    zeros = [Zero.from_primal_value(out) for out in outs]
    tangents_out = [z if t is None else t for t, z in zip(tangents_out, zeros)]
    if instantiate:
        tangents_out = [instantiate_zeros(t) for t in tangents_out]
    return (outs, tangents_out, aux) if has_aux else (outs, tangents_out)


def linearize(traceable, primals_ft, has_aux=False, is_vjp=False):
    """The results of a function at a pytree of primals, and a function from tangents to tangents of the results.

    `traceable` is called with the arrays of `primals_ft` and returns a list of arrays; with `has_aux`, `(list, aux)`,
    and aux comes third.
    """
    leaves, _ = tree_flatten(primals_ft)
    aux = None

    def flat(args):
        nonlocal aux
        outs = _flat(traceable)(*args)
        if has_aux:
            outs, aux = outs
        return outs

    outs, program = linearize_flat(flat, [asarray(x) for x in leaves], [True] * len(leaves))
    avals = [aval_to_tangent(out.aval) for out in outs]

    def tangent_map(*tangents):
        results = program.apply([instantiate_zeros(t) for t in tree_flatten(tangents)[0]])
        return [zeros_like_aval(a) if t is None else t for a, t in zip(avals, results)]

    return (outs, tangent_map, aux) if has_aux else (outs, tangent_map)


__all__ = [
    "JVPTrace",
    "JVPTracer",
    "UndefinedPrimal",
    "Zero",
    "add_jaxvals",
    "add_jaxvals_p",
    "add_tangents",
    "defbilinear",
    "defjvp",
    "defjvp2",
    "deflinear",
    "deflinear2",
    "get_primitive_transpose",
    "instantiate_zeros",
    "is_undefined_primal",
    "jvp",
    "linearize",
    "primitive_jvps",
    "primitive_transposes",
    "zeros_like_aval",
]
