"""Rows of the table of examples for slices, gather and scatter, contractions and convolutions; see examples.py."""

import numpy as np

from examples import Example, complexes, floats, integers

EXAMPLES: list[Example] = []


def example(primitive, function, *operands, label="", **options):
    EXAMPLES.append(Example(primitive, function, operands, f"{primitive}-{label}" if label else primitive, **options))


X = floats(2, 3, 4)
ONE = np.int32(1)
STARTS = np.array([0, 1, 2], np.int32)
OUTSIDE = np.array([-1, 9, -9], np.int32)

# ---- slices

for bounds, label in (
    (((0, 1, 2), (2, 3, 4)), "plain"),
    (((0, 1, 0), (2, 3, 4), (1, 2, 3)), "strided"),
    (((1, 1, 1), (1, 3, 4)), "empty"),
):
    example("slice", lambda lax, x, bounds=bounds: lax.slice(x, *bounds), X, label=label)
for starts, label in ((STARTS, "inside"), (OUTSIDE, "clamped")):
    example("dynamic_slice", lambda lax, x, i: lax.dynamic_slice(x, i, (1, 2, 3)), X, starts, label=label)
    example(
        "dynamic_update_slice",
        lambda lax, x, u, i: lax.dynamic_update_slice(x, u, i),
        X,
        floats(1, 2, 3),
        starts,
        label=label,
    )
example("dynamic_slice", lambda lax, x, i, j: lax.dynamic_slice(x, (i, 0, j), (1, 3, 2)), X, ONE, ONE, label="scalars")

# ---- gather and scatter: rows, single elements, windows that start anywhere, batched operands

ROWS = np.array([[1], [0], [1]], np.int32)
POINTS = np.array([[1, 2], [0, 0], [1, 1], [1, 2]], np.int32)
BEYOND = np.array([[1, 2], [0, 7], [-3, 1], [2, 2]], np.int32)
DISTINCT = np.array([[1, 2], [0, 0], [1, 1], [0, 3]], np.int32)
WINDOWS = np.array([[[1, 1]], [[0, 5]]], np.int32)
BATCHED = np.array([[[2], [0]], [[1], [1]]], np.int32)

# name -> index array, dimension numbers, slice sizes, shape of the updates
LAYOUTS = {
    "rows": (ROWS, ((1, 2), (0,), (0,)), (1, 3, 4), (3, 3, 4)),
    "rows inside out": (ROWS, ((0, 2), (0,), (0,)), (1, 3, 4), (3, 3, 4)),
    "points": (POINTS, ((1,), (0, 2), (0, 2)), (1, 3, 1), (4, 3)),
    "beyond": (BEYOND, ((1,), (0, 2), (0, 2)), (1, 3, 1), (4, 3)),
    "distinct": (DISTINCT, ((1,), (0, 2), (0, 2)), (1, 3, 1), (4, 3)),
    "windows": (WINDOWS, ((1, 2, 3), (), (1, 2)), (2, 2, 2), (2, 2, 2, 2, 1)),
    "batched": (BATCHED, ((2,), (1,), (1,), (0,), (0,)), (1, 1, 4), (2, 2, 4)),
}


def gather(numbers, sizes, **options):
    return lambda lax, x, i: lax.gather(x, i, lax.GatherDimensionNumbers(*numbers), sizes, **options)


for label, (indices, numbers, sizes, _) in LAYOUTS.items():
    if label != "distinct":
        mode = "clip" if label in ("points", "rows inside out") else "fill"
        example("gather", gather(numbers, sizes, mode=mode), X, indices, label=f"{label} {mode}")
