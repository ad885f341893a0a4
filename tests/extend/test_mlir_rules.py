"""Lowering rules with MLIR's builders: contexts, constants, attributes, `lower_fun` inside rules; against jax."""

import jax
import numpy as np
import pytest
from compare import assert_same, in_both
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import func
from jaxlib.mlir.dialects import stablehlo as hlo

import cyxla

X = np.arange(3, dtype=np.float32)
OURS, THEIRS = MODULES = in_both(
    lax="lax", ShapedArray="core.ShapedArray", Primitive="extend.core.Primitive", mlir="interpreters.mlir"
)
mlir = OURS.mlir


def with_rule(m, rule, abstract=None, several=False, **options):
    """A primitive with a lowering rule only."""
    p = m.Primitive("custom")
    p.multiple_results = several
    p.def_abstract_eval(abstract or (lambda x, *rest, **params: m.ShapedArray(x.shape, x.dtype)))
    m.mlir.register_lowering(p, rule, **options)
    return p


def constant_rule(value):
    def make(m):
        def rule(ctx, x):
            return [m.mlir.ir_constant(value)]

        abstract = lambda x: m.ShapedArray(value.shape, value.dtype)
        return lambda x: with_rule(m, rule, abstract).bind(x)

    return make


def region(m):
    """A reduction, whose operation has a region."""

    def rule(ctx, x):
        zero = m.mlir.ir_constant(np.float32(0))
        kind = ir.RankedTensorType.get([], ir.F32Type.get())
        op = hlo.ReduceOp([kind], [x], [zero], m.mlir.dense_int_array([0]))
        body = op.regions[0].blocks.append(kind, kind)
        with ir.InsertionPoint(body):
            hlo.return_([hlo.add(*body.arguments)])
        return op.results

    return with_rule(m, rule, lambda x: m.ShapedArray((), x.dtype)).bind


def function(m):
    """A rule that adds a function to the module and calls it twice."""

    def rule(ctx, x):
        kind = x.type
        with ctx.module_context.ip:
            f = func.FuncOp("triple", ([kind], [kind]), visibility="private")
        with ir.InsertionPoint(f.add_entry_block()):
            (arg,) = f.arguments
            func.ReturnOp([hlo.add(arg, hlo.add(arg, arg))])
        name = ir.FlatSymbolRefAttr.get("triple")
        once = func.CallOp([kind], name, [x]).results
        return func.CallOp([kind], name, list(once)).results

    return with_rule(m, rule).bind


def lower_fun_inside(m):
    def rule(ctx, x, y, *, n):
        f = m.mlir.lower_fun(lambda x, y: [m.jnp.sin(x) * y + X, m.jnp.cumsum(y)])
        s, c = m.mlir.flatten_ir_values(f(ctx, x, y))
        return [hlo.add(s, m.mlir.ir_constant(np.full(3, n, np.float32))), c]

    p = with_rule(m, rule, lambda x, y, *, n: [x, x], several=True)
    return lambda x: p.bind(x, x, n=2)


def nested(m):
    """A primitive with a rule in the function that another's rule traces."""
    inner = with_rule(m, lambda ctx, x: [hlo.negate(x)])
    outer = with_rule(m, m.mlir.lower_fun(lambda x: inner.bind(x) * 2, multiple_results=False))

    def rule(ctx, x):
        return m.mlir.lower_fun(lambda x: outer.bind(x) + inner.bind(x), multiple_results=False)(ctx, x)

    return with_rule(m, rule).bind


def control_flow_inside(m):
    def loop(x):
        return m.lax.fori_loop(0, 3, lambda i, c: m.lax.cond(c.sum() > 5, lambda c: c * 2, lambda c: c + 1, c), x)

    def rule(ctx, x):
        return m.mlir.lower_fun(loop, multiple_results=False)(ctx, x)

    return with_rule(m, rule).bind


