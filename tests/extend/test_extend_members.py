"""What the objects of `extend.core`, of sources, references and keys can be asked for; against jax."""

import types

import jax
import numpy as np
import pytest
from compare import agree, assert_same, both_raise, in_both
from jaxlib.mlir.dialects import stablehlo as hlo

import cyxla

M = np.arange(6, dtype=np.float32).reshape(2, 3)
ROW = np.full(3, 7, np.float32)
OURS, THEIRS = MODULES = in_both(
    ShapedArray="core.ShapedArray",
    core="extend.core",
    primitives="extend.core.primitives",
    sources="extend.source_info_util",
    xrandom="extend.random",
    ref="ref",
    mlir="interpreters.mlir",
)


def scalar(m):
    return m.ShapedArray((), np.dtype(np.float32))


def using_a_reference(m):
    def use(x):
        ref = m.jax.new_ref(x)
        ref[...] = ref[...] + x
        return m.jax.freeze(ref)

    return use


def ref_aval(m, *change):
    aval = m.ref.AbstractRef(m.ShapedArray((2, 3), np.dtype(np.float32)))
    return str(getattr(aval, change[0])(*change[1:]))


MEMBERS = {
    "hash of a literal": lambda m: [m.core.Literal(x, scalar(m)).hash for x in (2, 2.5, np.float32(3), True)],
    "hash of a table": lambda m: m.core.Literal(m.jnp.ones(3), m.ShapedArray((3,), np.float32)).hash,
    "a literal": lambda m: [m.core.Literal(2.0, scalar(m)).pretty_print(None, print_dtype=b) for b in (True, False)],
    "a result that nobody uses": lambda m: m.core.DropVar(scalar(m)).pretty_print(None),
    "properties of primitives": lambda m: [
        (name, p.ref_primitive, p.ref_allocating, p.skip_canonicalization, p.call_primitive)
        for name in sorted(set(dir(OURS.primitives)) & set(dir(THEIRS.primitives)))
        if name.endswith("_p") and (p := getattr(m.primitives, name))
    ],
    "properties of the primitives of references": lambda m: [
        (str(e.primitive), e.primitive.ref_primitive, e.primitive.ref_allocating)
        for e in m.jax.make_jaxpr(using_a_reference(m))(ROW).eqns
    ],
    "properties of a primitive of a user": lambda m: [
        getattr(m.core.Primitive("p"), name) for name in ("ref_primitive", "ref_allocating", "skip_canonicalization")
    ],
    "effects": lambda m: [m.core.Primitive("p").is_effectful, m.primitives.add_p.is_effectful],
    "effects of a loop": lambda m: m.primitives.jit_p.is_effectful(
        m.jax.make_jaxpr(m.jax.jit(m.jnp.sin))(1.0).eqns[0].params
    ),
    "one more axis": lambda m: [ref_aval(m, "inc_rank", 4, axis) for axis in (0, 1, 2, None)],
    "one axis less": lambda m: [ref_aval(m, "dec_rank", size, axis) for size, axis in ((2, 0), (3, 1), (4, None))],
    "weak type": lambda m: ref_aval(m, "update_weak_type", True),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_members(name):
    ours, theirs = map(MEMBERS[name], MODULES)
    assert ours == theirs


def test_names_of_variables():
    var = cyxla.make_jaxpr(lambda x: x)(1.0).jaxpr.invars[0]
    context = types.SimpleNamespace(var_names={var: "abc"})
    assert var.pretty_print(context) == "abc:f32[]"
    assert var.pretty_print(context, print_dtype=False) == "abc"


def test_sources():
    for m in MODULES:
        source = m.sources.new_source_info()
        stack = m.sources.new_name_stack("abc")
        assert str(source.replace(name_stack=stack).name_stack) == "abc"
        assert str(source.replace(name_stack=stack).replace().name_stack) == "abc"
        with m.sources.extend_name_stack("outer"):
            for manager in (
                m.sources.extend_name_stack("inner"),
                m.sources.transform_name_stack("inner"),
                m.sources.set_name_stack(stack),
            ):
                assert not hasattr(manager, "prev")
                with manager:
                    assert str(manager.prev.name_stack) == "outer"
            assert m.sources.transform_name_stack("inner").name == "inner"
            with m.sources.transform_name_stack("inner"):
                assert "inner" in str(m.sources.current_name_stack())
            context = m.sources.user_context(None, name_stack=stack)
            with context:
                assert str(m.sources.current_name_stack()) == "abc"
                assert str(context.prev.name_stack) == "outer"


# references -----------------------------------------------------------------------------------------------------------

USES = {
    "get": lambda r: r.get(),
    "get a row": lambda r: r.get(1),
    "set": lambda r: r.set(M * 2),
    "set a row": lambda r: r.set(ROW, idx=0),
    "swap": lambda r: r.swap(M * 2),
    "swap a row": lambda r: r.swap(ROW, idx=(1, slice(None))),
    "add": lambda r: r.addupdate(ROW, idx=1),
    "set a view": lambda r: r.at[0].set(ROW),
    "swap a view": lambda r: r.at[0].swap(ROW),
    "get a view": lambda r: r.at[0].get(),
    "set a part of a view": lambda r: r.at[0].set(ROW[0], idx=1),
}


@pytest.mark.parametrize("name", USES)
def test_methods_of_references(name):
    def program(m):
        ref = m.new_ref(m.numpy.asarray(M))
        return m.jit(lambda r: USES[name](r))(ref), ref[...]

    agree(program)
    # Outside of programs too, where jax has some of them only.
    ref = cyxla.new_ref(cyxla.numpy.asarray(M))
    assert_same((USES[name](ref), ref[...]), program(jax))


def test_arrays_have_no_such_methods():
    x = cyxla.numpy.ones(3)
    for name in ("get", "set", "swap", "addupdate"):
        assert not hasattr(x, name)
        with pytest.raises(AttributeError, match=f"arrays have no {name}"):
            cyxla.jit(lambda x, name=name: getattr(x, name))(x)
    with pytest.raises(ValueError, match=r"axis 0 .* has size 2, not 4"):
        ref_aval(OURS, "dec_rank", 4, 0)
    with pytest.raises(ValueError, match="set of a reference: the value has shape"):
        cyxla.jit(lambda r: r.set(1.0))(cyxla.new_ref(x))


# contexts of lowering rules -------------------------------------------------------------------------------------------


def test_contexts_of_modules():
    seen = []

    def rule(ctx, x):
        module = ctx.module_context
        channels = [module.new_channel(), module.new_channel()]
        module.add_host_callback(print)
        seen.append(
            (
                channels[1] - channels[0],
                module.host_callbacks[-1] is print,
                module.all_default_mem_kind,
                tuple(module.shape_poly_state.dim_vars),
                module.get_backend(optional=True) is not None,
            )
        )
        return [hlo.negate(x)]

    for m in MODULES:
        p = m.core.Primitive("contextual")
        p.def_abstract_eval(lambda x: x)
        m.mlir.register_lowering(p, rule)
        m.jax.jit(p.bind).lower(M)
    ours, theirs = seen
    assert ours == theirs


# keys -----------------------------------------------------------------------------------------------------------------


def generator(m):
    return m.xrandom.define_prng_impl(
        key_shape=(2,),
        seed=lambda s: m.jnp.stack([m.jnp.asarray(s, "uint32")] * 2),
        split=lambda key, shape: m.jnp.broadcast_to(key, (*shape, 2)),
        random_bits=lambda key, width, shape: m.jnp.zeros(shape, "uint32"),
        fold_in=lambda key, data: key,
        name="mymine",
        tag="mine",
    )


def test_names_of_generators():
    for show in (str, repr):
        ours, theirs = (show(m.jax.random.key_impl(m.jax.random.key(0, impl=generator(m)))) for m in MODULES)
        assert ours == theirs


@pytest.mark.parametrize(
    "error, program",
    [
        ("ValueError", lambda m: m.numpy.astype(m.random.key(0), np.uint32)),
        ("ValueError", lambda m: m.lax.convert_element_type(m.random.key(0), np.uint32)),
        ("ValueError", lambda m: m.numpy.asarray(m.random.key(0), np.uint32)),
        ("ValueError", lambda m: m.numpy.ones(2).astype(m.random.key(0).dtype)),
        ("ValueError", lambda m: m.jit(lambda k: k.astype(np.uint32))(m.random.key(0))),
        ("NotImplementedError", lambda m: m.random.key(0).view(np.uint32)),
        ("NotImplementedError", lambda m: m.random.split(m.random.key(0)).view(np.uint32)),
    ],
)
def test_keys_are_no_numbers(error, program):
    both_raise(error, program, "random.key_data")
