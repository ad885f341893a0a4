"""`checkpoint`: the same derivatives, computed again; policies; names."""

import re

import jax
import jax.ad_checkpoint
import numpy as np
import pytest
from compare import agree, both_raise

import cyxla
import cyxla.ad_checkpoint
import cyxla.numpy as jnp
from cyxla import lax
from cyxla.ad_checkpoint import checkpoint_name

X = np.linspace(-1, 1, 9, dtype=np.float32).reshape(3, 3)


def net(jax, w, x):
    for _ in range(3):
        x = jax.numpy.sin(w @ x)
    return x.sum()


POLICIES = [
    None,
    "everything_saveable",
    "nothing_saveable",
    "dots_saveable",
    "checkpoint_dots",
    "dots_with_no_batch_dims_saveable",
    "checkpoint_dots_with_no_batch_dims",
]


def policy_of(module, name):
    return None if name is None else getattr(module.checkpoint_policies, name)


@pytest.mark.parametrize("policy", POLICIES)
def test_derivatives(policy):
    def program(jax):
        f = jax.checkpoint(lambda w, x: net(jax, w, x), policy=policy_of(jax, policy))
        return jax.jit(
            lambda w: {
                "value": f(w, X),
                "grad": jax.grad(f)(w, X),
                "both": jax.grad(f, argnums=(0, 1))(w, X),
                "jvp": jax.jvp(lambda w: f(w, X), (w,), (X,))[1],
                "hessian-vector": jax.jvp(jax.grad(lambda w: f(w, X)), (w,), (X,))[1],
                "grad of grad": jax.grad(lambda w: (jax.grad(f)(w, X) ** 2).sum())(w),
                "vmap": jax.vmap(jax.grad(f), (0, None))(w[None] * np.ones((2, 1, 1), np.float32), X),
                "vmap inside": jax.grad(
                    lambda w: jax.vmap(lambda x: f(w, x))(X[None] * np.ones((2, 1, 1), np.float32)).sum()
                )(w),
            }
        )(X)

    agree(program, 2e-4, 1e-4)


def test_eager():
    def program(jax):
        f = jax.checkpoint(lambda x, k=2.0: {"a": jax.numpy.sin(x) * k, "b": (x, None)})
        return f(X), f(X, k=3.0), jax.grad(lambda x: f(x)["a"].sum())(X), jax.grad(lambda x: f(x, k=x)["a"])(1.0)

    agree(program)


def equations(jaxpr, found=None):
    """The names of the primitives of a jaxpr, with those of the jaxprs in it."""
    found = [] if found is None else found
    for eqn in jaxpr.eqns:
        found.append(eqn.primitive.name)
        for value in eqn.params.values():
            for item in value if isinstance(value, tuple) else (value,):
                inner = getattr(item, "jaxpr", item)
                if hasattr(inner, "eqns"):
                    equations(inner, found)
    return found


@pytest.mark.parametrize(
    ("policy", "sines", "dots"),
    [
        (None, 3 + 2, 3 + 3 + 5),
        ("nothing_saveable", 3 + 2, 3 + 3 + 5),
        ("dots_saveable", 3 + 2, 3 + 5),
        ("everything_saveable", 3, 3 + 5),
        ("dots_with_no_batch_dims_saveable", 3 + 2, 3 + 5),
    ],
)
def test_what_is_computed_again(policy, sines, dots):
    for module in (cyxla, jax):
        f = module.checkpoint(lambda w, x: net(module, w, x), policy=policy_of(module, policy))
        names = equations(module.make_jaxpr(module.grad(f))(X, X).jaxpr)
        assert names.count("sin") == sines, module
        assert names.count("dot_general") == dots, module


def test_without_checkpoint_nothing_is_computed_again():
    names = equations(cyxla.make_jaxpr(cyxla.grad(lambda w, x: net(cyxla, w, x)))(X, X).jaxpr)
    assert names.count("sin") == 3
    assert names.count("dot_general") == 3 + 5


