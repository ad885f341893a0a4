"""Convolutions: shapes, paddings, layouts, errors; rules and values of the common forms are in the law tests."""

import jax
import numpy as np
import pytest

import cyxla
from cyxla import lax

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.standard_normal((2, 3, 8, 9)).astype(np.float32)
KERNEL = RANDOM.standard_normal((4, 3, 3, 2)).astype(np.float32)


def both(function, *args):
    ours = cyxla.jit(lambda *a: function(lax, *a))(*args)
    theirs = jax.jit(lambda *a: function(jax.lax, *a))(*args)
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def both_shapes(function, *args):
    ours = cyxla.eval_shape(lambda *a: function(lax, *a), *args)
    theirs = jax.eval_shape(lambda *a: function(jax.lax, *a), *args)
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)


@pytest.mark.parametrize("padding", ["SAME", "SAME_LOWER", "VALID", "same", [(1, 2), (0, 1)], [(-1, 0), (3, -2)]])
@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
@pytest.mark.parametrize("dilation", [None, (2, 1)])
def test_shapes(padding, strides, dilation):
    both_shapes(
        lambda lax, x, k: lax.conv_general_dilated(x, k, strides, padding, rhs_dilation=dilation), IMAGE, KERNEL
    )
    if not isinstance(padding, str):
        both_shapes(lambda lax, x, k: lax.conv_general_dilated(x, k, strides, padding, dilation), IMAGE, KERNEL)


def test_conv_and_general_padding():
    both(lambda lax, x, k: lax.conv(x, k, (1, 2), "SAME"), IMAGE, KERNEL)
    both(lambda lax, x, k: lax.conv_with_general_padding(x, k, (1, 1), [(0, 1), (2, 0)], (2, 1), (1, 2)), IMAGE, KERNEL)


@pytest.mark.parametrize("padding", ["SAME", "VALID", [(1, 2), (0, 3)]])
@pytest.mark.parametrize(("strides", "dilation"), [((1, 1), None), ((2, 3), None), ((5, 5), None), ((2, 1), (2, 2))])
@pytest.mark.parametrize("consistent", [False, True])
def test_conv_transpose_shapes(padding, strides, dilation, consistent):
    image, kernel = np.ones((2, 5, 6, 4), np.float32), np.ones((3, 4, 4, 5), np.float32)
    both_shapes(
        lambda lax, x, k: lax.conv_transpose(x, k, strides, padding, dilation, use_consistent_padding=consistent),
        image,
        kernel,
    )


def test_conv_transpose():
    image = RANDOM.standard_normal((2, 5, 6, 4)).astype(np.float32)
    kernel = RANDOM.standard_normal((3, 2, 4, 5)).astype(np.float32)
    both(lambda lax, x, k: lax.conv_transpose(x, k, (2, 3), "SAME"), image, kernel)
    both(lambda lax, x, k: lax.conv_transpose(x, k, (2, 1), "VALID", (1, 2)), image, kernel)
    both(lambda lax, x, k: lax.conv_transpose(x, k, (2,), "SAME"), image[:, :, 0], kernel[:, 0])


def test_conv_transpose_is_the_gradient_of_a_convolution():
    kernel = RANDOM.standard_normal((3, 3, 4, 5)).astype(np.float32)
    image = RANDOM.standard_normal((1, 8, 8, 4)).astype(np.float32)
    numbers = ("NHWC", "HWIO", "NHWC")
    out, pullback = cyxla.vjp(
        lambda x: lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=numbers), image
    )
    cotangent = RANDOM.standard_normal(out.shape).astype(np.float32)
    (expected,) = pullback(cotangent)
    actual = lax.conv_transpose(cotangent, kernel, (2, 2), "SAME", transpose_kernel=True)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_patches_and_local():
    both(lambda lax, x: lax.conv_general_dilated_patches(x, (3, 2), (1, 2), "SAME"), IMAGE)
    numbers = ("NHWC", "OIHW", "NHWC")
    last = IMAGE.transpose(0, 2, 3, 1)
    both(lambda lax, x: lax.conv_general_dilated_patches(x, (3, 2), (1, 2), "VALID", dimension_numbers=numbers), last)
    local = RANDOM.standard_normal((6, 8, 18, 5)).astype(np.float32)
    numbers = ("NHWC", "HWIO", "NHWC")
    both(
        lambda lax, x, k: lax.conv_general_dilated_local(x, k, (1, 1), "VALID", (3, 2), dimension_numbers=numbers),
        last,
        local,
    )
    both(
        lambda lax, x, k: lax.conv_general_dilated_local(x, k, (1, 1), "VALID", (3, 2)),
        IMAGE,
        local.transpose(3, 2, 0, 1),
    )