example("gather", gather(LAYOUTS["beyond"][1], (1, 3, 1), mode="clip"), X, BEYOND, label="beyond clip")
example("gather", gather(LAYOUTS["beyond"][1], (1, 3, 1), mode="fill", fill_value=7), X, BEYOND, label="fill value")
example(
    "gather", gather(LAYOUTS["beyond"][1], (1, 3, 1), mode="fill"), integers(2, 3, 4), BEYOND, label="fill integers"
)
example("gather", gather(LAYOUTS["points"][1], (1, 3, 1)), complexes(2, 3, 4), POINTS, label="complex")
example(
    "gather", gather(LAYOUTS["beyond"][1], (1, 3, 1), mode="fill"), X, BEYOND.astype(np.uint8), label="unsigned indices"
)


def scatter(name, numbers, **options):
    return lambda lax, x, i, u: getattr(lax, name)(x, i, u, lax.ScatterDimensionNumbers(*numbers), **options)


COMBINERS = {
    "scatter": "scatter",
    "scatter-add": "scatter_add",
    "scatter-sub": "scatter_sub",
    "scatter-min": "scatter_min",
    "scatter-max": "scatter_max",
}
# Which of several updates that meet overwrites the others is not specified.
SCATTERED = {
    "scatter": [("distinct", "clip")],
    "scatter-add": [
        ("rows inside out", "drop"),
        ("beyond", "clip"),
        ("beyond", "drop"),
        ("windows", "clip"),
        ("batched", "drop"),
    ],
    "scatter-sub": [("beyond", "clip"), ("windows", "drop")],
    "scatter-min": [("beyond", "drop"), ("windows", "drop")],
    "scatter-max": [("points", "clip"), ("batched", "drop")],
}
for primitive, function in COMBINERS.items():
    for label, mode in SCATTERED[primitive]:
        indices, numbers, _, updates = LAYOUTS[label]
        example(
            primitive,
            scatter(function, numbers, mode=mode),
            X,
            indices,
            floats(*updates, low=-1.9, high=2.1),
            label=f"{label} {mode}",
            second=primitive in ("scatter-add", "scatter-sub"),
        )
    # Ties between the operand and several updates.
    example(
        primitive,
        scatter(function, LAYOUTS["points"][1]),
        np.ones((2, 3, 4), np.float32),
        POINTS,
        np.ones((4, 3), np.float32),
        label="ties",
        second=False,
    )
    example(
        primitive,
        scatter(function, LAYOUTS["points"][1]),
        integers(2, 3, 4),
        DISTINCT,
        integers(4, 3),
        label="integers",
    )
for label, options in (("unique", {"unique_indices": True}), ("unique clip", {"unique_indices": True, "mode": "clip"})):
    for primitive, function in {"scatter": "scatter", "scatter-mul": "scatter_mul"}.items():
        example(
            primitive,
            scatter(function, LAYOUTS["distinct"][1], **options),
            X,
            DISTINCT,
            floats(4, 3),
            label=label,
        )
example(
    "scatter-mul",
    scatter("scatter_mul", LAYOUTS["points"][1]),
    X,
    POINTS,
    floats(4, 3),
    label="repeated",
    differentiate=False,
)
example(
    "scatter-add",
    scatter("scatter_add", LAYOUTS["points"][1]),
    complexes(2, 3, 4),
    POINTS,
    complexes(4, 3),
    label="complex",
)
example(
    "scatter",
    lambda lax, x, i: lax.scatter_apply(
        x, i, lax.sin, lax.ScatterDimensionNumbers(*LAYOUTS["points"][1]), update_shape=(4, 3)
    ),
    X,
    POINTS,
    label="apply",
    differentiate=False,
)

# ---- contractions

