"""Collectives over named axes: under vmap, in every order with the other transformations, beside jax."""

import functools
import re

import jax
import numpy as np
import pytest
from compare import agree, both_raise

import cyxla

X = np.arange(6, dtype=np.float32).reshape(3, 2) / 2
S = np.arange(9, dtype=np.float32).reshape(3, 3) - 4
T = np.arange(18, dtype=np.float32).reshape(3, 6) / 4
B = np.arange(54, dtype=np.float32).reshape(3, 3, 6)


def over(module, function, *args, axis="i", **options):
    return module.vmap(lambda *v: function(module.lax, *v), axis_name=axis, **options)(*args)


def nested(module, function, x):
    return module.vmap(module.vmap(lambda v: function(module.lax, v), axis_name="j"), axis_name="i")(x)


def gradient(module, function, x):
    """Of a scalar function of a member, with collectives in it."""
    return module.vmap(module.grad(lambda v: function(module.lax, v)), axis_name="i")(x)


CASES = {
    "psum": lambda m: over(m, lambda lax, v: lax.psum(v, "i"), X),
    "psum of integers": lambda m: over(m, lambda lax, v: lax.psum(v, "i"), X.astype(np.int32)),
    "psum of booleans": lambda m: over(m, lambda lax, v: lax.psum(v > 1, "i"), X),
    "psum of a tree": lambda m: over(m, lambda lax, v: lax.psum({"a": v, "b": 1}, "i"), X),
    "psum along the last axis": lambda m: over(m, lambda lax, v: lax.psum(v, "i"), X, in_axes=1),
    "psum of what is not mapped": lambda m: over(m, lambda lax, v: v + lax.psum(m.numpy.ones(2), "i"), X),
    "psum over positions": lambda m: over(m, lambda lax, v: lax.psum(v, 0), X),
    "psum over both": lambda m: over(m, lambda lax, v: lax.psum(v, ("i", 0)), X),
    "pmax over both": lambda m: over(m, lambda lax, v: lax.pmax(v, (0, "i")), X),
    "pmean": lambda m: over(m, lambda lax, v: lax.pmean(v, "i"), X),
    "pmean of integers": lambda m: over(m, lambda lax, v: lax.pmean(v, "i"), np.arange(3)),
    "pmax, pmin": lambda m: over(m, lambda lax, v: (lax.pmax(v, "i"), lax.pmin(v, "i")), S),
    "axis_index": lambda m: over(m, lambda lax, v: v * lax.axis_index("i"), X),
    "axis_index alone": lambda m: over(m, lambda lax, v: lax.axis_index("i"), X),
    "axis_size": lambda m: over(m, lambda lax, v: v * lax.axis_size("i"), X),
    "all_gather": lambda m: over(m, lambda lax, v: lax.all_gather(v, "i"), X),
    "all_gather last": lambda m: over(m, lambda lax, v: lax.all_gather(v, "i", axis=1), X),
    "all_gather tiled": lambda m: over(m, lambda lax, v: lax.all_gather(v, "i", axis=0, tiled=True), X),
    "all_gather of a constant": lambda m: over(m, lambda lax, v: lax.all_gather(1.0, "i"), X),
    "psum_scatter": lambda m: over(m, lambda lax, v: lax.psum_scatter(v, "i"), S),
    "psum_scatter tiled": lambda m: over(m, lambda lax, v: lax.psum_scatter(v, "i", tiled=True), T),
    "psum_scatter last": lambda m: over(m, lambda lax, v: lax.psum_scatter(v, "i", scatter_dimension=1, tiled=True), B),
    "all_to_all": lambda m: over(m, lambda lax, v: lax.all_to_all(v, "i", 0, 0), S),
    "all_to_all moved": lambda m: over(m, lambda lax, v: lax.all_to_all(v, "i", 0, 1), B),
    "all_to_all tiled": lambda m: over(m, lambda lax, v: lax.all_to_all(v, "i", 0, 0, tiled=True), T),
    "all_to_all tiled, moved": lambda m: over(m, lambda lax, v: lax.all_to_all(v, "i", 1, 0, tiled=True), B),
    "all_to_all along the last axis": lambda m: over(m, lambda lax, v: lax.all_to_all(v, "i", 0, 1), B, in_axes=1),
    "ppermute": lambda m: over(m, lambda lax, v: lax.ppermute(v, "i", [(0, 1), (1, 2), (2, 0)]), X),
    "pshuffle": lambda m: over(m, lambda lax, v: lax.pshuffle(v, "i", [2, 0, 1]), X),
    "pswapaxes": lambda m: over(m, lambda lax, v: lax.pswapaxes(v, "i", 0), S),
    "two axes": lambda m: nested(m, lambda lax, v: lax.psum(v, ("i", "j")), X),
    "the outer axis": lambda m: nested(m, lambda lax, v: lax.psum(v, "i"), X),
    "the inner axis": lambda m: nested(m, lambda lax, v: lax.pmax(v, "j") - v, X),
    "index over two axes": lambda m: nested(m, lambda lax, v: lax.axis_index(("j", "i")) + v, X),
    "gather over the outer axis": lambda m: nested(m, lambda lax, v: lax.all_gather(v * v, "i", axis=1), B),
    "exchange over the outer axis": lambda m: nested(m, lambda lax, v: lax.all_to_all(v, "i", 0, 0), B[..., :3]),
    "one name twice": lambda m: m.vmap(m.vmap(lambda v: m.lax.psum(v, "i"), axis_name="i"), axis_name="i")(X),
    "inside jit": lambda m: over(m, lambda lax, v: m.jit(lambda u: lax.psum(u, "i"))(v), X),
    "inside jit, of a constant": lambda m: over(
        m, lambda lax, v: v * m.jit(lambda: lax.psum(m.numpy.ones(2), "i") + lax.axis_index("i"))(), X
    ),
    "under jit": lambda m: m.jit(lambda x: over(m, lambda lax, v: lax.psum(v, "i") / v, x))(X + 1),
    "inside scan": lambda m: over(
        m,
        lambda lax, v: lax.scan(lambda c, _: (c + lax.psum(c, "i"), lax.axis_index("i")), v, None, length=2),
        X,
    ),
    "inside cond": lambda m: over(
        m, lambda lax, v: lax.cond(v.sum() > 1, lambda u: lax.psum(u, "i"), lambda u: u, v), X
    ),
    "inside while_loop": lambda m: over(
        m, lambda lax, v: lax.while_loop(lambda c: lax.pmax(c.sum(), "i") < 30, lambda c: c * 2 + 1, v), X
    ),
    "inside checkpoint": lambda m: gradient(m, lambda lax, v: m.checkpoint(lambda u: lax.psum(u * u, "i"))(v).sum(), X),
    "gradient of psum": lambda m: gradient(m, lambda lax, v: lax.psum((v**2).sum(), "i"), X),
    "gradient of pmean": lambda m: gradient(m, lambda lax, v: lax.pmean((v**2).sum(), "i"), X),
    "gradient over both": lambda m: gradient(m, lambda lax, v: lax.psum(v**2, ("i", 0)), X),
    "gradient of all_gather": lambda m: gradient(m, lambda lax, v: (lax.all_gather(v, "i") ** 2).sum(), X),
    "gradient of tiled all_gather": lambda m: gradient(
        m, lambda lax, v: (lax.all_gather(v, "i", tiled=True) ** 2).sum() * lax.axis_index("i"), X
    ),
    "gradient of psum_scatter": lambda m: gradient(m, lambda lax, v: (lax.psum_scatter(v, "i") ** 2).sum(), S),
    "gradient of all_to_all": lambda m: gradient(
        m, lambda lax, v: (lax.all_to_all(v, "i", 0, 0) ** 2).sum() * lax.axis_index("i"), B
    ),
    "gradient of ppermute": lambda m: gradient(
        m, lambda lax, v: (lax.ppermute(v, "i", [(0, 1), (1, 2), (2, 0)]) ** 2).sum() * lax.axis_index("i"), X
    ),
    "gradient outside": lambda m: m.grad(lambda x: over(m, lambda lax, v: v**2 / lax.psum(v, "i"), x).sum())(X + 1),
    "jvp inside": lambda m: over(m, lambda lax, v: m.jvp(lambda u: lax.psum(u**2, "i"), (v,), (v + 1,))[1], X),
    "hessian inside": lambda m: over(m, lambda lax, v: m.hessian(lambda u: lax.psum((u**3).sum(), "i"))(v), X),
    "batch norm": lambda m: m.grad(
        lambda x: (over(m, lambda lax, v: (v - lax.pmean(v, "i")) / (1 + lax.pmean(v * v, "i")) ** 0.5, x) ** 3).sum()
    )(X),
}


