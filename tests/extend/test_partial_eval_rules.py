"""Rules of users that say what `checkpoint` keeps of their primitives' equations; against jax."""

import jax
import numpy as np
import pytest
from compare import both_raise, in_both
from jaxlib.mlir.dialects import stablehlo as hlo

import cyxla

OURS, THEIRS = MODULES = in_both(
    core="extend.core",
    ad="interpreters.ad",
    mlir="interpreters.mlir",
    pe="interpreters.partial_eval",
    batching="interpreters.batching",
)


def sine(m, rule=None):
    p = m.core.Primitive("p")
    p.def_impl(lambda x: m.jnp.sin(x))
    p.def_abstract_eval(lambda x: x)
    m.mlir.register_lowering(p, lambda ctx, x: [hlo.sine(x)])
    m.ad.defjvp(p, lambda t, x: t * m.jnp.cos(x))
    m.batching.defvectorized(p)
    if rule is not None:
        m.pe.partial_eval_jaxpr_custom_rules[p] = rule
    return p.bind


def keep(saveable, unknown_in, inst_in, eqn):
    assert unknown_in == (False,)
    return eqn, None, [False], [False], []


def recompute(saveable, unknown_in, inst_in, eqn):
    return eqn, eqn, [False], [True], []


def as_the_policy_says(saveable, unknown_in, inst_in, eqn):
    saved = saveable(eqn.primitive, *[v.aval for v in eqn.invars], **eqn.params)
    return (keep if saved else recompute)(saveable, unknown_in, inst_in, eqn)


RULES = {"none": None, "keep": keep, "recompute": recompute, "as the policy says": as_the_policy_says}
POLICIES = [None, "nothing_saveable", "save_p"]


def checkpointed(m, rule, policy, wrap=lambda f: f):
    bind = wrap(sine(m, RULES[rule]))
    if policy == "save_p":
        policy = lambda prim, *_, **__: prim.name == "p"
    elif policy is not None:
        policy = getattr(m.jax.checkpoint_policies, policy)
    return m.jax.checkpoint(lambda x: bind(m.jnp.cos(x)) ** 2 * x, policy=policy)


def times_computed(m, f):
    return str(m.jax.make_jaxpr(m.jax.grad(f))(np.float32(1))).count("= p ")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("rule", RULES)
def test_what_is_computed_again(rule, policy):
    ours, theirs = (checkpointed(m, rule, policy) for m in MODULES)
    assert times_computed(OURS, ours) == times_computed(THEIRS, theirs)
    x = np.float32(0.7)
    for order in (
        lambda m, f: m.jax.grad(f)(x),
        lambda m, f: m.jax.jit(m.jax.grad(f))(x),
        lambda m, f: m.jax.grad(m.jax.grad(f))(x),
        lambda m, f: m.jax.vmap(m.jax.grad(f))(np.array([0.1, 0.7], np.float32)),
    ):
        np.testing.assert_allclose(order(OURS, ours), order(THEIRS, theirs), rtol=1e-5)


def test_equations_in_jitted_functions():
    ours, theirs = (checkpointed(m, "keep", None, m.jax.jit) for m in MODULES)
    assert np.isclose(cyxla.grad(ours)(0.7), jax.grad(theirs)(0.7))
    assert times_computed(OURS, ours) == 1


def with_hint(m):
    """A primitive whose second result makes it cheap to compute the first again: they are handed on."""
    first_p, again_p = m.core.Primitive("first"), m.core.Primitive("again")
    for p, outs in ((first_p, 2), (again_p, 1)):
        p.multiple_results = True
        p.def_abstract_eval(lambda x, *hint, outs=outs: [x] * outs)
    first_p.def_impl(lambda x: [m.jnp.sin(x), m.jnp.sin(x) / 2])
    again_p.def_impl(lambda hint: [hint * 2])

    def first_jvp(primals, tangents):
        outs = first_p.bind(*primals)
        t = tangents[0] * m.jnp.cos(primals[0])
        return outs, [t, t / 2]

    m.ad.primitive_jvps[first_p] = first_jvp
    # Of the two results, the second is kept and the first is computed from it.
    m.pe.partial_eval_jaxpr_custom_rules[first_p] = lambda saveable, unknown_in, inst_in, eqn: (
        eqn,
        eqn.replace(primitive=again_p, invars=[eqn.outvars[1]], outvars=[eqn.outvars[0]], params={}),
        [False, False],
        [True, False],
        [eqn.outvars[1]],
    )
    return m.jax.checkpoint(lambda x: first_p.bind(x)[0] ** 2 * x)


def test_values_handed_to_the_backward_pass():
    ours, theirs = map(with_hint, MODULES)
    for x in (0.7, 1.3):
        np.testing.assert_allclose(cyxla.grad(ours)(x), jax.grad(theirs)(x), rtol=1e-6)
    texts = [str(m.jax.make_jaxpr(m.jax.grad(f))(1.0)) for m, f in zip(MODULES, (ours, theirs))]
    for text in texts:
        assert text.count("= first ") == 1
        assert text.count("= again ") == 1 or "computed_again" in text
    np.testing.assert_allclose(
        cyxla.vmap(cyxla.grad(lambda x: OURS.jnp.sin(checkpointed(OURS, "keep", None)(x))))(np.ones(2)),
        [jax.grad(lambda x: THEIRS.jnp.sin(checkpointed(THEIRS, "keep", None)(x)))(1.0)] * 2,
        rtol=1e-6,
    )


def test_rules_given_later_count():
    bind = sine(OURS)
    f = cyxla.checkpoint(lambda x: bind(x) ** 2)
    assert times_computed(OURS, f) == 2
    primitive = bind.__self__
    OURS.pe.partial_eval_jaxpr_custom_rules[primitive] = keep
    assert times_computed(OURS, f) == 1
    del OURS.pe.partial_eval_jaxpr_custom_rules[primitive]
    assert times_computed(OURS, f) == 2


def test_a_rule_that_leaves_results_unknown():
    def rule(saveable, unknown_in, inst_in, eqn):
        return None, eqn, [True], [True], list(eqn.invars)

    def program(m):
        return m.jax.grad(m.jax.checkpoint(sine(m, rule)))(1.0)

    both_raise("ValueError", lambda module: program(OURS if module is cyxla else THEIRS), "leaves results unknown")
