"""Conversions between 2-, 4- and 8-bit types and the others, bit by bit as jax has them; bit casts and arithmetic."""

import warnings

import jax
import ml_dtypes
import numpy as np
import pytest
from compare import both_raise

import cyxla

INTEGERS = ["int2", "int4", "uint2", "uint4"]
FLOATS = [
    "float4_e2m1fn",
    "float8_e3m4",
    "float8_e4m3",
    "float8_e4m3b11fnuz",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
]
NARROW = INTEGERS + FLOATS
WIDE = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "float16", "bfloat16", "float32", "complex64"]
EDGES = np.float32(
    [0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1, -1, 0.5, 0.25, 1.5, 2.5, 3, -3, 7, 8, -8, 15, 16, 100, 127, 128]
    + [-128, -129, 240, 256, 448, 464, 480, 500, 57344, 61440, 65504, 70000, 1e-3, 1e-6, 1e-10, 3e38, -1e-39]
    + [2.0**-127, 2.0**-9, 2.0**-10, 2.0**-11, 3 * 2.0**-11, 1 / 3]
)


def dtype_of(name):
    return np.dtype(getattr(ml_dtypes, name, None) or name)


def values(name):
    """All values of a narrow type, many of a wide one."""
    dtype = dtype_of(name)
    if name in INTEGERS:
        info = ml_dtypes.iinfo(dtype)
        return np.arange(int(info.min), int(info.max) + 1).astype(np.int8).astype(dtype)
    if name == "float32":
        return EDGES
    if name == "complex64":
        return (EDGES + 1j * EDGES[::-1]).astype(dtype)
    if name in ("int32", "uint32"):
        numbers = [
            0,
            1,
            2,
            3,
            7,
            8,
            15,
            16,
            127,
            128,
            255,
            256,
            65535,
            2**20,
            2**31 - 1,
            -1,
            -2,
            -3,
            -8,
            -129,
            -(2**31),
        ]
        return np.array(numbers, np.int64).astype(np.uint32).view(dtype)
    if dtype.itemsize == 2:
        return np.arange(0, 65536, 97).astype(np.uint16).view(dtype)
    return np.arange({"bool": 2, "float4_e2m1fn": 16}.get(name, 256)).astype(np.uint8).view(dtype)


def bits(x):
    x = np.asarray(x)
    return x.view(np.uint32) if x.dtype.kind == "c" else x.view(f"u{x.dtype.itemsize}")


def same_bits(ours, theirs, where):
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape, where
    np.testing.assert_array_equal(bits(ours), bits(theirs), err_msg=where)


@pytest.mark.parametrize("source", NARROW + WIDE)
def test_convert(source):
    targets = [t for t in NARROW + (WIDE if source in NARROW else []) if t != source]

    def program(module):
        convert = module.lax.convert_element_type
        return module.jit(lambda x: [convert(x, dtype_of(t)) for t in targets])(values(source))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = program(cyxla), program(jax)
    for target, a, b in zip(targets, ours, theirs, strict=True):
        same_bits(a, b, f"{source} to {target}")


def outcomes(module, cases, evaluate):
    """The results by case; the type of the exception where one is raised."""
    found = {}
    for case in cases:
        try:
            found[case] = evaluate(module, *case)
        except (TypeError, ValueError) as error:
            found[case] = type(error).__name__
    return found


OTHERS = [*NARROW, "int8", "uint16", "float32", "bool"]
SHAPES = [(4,), (2, 2), (2, 4), (2, 8), (2, 16)]


def test_shapes_of_bitcast():
    def evaluate(module, source, target, shape):
        x = module.ShapeDtypeStruct(shape, dtype_of(source))
        out = module.eval_shape(lambda x: module.lax.bitcast_convert_type(x, dtype_of(target)), x)
        return out.shape, out.dtype

    cases = [(source, target, shape) for source in OTHERS for target in OTHERS for shape in SHAPES]
    assert outcomes(cyxla, cases, evaluate) == outcomes(jax, cases, evaluate)


def test_bitcast():
    def program(module, x, narrow):
        cast = module.lax.bitcast_convert_type
        outs = [cast(x, dtype_of(name)) for name in NARROW] + [cast(cast(x, np.dtype(ml_dtypes.int4)), np.uint8)]
        return outs + [cast(v, np.uint8) for v in narrow] + [cast(cast(np.uint8([[1, 2]]), np.uint16), np.float16)]

    x = np.arange(256).astype(np.uint8)
    narrow = [values(name) for name in FLOATS[1:]]
    for i, (ours, theirs) in enumerate(
        zip(*(m.jit(lambda *a, m=m: program(m, *a))(x, narrow) for m in (cyxla, jax)), strict=True)
    ):
        same_bits(ours, theirs, f"result {i}")


OPERATIONS = {
    "binary": lambda lax, x: [
        getattr(lax, name)(x, x[::-1]) for name in ("add", "sub", "mul", "max", "min", "lt", "eq")
    ],
    "integer": lambda lax, x: [lax.bitwise_and(x, x[::-1]), lax.bitwise_not(x), lax.population_count(x), lax.clz(x)],
    "float": lambda lax, x: [lax.div(x, x[::-1]), lax.exp(x), lax.sqrt(x), lax.is_finite(x), lax.nextafter(x, x[::-1])],
    "signed": lambda lax, x: [lax.neg(x), lax.sign(x), lax.integer_pow(x, 2)],
    "order": lambda lax, x: [lax.sort(x), lax.reduce_max(x, (0,)), lax.cumsum(x), lax.clamp(x[0], x, x[1])],
    "product": lambda lax, x: [lax.dot(x, x), lax.dot(x, x, preferred_element_type=np.float32)],
}
ARITHMETIC = {
    "int4": ("binary", "integer", "signed", "order"),
    "uint2": ("binary", "integer", "order"),
    "float8_e4m3fn": ("binary", "float", "signed", "order", "product"),
    "float8_e5m2": ("binary", "float", "signed", "order", "product"),
    "float4_e2m1fn": ("binary", "float", "signed"),
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic(name):
    def program(module):
        x = values(name)
        return module.jit(lambda x: [OPERATIONS[group](module.lax, x) for group in ARITHMETIC[name]])(x)

    for group, ours, theirs in zip(ARITHMETIC[name], program(cyxla), program(jax), strict=True):
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            same_bits(a, b, f"{name}: {group} {i}")


def test_errors():
    both_raise("TypeError", lambda module: module.lax.exp(values("int4")))
    both_raise("ValueError", lambda module: module.lax.bitcast_convert_type(values("int4")[:3], np.uint8))
    both_raise("TypeError", lambda module: module.lax.bitwise_and(values("float8_e5m2"), values("float8_e5m2")))