@pytest.mark.parametrize("name", CASES)
def test_as_jax(name):
    agree(CASES[name])


@pytest.mark.parametrize("tiled", [False, True])
def test_what_is_gathered_is_the_same_for_all_members(tiled):
    gather = functools.partial(over, out_axes=None)
    agree(lambda m: gather(m, lambda lax, v: lax.all_gather(v, "i", tiled=tiled), X))
    result = over(cyxla, lambda lax, v: lax.pbroadcast(v, "i", 2), X, out_axes=None)
    np.testing.assert_array_equal(result, X[2])


def _with_rule(kind):
    """psum of the square, with its derivative as a rule of the user's that has collectives in it.

    The result is one for all members, and the backward rule gets the sum of their cotangents.
    """
    lax = cyxla.lax
    f = (cyxla.custom_jvp if kind == "custom_jvp" else cyxla.custom_vjp)(lambda v: lax.psum(v * v, "i"))
    if kind == "custom_jvp":
        f.defjvp(lambda primals, tangents: (f(*primals), 2 * lax.psum(primals[0] * tangents[0], "i")))
    else:
        f.defvjp(lambda v: (f(v), v + 0 * lax.axis_index("i")), lambda v, ct: (2 * v * lax.pmean(ct, "i"),))
    return f


@pytest.mark.parametrize("kind", ["custom_jvp", "custom_vjp"])
@pytest.mark.parametrize(
    "around",
    [
        lambda g: g,
        cyxla.jit,
        cyxla.checkpoint,
        lambda g: lambda x: cyxla.lax.scan(lambda c, _: (c + g(x), None), x, None, length=2)[0],
        lambda g: cyxla.vmap(g, axis_name="k"),
    ],
    ids=["alone", "jit", "checkpoint", "scan", "vmap"],
)
def test_rules_that_run_when_the_vmap_has_ended_know_its_axis(kind, around):
    def gradient(f, x):
        program = around(cyxla.vmap(f, axis_name="i"))
        return cyxla.grad(lambda x: (program(x) ** 2).sum())(x)

    expected = gradient(lambda v: cyxla.lax.psum(v * v, "i"), X)
    np.testing.assert_allclose(gradient(_with_rule(kind), X), expected, rtol=1e-6)