def test_xla_cannot_undo_it():
    f = lambda w, x: net(cyxla, w, x)
    with_barrier = cyxla.jit(cyxla.value_and_grad(cyxla.checkpoint(f))).lower(X, X).as_text()
    assert "optimization_barrier" in with_barrier
    assert with_barrier.count("stablehlo.sine") == 3 + 2
    without = cyxla.jit(cyxla.grad(cyxla.checkpoint(f, prevent_cse=False))).lower(X, X).as_text()
    assert "optimization_barrier" not in without


def named(jax, w, x):
    checkpoint_name = (cyxla if jax is cyxla else jax).ad_checkpoint.checkpoint_name
    x = checkpoint_name(jax.numpy.sin(w @ x), "first")
    x = jax.numpy.sin(checkpoint_name(w @ x, "second"))
    return x.sum()


@pytest.mark.parametrize(
    ("policy", "dots"),
    [
        # The operand of the first sine has no name, and its cosine is needed.
        (lambda p: p.save_only_these_names("first", "second"), 1),
        (lambda p: p.save_only_these_names("first"), 2),
        (lambda p: p.save_only_these_names("second"), 1),
        (lambda p: p.save_only_these_names("other"), 2),
        (lambda p: p.save_any_names_but_these("second"), 2),
        (lambda p: p.save_any_names_but_these(), 1),
        (lambda p: p.save_from_both_policies(p.save_only_these_names("first"), p.dots_saveable), 0),
        (
            lambda p: p.save_and_offload_only_these_names(
                names_which_can_be_saved=["first"], names_which_can_be_offloaded=["second"],
                offload_src="device", offload_dst="pinned_host",
            ),
            1,
        ),
    ],
)  # fmt: skip
def test_names(policy, dots):
    plain = equations(cyxla.make_jaxpr(cyxla.grad(lambda w: named(cyxla, w, X)))(X).jaxpr).count("dot_general")
    f = cyxla.checkpoint(lambda w: named(cyxla, w, X), policy=policy(cyxla.checkpoint_policies))
    names = equations(cyxla.make_jaxpr(cyxla.grad(f))(X).jaxpr)
    assert names.count("dot_general") - plain == dots
    np.testing.assert_allclose(cyxla.grad(f)(X), jax.grad(lambda w: named(jax, w, X))(X), rtol=1e-4, atol=1e-5)


def test_checkpoint_name_changes_nothing():
    def program(jax):
        name = (cyxla if jax is cyxla else jax).ad_checkpoint.checkpoint_name
        f = lambda x: (name({"a": x, "b": 2.0}, "n")["a"] ** 2).sum()
        return f(X), jax.grad(f)(X), jax.vmap(f)(X), jax.jit(f)(X)

    agree(program)
    assert "name[name=n]" in str(cyxla.make_jaxpr(lambda x: checkpoint_name(x, "n"))(1.0))


def test_answers_of_policies():
    p = cyxla.checkpoint_policies
    dot, sin, name = cyxla.lax.dot_general_p, cyxla.lax.sin_p, cyxla.make_jaxpr(lambda x: checkpoint_name(x, "n"))(1.0)
    name = name.eqns[0].primitive
    batched = {"dimension_numbers": (((2,), (1,)), ((0,), (0,)))}
    plain = {"dimension_numbers": (((1,), (0,)), ((), ()))}
    assert p.dots_saveable(dot)
    assert not p.dots_saveable(sin)
    assert p.dots_with_no_batch_dims_saveable(dot, **plain)
    assert not p.dots_with_no_batch_dims_saveable(dot, **batched)
    assert p.save_anything_except_these_names("n")(sin)
    assert not p.save_anything_except_these_names("n")(name, name="n")
    assert not p.save_any_names_but_these("n")(sin)
    offload = p.offload_dot_with_no_batch_dims("device", "pinned_host")
    assert offload(dot, **plain) == cyxla.ad_checkpoint.Offloadable("device", "pinned_host")
    assert offload(sin) is cyxla.ad_checkpoint.Recompute
    ours = {n for n in vars(p) if not n.startswith("_")}
    assert ours == {n for n in vars(jax.checkpoint_policies) if not n.startswith("_")}
    with pytest.raises(ValueError, match="both"):
        p.save_and_offload_only_these_names(
            names_which_can_be_saved=["n"], names_which_can_be_offloaded=["n"], offload_src="a", offload_dst="b"
        )


