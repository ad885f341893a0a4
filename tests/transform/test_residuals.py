"""Reverse mode keeps no more than jax does, and what it keeps is visible: the pullback is a pytree of it."""

import importlib

import jax
import numpy as np
import pytest

import cyxla
import cyxla.numpy as jnp
from bench import residuals

X = np.linspace(0.1, 1, 24, dtype=np.float32).reshape(4, 6)
W = np.linspace(-0.5, 0.5, 36, dtype=np.float32).reshape(6, 6)
XS = np.linspace(-1, 1, 30, dtype=np.float32).reshape(5, 6)


def kept(function, *operands):
    """Bytes of residuals in both packages."""
    found = []
    for package in (cyxla, jax):
        operands = [package.numpy.asarray(x) for x in operands]
        pullback = package.vjp(lambda *args, package=package: function(package, *args), *operands)[1]
        found.append(sum(leaf.nbytes for leaf in package.tree.leaves(pullback)))
    return found


@pytest.mark.parametrize("name", residuals.PROGRAMS)
def test_no_more_residuals_than_jax(name):
    (count, size), (jax_count, jax_size) = (residuals.residuals(package, name) for package in (cyxla, jax))
    assert size <= jax_size
    assert count <= jax_count


@pytest.mark.parametrize("name", ["layer norm", "rnn by scan", "mlp, everything_saveable", "cond", "causal attention"])
def test_no_more_temporaries_than_jax(name):
    ours, theirs = (residuals.temporary_bytes(package, name) for package in (cyxla, jax))
    assert ours <= theirs


@pytest.mark.parametrize("heads", [(4, 4), (4, 2)], ids=["own keys", "shared keys"])
def test_attention_keeps_no_more_than_jax(heads):
    q, k = (np.linspace(-1, 1, 2 * 32 * n * 8, dtype=np.float32).reshape(2, 32, n, 8) for n in heads)
    lengths = np.array([32, 7], np.int32)

    def temporaries(jax):
        def loss(q, k):
            out = jax.nn.dot_product_attention(q, k, k, is_causal=True, key_value_seq_lengths=lengths)
            return (out**2).mean()

        compiled = jax.jit(jax.grad(loss, (0, 1))).lower(q, k).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(cyxla) <= temporaries(jax)


def scan(body):
    return lambda jax, w, xs: jax.lax.scan(lambda h, x: (body(jax, h, w, x),) * 2, xs[0], xs)[1].sum()


ONE_OPERATION = {
    "constants of a loop": scan(lambda jax, h, w, x: jax.numpy.tanh(jax.numpy.sin(w) @ h + x)),
    "constants of a loop, broadcast": scan(lambda jax, h, w, x: h / (1 + jax.numpy.exp(w[0])) + (h[None] * w).sum(1)),
    "switch": lambda jax, w, xs: jax.lax.switch(
        jax.numpy.int32(1), [lambda x: jax.numpy.sin(x @ w), lambda x: jax.numpy.cos(x) @ w, lambda x: x], xs
    ).sum(),
    "cummax": lambda jax, w, xs: jax.lax.cummax(xs).sum(),
    "cumprod": lambda jax, w, xs: jax.numpy.cumprod(xs, 1).sum(),
    "mask": lambda jax, w, xs: jax.numpy.tril(xs.T @ xs).sum(),
    "division": lambda jax, w, xs: (xs / xs.sum(1, keepdims=True)).sum(),
    "jit": lambda jax, w, xs: jax.jit(lambda x: jax.nn.softmax(x @ w) * w[0])(xs).sum(),
}


@pytest.mark.parametrize("name", ONE_OPERATION)
def test_operations(name):
    ours, theirs = kept(ONE_OPERATION[name], W, XS)
    assert ours <= theirs


@pytest.mark.parametrize("name", ONE_OPERATION)
def test_gradients_from_what_is_kept(name):
    found = []
    for package in (cyxla, jax):
        operands = package.numpy.asarray(W), package.numpy.asarray(XS)
        pullback = package.vjp(lambda w, xs, package=package: ONE_OPERATION[name](package, w, xs), *operands)[1]
        found.append(pullback(package.numpy.ones(())))
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-5)


# -- the pullback as a pytree


def test_leaves_are_residuals():
    x = jnp.asarray(X)
    _, pullback = cyxla.vjp(lambda x: jnp.sin(x) * 2.0, x)
    assert len(cyxla.tree.leaves(pullback)) == 1
    np.testing.assert_allclose(pullback.opaque_residuals[0], np.cos(X), rtol=1e-6)
    assert repr(pullback.args_res[0]) == "NotNeeded()"
    doubled = cyxla.tree.map(lambda leaf: 2 * leaf, pullback)
    np.testing.assert_allclose(doubled(jnp.ones_like(x))[0], 2 * pullback(jnp.ones_like(x))[0], rtol=1e-6)


@pytest.mark.parametrize("package", [cyxla, jax])
def test_arguments_among_residuals(package):
    x, y = package.numpy.asarray(X), package.numpy.asarray(2 * X)
    _, pullback = package.vjp(lambda x, y: x * y, x, y)
    assert pullback.args_res[1] is y
    pullback.args_res[1] = 3 * y
    np.testing.assert_allclose(pullback(package.numpy.ones_like(x))[0], 6 * X, rtol=1e-6)


def test_removed_argument():
    _, pullback = cyxla.vjp(lambda x, y: x * y, jnp.asarray(X), jnp.asarray(X))
    pullback.args_res = [type(cyxla.vjp(jnp.sin, 1.0)[1].args_res[0])()] * 2
    with pytest.raises(ValueError, match="needs argument"):
        pullback(jnp.asarray(X))