def _agree_on_rules(fwd, bwd):
    """The gradients, inside and outside of `vmap`, of a psum with rules of the user's: `fwd(lax, x, w)` and `bwd`."""

    def program(jax):
        f = jax.custom_vjp(lambda x, w: jax.lax.psum(x * w, "i"))
        f.defvjp(functools.partial(fwd, jax.lax), bwd)
        mapped = functools.partial(jax.vmap, in_axes=(0, None), axis_name="i")
        x, w = X[:, 0], np.float32(3)
        outside = jax.jit(jax.grad(lambda x, w: (mapped(f)(x, w) ** 2).sum(), (0, 1)))(x, w)
        return outside, mapped(jax.grad(lambda x, w: f(x, w) ** 2, (0, 1)))(x, w)

    agree(program)


def test_rules_of_results_that_are_the_same_for_all_members():
    _agree_on_rules(lambda lax, x, w: (lax.psum(x * w, "i"), (x, w)), lambda r, ct: (ct * r[1], ct * r[0]))
    _agree_on_rules(lambda lax, x, w: (lax.psum(x * w, "i"), ()), lambda r, ct: (ct, ct))
    _agree_on_rules(lambda lax, x, w: (lax.psum(x * w, "i") + 0 * x, (x, w)), lambda r, ct: (ct * r[1], ct * r[0]))


