"""composite, tokens, dce_sink, stage: what is said to the compiler; approx_max_k and scaled_dot beyond the table."""

import numpy as np
import pytest
from compare import agree, both_raise

import cyxla
from cyxla import lax

X = np.float32([1, 2, 3])


def lowered(function, *args):
    return cyxla.jit(function).lower(*args).as_text()


# ---- composite


def scaled(module, **options):
    return module.lax.composite(lambda x, *, k=2.0: {"out": x * k, "in": x}, "test.scale", **options)


def test_composite_values():
    agree(lambda module: [scaled(module)(X), scaled(module, version=3)(X, k=3.0), module.jit(scaled(module))(X)])


def test_composite_lowering():
    text = lowered(lambda x: scaled(cyxla, version=3)(x, k=1.5), X)
    assert 'stablehlo.composite "test.scale" %arg0' in text
    assert "version = 3 : i32" in text and "decomposition = @test_scale" in text
    inner = scaled(cyxla)
    outer = cyxla.lax.composite(lambda x: inner(x)["out"] + 1, "test.outer")
    assert lowered(lambda x: (outer(x), outer(x)), X).count("func.func private") == 2


ATTRIBUTES = {
    "1 : i64": 1,
    "true": True,
    "2.50000000000000000e+00 : f64": 2.5,
    '"a\\22b"': 'a"b',
    "3 : i8": np.int8(3),
    "dense<[0, 1, 2]> : tensor<3xi64>": np.arange(3),
    "dense<> : tensor<0xf32>": np.zeros(0, np.float32),
    "0xFF800000 : f32": -np.float32(np.inf),
    '[1 : i64, "b", [true]]': [1, "b", (True,)],
    "{a = 1 : i64, b = false}": {"b": False, "a": 1},
    "f32": np.dtype("float32"),
}


@pytest.mark.parametrize("text", ATTRIBUTES)
def test_composite_attributes(text):
    function = lax.composite(lambda x, *, a, left_out=None: x, "test.attributes")
    program = cyxla.jit(lambda x: function(x, a=ATTRIBUTES[text])).lower(X)
    assert f"composite_attributes = {{a = {text}}}}}" in program.as_text()
    program.compile()


def test_composite_tells_equal_attributes_of_different_types_apart():
    agree(lambda module: [scaled(module)(np.int32([1, 2]), k=k) for k in (2, 2.0, True)])


def test_composite_derivatives_and_batches():
    function = lax.composite(lambda x, y: lax.sin(x) * y, "test.product")
    y = np.float32(3)
    np.testing.assert_allclose(cyxla.jit(cyxla.grad(function))(X[0], y), 3 * np.cos(X[0]), 1e-6)
    np.testing.assert_allclose(cyxla.jit(cyxla.vmap(function, (0, None)))(X, y), 3 * np.sin(X), 1e-6)
    np.testing.assert_allclose(cyxla.vmap(cyxla.grad(function, 1), (0, None))(X, y), np.sin(X), 1e-6)


def test_composite_errors():
    both_raise("TypeError", lambda module: module.lax.composite(lambda x: "a", "test.bad")(X))
    both_raise("TypeError", lambda module: scaled(module)("a"))
    both_raise("TypeError", lambda module: module.jit(lambda x: scaled(module)(x, k=1j))(X))
    both_raise("TypeError", lambda module: scaled(module)(X, 3.0))

    def closes_over(module):
        return module.jit(lambda z: module.lax.composite(lambda x: x * z, "test.closes")(X))(X)

    both_raise("UnexpectedTracerError", closes_over)
    with pytest.raises(ValueError, match="namespace"):
        cyxla.jit(lax.composite(lambda x: x, "plain"))(X)


# ---- tokens, sinks, staging


def test_tokens():
    token = lax.create_token()
    assert lax.after_all(token, token).dtype == token.dtype == cyxla.jit(lax.after_all)(token).dtype
    assert lax.after_all().shape == ()
    both_raise("TypeError", lambda module: module.lax.after_all(X))


def test_dce_sink():
    def program(x):
        lax.dce_sink({"a": x * 2, "b": [x]})
        return x

    assert str(cyxla.make_jaxpr(program)(X)).count("dce_sink[") == 2
    assert "multiply" in lowered(program, X)
    assert "@dce_sink" in lowered(lambda x: (lax.dce_sink(x, prevent_mlir_dce=True), x)[1], X)
    assert lax.dce_sink(X) is None
    np.testing.assert_array_equal(cyxla.jit(program)(X), X)
    both_raise("TypeError", lambda module: module.lax.dce_sink("a"))


def test_stage():
    agree(lambda module: [module.lax.stage(X), module.lax.stage(3), module.jit(lambda: module.lax.stage(X))()])
    staged = []
    cyxla.jit(lambda: staged.append(type(lax.stage(X))))()
    assert staged[0] is not type(lax.stage(X))
    both_raise("TypeError", lambda module: module.lax.stage({"a": X}))


