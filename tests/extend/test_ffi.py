"""Calls of compiled functions: handlers in C++, compiled here against the headers, called with Cyxla and with jax."""

import ctypes
import importlib
import pathlib
import shutil
import subprocess

import jax
import jax.ffi
import numpy as np
import pytest
from compare import assert_same

import cyxla
from cyxla import ffi
from cyxla.interpreters import mlir

X = np.arange(3, dtype=np.float32)
M = np.arange(6, dtype=np.float32).reshape(2, 3)
MODULES = (cyxla, jax)

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    out = tmp_path_factory.mktemp("ffi") / "handlers.so"
    source = pathlib.Path(__file__).with_name("handlers.cc")
    subprocess.run(
        ["g++", "-std=c++17", "-w", "-fPIC", "-shared", "-I", ffi.include_dir(), str(source), "-o", str(out)],
        check=True,
    )
    library = ctypes.CDLL(str(out))
    library.CountOfCalls.restype = ctypes.c_int64
    for name, module in (("cyxla", ffi), ("jax", jax.ffi)):
        for handler in ("Axpy", "Attributes", "Double", "Memory"):
            module.register_ffi_target(f"{name}.{handler}", module.pycapsule(getattr(library, f"{handler}Handler")))
    return library


def caller(module, target, results, **options):
    ffi_call = importlib.import_module(f"{module.__name__}.ffi").ffi_call
    return ffi_call(f"{module.__name__}.{target}", results, **options)


def axpy(module, x, y, mode="positive", **options):
    results = [module.ShapeDtypeStruct(x.shape, x.dtype), module.ShapeDtypeStruct((), np.int32)]
    shift = np.array([1, 2], np.float32)
    return caller(module, "Axpy", results, **options)(x, y, a=np.float32(2), mode=mode, shift=shift)


@pytest.mark.parametrize(
    "program",
    [
        lambda m: axpy(m, X, X),
        lambda m: axpy(m, X, X, "negative"),
        lambda m: m.jit(lambda x, y: axpy(m, x, y))(X, X + 1),
        lambda m: m.jit(lambda x, y: axpy(m, x, axpy(m, x, y)[0]))(X, X + 1),
        lambda m: m.eval_shape(lambda x: axpy(m, x, x), X),
        *[
            lambda m, method=method: m.vmap(lambda x, y: axpy(m, x, y, vmap_method=method))(M, M + 1)
            for method in ffi._METHODS
        ],
        *[
            lambda m, method=method: m.vmap(lambda x, y: axpy(m, x, y, vmap_method=method), in_axes=(1, None))(M.T, X)
            for method in ffi._METHODS
        ],
        lambda m: m.jit(m.vmap(lambda x, y: axpy(m, x, y, vmap_method="sequential"), in_axes=(None, 0)))(X, M),
        lambda m: m.vmap(m.vmap(lambda x: axpy(m, x, x, vmap_method="broadcast_all")))(np.stack([M, M])),
        lambda m: caller(m, "Double", m.ShapeDtypeStruct((3,), np.float32))(X),
        lambda m: caller(m, "Double", m.ShapeDtypeStruct((3,), np.float32), input_output_aliases={0: 0})(X),
        lambda m: caller(m, "Double", (m.ShapeDtypeStruct((3,), np.float32),))(X),
        lambda m: caller(m, "Attributes", m.ShapeDtypeStruct((), np.float32))(
            b=True, i=2, j=np.int32(-3), d=0.5, nested={"entry": 7}
        ),
        lambda m: caller(m, "Memory", m.ShapeDtypeStruct((6,), np.float32))(M),
        lambda m: caller(m, "Memory", m.ShapeDtypeStruct((6,), np.float32), input_layouts=[(1, 0)])(M),
        lambda m: m.jit(
            caller(m, "Memory", m.ShapeDtypeStruct((3, 2), np.float32), input_layouts=[(1, 0)], output_layouts=(1, 0))
        )(M.T),
        lambda m: m.jit(
            m.vmap(
                caller(
                    m, "Memory", m.ShapeDtypeStruct((6,), np.float32), input_layouts=[(1, 0)], vmap_method="sequential"
                )
            )
        )(np.stack([M, M])),
    ],
)
def test_calls(library, program):
    assert_same(program(cyxla), program(jax))


def test_errors_of_the_handler(library):
    for module in MODULES:
        with pytest.raises(Exception, match="y is empty"):
            np.asarray(axpy(module, X, np.zeros(0, np.float32))[0])