def test_forward_rules_of_results_that_are_the_same_for_all_members():
    def program(jax):
        f = jax.custom_jvp(lambda x: jax.lax.psum(x, "i"))
        f.defjvp(lambda primals, tangents: (f(*primals), 2 * jax.lax.psum(tangents[0], "i")))
        g = jax.custom_jvp(lambda x: jax.lax.psum(x, "i"))
        g.defjvp(lambda primals, tangents: (g(*primals), 2 * tangents[0]))
        mapped = jax.vmap(lambda x: (f(x), g(x)), axis_name="i")
        return jax.jvp(mapped, (X,), (X,)), jax.vmap(f, axis_name="i", out_axes=None)(X)

    agree(program)


@pytest.mark.parametrize(
    "function",
    [
        lambda lax, v: lax.psum(1, "i"),
        lambda lax, v: lax.psum(1.5, "i"),
        lambda lax, v: lax.psum(np.float32(2), "i"),
        lambda lax, v: lax.pmean(1, "i"),
        lambda lax, v: lax.axis_size("i"),
        lambda lax, v: lax.pmax(3, "i"),
    ],
)
def test_numbers_stay_numbers(function):
    seen = []
    for module in (cyxla, jax):
        over(module, lambda lax, v: seen.append(function(lax, v)) or v, X)
    assert seen[0] == seen[1]
    assert isinstance(seen[1], type(seen[0]))


def test_equations_are_those_of_jax():
    def f(lax, v):
        return (
            lax.psum(v, "i"),
            lax.pmax(v, ("i", "j")),
            lax.all_gather(v, "i", axis=1, tiled=True),
            lax.all_to_all(v, "i", 0, 0),
            lax.ppermute(v, "i", [(0, 1)]),
            lax.psum_scatter(v, "i"),
            lax.axis_index("i"),
            lax.psum(v, ("i", 0)),
        )

    ours, theirs = (m.make_jaxpr(lambda v, m=m: f(m.lax, v), axis_env=[("i", 3), ("j", 2)])(X) for m in (cyxla, jax))
    # One-letter names of variables are given in another order where there are many.
    assert re.sub(r"\s+", " ", str(ours)) == re.sub(r"\s+", " ", str(theirs))
    assert {e.name for e in ours.effects} == {"i", "j"}


# Beyond jax, which has no groups and no partial permutations under vmap.

GROUPS = [[0, 3], [2, 1]]
G = np.arange(16, dtype=np.float32).reshape(4, 4) ** 2


def by_group(function, x):
    """`function` of the members of each group, which gives the result of each."""
    out = [None] * len(x)
    for group in GROUPS:
        for member, result in zip(group, function(x[np.array(group)])):
            out[member] = result
    return np.stack(out)


@pytest.mark.parametrize(
    "collective, expected",
    [
        (lambda v: cyxla.lax.psum(v, "i", axis_index_groups=GROUPS), lambda x: [x.sum(0)] * 2),
        (lambda v: cyxla.lax.pmax(v, "i", axis_index_groups=GROUPS), lambda x: [x.max(0)] * 2),
        (lambda v: cyxla.lax.pmean(v, "i", axis_index_groups=GROUPS), lambda x: [x.mean(0)] * 2),
        (lambda v: cyxla.lax.all_gather(v, "i", axis_index_groups=GROUPS, axis=1), lambda x: [x.T] * 2),
        (
            lambda v: cyxla.lax.psum_scatter(v, "i", axis_index_groups=GROUPS, tiled=True),
            lambda x: x.sum(0).reshape(2, 2),
        ),
        (
            lambda v: cyxla.lax.all_to_all(v, "i", 0, 0, axis_index_groups=GROUPS, tiled=True),
            lambda x: [np.concatenate([x[0, :2], x[1, :2]]), np.concatenate([x[0, 2:], x[1, 2:]])],
        ),
    ],
)
def test_groups(collective, expected):
    actual = cyxla.vmap(collective, axis_name="i")(G)
    np.testing.assert_allclose(actual, by_group(expected, G))
    jitted = cyxla.jit(cyxla.vmap(collective, axis_name="i"))(G)
    np.testing.assert_allclose(jitted, actual)


