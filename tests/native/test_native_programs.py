"""Programs run in this process give the bits that PJRT gives, for every kind of step and for odd numbers."""

import importlib

import numpy as np
import pytest

import cyxla
import cyxla.numpy as jnp
from cyxla import lax
from cyxla._runtime import native as runtime_native

importlib.import_module("cyxla.nn")
importlib.import_module("cyxla.random")

ODD = [0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e-39, -1e-39, 1e-45, 3e38, -1.0, 1.0]


def here():
    return runtime_native.unsupported(cyxla.devices("cpu")[0]) == ""


pytestmark = pytest.mark.skipif(not here(), reason="no native execution here")


def layers(p, x):
    for w, b in p:
        x = jnp.tanh(x @ w + b)
    return x


f32 = np.float32
PARAMS = [(np.ones((8, 16), f32), np.ones(16, f32)), (np.ones((16, 4), f32), np.ones(4, f32))]
VECTOR = np.ones(8, f32)
PROGRAMS = {
    "scalar": (lambda x: x + 1, (f32(1),)),
    "elementwise": (lambda x, y: jnp.sin(x) * y + 1, (VECTOR, VECTOR)),
    "libm": (lambda x: (jnp.log(x), jnp.exp(x), jnp.tan(x), jnp.cbrt(x), lax.erf(x), x**3.3), (VECTOR,)),
    "softmax": (lambda x: cyxla.nn.softmax(x), (np.ones(32, f32),)),
    "layer norm": (
        lambda x: (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True)),
        (np.ones((4, 8), f32),),
    ),
    "mlp": (layers, (PARAMS, np.ones((1, 8), f32))),
    "gradient": (cyxla.grad(lambda p, x: (layers(p, x) ** 2).sum()), (PARAMS, np.ones((1, 8), f32))),
    "many arguments": (lambda *xs: sum(xs), (VECTOR,) * 30),
    "results": (lambda x, y: (x, y + 1, y + 1, x), (VECTOR, VECTOR)),
    "unused": (lambda x, y: y * 2, (VECTOR, VECTOR)),
    "no arguments": (lambda: jnp.arange(8) * 2, ()),
    "constant": (lambda x: x + np.arange(8, dtype=f32), (VECTOR,)),
    "large constant": (lambda x: x + np.arange(100, dtype=f32), (np.ones(100, f32),)),
    "empty": (lambda x: (x * 2, x.sum()), (np.ones((0, 3), f32),)),
    "transposed": (lambda x: (x.T, x[::-1], jnp.concatenate([x, x])), (np.ones((4, 5), f32),)),
    "dtypes": (
        lambda x: tuple(x.astype(t) for t in ("bfloat16", "float16", "int8", "uint16", "int32", "bool", "complex64")),
        (VECTOR,),
    ),
    "integers": (lambda x: (x // 3, x << 2, x % 5, ~x), (np.arange(-4, 4),)),
    "scatter": (lambda x, i: x.at[i].add(1.0), (VECTOR, np.arange(5))),
    "known trips": (lambda x: lax.fori_loop(0, 7, lambda i, c: jnp.sort(c) * 1.1 - i, x), (VECTOR,)),
    "unknown trips": (
        lambda x, n: lax.while_loop(lambda c: c[1] < n, lambda c: (jnp.sort(c[0]) * 0.9, c[1] + 1), (x, 0)),
        (VECTOR, np.int32(5)),
    ),
    "scan": (lambda x: lax.scan(lambda c, a: (c * 0.9 + a, c), f32(0), x), (np.ones(20, f32),)),
    "cond": (lambda p, x: lax.cond(p > 0, lambda x: jnp.sort(x), lambda x: jnp.cumsum(x), x), (f32(1), VECTOR)),
    "switch": (
        lambda i, x: lax.switch(i, [jnp.sort, jnp.cumsum, lambda x: jnp.argsort(x) * 1.0], x),
        (np.int32(1), VECTOR),
    ),
    "sort": (lambda x: jnp.sort(x), (np.ones(37, f32),)),
    "sort along an axis": (lambda x: (jnp.sort(x, 0), jnp.argsort(x, 1)), (np.ones((9, 4), f32),)),
    "sorts of integers": (
        lambda x: [
            f(x.astype(t)) for t in ("int8", "uint8", "int16", "uint32") for f in (jnp.sort, lambda x: -jnp.sort(-x))
        ],
        (np.arange(50).reshape(5, 10),),
    ),
    "descending": (lambda x: (jnp.sort(x, descending=True), jnp.sort(x > 0), jnp.argsort(x)), (np.arange(50),)),
    "unstable sort": (lambda x: lax.sort(x, is_stable=False), (np.arange(50),)),
    "top k": (lambda x: lax.top_k(x, 5), (np.ones((3, 20), f32),)),
    "top all": (lambda x: lax.top_k(x, 20), (np.ones(20, f32),)),
    "top k of integers": (lambda x: lax.top_k(x, 3), (np.arange(20),)),
}


MATRIX = np.array([[4, 1, 0], [1, 3, 1], [0, 1, 2]], f32)
FACTORIZATIONS = {
    "cholesky": (jnp.linalg.cholesky, (MATRIX,)),
    "cholesky of two": (jnp.linalg.cholesky, (np.stack([MATRIX, 2 * MATRIX]),)),
    "lu": (lax.linalg.lu, (MATRIX,)),
    "qr": (jnp.linalg.qr, (MATRIX,)),
    "eig": (jnp.linalg.eig, (MATRIX,)),
    "eigh": (jnp.linalg.eigh, (MATRIX,)),
    "eigh of complex": (jnp.linalg.eigh, (MATRIX.astype(np.complex64),)),
    "svd": (jnp.linalg.svd, (MATRIX,)),
    "singular values": (lambda x: jnp.linalg.svd(x, compute_uv=False), (MATRIX,)),
    "solve": (jnp.linalg.solve, (MATRIX, MATRIX)),
    "triangular solve": (lambda a, b: lax.linalg.triangular_solve(a, b, left_side=True, lower=True), (MATRIX, MATRIX)),
    "gradient": (cyxla.grad(lambda x: jnp.linalg.cholesky(x).sum()), (MATRIX,)),
    "empty": (jnp.linalg.cholesky, (np.zeros((0, 0), f32),)),
}


def random_like(rng, example, odd):
    example = np.asarray(example)
    if example.dtype.kind != "f":
        return rng.integers(-3, 6, example.shape).astype(example.dtype)
    out = rng.standard_normal(example.shape) * 10 ** rng.uniform(-3, 3)
    if odd:
        out = np.where(rng.random(example.shape) < 0.3, rng.choice(ODD, example.shape), out)
    return np.asarray(out, example.dtype)


def both_ways(function, args):
    """The function compiled to run natively, and through PJRT."""
    with cyxla._core.config.OPTIONS["cyxla_native"](True):
        native = cyxla.jit(function).lower(*args).compile()
    with cyxla._core.config.OPTIONS["cyxla_native"](False):
        pjrt = cyxla.jit(function).lower(*args).compile()
    assert pjrt.execution_path == "pjrt: switched off (cyxla_native)"
    return native, pjrt


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_bits(name):
    function, example = PROGRAMS[name]
    native, pjrt = both_ways(function, example)
    assert native.execution_path == "native"
    rng = np.random.default_rng(0)
    for trial in range(12):
        args = cyxla.tree_util.tree_map(lambda x, odd=trial % 2: random_like(rng, x, odd), example)
        mine, theirs = (cyxla.tree_util.tree_leaves(f(*args)) for f in (native, pjrt))
        for a, b in zip(mine, theirs, strict=True):
            assert a.aval is b.aval
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.mark.parametrize("name", FACTORIZATIONS)
def test_factorizations(name):
    function, example = FACTORIZATIONS[name]
    native, pjrt = both_ways(function, example)
    assert native.execution_path == "native"
    rng = np.random.default_rng(0)
    for scale in (0, 0.1, 100, np.nan):
        args = [np.asarray(x + scale * rng.standard_normal(x.shape), x.dtype) for x in example]
        mine, theirs = (cyxla.tree_util.tree_leaves(f(*args)) for f in (native, pjrt))
        for a, b in zip(mine, theirs, strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.mark.parametrize(
    "function", [lambda k: cyxla.random.normal(k, (16,)), lambda k: cyxla.random.permutation(k, 16), cyxla.random.split]
)
def test_random(function):
    native, pjrt = both_ways(function, (cyxla.random.PRNGKey(0),))
    assert native.execution_path == "native"
    for seed in range(20):
        key = cyxla.random.PRNGKey(seed)
        assert np.asarray(native(key)).tobytes() == np.asarray(pjrt(key)).tobytes()


def test_typed_keys():
    native, pjrt = both_ways(lambda k: cyxla.random.split(k, 3), (cyxla.random.key(0),))
    assert native.execution_path == "native"
    mine, theirs = native(cyxla.random.key(5)), pjrt(cyxla.random.key(5))
    assert mine.dtype == theirs.dtype
    np.testing.assert_array_equal(cyxla.random.key_data(mine), cyxla.random.key_data(theirs))


@pytest.mark.parametrize(
    ("function", "args", "reason"),
    [
        (lambda x: jnp.sin(x), (np.ones(300_000, f32),), "large"),
        (lambda x: lax.sort((x, x), num_keys=1, is_stable=False), (np.ones(16, f32),), "not stable"),
        (
            lambda x, k: lax.conv(x, k, (1, 1), "SAME"),
            (np.ones((1, 2, 8, 8), f32), np.ones((3, 2, 3, 3), f32)),
            "convol",
        ),
    ],
)
def test_what_is_left_to_pjrt_says_why(function, args, reason):
    native, _ = both_ways(function, args)
    assert native.execution_path.startswith("pjrt: ")
    assert reason in native.execution_path


@pytest.mark.parametrize(
    ("subscripts", "left", "right"),
    [
        ("ij,jk->ik", (4, 4), (4, 4)),
        ("ij,jk->ik", (8, 8), (8, 8)),
        ("ij,jk->ik", (7, 13), (13, 33)),
        ("ij,jk->ik", (32, 64), (64, 10)),
        ("ij,kj->ik", (9, 17), (18, 17)),
        ("ji,jk->ik", (17, 9), (17, 18)),
        ("ji,kj->ki", (17, 9), (18, 17)),
        ("bij,bjk->bik", (3, 8, 8), (3, 8, 8)),
        ("ij,j->i", (9, 17), (17,)),
        ("i,ij->j", (9,), (9, 17)),
        ("i,i->", (40,), (40,)),
        ("i,j->ij", (5,), (7,)),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_products(subscripts, left, right, dtype):
    rng = np.random.default_rng(0)
    a, b = ((1000 * rng.standard_normal(shape)).astype(dtype) for shape in (left, right))
    with cyxla._core.config.enable_x64(dtype == "float64"):
        native, pjrt = both_ways(lambda a, b: jnp.einsum(subscripts, a, b), (a, b))
        assert native.execution_path == "native"
        rtol, atol = {"float32": (1e-5, 10), "float64": (1e-13, 1e-7), "int32": (0, 0)}[dtype]
        np.testing.assert_allclose(native(a, b), pjrt(a, b), rtol, atol)
        np.testing.assert_allclose(native(a, b), np.einsum(subscripts, a.astype(float), b.astype(float)), rtol, atol)


def test_products_of_odd_numbers():
    a, b = np.ones((4, 4), f32), np.full((4, 4), 1e-39, f32)
    a[0, 0], a[1, 1], a[2, 2] = np.nan, np.inf, 1e30
    native, pjrt = both_ways(lambda a, b: a @ b, (a, b))
    assert native.execution_path == "native"
    np.testing.assert_array_equal(native(a, b), pjrt(a, b))
    np.testing.assert_array_equal(native(b, a), pjrt(b, a))


def test_large_products_are_left_to_pjrt():
    a = np.ones((128, 128), f32)
    native, _ = both_ways(lambda a: a @ a, (a,))
    assert native.execution_path == "pjrt: large: a product of 2097152 multiplications"