@pytest.mark.parametrize("package", [cyxla, jax])
def test_pullbacks_pass_through_jit(package):
    forward = package.jit(lambda x: package.vjp(lambda x: package.numpy.sin(x).sum(), x))
    backward = package.jit(lambda pullback, ct: pullback(ct)[0])
    traces = []
    for scale in (1, 2):
        x = package.numpy.asarray(scale * X)
        value, pullback = forward(x)
        np.testing.assert_allclose(value, np.sin(scale * X).sum(), rtol=1e-5)
        np.testing.assert_allclose(backward(pullback, 2.0), 2 * np.cos(scale * X), rtol=1e-5, atol=1e-6)
        traces.append(package.tree.structure(pullback))
    assert traces[0] == traces[1]


@pytest.mark.parametrize("package", [cyxla, jax])
def test_linearized_functions_pass_through_jit(package):
    x = package.numpy.asarray(X)
    _, linear = package.jit(lambda x: package.linearize(lambda x: package.numpy.sin(x) * 2.0, x))(x)
    np.testing.assert_allclose(linear(x), 2 * np.cos(X) * X, rtol=1e-5)
    assert package.tree.leaves(linear)[0].shape == (4, 6)


@pytest.mark.parametrize("package", [cyxla, jax])
def test_vmap_of_forward_and_backward(package):
    forward, backward = package.fwd_and_bwd(lambda x, y: package.numpy.sin(x) * y, argnums=(0, 1))
    x = package.numpy.asarray(X)
    _, pullback = package.vmap(forward)(x, x)
    grads = package.vmap(backward)(pullback, package.numpy.ones_like(x))
    np.testing.assert_allclose(grads[0], np.cos(X) * X, rtol=1e-5)
    np.testing.assert_allclose(grads[1], np.sin(X), rtol=1e-5)


# -- fwd_and_bwd


FORWARD_AND_BACKWARD = {
    "one": {"argnums": 0},
    "several": {"argnums": (1, 0)},
    "from the end": {"argnums": (-1,)},
    "not jitted": {"argnums": 0, "jitted": False},
}


@pytest.mark.parametrize("name", FORWARD_AND_BACKWARD)
def test_fwd_and_bwd(name):
    found = []
    for package in (cyxla, jax):
        forward, backward = package.fwd_and_bwd(
            lambda x, y, *, s=1.0, package=package: package.numpy.sin(x) * y * s, **FORWARD_AND_BACKWARD[name]
        )
        value, pullback = forward(2.0, 3.0)
        found.append((value, backward(pullback, 1.0)))
        forward(2.0, 3.0, s=2.0)
    for package in (cyxla, jax):
        found.append(package.tree.structure(found[0 if package is cyxla else 1]))
    assert str(found[2]) == str(found[3])
    for ours, theirs in zip(cyxla.tree.leaves(found[0]), jax.tree.leaves(found[1])):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
        assert (ours.dtype, ours.weak_type) == (theirs.dtype, theirs.weak_type)


@pytest.mark.parametrize("package", [cyxla, jax])
def test_fwd_and_bwd_with_aux(package):
    forward, backward = package.fwd_and_bwd(lambda x, y: (x * y, {"x": x}), argnums=0, has_aux=True)
    value, pullback, aux = forward(2.0, 3.0)
    assert (float(value), float(aux["x"]), float(backward(pullback, 1.0))) == (6.0, 2.0, 3.0)


@pytest.mark.parametrize("package", [cyxla, jax])
def test_fwd_and_bwd_errors(package):
    with pytest.raises(TypeError):
        package.fwd_and_bwd(3, 0)[0](1.0)
    with pytest.raises(ValueError, match="5"):
        package.fwd_and_bwd(lambda x, y: x * y, 5)[0](1.0, 2.0)


def test_fwd_and_bwd_trace_once():
    traced = []
    forward, backward = cyxla.fwd_and_bwd(lambda x: traced.append(0) or jnp.sin(x), 0)
    for x in (1.0, 2.0):
        _, pullback = forward(x)
        np.testing.assert_allclose(backward(pullback, 1.0), np.cos(x), rtol=1e-6)
    assert len(traced) == 1


# -- equal results where equal results are due


@pytest.mark.parametrize("policy", ["everything_saveable", "dots_saveable", None])
def test_second_derivatives_of_checkpoints(policy):
    found = []
    for package in (cyxla, jax):
        chosen = None if policy is None else getattr(package.checkpoint_policies, policy)
        function = package.checkpoint(
            lambda w, package=package: package.numpy.sum(package.numpy.sin(package.numpy.tanh(w @ w))), policy=chosen
        )
        w = package.numpy.asarray(W)
        applied = package.grad(lambda w, f=function, p=package: p.linearize(f, w)[1](p.numpy.ones_like(w)))(w)
        twice = package.grad(lambda w, f=function, p=package: p.numpy.sum(p.grad(f)(w) ** 2))(w)
        batched = package.vmap(package.grad(function))(package.numpy.stack([w, 2 * w]))
        found.append((applied, twice, batched))
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


def test_what_is_printed(capsys):
    importlib.import_module("cyxla.ad_checkpoint").print_saved_residuals(lambda x, y: x * jnp.exp(y), jnp.ones(3), 1.0)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert any("argument x" in line for line in lines) or any("exp" in line for line in lines)