def python_callback(m):
    """A rule that calls Python, beside one that traces a function that does."""

    def rule(ctx, x):
        outs, _, _ = m.mlir.emit_python_callback(
            ctx, lambda x: (np.sort(-np.asarray(x)),), None, [x], ctx.avals_in, ctx.avals_out, has_side_effect=False
        )
        return outs

    traced = with_rule(
        m,
        m.mlir.lower_fun(
            lambda x: m.jax.pure_callback(lambda x: np.cumsum(np.asarray(x)), x, x), multiple_results=False
        ),
    )

    def both(ctx, x):
        inner = m.mlir.lower_fun(lambda x: traced.bind(x) * 2, multiple_results=False)
        return [hlo.add(*m.mlir.flatten_ir_values([inner(ctx, x), rule(ctx, x)]))]

    p, q = with_rule(m, rule), with_rule(m, both)
    if m is THEIRS:  # whose contexts take one effect a rule
        return lambda x: traced.bind(x) + (traced.bind(x) * 2 + p.bind(x)) + p.bind(x)
    return lambda x: traced.bind(x) + q.bind(x) + p.bind(x)


@pytest.mark.parametrize(
    "make",
    [
        python_callback,
        region,
        function,
        lower_fun_inside,
        nested,
        control_flow_inside,
        lambda m: with_rule(m, lambda ctx, x: hlo.negate(x)).bind,
        lambda m: with_rule(m, lambda ctx, x: [hlo.multiply(x, x)], platform="cpu").bind,
        lambda m: lambda x: m.lax.scan(lambda c, _: (nested(m)(c), c), x, None, length=3),
        lambda m: with_rule(m, lambda ctx, x: [], lambda x: [], several=True).bind,
        *[
            constant_rule(value)
            for value in (
                np.arange(6.0).reshape(2, 3).astype(np.float32),
                np.array([True, False, True] * 5),
                np.arange(3),
                np.zeros((0, 2), np.float32),
                np.broadcast_to(np.float32(2), (2, 3)),
                np.array([1 + 2j], np.complex64),
                np.array([1.5, -2], jax.numpy.bfloat16),
                np.uint8(3),
            )
        ],
    ],
)
def test_rules(make):
    with cyxla.enable_x64(True), jax.enable_x64(True):
        results = [m.jax.jit(make(m))(X) for m in MODULES]
    assert_same(*results)


def test_functions_of_one_name():
    """The functions that rules add for two signatures have one name in their modules, and two in the program."""
    f = function(OURS)
    assert np.array_equal(cyxla.jit(lambda x: f(x) + f(x[:2]).sum())(X), 9 * X + 9)


def test_what_a_rule_is_told():
    seen = []

    def rule(ctx, x, *, n):
        seen.append(ctx)
        assert str(x.type) == "tensor<3xf32>"
        assert ctx.replace(avals_out=()).avals_out == ()
        return [x]

    p = with_rule(OURS, rule)
    cyxla.jit(lambda x: p.bind(p.bind(x, n=1), n=1) + p.bind(x, n=2))(X)
    ctx, _ = seen  # once for each signature and parameters
    assert ctx.primitive is p and ctx.avals_in == ctx.avals_out == (OURS.ShapedArray((3,), np.float32),)
    assert tuple(ctx.module_context.platforms) == ("cpu",)
    assert ctx.module_context.get_backend().platform == "cpu"


@pytest.mark.parametrize("result, message", [(None, "MLIR values"), (3, "MLIR values"), ([3], "MLIR values")])
def test_results_that_are_no_values(result, message):
    with pytest.raises(TypeError, match=message):
        cyxla.jit(with_rule(OURS, lambda ctx, x: result).bind)(X)


def test_results_of_other_types():
    with pytest.raises(TypeError, match=r"tensor<3xf32>, tensor<3xf32>.*says tensor<3xf32>"):
        cyxla.jit(with_rule(OURS, lambda ctx, x: [x, x]).bind)(X)


def test_platforms():
    p = with_rule(OURS, lambda ctx, x: [hlo.negate(x)], platform="cuda")
    with pytest.raises(NotImplementedError, match=r"custom.*cpu.*cuda"):
        cyxla.jit(p.bind)(X)
    mlir.register_lowering(p, lambda ctx, x: [x])
    assert np.array_equal(cyxla.jit(lambda x: p.bind(x))(X), X)
    mlir.register_lowering(p, lambda ctx, x: [hlo.add(x, x)], platform="cpu")
    assert np.array_equal(cyxla.jit(lambda x: p.bind(x))(X), 2 * X)