@pytest.mark.parametrize(
    "collective",
    [
        lambda v: cyxla.lax.psum(v, "i"),
        lambda v: cyxla.lax.psum(v, (1, "i")),
        lambda v: cyxla.lax.all_gather(v, "i", axis=2),
        lambda v: cyxla.lax.all_gather(v, "i", axis=1, tiled=True),
        lambda v: cyxla.lax.psum_scatter(v, "i"),
        lambda v: cyxla.lax.psum_scatter(v, "i", scatter_dimension=1, tiled=True),
        lambda v: cyxla.lax.all_to_all(v, "i", 0, 1),
        lambda v: cyxla.lax.all_to_all(v, "i", 1, 0, tiled=True),
        lambda v: cyxla.lax.ppermute(v, "i", [(0, 2), (1, 1)]),
        lambda v: cyxla.lax.pbroadcast(v, "i", 2),
    ],
)
def test_transposes(collective):
    """The dot-product law, summed over members, where the derivative is taken inside of the mapping."""
    y = cyxla.vmap(collective, axis_name="i")(B)
    ct = np.random.RandomState(0).rand(*y.shape).astype(np.float32)
    pulled = cyxla.vmap(lambda v, c: cyxla.vjp(collective, v)[1](c)[0], axis_name="i")(B, ct)
    np.testing.assert_allclose((y * ct).sum(), (B * pulled).sum(), rtol=1e-5)


def test_partial_permutations_leave_zeros():
    f = cyxla.vmap(lambda v: cyxla.lax.ppermute(v, "i", [(0, 2)]), axis_name="i")
    np.testing.assert_array_equal(f(X), np.stack([X[0] * 0, X[0] * 0, X[0]]))
    transposed = cyxla.vjp(f, X)[1](X)[0]
    np.testing.assert_array_equal(transposed, np.stack([X[2], X[0] * 0, X[0] * 0]))


def test_pbroadcast():
    f = cyxla.vmap(lambda v: cyxla.lax.pbroadcast(v, "i", 1), axis_name="i")
    np.testing.assert_array_equal(f(X), np.stack([X[1]] * 3))
    inside = cyxla.vmap(cyxla.grad(lambda v: (cyxla.lax.pbroadcast(v, "i", 1) ** 2).sum()), axis_name="i")(X)
    np.testing.assert_array_equal(inside, np.stack([X[0] * 0, 6 * X[1], X[0] * 0]))


@pytest.mark.parametrize("names", [("i", "j"), ("j", "i")])
@pytest.mark.parametrize(
    "how", ["all_gather", "psum_scatter", "all_to_all", "all_to_all tiled", "ppermute", "pbroadcast"]
)
def test_several_names_count_as_one_axis(names, how):
    x = np.random.RandomState(3).rand(6, 6, 2).astype(np.float32)
    lax = cyxla.lax
    collective = {
        "all_gather": lambda v, a: lax.all_gather(v, a, axis=1),
        "psum_scatter": lambda v, a: lax.psum_scatter(v, a),
        "all_to_all": lambda v, a: lax.all_to_all(v, a, 0, 1),
        "all_to_all tiled": lambda v, a: lax.all_to_all(v, a, 0, 1, tiled=True),
        "ppermute": lambda v, a: lax.ppermute(v, a, [(0, 4), (5, 0), (2, 3)]),
        "pbroadcast": lambda v, a: lax.pbroadcast(v, a, 4),
    }[how]
    expected = np.asarray(cyxla.vmap(lambda v: collective(v, "k"), axis_name="k")(x))
    both = cyxla.vmap(cyxla.vmap(lambda v: collective(v, names), axis_name="j"), axis_name="i")
    shape = (2, 3)
    if names == ("i", "j"):
        actual = np.asarray(both(x.reshape(*shape, 6, 2)))
    else:
        # Member (j, i) of the pair is the one at j * 2 + i.
        actual = np.asarray(both(x.reshape(3, 2, 6, 2).swapaxes(0, 1))).swapaxes(0, 1)
    np.testing.assert_allclose(actual.reshape(expected.shape), expected, rtol=1e-6)


