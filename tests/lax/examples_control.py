"""Rows of the table of examples for control flow and for calls of functions; see examples.py."""

import numpy as np

from examples import Example, floats, integers, module_of

EXAMPLES: list[Example] = []

# Equations that only derivatives of other primitives contain; a generator with hidden state, which gives no value to
# compare; collectives, which vmap replaces by others (see test_parallel.py); and foreign calls (see test_ffi.py).
INTERNAL = {"custom_lin", "ffi_call", "computed_again", "known_result", "rng_uniform"} | {
    "all_gather", "all_to_all", "axis_index", "pbroadcast", "pmax", "pmin", "ppermute", "psum", "reduce_scatter",
}  # fmt: skip


def example(primitive, function, *operands, label="", **options):
    EXAMPLES.append(Example(primitive, function, operands, f"{primitive}-{label}" if label else primitive, **options))


X, Y = floats(3), floats(3, low=0.5, high=1.5)
ROWS = floats(4, 3)


def scan(lax, init, rows, reverse=False):
    return lax.scan(lambda c, r: (lax.sin(c * r), c + r), init, rows, reverse=reverse)


example("scan", scan, X, ROWS)
example("scan", lambda lax, init, rows: scan(lax, init, rows, True), X, ROWS, label="reverse")
example(
    "while",
    lambda lax, n, x: lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, lax.sin(c[1]) + c[1]), (np.int32(0), x)),
    np.int32(3),
    X,
    differentiate=False,
)
example("cond", lambda lax, p, x, y: lax.cond(p, lax.mul, lambda a, b: lax.sin(a) - b, x, y), np.bool_(True), X, Y)
example(
    "cond",
    lambda lax, i, x: lax.switch(i, [lax.sin, lax.neg, lambda v: v * v], x),
    np.int32(2),
    X,
    label="switch",
)
example("jit", lambda lax, x, y: module_of(lax).jit(lambda a, b: lax.sin(a) * b)(x, y), X, Y)
example("name", lambda lax, x: module_of(lax, "ad_checkpoint").checkpoint_name(x, "n"), X)
example("remat2", lambda lax, x: module_of(lax).checkpoint(lambda a: lax.sin(lax.cos(a)))(x), X)


def custom_jvp(lax, x):
    @module_of(lax).custom_jvp
    def f(v):
        return lax.sin(v)

    @f.defjvp
    def rule(primals, tangents):
        return lax.sin(primals[0]), lax.cos(primals[0]) * tangents[0] * 2

    return f(x)


def custom_vjp(lax, x):
    @module_of(lax).custom_vjp
    def f(v):
        return lax.sin(v)

    f.defvjp(lambda v: (lax.sin(v), v), lambda v, ct: (ct * lax.cos(v) * 3,))
    return f(x)


def gradient_of_custom_vjp(lax, x):
    """`custom_vjp` functions have no forward derivative: their gradient is compared as a value."""
    return module_of(lax).grad(lambda v: lax.reduce_sum(custom_vjp(lax, v), (0,)))(x)


example("custom_jvp_call", custom_jvp, X)
example("custom_vjp_call", custom_vjp, X, differentiate=False)
example("cos", gradient_of_custom_vjp, X, label="of custom_vjp", differentiate=False)
example("device_put", lambda lax, x: module_of(lax).device_put(x), integers(3), vectorize=False)


MATRIX = floats(3, 3, low=-0.2, high=0.2) + 2 * np.eye(3, dtype=np.float32)


def linear_solve(lax, matrix, b):
    """Solved by Jacobi's iteration, which derivatives must not go through."""

    def solve(matvec, b, diagonal=2.0):
        return lax.fori_loop(0, 40, lambda _, x: x + (b - matvec(x)) / diagonal, b)

    return lax.custom_linear_solve(lambda x: lax.dot(matrix, x), b, solve, solve)


example("custom_linear_solve", linear_solve, MATRIX, X)
example(
    "rng_bit_generator",
    lambda lax, key: lax.rng_bit_generator(key, (3,), dtype=np.uint32),
    np.array([1, 2, 3, 4], np.uint32),
    differentiate=False,
    vectorize=False,
)