def test_a_policy_of_ones_own():
    seen = []

    def policy(primitive, *avals, **params):
        seen.append((str(primitive), [a.shape for a in avals]))
        return primitive is cyxla.lax.sin_p

    f = cyxla.checkpoint(lambda w: net(cyxla, w, X), policy=policy)
    names = equations(cyxla.make_jaxpr(cyxla.grad(f))(X).jaxpr)
    assert names.count("sin") == 3
    assert ("sin", [(3, 3)]) in seen


def test_policies_look_into_jitted_functions():
    layer = cyxla.jit(lambda w, x: jnp.sin(w @ x))
    f = cyxla.checkpoint(lambda w: layer(w, layer(w, X)).sum(), policy=cyxla.checkpoint_policies.dots_saveable)
    plain = cyxla.grad(lambda w: layer(w, layer(w, X)).sum())
    dots = [equations(cyxla.make_jaxpr(g)(X).jaxpr).count("dot_general") for g in (cyxla.grad(f), plain)]
    assert dots[0] == dots[1]
    np.testing.assert_allclose(cyxla.grad(f)(X), plain(X), rtol=1e-4, atol=1e-6)


def test_custom_rules_inside():
    def program(jax):
        @jax.custom_vjp
        def f(x):
            return jax.numpy.sin(x)

        f.defvjp(lambda x: (f(x), x), lambda x, ct: (ct * 3.0 * x,))

        @jax.custom_jvp
        def g(x):
            return jax.numpy.cos(x)

        g.defjvps(lambda t, ans, x: t * ans * 5.0)
        both = jax.checkpoint(lambda x: f(g(x)).sum())
        kept = jax.checkpoint(lambda x: f(g(x)).sum(), policy=jax.checkpoint_policies.everything_saveable)
        return jax.jit(lambda x: (jax.grad(both)(x), jax.grad(kept)(x), jax.vmap(jax.grad(both))(x)))(X)

    agree(program)


def test_inside_scan():
    def program(jax):
        def loss(w, policy):
            body = jax.checkpoint(lambda c, x: (jax.numpy.sin(w @ c) + x, c.sum()), policy=policy, prevent_cse=False)
            c, ys = jax.lax.scan(body, X[0], X)
            return (c**2).sum() + ys.sum()

        return jax.jit(jax.grad(loss), static_argnums=1)(X, None), jax.jit(jax.grad(loss), static_argnums=1)(
            X, jax.checkpoint_policies.dots_saveable
        )

    agree(program, 1e-4, 1e-5)


def test_scan_and_cond_inside():
    def program(jax):
        def f(x):
            c, _ = jax.lax.scan(lambda c, a: (jax.numpy.sin(c) * a, None), x, X)
            return jax.lax.cond(x.sum() > 0, lambda: c.sum(), lambda: (c**2).sum())

        return jax.jit(jax.grad(jax.checkpoint(f)))(X[2])

    agree(program)


def test_static_arguments():
    def program(jax):
        f = jax.checkpoint(lambda x, how, n: (-x if how == "minus" else x) ** n, static_argnums=(1, 2))
        g = jax.checkpoint(lambda x, *, n: x**n, static_argnames="n")
        x = np.float32(2)
        return jax.grad(f)(x, "minus", 3), jax.grad(f)(x, "plus", 3), jax.grad(g)(x, n=3)

    agree(program)


def test_closures():
    def program(jax):
        def outer(a):
            f = jax.checkpoint(lambda x: jax.numpy.sin(a * x).sum())
            return f(X) + jax.grad(f)(X).sum()

        return jax.grad(outer)(2.0), jax.jit(jax.grad(jax.grad(outer)))(2.0), jax.vmap(jax.grad(outer))(X[0])

    agree(program, 1e-4, 1e-5)


