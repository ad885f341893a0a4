"""Activations, the softmax family and attention against jax.nn: values, dtypes, weak types, derivatives."""

import jax
import numpy as np
import pytest

import cyxla

X = np.float32([-20, -6, -3, -1, -0.5, 0, 0.25, 1, 3, 6, 7, 30])
ELEMENTWISE = [
    "celu",
    "elu",
    "gelu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "identity",
    "leaky_relu",
    "log_sigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "silu",
    "soft_sign",
    "softplus",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "swish",
    "tanh",
]
CASES = {name: (lambda j, x, name=name: getattr(j.nn, name)(x)) for name in ELEMENTWISE}
CASES |= {
    "sigmoid": lambda j, x: j.nn.sigmoid(x),
    "celu alpha": lambda j, x: j.nn.celu(x, 0.7),
    "elu alpha": lambda j, x: j.nn.elu(x, 0.7),
    "leaky_relu slope": lambda j, x: j.nn.leaky_relu(x, 0.2),
    "squareplus b": lambda j, x: j.nn.squareplus(x, 1.5),
    "gelu exact": lambda j, x: j.nn.gelu(x, approximate=False),
    "glu": lambda j, x: j.nn.glu(x),
    "log1mexp": lambda j, x: j.nn.log1mexp(j.numpy.abs(x) + 0.1),
    "softmax": lambda j, x: j.nn.softmax(x) * x,
    "softmax axis": lambda j, x: j.nn.softmax(x.reshape(3, 4), axis=0) ** 2,
    "softmax where": lambda j, x: j.nn.softmax(x, where=x < 5) ** 2,
    "log_softmax": lambda j, x: j.nn.log_softmax(x.reshape(3, 4)) ** 2,
    "log_softmax where": lambda j, x: j.numpy.where(x < 5, j.nn.log_softmax(x, where=x < 5), 0.0),
    "logsumexp": lambda j, x: j.nn.logsumexp(x.reshape(3, 4), axis=1),
    "logsumexp b": lambda j, x: j.nn.logsumexp(x.reshape(3, 4), axis=(0, 1), b=2.0, keepdims=True),
    "logsumexp sign": lambda j, x: j.nn.logsumexp(x, b=j.numpy.sign(x), return_sign=True)[0],
    "logsumexp where": lambda j, x: j.nn.logsumexp(x, where=x < 5),
    "logmeanexp": lambda j, x: j.nn.logmeanexp(x),
    "logmeanexp where": lambda j, x: j.nn.logmeanexp(x.reshape(3, 4), axis=1, where=x.reshape(3, 4) < 5),
    "standardize": lambda j, x: j.nn.standardize(x.reshape(3, 4)),
    "standardize stable": lambda j, x: j.nn.standardize(x.reshape(3, 4), axis=0, algorithm="stable", epsilon=0.1),
    "standardize where": lambda j, x: j.nn.standardize(x, where=x < 5),
}


def values_and_grads(j, x):
    def run(x):
        return {
            name: (f(j, x), j.grad(lambda x, f=f: (f(j, x) * j.numpy.arange(1.0, 2.0, 1.0)[0]).sum())(x))
            for name, f in CASES.items()
        }

    return j.jit(run)(x)


@pytest.fixture(scope="module")
def both():
    return values_and_grads(jax, X), values_and_grads(cyxla, X)