# ---- approximate selection

MATRIX = np.random.RandomState(0).randn(3, 20).astype(np.float32)


def test_approx():
    def program(module):
        lax = module.lax
        return [
            lax.approx_max_k(MATRIX, 3),
            lax.approx_min_k(MATRIX, 2, 0, 0.5),
            lax.approx_max_k(MATRIX.astype(np.float16), 3, -2, 1.0),
            lax.approx_min_k(MATRIX, 3, aggregate_to_topk=False, reduction_input_size_override=40),
        ]

    agree(program)


def test_sizes_without_aggregation():
    def program(module):
        sizes = []
        for shape in ((200,), (2, 200), (2, 300), (3000,), (2, 3000), (2, 5000)):
            for k in (1, 3, 50):
                for recall in (0.1, 0.95, 0.999, 1.0):
                    for override in (-1, 100000):
                        x = module.ShapeDtypeStruct(shape, np.float32)
                        f = lambda x: module.lax.approx_max_k(x, k, -1, recall, override, False)
                        sizes.append(module.eval_shape(f, x)[0].shape)
        return sizes

    import jax

    assert program(cyxla) == program(jax)


APPROX_ERRORS = [
    ("ValueError", lambda lax: lax.approx_max_k(MATRIX, 0)),
    ("ValueError", lambda lax: lax.approx_max_k(MATRIX, 21)),
    ("ValueError", lambda lax: lax.approx_max_k(MATRIX.astype(np.int32), 2)),
    ("ValueError", lambda lax: lax.approx_min_k(MATRIX.astype(np.complex64), 2)),
    ("TypeError", lambda lax: lax.approx_min_k(np.float32(1), 1)),
    ("TypeError", lambda lax: lax.approx_min_k([1.0], 1)),
    ("TypeError", lambda lax: lax.approx_min_k(MATRIX, 2.5)),
    ("TypeError", lambda lax: lax.scaled_dot(MATRIX[0], MATRIX)),
    ("TypeError", lambda lax: lax.scaled_dot(MATRIX, MATRIX)),
    ("TypeError", lambda lax: lax.scaled_dot(MATRIX, MATRIX.T, lhs_scale=np.ones((3, 3), np.float32))),
    ("TypeError", lambda lax: lax.scaled_dot(MATRIX, MATRIX.T, lhs_scale=np.ones((1, 2), np.float32))),
    ("TypeError", lambda lax: lax.scaled_dot(MATRIX, MATRIX.T, rhs_scale=np.ones((20,), np.float32))),
    ("TypeError", lambda lax: lax.scaled_dot(MATRIX, MATRIX.T, rhs_scale=np.ones((20, 3), np.float32))),
]


@pytest.mark.parametrize("error, program", APPROX_ERRORS)
def test_errors(error, program):
    both_raise(error, lambda module: program(module.lax))


@pytest.mark.parametrize("recall, override", [(0.0, -1), (1.5, -1), (0.9, 10)])
def test_errors_of_options(recall, override):
    with pytest.raises(ValueError, match="approx_top_k"):
        lax.approx_max_k(MATRIX, 2, -1, recall, override)


def test_scaled_dot():
    other = np.random.RandomState(1).randn(20, 4).astype(np.float32)

    def program(module):
        jnp, dot = module.numpy, module.lax.scaled_dot
        narrow = jnp.asarray(MATRIX).astype("float8_e4m3fn"), jnp.asarray(other).astype("float8_e5m2")
        scales = {
            "lhs_scale": jnp.float32([[1, 2], [4, 8], [0.5, 1]]).astype("float8_e8m0fnu"),
            "rhs_scale": jnp.full((5, 4), 2, "float8_e8m0fnu"),
        }
        return [
            dot(MATRIX, other),
            dot(*narrow, **scales, preferred_element_type=np.float32),
            dot(MATRIX, other, **scales),
            dot(MATRIX, other.T, dimension_numbers=(((1,), (1,)), ((), ())), preferred_element_type=np.float16),
            dot(MATRIX[None], other[None], lhs_scale=scales["lhs_scale"][None]),
            module.vmap(lambda x: dot(x, other, preferred_element_type=np.float32))(np.stack([MATRIX, -MATRIX])),
        ]

    agree(program, 1e-2, 1e-2)


def test_derivative_of_scaled_dot():
    other = np.ones((20, 1), np.float32)
    scale = np.full((3, 2), 4, np.float32)
    grad = cyxla.grad(lambda x: lax.scaled_dot(x, other, lhs_scale=scale, preferred_element_type=np.float32).sum())
    np.testing.assert_allclose(grad(MATRIX), np.full_like(MATRIX, 4))