def test_traces_do_not_mix_up_axes():
    f = cyxla.jit(lambda v: v * cyxla.lax.axis_size("i"))
    for n in (2, 3, 2):
        np.testing.assert_array_equal(cyxla.vmap(f, axis_name="i")(np.ones(n)), np.full(n, n))
    with pytest.raises(NameError, match="'i'"):
        f(1.0)


@pytest.mark.parametrize(
    "error, function, message",
    [
        ("NameError", lambda m: m.lax.psum(X, "k"), "'k'"),
        ("NameError", lambda m: m.lax.axis_index("k"), "vmap"),
        ("NameError", lambda m: m.lax.axis_size("k"), "'k'"),
        ("NameError", lambda m: m.jit(lambda x: m.lax.psum(x, "k"))(X), "'k'"),
        ("NameError", lambda m: over(m, lambda lax, v: lax.psum(v, "k"), X), "'i'"),
        ("ValueError", lambda m: over(m, lambda lax, v: lax.all_to_all(v, "i", 0, 0), X), "dimension 0.*3"),
        ("ValueError", lambda m: over(m, lambda lax, v: lax.pshuffle(v, "i", [0, 0, 1]), X), "permutation"),
        ("ValueError", lambda m: over(m, lambda lax, v: lax.psum(v, ("i", "i")), X), "twice"),
        ("NotImplementedError", lambda m: gradient(m, lambda lax, v: lax.pmax(v, "i").sum(), X), "pmax"),
    ],
)
def test_errors(error, function, message):
    both_raise(error, function, message)


@pytest.mark.parametrize("perm", [[(0, 1), (0, 2)], [(0, 1), (2, 1)], [(0, 3)]])
def test_wrong_permutations(perm):
    with pytest.raises(ValueError, match="ppermute"):
        over(cyxla, lambda lax, v: lax.ppermute(v, "i", perm), X)


@pytest.mark.parametrize("groups", [[[0, 1], [2]], [[0, 1]], [[0, 1, 2, 2]]])
def test_wrong_groups(groups):
    with pytest.raises(ValueError, match="psum"):
        over(cyxla, lambda lax, v: lax.psum(v, "i", axis_index_groups=groups), X)


@pytest.mark.parametrize(
    "error, perm, message",
    [
        (ValueError, [(0,)], "pairs"),
        (ValueError, [(0, 1, 2)], "pairs"),
        (ValueError, "ab", "pairs"),
        (TypeError, [0, 1], "pairs"),
        (TypeError, [(0.0, 1.0)], "integers"),
        (TypeError, [(0, None)], "integers"),
        (ValueError, [(0, 3)], "members"),
        (ValueError, [(0, 1), (2, 1)], "members"),
    ],
)
def test_wrong_pairs(error, perm, message):
    with pytest.raises(error, match=message):  # jax fails by an assertion on all that is no permutation
        cyxla.vmap(lambda x: cyxla.lax.ppermute(x, "i", perm), axis_name="i")(X)


@pytest.mark.parametrize("perm", [[0, 1], [], [0, 1, 3], [(0, 1), (1, 2), (2, 0)]])
def test_wrong_shuffles(perm):
    with pytest.raises(ValueError, match="no permutation of the 3 members"):
        cyxla.vmap(lambda x: cyxla.lax.pshuffle(x, "i", perm), axis_name="i")(X)