def test_padding_and_shape_helpers():
    args = ((8, 9), (3, 2), (2, 1))
    for padding in ("SAME", "SAME_LOWER", "VALID"):
        assert lax.padtype_to_pads(*args, padding) == jax.lax.padtype_to_pads(*args, padding)
    with pytest.raises(RuntimeError, match="SAMEX"):
        lax.padtype_to_pads(*args, "SAMEX")
    numbers = ("NHWC", "HWIO", "NHWC")
    assert lax.conv_general_shape_tuple((1, 8, 9, 3), (3, 3, 3, 5), (2, 1), "SAME", numbers) == (1, 4, 9, 5)
    assert lax.conv_shape_tuple((1, 3, 8, 9), (5, 3, 3, 3), (2, 1), [(1, 1), (0, 1)]) == (1, 5, 4, 8)
    assert lax.conv_transpose_shape_tuple((1, 8, 9, 3), (3, 3, 3, 5), (2, 1), "SAME", numbers) == (1, 16, 9, 5)
    assert lax.conv_general_permutations(("NHWC", "HWIO", "NCHW")) == ((0, 3, 1, 2), (3, 2, 0, 1), (0, 1, 2, 3))


def test_dimension_numbers():
    shapes = ((1, 2, 3, 4), (5, 6, 7, 8))
    for numbers in (("NHWC", "HWIO", "NCHW"), None, ("WNCH", "IOWH", "CHWN")):
        ours, theirs = lax.conv_dimension_numbers(*shapes, numbers), jax.lax.conv_dimension_numbers(*shapes, numbers)
        assert tuple(ours) == tuple(theirs)
        assert lax.conv_dimension_numbers(*shapes, ours) is ours
    for bad in (
        ("NHW", "HWIO", "NCHW"),
        ("NHWX", "HWIO", "NCHW"),
        ("NHWW", "HWIO", "NCHW"),
        ("NHWC", "HWII", "NHWC"),
        ("NHWC", "HWIO"),
        ("NHWC", "HXIO", "NHWC"),
        ("NHWC", 3, "NHWC"),
        3,
    ):
        with pytest.raises(TypeError, match="dimension_numbers"):
            lax.conv_dimension_numbers(*shapes, bad)


@pytest.mark.parametrize(
    ("args", "options", "error", "named"),
    [
        (((1, 1), "SAME"), {"feature_group_count": 2}, ValueError, "feature_group_count"),
        (((1, 1), "SAME"), {"feature_group_count": 0}, ValueError, "feature_group_count"),
        (((1, 1), "SAME"), {"batch_group_count": 0}, ValueError, "batch_group_count"),
        (((1, 1), "SAME"), {"batch_group_count": 3}, ValueError, "batch_group_count"),
        (((1, 1), "SAME"), {"batch_group_count": 2, "feature_group_count": 3}, ValueError, "both"),
        (((1,), [(0, 0), (0, 0)]), {}, ValueError, "window_strides"),
        (((1, 0), [(0, 0), (0, 0)]), {}, ValueError, "window_strides"),
        (((1, 1), [(0, 0)]), {}, ValueError, "padding"),
        (((1, 1), "VALID"), {"lhs_dilation": (1,)}, ValueError, "lhs_dilation"),
        (((1, 1), "VALID"), {"rhs_dilation": (0, 1)}, ValueError, "rhs_dilation"),
        (((1, 1), "SAME"), {"lhs_dilation": (2, 1)}, ValueError, "lhs_dilation"),
        (((1, 1), [(-5, -5), (0, 0)]), {}, ValueError, "padding"),
        (((1, 1), "VALID"), {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}, ValueError, "feature"),
        (((1, 1), "VALID"), {"preferred_element_type": "int32"}, TypeError, "preferred_element_type"),
        (((1, 1), "VALID"), {"precision": "foo"}, ValueError, "precision"),
    ],
)
def test_errors(args, options, error, named):
    with pytest.raises(error, match=named):
        cyxla.eval_shape(lambda x, k: lax.conv_general_dilated(x, k, *args, **options), IMAGE, KERNEL)


def test_errors_of_operands():
    with pytest.raises(TypeError, match="rank"):
        lax.conv(IMAGE[0], KERNEL, (1, 1), "SAME")
    with pytest.raises(TypeError, match="one dtype"):
        lax.conv(IMAGE, KERNEL.astype(np.int32), (1, 1), "SAME")
    with pytest.raises(ValueError, match="feature"):
        lax.conv(IMAGE, KERNEL[:, :2], (1, 1), "SAME")
    with pytest.raises(ValueError, match="dimension_numbers"):
        lax.conv_transpose(np.ones((1,) * 6), np.ones((1,) * 6), (1,) * 4, "SAME")


def test_empty_batch():
    assert lax.conv(np.zeros((0, 3, 8, 9), np.float32), KERNEL, (1, 1), "SAME").shape == (0, 4, 8, 9)


def test_float16_accumulates_in_float32_where_asked():
    both(
        lambda lax, x, k: lax.conv(x, k, (1, 1), "SAME", preferred_element_type=np.float32),
        IMAGE.astype(np.float16),
        KERNEL.astype(np.float16),
    )
    gradient = cyxla.grad(
        lambda x, k: lax.reduce_sum(
            lax.conv(x, k, (1, 1), "SAME", preferred_element_type=np.float32), axes=(0, 1, 2, 3)
        )
    )(IMAGE.astype(np.float16), KERNEL.astype(np.float16))
    assert gradient.dtype == np.float16