def test_traced_once():
    traces = []

    @cyxla.checkpoint
    def f(x):
        traces.append(1)
        return jnp.sin(x)

    for _ in range(3):
        f(X[0])
        cyxla.grad(lambda x: f(x).sum())(X[0])
    assert len(traces) == 1


def test_as_decorator_and_remat():
    assert cyxla.remat is cyxla.checkpoint

    @cyxla.checkpoint(policy=cyxla.checkpoint_policies.dots_saveable)
    def f(x):
        """Doc."""
        return x

    assert f.__doc__ == "Doc."
    assert f(2.0) == 2


def test_print_saved_residuals(capsys):
    cyxla.ad_checkpoint.print_saved_residuals(lambda w, x: net(cyxla, w, x), X, X)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "f32[3,3] from the argument w"
    assert sum("output of cos" in line for line in lines) == 3
    f = cyxla.checkpoint(lambda w, x: net(cyxla, w, x), policy=cyxla.checkpoint_policies.dots_saveable)
    cyxla.ad_checkpoint.print_saved_residuals(f, X, X)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" from")[0] for line in lines if "output" in line] == ["f32[3,3] output of dot_general"] * 3


def named_net(jax, w, x):
    return jax.numpy.sin(jax.ad_checkpoint.checkpoint_name(jax.numpy.sin(x @ w), "a") @ w).sum()


def with_policy(choose):
    return lambda jax, w, x: jax.checkpoint(lambda w, x: named_net(jax, w, x), policy=choose(jax.checkpoint_policies))(
        w, x
    )


PRINTED = {
    "plain": named_net,
    "constant": lambda jax, w, x: (jax.numpy.sin(w) * jax.numpy.asarray(X)).sum(),
    "scan": lambda jax, w, x: jax.lax.scan(lambda c, v: (jax.numpy.sin(w @ c) + v, c), x[0], x)[1].sum(),
    "nothing": lambda jax, w, x: (w * 2.0).sum(),
    "checkpoint": lambda jax, w, x: jax.numpy.sin(jax.checkpoint(lambda w, x: named_net(jax, w, x))(w, x)),
    "dots": with_policy(lambda p: p.dots_saveable),
    "names": with_policy(lambda p: p.save_only_these_names("a")),
    "other names": with_policy(lambda p: p.save_any_names_but_these("a")),
}


@pytest.mark.parametrize("name", PRINTED)
def test_saved_residuals_are_those_of_jax(name, capsys):
    lines = []
    for package in (cyxla, jax):
        package.ad_checkpoint.print_saved_residuals(lambda w, x, p=package: PRINTED[name](p, w, x), X, X)
        # jax tells the column and the qualified name, too, and mentions literals.
        printed = capsys.readouterr().out.splitlines()
        lines.append([re.sub(r":(\d+).*", r":\1", line) for line in printed if "literal" not in line])
    assert lines[0] == lines[1]


def test_saved_residuals_of_jitted_functions(capsys):
    f = cyxla.jit(lambda w, x: named_net(cyxla, w, x))
    cyxla.ad_checkpoint.print_saved_residuals(f, X, x=X)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["f32[3,3] from the argument w", "f32[3,3] from the argument x"]
    assert all(line.startswith("f32[3,3] output of the jitted function <lambda> from ") for line in lines[2:])


def test_errors():
    both_raise("TypeError", lambda jax: jax.checkpoint(lambda x: x)("text"), match="static_argnums")
    both_raise("TypeError", lambda jax: jax.checkpoint(lambda x: "text")(1.0), match="text")
    with pytest.raises(TypeError):
        cyxla.checkpoint(3)
    with pytest.raises(TypeError, match="policy"):
        cyxla.checkpoint(lambda x: x, policy=3)
    with pytest.raises(TypeError, match="string"):
        checkpoint_name(1.0, 3)


def test_effects_of_lax_loops_inside_stay_ordered():
    f = cyxla.checkpoint(lambda x: lax.fori_loop(0, 3, lambda i, c: c * x, 1.0))
    assert cyxla.grad(f)(2.0) == 12