def test_primitives_of_the_library():
    """A rule registered for a primitive of the library is used, on its platform and in derivatives."""
    sine = OURS.Primitive  # the class is one
    from cyxla.extend.core import primitives

    assert isinstance(primitives.erf_inv_p, sine)
    previous = primitives.erf_inv_p.lower
    try:
        mlir.register_lowering(primitives.erf_inv_p, lambda ctx, x, **params: [hlo.negate(x)])
        assert cyxla.jit(lambda x: cyxla.lax.erf_inv(x))(np.float32(0.3)) == np.float32(-0.3)
    finally:
        primitives.erf_inv_p.lower = previous
        primitives.erf_inv_p.forget_programs()


class Celsius:
    shape, dtype = (), np.dtype("float32")

    def __init__(self, degrees):
        self.degrees = degrees


def test_constant_handlers():
    for m in MODULES:
        m.mlir.register_constant_handler(
            Celsius, lambda value, aval, m=m: m.mlir.ir_constant(np.float32(value.degrees + 273.15))
        )
        p = with_rule(m, lambda ctx, x, m=m: [hlo.add(x, m.mlir.ir_constant(Celsius(1.0)))])
        assert np.isclose(m.jax.jit(p.bind)(np.float32(0)), 274.15)


@pytest.mark.parametrize(
    "build",
    [
        *[
            lambda m, v=v: m.mlir.ir_attribute(v)
            for v in (
                1, 2.5, True, "s", np.float32(2), np.int8(3), np.arange(2), [1, 2], (1, 2.0), {"a": 1}, np.bool_(True),
                np.dtype("float32"), [np.float32(1)], np.ones((2, 2), np.float32),
            )
        ],
        *[
            lambda m, d=d: m.mlir.dtype_to_ir_type(np.dtype(d))
            for d in ("float32", "int32", "uint8", "bool", "complex64", "bfloat16", "float64")
        ],
        lambda m: m.mlir.dense_int_array([1, 2]),
        lambda m: m.mlir.dense_int_elements([1, 2]),
        lambda m: m.mlir.i32_attr(2),
        lambda m: m.mlir.i64_attr(2),
        lambda m: m.mlir.token_type(),
        lambda m: m.mlir.flatten_ir_types([ir.F32Type.get(), (ir.F32Type.get(), ir.F64Type.get())])[2],
    ],
)  # fmt: skip
def test_attributes_and_types(build):
    texts = []
    for m in MODULES:
        with m.mlir.make_ir_context(), ir.Location.unknown():
            texts.append(str(build(m)))
    assert texts[0] == texts[1]


def test_values_that_are_no_attributes():
    for m in MODULES:
        with m.mlir.make_ir_context(), ir.Location.unknown():
            for value in (None, object(), np.complex64(1)):
                with pytest.raises(TypeError):
                    m.mlir.ir_attribute(value)
            with pytest.raises(TypeError):
                m.mlir.ir_constant(object())


def test_modules():
    for m in MODULES:
        with m.mlir.make_ir_context(), ir.Location.unknown():
            source, target = (
                ir.Module.parse("module { func.func @main() { func.call @f() : () -> ()\n return }\n"
                                "func.func private @f() { return } }")
                for _ in range(2)
            )  # fmt: skip
            name = m.mlir.merge_mlir_modules(target, "f", source)
            assert target.operation.verify()
            text = m.mlir.module_to_string(target)
            assert name not in ("f", "main") and f"@{name}()" in text and text.count("func.func") == 4
            assert m.mlir.module_to_bytecode(target)[:4] == b"ML\xefR"
            kinds = [ir.F32Type.get(), (ir.F32Type.get(), ir.F32Type.get())]
            with ir.InsertionPoint(target.body):
                values = [m.mlir.ir_constant(np.float32(i)) for i in range(3)]
                grouped = m.mlir.unflatten_ir_values_like_types(values, kinds)
                assert len(grouped) == 2 and len(grouped[1]) == 2
                assert len(m.mlir.flatten_ir_values(grouped)) == 3