A, B = floats(3, 4), floats(4, 5)
for label, left, right, numbers in (
    ("matrices", A, B, (((1,), (0,)), ((), ()))),
    ("transposed", A, floats(5, 4), (((1,), (1,)), ((), ()))),
    ("vectors", floats(4), floats(4), (((0,), (0,)), ((), ()))),
    ("outer", floats(2), floats(3), (((), ()), ((), ()))),
    ("batch", floats(2, 3, 4), floats(2, 4, 5), (((2,), (1,)), ((0,), (0,)))),
    ("batch elsewhere", floats(3, 4, 2), floats(4, 2, 5), (((1,), (0,)), ((2,), (1,)))),
    ("two contracted", floats(3, 4, 2), floats(2, 5, 4), (((1, 2), (2, 0)), ((), ()))),
    ("two batches", floats(2, 3, 2, 2), floats(3, 2, 2), (((3,), (2,)), ((0, 1), (1, 0)))),
    ("complex", complexes(3, 4), complexes(4, 2), (((1,), (0,)), ((), ()))),
    ("integers", integers(3, 4), integers(4, 2), (((1,), (0,)), ((), ()))),
):
    example("dot_general", lambda lax, x, y, n=numbers: lax.dot_general(x, y, n), left, right, label=label)
example(
    "dot_general",
    lambda lax, x, y: lax.dot(x, y, precision="highest", preferred_element_type=np.float32),
    A.astype(np.float16),
    B.astype(np.float16),
    label="preferred",
    second=False,
    rtol=1e-2,
)
example("dot_general", lambda lax, x, y: lax.dot(x, y), integers(3, 4), B, label="mixed")
example(
    "dot_general",
    lambda lax, x, y: lax.dot(x, y, preferred_element_type=np.int32),
    integers(3, 4, dtype=np.int8),
    integers(4, 5, dtype=np.int8),
    label="int8 to int32",
)

# ---- convolutions

IMAGE, KERNEL = floats(2, 4, 6, 5), floats(6, 4, 3, 2)


def conv(*args, **options):
    return lambda lax, x, k: lax.conv_general_dilated(x, k, *args, **options)


for label, image, kernel, function in (
    ("valid", IMAGE, KERNEL, conv((1, 1), "VALID")),
    ("same strided", IMAGE, KERNEL, conv((2, 1), "SAME")),
    ("same lower", IMAGE, KERNEL, conv((1, 2), "SAME_LOWER")),
    ("dilated", IMAGE, KERNEL, conv((2, 1), [(1, 2), (0, 1)], (2, 1), (1, 3))),
    ("negative padding", IMAGE, KERNEL, conv((1, 1), [(-1, 2), (1, -1)])),
    ("feature groups", IMAGE, floats(6, 2, 3, 2), conv((1, 2), "SAME", feature_group_count=2)),
    ("depthwise", IMAGE, floats(8, 1, 3, 2), conv((1, 1), "VALID", feature_group_count=4)),
    ("batch groups", IMAGE, KERNEL, conv((1, 2), "SAME", batch_group_count=2)),
    (
        "channels last",
        floats(2, 6, 5, 4),
        floats(3, 2, 4, 6),
        conv((2, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")),
    ),
    (
        "mixed layout",
        floats(2, 6, 5, 4),
        floats(3, 6, 2, 2),
        conv((1, 2), "SAME", dimension_numbers=("NHWC", "HOWI", "CWNH"), feature_group_count=2),
    ),
    ("one dimension", floats(2, 3, 7), floats(4, 3, 3), conv((2,), "VALID")),
    ("no spatial dimension", floats(2, 3), floats(4, 3), conv((), [])),
):
    example("conv_general_dilated", function, image, kernel, label=label, rtol=1e-4)
example("conv_general_dilated", conv((1,), "SAME"), complexes(1, 2, 5), complexes(2, 2, 2), label="complex", rtol=1e-4)
example(
    "conv_general_dilated",
    conv((1,), "SAME", preferred_element_type=np.int32),
    integers(1, 2, 5, dtype=np.int8),
    integers(2, 2, 2, dtype=np.int8),
    label="integers",
)
example(
    "conv_general_dilated",
    lambda lax, x, k: lax.conv_transpose(x, k, (2, 3), "SAME", transpose_kernel=True),
    floats(2, 3, 4, 3),
    floats(3, 2, 4, 3),
    label="transposed",
    rtol=1e-4,
)