def mapped_by_rule(lax, x):
    f = module_of(lax, "custom_batching").custom_vmap(lambda v: lax.sin(v) * v)
    f.def_vmap(lambda n, batched, v: (lax.sin(v) * v, True))
    return f(x)


def linear_by_rule(lax, x):
    linear_call = module_of(lax, "custom_derivatives").linear_call
    return linear_call(lambda r, v: lax.mul(v, r), lambda r, ct: lax.mul(ct, r), Y.astype(x.dtype), x)


example("custom_vmap_call", mapped_by_rule, X, differentiate=False)
example("linear_call", linear_by_rule, X, vectorize=False)
example(
    "platform_index",
    lambda lax, x: lax.platform_dependent(x, cpu=lax.sin, default=lambda v: v * 7),
    X,
)

# ---- calls of Python and checks; their effects are in tests/debug


def with_effect(effect):
    """The sine of the operand, after something that happens besides."""

    def function(lax, x):
        effect(lax, x)
        return lax.sin(x)

    return function


def call(name, **options):
    def function(lax, x):
        function = getattr(module_of(lax, "experimental") if name == "io_callback" else module_of(lax), name)
        result = module_of(lax).ShapeDtypeStruct(x.shape, x.dtype)
        return function(lambda v: np.asarray(np.sin(v), x.dtype), result, x, **options)

    return function


example("pure_callback", call("pure_callback", vmap_method="sequential"), X, differentiate=False)
example(
    "pure_callback", call("pure_callback", vmap_method="expand_dims"), X, differentiate=False, label="whole batches"
)
example("io_callback", call("io_callback"), X, differentiate=False)
example("debug_print", with_effect(lambda lax, x: module_of(lax, "debug").print("{}", x)), X)
example("debug_callback", with_effect(lambda lax, x: module_of(lax, "debug").callback(lambda v: None, x)), X)
example(
    "check",
    with_effect(lambda lax, x: module_of(lax, "experimental.checkify").debug_check(x[0] < 9, "{}", x)),
    X,
    differentiate=False,
)

# -- references: each program makes one, and uses its other primitives on the way. What jax cannot batch is held against
# a loop in tests/transform/test_refs.py.


def with_reference(use):
    """A function that makes a reference to its first operand, and returns what it holds in the end."""

    def function(lax, x, *rest):
        module = module_of(lax)
        ref = module.new_ref(x)
        result = use(module, lax, ref, *rest)
        return lax.sin(ref[...]) if result is None else result

    return function


def scanned(module, lax, ref, rows):
    def step(c, row):
        ref[...] = lax.sin(ref[...]) * row
        ref[0] = ref[1] * c
        return c + ref[2], ref[1]

    return lax.scan(step, rows[0, 0], rows)


def updated(module, lax, ref, value):
    ref[1:] = value[1:] * ref[0]
    ref.addupdate(value)
    module.ref.addupdate(ref, np.array([0, 2, 0]), value)


def chosen(module, lax, ref, pred):
    def yes():
        ref[0] = lax.sin(ref[1])

    def no():
        ref[1:] = ref[:2] * 3

    lax.cond(pred, yes, no)


def frozen(module, lax, ref, value):
    ref[...] = ref[...] * value
    return module.freeze(ref)


def freed(module, lax, ref, value):
    result = module.ref.swap(ref, 1, value[0]) * ref[1]
    module.free_ref(ref)
    return result


def looped(module, lax, ref):
    lax.fori_loop(0, 3, lambda i, _: module.ref.set(ref, i, lax.sin(ref[i]) * ref[0]), None)


example("new_ref", with_reference(scanned), X, ROWS, vectorize=False)
example("get", with_reference(lambda module, lax, ref, i: ref[i] * ref[np.array([0, 2])].sum()), X, np.int32(1))
example("get", with_reference(looped), X, label="in a loop", vectorize=False)
example("swap", with_reference(updated), X, Y)
example("addupdate", with_reference(lambda module, lax, ref, y: module.ref.addupdate(ref, 1, y[0] * ref[0])), X, Y)
example("cond", with_reference(chosen), X, np.bool_(True), label="of a reference", vectorize=False)
example("freeze", with_reference(frozen), X, Y, vectorize=False)
example("free_ref", with_reference(freed), X, Y, vectorize=False)