def test_side_effects(library):
    """A call whose result nobody uses is made only if it was declared to have a side effect."""
    counts = []
    for has_side_effect in (False, True):
        call = caller(cyxla, "Double", cyxla.ShapeDtypeStruct((3,), np.float32), has_side_effect=has_side_effect)
        before = library.CountOfCalls()
        cyxla.jit(lambda x, call=call: (call(x), x + 1)[1])(X).block_until_ready()
        counts.append(library.CountOfCalls() - before)
    assert counts == [0, 1]


@pytest.mark.parametrize(
    "program, error",
    [
        (lambda m: caller(m, "Double", 3), ValueError),
        (lambda m: caller(m, "Double", {"a": m.ShapeDtypeStruct((3,), np.float32)}), ValueError),
        (lambda m: caller(m, "Double", (), vmap_method="all"), ValueError),
        (lambda m: caller(m, "Double", (), legacy_backend_config="x"), ValueError),
        (
            lambda m: caller(m, "Double", m.ShapeDtypeStruct((3,), np.float32), custom_call_api_version=2)(X, a=1),
            ValueError,
        ),
        (lambda m: caller(m, "Double", m.ShapeDtypeStruct((3,), np.float32))(X, a=None), TypeError),
        (lambda m: caller(m, "Double", m.ShapeDtypeStruct((3,), np.float32))(X, a=object()), TypeError),
        (lambda m: caller(m, "Double", m.ShapeDtypeStruct((3,), np.float32))(X, a=np.complex64(1)), TypeError),
        (lambda m: m.grad(lambda x: axpy(m, x, x)[0].sum())(X), ValueError),
        (lambda m: m.vmap(lambda x: axpy(m, x, x)[0].sum())(M), NotImplementedError),
    ],
)
def test_errors(library, program, error):
    for module in MODULES:
        with pytest.raises(error):
            program(module)


def test_attributes_as_text():
    """Every kind of attribute, against the text that jax writes."""

    def line(module):
        def f(x):
            out = module.ShapeDtypeStruct((3,), np.float32)
            call = importlib.import_module(f"{module.__name__}.ffi").ffi_call("t", out)
            return call(
                x, a=1, b=2.5, c=True, d='s"\\\n', e=np.float32(1.5), f=np.int8(3), g=np.arange(3), h=np.ones(2, bool),
                i=np.float32("inf"), j=(1, 2.0), k={"x": 1e-30}, l=np.dtype("int32"), m=np.uint8(3), n=np.zeros((0, 2)),
                o=np.array([[1.5, 2]], np.float32), p=1e22,
            )  # fmt: skip

        text = module.jit(f).lower(X).as_text()
        return next(line for line in text.splitlines() if "custom_call" in line)

    ours, theirs = line(cyxla), line(jax)
    ours = ours[ours.index("backend_config = {") + 18 : ours.index("}, operand_layouts")]
    theirs = theirs[theirs.index("mhlo.backend_config = {") + 23 : theirs.index("}, operand_layouts")]
    with mlir.make_ir_context() as context:
        parse = lambda text: str(mlir.ir.Attribute.parse("{" + text + "}", context=context))
        assert parse(ours) == parse(theirs)


def test_lowering_rule(library):
    """A primitive whose lowering is such a call."""
    for name, m in (("cyxla", cyxla), ("jax", jax)):
        core, rules = (
            importlib.import_module(f"{name}.extend.core"),
            importlib.import_module(f"{name}.interpreters.mlir"),
        )
        f = importlib.import_module(f"{name}.ffi")
        p = core.Primitive("axpy")
        p.multiple_results = True
        p.def_abstract_eval(lambda x, y, *, a, m=m: [x, m.core.ShapedArray((), np.int32)])

        def lower(ctx, x, y, *, a, f=f, name=name):
            rule = f.ffi_lowering(f"{name}.Axpy", operand_layouts=[(0,), (0,)], result_layouts=[(0,), ()])
            return rule(ctx, x, y, a=a, mode="negative", shift=np.ones(2, np.float32))

        rules.register_lowering(p, lower)
        out, rank = m.jit(lambda x, y, p=p: p.bind(x, y, a=np.float32(3)))(X, X)
        assert np.array_equal(out, -4 * X + 2) and rank == 1


def test_targets_must_be_functions():
    for module in (ffi, jax.ffi):
        with pytest.raises(Exception, match="INVALID_ARGUMENT"):
            module.register_ffi_target("no_function", 3)