@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives(both, name):
    expected, got = both[0][name], both[1][name]
    for e, g in zip(expected, got):
        assert g.dtype == e.dtype and g.weak_type == e.weak_type
        np.testing.assert_allclose(g, e, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("x", [3, 2.5, np.int32([-1, 0, 7]), True], ids=["int", "float", "ints", "bool"])
def test_dtypes_of_other_arguments(x):
    """Python numbers, integers and booleans: the dtype or the error that jax gives."""
    for name in ELEMENTWISE:
        avals = []
        for j in (jax, cyxla):
            try:
                out = j.eval_shape(lambda x, j=j, name=name: getattr(j.nn, name)(x), x)
                avals.append((out.shape, out.dtype, out.weak_type and x is not True))
            except (TypeError, ValueError) as error:
                avals.append(type(error))
        assert avals[0] == avals[1], name


def test_corners():
    for name in ("relu", "relu6"):
        grad = cyxla.grad(getattr(cyxla.nn, name))
        assert grad(0.0) == 0 and grad(2.0) == 1
    assert cyxla.grad(cyxla.nn.relu6)(6.0) == 0
    assert np.isnan(cyxla.nn.relu(np.float32(np.nan)))
    assert cyxla.nn.relu(np.int32([-3, 4])).dtype == np.int32
    # No overflow of the branch that is not taken reaches the derivative.
    assert cyxla.grad(cyxla.nn.elu)(1000.0) == 1


def test_logsumexp_edges():
    for x in ([], [-np.inf, -np.inf], [np.inf, 1], [1e4, -1e4]):
        x = np.float32(x)
        np.testing.assert_array_equal(cyxla.nn.logsumexp(x), jax.nn.logsumexp(x))
    z = np.complex64([1 + 1j, 2])
    np.testing.assert_allclose(cyxla.nn.logsumexp(z), jax.nn.logsumexp(z), rtol=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda nn: nn.relu([1.0]),
        lambda nn: nn.glu(np.ones(3, np.float32)),
        lambda nn: nn.softmax(np.float32(1)),
        lambda nn: nn.standardize(np.ones(3, np.float32), algorithm="exact"),
        lambda nn: nn.one_hot(3, 3, axis=5),
        lambda nn: nn.logsumexp([1.0, 2.0]),
        lambda nn: nn.relu("a"),
    ],
)
def test_errors(call):
    with pytest.raises(Exception) as expected:
        call(jax.nn)
    with pytest.raises(expected.type):
        call(cyxla.nn)


def test_one_hot():
    for args, kwargs in [
        ((np.int32([0, 2, 5, -1]), 3), {}),
        ((np.int32([[0, 1], [2, 0]]), 3), {"axis": 0, "dtype": np.int8}),
        ((np.float32([1, 2]), 3), {}),
        ((2, 3), {"dtype": bool}),
    ]:
        expected, got = jax.nn.one_hot(*args, **kwargs), cyxla.nn.one_hot(*args, **kwargs)
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


def attention_cases():
    rng = np.random.default_rng(0)
    q = rng.normal(size=(2, 5, 4, 8)).astype(np.float32)
    k, v = rng.normal(size=(2, 2, 6, 2, 8)).astype(np.float32)
    bias, mask = rng.normal(size=(2, 4, 5, 6)).astype(np.float32), rng.random((2, 1, 5, 6)) > 0.3
    lengths = {"query_seq_lengths": np.int32([5, 3]), "key_value_seq_lengths": np.int32([6, 2])}
    return {
        "plain": ((q, k, v), {}),
        "no batch": ((q[0], k[0], v[0]), {"scale": 0.5}),
        "causal": ((q, k, v), {"is_causal": True, "local_window_size": (1, 0)}),
        "masked": ((q, k, v), {"bias": bias, "mask": mask}),
        "lengths": ((q, k, v), lengths),
        "residual": ((q, k, v), {"return_residual": True, "local_window_size": 2}),
    }


@pytest.mark.parametrize("case", attention_cases())
def test_attention(case):
    args, kwargs = attention_cases()[case]
    expected, got = (j.jit(lambda *a, j=j: j.nn.dot_product_attention(*a, **kwargs))(*args) for j in (jax, cyxla))
    for e, g in zip(jax.tree.leaves(expected), cyxla.tree.leaves(got)):
        assert g.dtype == e.dtype
        np.testing.assert_allclose(g, e, rtol=1e-5, atol=1e-5)


def test_attention_bad_shapes():
    x = np.ones((2, 5, 4, 8), np.float32)
    with pytest.raises(ValueError, match="key has shape"):
        cyxla.nn.dot_product_attention(x, x[..., :7], x)
    with pytest.raises(ValueError, match="heads"):
        cyxla.nn.dot_product_attention(x, x[:, :, :3], x[:, :, :3])
    with pytest.raises(ValueError, match="implementation"):
        cyxla.nn.dot_product_attention(x, x, x, implementation="magic")
