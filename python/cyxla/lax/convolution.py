"""Convolutions: one primitive with strides, dilations, padding and groups, and the functions written with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Union

from cyxla import lax
from cyxla._engine.array import Array
from cyxla._engine.aval import int_tuple, integer, shaped_array
from cyxla._engine.caches import cached
from cyxla._engine.core import Primitive, UndefinedPrimal
from cyxla._engine.dtypes import code_dtype, dtype_code, requested_code
from cyxla.lax._util import as_operand, called, check_same_dtype, is_complex, kind_of, move_axis, real_code, short
from cyxla.lax.precision import (
    DotAlgorithm,
    DotAlgorithmPreset,
    PrecisionLike,
    canonicalize_precision,
    precision_config,
)

__all__ = [
    "ConvDimensionNumbers",
    "ConvGeneralDilatedDimensionNumbers",
    "conv",
    "conv_dimension_numbers",
    "conv_general_dilated",
    "conv_general_dilated_local",
    "conv_general_dilated_p",
    "conv_general_dilated_patches",
    "conv_general_permutations",
    "conv_general_shape_tuple",
    "conv_shape_tuple",
    "conv_transpose",
    "conv_transpose_shape_tuple",
    "conv_with_general_padding",
    "padtype_to_pads",
]


class ConvDimensionNumbers(NamedTuple):
    """Which axis of each array means what.

    - lhs_spec: (batch, feature, spatial...) axes of the input.
    - rhs_spec: (output feature, input feature, spatial...) axes of the kernel.
    - out_spec: (batch, feature, spatial...) axes of the result.
    """

    lhs_spec: Sequence[int]
    rhs_spec: Sequence[int]
    out_spec: Sequence[int]


ConvGeneralDilatedDimensionNumbers = Union[tuple[str, str, str], ConvDimensionNumbers, None]  # noqa: UP007


# dimension numbers, padding and shapes -------------------------------------------------------------------------------


def conv_general_permutations(dimension_numbers) -> tuple[tuple[int, ...], ...]:
    """The axes of input, kernel and result in canonical order, from strings such as ``('NHWC', 'HWIO', 'NHWC')``."""
    lhs, rhs, out = dimension_numbers
    for position, (spec, first, second) in enumerate(((lhs, "N", "C"), (rhs, "O", "I"), (out, "N", "C"))):
        if spec.count(first) != 1 or spec.count(second) != 1 or len(set(spec)) != len(spec):
            raise TypeError(
                f"conv_general_dilated: dimension_numbers[{position}] must have the letters {first} and {second} "
                f"once, and no letter twice; got {spec!r}"
            )
    spatial = [c for c in rhs if c not in "OI"]
    for position, spec in ((0, lhs), (2, out)):
        if sorted(c for c in spec if c not in "NC") != sorted(spatial):
            raise TypeError(
                "conv_general_dilated: all three dimension_numbers must name the same spatial dimensions; got "
                f"dimension_numbers[{position}]={spec!r} and dimension_numbers[1]={rhs!r}"
            )

    def axes(spec, letters):
        return tuple(spec.index(c) for c in (*letters, *spatial))

    return axes(lhs, "NC"), axes(rhs, "OI"), axes(out, "NC")


def conv_dimension_numbers(lhs_shape, rhs_shape, dimension_numbers) -> ConvDimensionNumbers:
    """Dimension numbers for operands of the given shapes from strings, None (``NCHW``-like order) or themselves.

    >>> from cyxla import lax
    >>> lax.conv_dimension_numbers((1, 8, 8, 3), (3, 3, 3, 16), ("NHWC", "HWIO", "NHWC"))
    ConvDimensionNumbers(lhs_spec=(0, 3, 1, 2), rhs_spec=(3, 2, 0, 1), out_spec=(0, 3, 1, 2))
    """
    if isinstance(dimension_numbers, ConvDimensionNumbers):
        return dimension_numbers
    rank = len(lhs_shape)
    if rank != len(rhs_shape):
        raise TypeError(
            f"conv_general_dilated: lhs and rhs must have the same rank, got shapes {tuple(lhs_shape)} and "
            f"{tuple(rhs_shape)}"
        )
    if dimension_numbers is None:
        axes = tuple(range(rank))
        return ConvDimensionNumbers(axes, axes, axes)
    if not isinstance(dimension_numbers, (tuple, list)):
        raise TypeError(
            f"conv_general_dilated: dimension_numbers must be a tuple or None, got {type(dimension_numbers).__name__}"
        )
    if len(dimension_numbers) != 3:
        raise TypeError(
            f"conv_general_dilated: dimension_numbers must have three entries, got {len(dimension_numbers)}"
        )
    if not all(isinstance(spec, str) for spec in dimension_numbers):
        raise TypeError(f"conv_general_dilated: dimension_numbers must hold strings, got {dimension_numbers}")
    for position, spec in enumerate(dimension_numbers):
        if len(spec) != rank:
            raise TypeError(
                f"conv_general_dilated: dimension_numbers[{position}] must have one letter for each of the "
                f"operands' {rank} axes, got {spec!r} for shapes {tuple(lhs_shape)} and {tuple(rhs_shape)}"
            )
    return ConvDimensionNumbers(*conv_general_permutations(dimension_numbers))


def padtype_to_pads(in_shape, window_shape, window_strides, padding) -> list[tuple[int, int]]:
    """The padding before and after each axis that 'SAME', 'SAME_LOWER' or 'VALID' stands for.

    >>> from cyxla import lax
    >>> lax.padtype_to_pads((8, 9), (3, 3), (2, 1), "SAME")
    [(0, 1), (1, 1)]
    """
    name = padding.upper() if isinstance(padding, str) else getattr(padding, "name", padding)
    if name == "VALID":
        return [(0, 0)] * len(in_shape)
    if name not in ("SAME", "SAME_LOWER"):
        raise RuntimeError(f"{called()}unknown padding {padding!r}: it must be 'VALID', 'SAME' or 'SAME_LOWER'")
    pads = []
    for size, window, stride in zip(in_shape, window_shape, window_strides):
        total = max((-(-size // stride) - 1) * stride + window - size, 0)
        less, more = total // 2, total - total // 2
        pads.append((less, more) if name == "SAME" else (more, less))
    return pads


def _dilated(size: int, dilation: int) -> int:
    return 0 if size == 0 else (size - 1) * dilation + 1


def _output_sizes(lhs_sizes, rhs_sizes, strides, pads) -> tuple[int, ...]:
    return tuple(
        max((n + low + high - k) // s + 1, 0) for n, k, s, (low, high) in zip(lhs_sizes, rhs_sizes, strides, pads)
    )


def conv_shape_tuple(lhs_shape, rhs_shape, strides, pads, batch_group_count: int = 1) -> tuple[int, ...]:
    """The shape of the result of a convolution whose operands are in canonical order and undilated."""
    if isinstance(pads, str):
        pads = padtype_to_pads(lhs_shape[2:], rhs_shape[2:], strides, pads)
    if len(pads) != len(lhs_shape) - 2:
        raise TypeError(
            f"conv_general_dilated: padding needs one pair for each of the {len(lhs_shape) - 2} spatial "
            f"dimensions, got {len(pads)}"
        )
    if lhs_shape[0] % batch_group_count:
        raise ValueError(
            f"conv_general_dilated: batch_group_count={batch_group_count} must divide the batch size {lhs_shape[0]}"
        )
    sizes = _output_sizes(lhs_shape[2:], rhs_shape[2:], strides, pads)
    return (lhs_shape[0] // batch_group_count, rhs_shape[0], *sizes)


def _take(values, axes) -> tuple:
    return tuple(values[a] for a in axes)


def _invert(permutation) -> list[int]:
    return sorted(range(len(permutation)), key=permutation.__getitem__)


def conv_general_shape_tuple(lhs_shape, rhs_shape, window_strides, padding, dimension_numbers) -> tuple[int, ...]:
    """The shape of the result of an undilated convolution with any dimension numbers."""
    lhs, rhs, out = conv_general_permutations(dimension_numbers)
    shape = conv_shape_tuple(_take(lhs_shape, lhs), _take(rhs_shape, rhs), window_strides, padding)
    return _take(shape, _invert(out))


def conv_transpose_shape_tuple(lhs_shape, rhs_shape, window_strides, padding, dimension_numbers) -> tuple[int, ...]:
    """The shape of the result of a transposed convolution."""
    lhs, rhs, out = conv_general_permutations(dimension_numbers)
    lhs_shape, rhs_shape = _take(lhs_shape, lhs), _take(rhs_shape, rhs)
    if isinstance(padding, str):
        padding = [_conv_transpose_padding(k, s, padding) for k, s in zip(rhs_shape[2:], window_strides)]
    dilated = [_dilated(n, s) for n, s in zip(lhs_shape[2:], window_strides)]
    sizes = _output_sizes(dilated, rhs_shape[2:], [1] * len(dilated), padding)
    return _take((lhs_shape[0], rhs_shape[0], *sizes), _invert(out))


# the primitive -------------------------------------------------------------------------------------------------------

_COMPATIBLE_PREFERRED = {"i": "iuf", "u": "iuf", "b": "iuf", "f": "f", "c": "c"}


def _conv_abstract(
    lhs,
    rhs,
    *,
    window_strides,
    padding,
    lhs_dilation,
    rhs_dilation,
    dimension_numbers,
    feature_group_count,
    batch_group_count,
    precision,
    preferred_element_type,
    out_sharding,
):
    name = "conv_general_dilated"
    check_same_dtype(name, (lhs, rhs))
    if lhs.ndim != rhs.ndim:
        raise TypeError(f"{name}: lhs and rhs must have the same rank, got {short(lhs)} and {short(rhs)}")
    lhs_spec, rhs_spec, out_spec = dimension_numbers
    count = len(lhs_spec) - 2
    for argument, value in (
        ("window_strides", window_strides),
        ("padding", padding),
        ("lhs_dilation", lhs_dilation),
        ("rhs_dilation", rhs_dilation),
    ):
        if len(value) != count:
            raise ValueError(
                f"{name}: {argument} needs one entry for each of the {count} spatial dimensions, got {argument}={value}"
            )
    for argument, value in (("feature_group_count", feature_group_count), ("batch_group_count", batch_group_count)):
        if value < 1:
            raise ValueError(f"{name}: {argument} must be a positive integer, got {value}")
    if feature_group_count > 1 and batch_group_count > 1:
        raise ValueError(
            f"{name}: feature_group_count and batch_group_count cannot both be greater than 1, got "
            f"{feature_group_count} "
            f"and {batch_group_count}"
        )
    for argument, value in (
        ("window_strides", window_strides),
        ("lhs_dilation", lhs_dilation),
        ("rhs_dilation", rhs_dilation),
    ):
        if any(v < 1 for v in value):
            raise ValueError(f"{name}: {argument} must be positive, got {value}")
    batch, features, *lhs_sizes = _take(lhs.shape, lhs_spec)
    out_features, in_features, *rhs_sizes = _take(rhs.shape, rhs_spec)
    if features % feature_group_count:
        raise ValueError(
            f"{name}: feature_group_count={feature_group_count} must divide the feature dimension of lhs, {features}"
        )
    if features // feature_group_count != in_features:
        raise ValueError(
            f"{name}: the feature dimension of lhs divided by feature_group_count must equal the input feature "
            "dimension of "
            f"rhs, got {features} // {feature_group_count} and {in_features} for {short(lhs)} and {short(rhs)}"
        )
    for argument, groups in (("feature_group_count", feature_group_count), ("batch_group_count", batch_group_count)):
        if out_features % groups:
            raise ValueError(
                f"{name}: {argument}={groups} must divide the output feature dimension of rhs, {out_features}"
            )
    if batch % batch_group_count:
        raise ValueError(
            f"{name}: batch_group_count={batch_group_count} must divide the batch dimension of lhs, {batch}"
        )
    lhs_sizes = [_dilated(n, d) for n, d in zip(lhs_sizes, lhs_dilation)]
    if any(n + low + high < 0 for n, (low, high) in zip(lhs_sizes, padding)):
        raise ValueError(f"{name}: negative padding exceeds the size of lhs, got padding={padding} for {short(lhs)}")
    rhs_sizes = [_dilated(n, d) for n, d in zip(rhs_sizes, rhs_dilation)]
    sizes = _output_sizes(lhs_sizes, rhs_sizes, window_strides, padding)
    shape = _take((batch // batch_group_count, out_features, *sizes), _invert(out_spec))
    code, weak = lhs.code, lhs.weak_type and rhs.weak_type
    if preferred_element_type is not None:
        preferred = shaped_array((), dtype_code(preferred_element_type), False)
        if kind_of(preferred) not in _COMPATIBLE_PREFERRED[kind_of(lhs)]:
            raise TypeError(
                f"{name}: preferred_element_type {preferred_element_type} does not fit operands of dtype "
                f"{lhs.dtype.name}: "
                "integers may be accumulated in integers or floats, floats in floats, complex numbers in complex "
                "numbers"
            )
        code, weak = preferred.code, False
    return shaped_array(shape, code, weak)


def _layout(spec, first: str, second: str) -> str:
    labels = [""] * len(spec)
    labels[spec[0]], labels[spec[1]] = first, second
    for i, axis in enumerate(spec[2:]):
        labels[axis] = str(i)
    return f"[{', '.join(labels)}]"


def _ints(values) -> str:
    return f"[{', '.join(map(str, values))}]"


def _conv_lower(
    ctx,
    lhs,
    rhs,
    *,
    window_strides,
    padding,
    lhs_dilation,
    rhs_dilation,
    dimension_numbers,
    feature_group_count,
    batch_group_count,
    precision,
    preferred_element_type,
    out_sharding,
):
    x, y = ctx.avals_in
    (out,) = ctx.avals_out
    if isinstance(precision, (DotAlgorithm, DotAlgorithmPreset)) and precision is not DotAlgorithmPreset.DEFAULT:
        raise ValueError(f"conv_general_dilated: precision must be a lax.Precision, got {precision}")
    lhs_spec, rhs_spec, out_spec = dimension_numbers
    pads = ", ".join(f"[{low}, {high}]" for low, high in padding)
    reverse = ", ".join(["false"] * len(window_strides))
    config = ", ".join(f"#stablehlo<precision {p}>" for p in precision_config(precision).split(", "))
    attributes = (
        f"dim_numbers = {_layout(lhs_spec, 'b', 'f')}x{_layout(rhs_spec, 'o', 'i')}->{_layout(out_spec, 'b', 'f')}, "
        f"window = {{stride = {_ints(window_strides)}, pad = [{pads}], lhs_dilate = {_ints(lhs_dilation)}, "
        f"rhs_dilate = {_ints(rhs_dilation)}, reverse = [{reverse}]}} "
        f"{{batch_group_count = {batch_group_count} : i64, feature_group_count = {feature_group_count} : i64, "
        f"precision_config = [{config}]}}"
    )

    def convolve(a, b, a_type, b_type, out_type):
        return ctx.op(f"stablehlo.convolution({a}, {b}) {attributes} : ({a_type}, {b_type}) -> {out_type}")

    if not is_complex(x):
        return convolve(lhs, rhs, x.mlir, y.mlir, out.mlir)
    # XLA has no complex convolution: three real ones make one.
    xr, yr = (shaped_array(a.shape, real_code(a.code), False).mlir for a in (x, y))
    outr = shaped_array(out.shape, real_code(out.code), False).mlir
    a, b = (ctx.op(f"stablehlo.{part} {lhs} : ({x.mlir}) -> {xr}") for part in ("real", "imag"))
    c, d = (ctx.op(f"stablehlo.{part} {rhs} : ({y.mlir}) -> {yr}") for part in ("real", "imag"))
    k1 = convolve(ctx.op(f"stablehlo.add {a}, {b} : {xr}"), c, xr, yr, outr)
    k2 = convolve(a, ctx.op(f"stablehlo.subtract {d}, {c} : {yr}"), xr, yr, outr)
    k3 = convolve(b, ctx.op(f"stablehlo.add {c}, {d} : {yr}"), xr, yr, outr)
    real = ctx.op(f"stablehlo.subtract {k1}, {k3} : {outr}")
    imag = ctx.op(f"stablehlo.add {k1}, {k2} : {outr}")
    return ctx.op(f"stablehlo.complex {real}, {imag} : {out.mlir}")


def _split_axis(x, axis: int, outer: int) -> Array:
    """Axis ``axis`` as two, of sizes ``outer`` and the rest."""
    shape = x.shape
    return lax.reshape(x, (*shape[:axis], outer, shape[axis] // outer, *shape[axis + 1 :]))


def _merge_axis(x, source: int, destination: int) -> Array:
    """Axis ``source`` made the outer part of the axis that is ``destination`` once ``source`` is taken away."""
    x = move_axis(x, source, destination)
    shape = x.shape
    merged = shape[destination] * shape[destination + 1]
    return lax.reshape(x, (*shape[:destination], merged, *shape[destination + 2 :]))


def _conv_batch(args, dims, *, dimension_numbers, feature_group_count, batch_group_count, **params):
    lhs, rhs = args
    lhs_dim, rhs_dim = dims
    lhs_spec, rhs_spec, out_spec = dimension_numbers
    size = lhs.shape[lhs_dim] if lhs_dim is not None else rhs.shape[rhs_dim]

    def convolve(lhs, rhs, features=feature_group_count, batches=batch_group_count):
        return conv_general_dilated_p.bind(
            lhs,
            rhs,
            dimension_numbers=dimension_numbers,
            feature_group_count=features,
            batch_group_count=batches,
            **params,
        )

    if lhs_dim is not None and rhs_dim is not None:
        rhs = _merge_axis(rhs, rhs_dim, rhs_spec[0])
        if batch_group_count > 1:
            out = convolve(_merge_axis(lhs, lhs_dim, lhs_spec[0]), rhs, batches=batch_group_count * size)
        else:
            out = convolve(_merge_axis(lhs, lhs_dim, lhs_spec[1]), rhs, features=feature_group_count * size)
        return _split_axis(out, out_spec[1], size), out_spec[1]
    if lhs_dim is not None:
        if batch_group_count == 1:
            lhs = _merge_axis(lhs, lhs_dim, lhs_spec[0])
        else:
            # The groups must stay outermost: (groups, mapped axis, batch within the group).
            axis = lhs_spec[0]
            lhs = _split_axis(move_axis(lhs, lhs_dim, 0), axis + 1, batch_group_count)
            lhs = _merge_axis(lhs, 0, axis + 1)
            lhs = _merge_axis(lhs, axis, axis)
        out = convolve(lhs, rhs)
        return _split_axis(out, out_spec[0], size), out_spec[0]
    groups = max(feature_group_count, batch_group_count)
    if groups == 1:
        out = convolve(lhs, _merge_axis(rhs, rhs_dim, rhs_spec[0]))
        return _split_axis(out, out_spec[1], size), out_spec[1]
    axis = rhs_spec[0]
    rhs = _split_axis(move_axis(rhs, rhs_dim, 0), axis + 1, groups)
    rhs = _merge_axis(rhs, 0, axis + 1)
    rhs = _merge_axis(rhs, axis, axis)
    out = convolve(lhs, rhs)
    axis = out_spec[1]
    out = _split_axis(_split_axis(out, axis, groups), axis + 1, size)
    # (groups, mapped axis, features within the group): the mapped axis goes to the front, the others are merged.
    out = move_axis(out, axis + 1, 0)
    return _merge_axis(out, axis + 1, axis + 1), 0


def _swap_features(spec):
    return (spec[1], spec[0], *spec[2:])


def _lhs_cotangent(
    ct,
    rhs,
    aval,
    *,
    window_strides,
    padding,
    lhs_dilation,
    rhs_dilation,
    dimension_numbers,
    feature_group_count,
    batch_group_count,
    precision,
    out_sharding,
    preferred_element_type,
):
    lhs_spec, rhs_spec, out_spec = dimension_numbers
    sizes = _take(aval.shape, lhs_spec[2:])
    kernel_sizes = _take(rhs.shape, rhs_spec[2:])
    groups = max(feature_group_count, batch_group_count)
    if groups > 1:
        # Each group's output features become input features; the groups move to the other feature axis.
        source, target = rhs_spec[0], rhs_spec[1]
        rhs = _split_axis(rhs, source, groups)
        rhs = _merge_axis(rhs, source, target)
    pads = []
    for n, k, out, (low, _), stride, d_lhs, d_rhs in zip(
        sizes, kernel_sizes, _take(ct.shape, out_spec[2:]), padding, window_strides, lhs_dilation, rhs_dilation
    ):
        kernel = _dilated(k, d_rhs)
        before = kernel - 1 - low
        pads.append((before, _dilated(n, d_lhs) + kernel - 1 - _dilated(out, stride) - before))
    out = conv_general_dilated(
        ct,
        lax.rev(rhs, tuple(rhs_spec[2:])),
        window_strides=lhs_dilation,
        padding=pads,
        lhs_dilation=window_strides,
        rhs_dilation=rhs_dilation,
        dimension_numbers=ConvDimensionNumbers(out_spec, _swap_features(rhs_spec), lhs_spec),
        feature_group_count=groups,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )
    if batch_group_count > 1:
        out = _split_axis(out, lhs_spec[1], batch_group_count)
        out = _merge_axis(out, lhs_spec[1], lhs_spec[0])
    return out


def _rhs_cotangent(
    ct,
    lhs,
    aval,
    *,
    window_strides,
    padding,
    lhs_dilation,
    rhs_dilation,
    dimension_numbers,
    feature_group_count,
    batch_group_count,
    precision,
    out_sharding,
    preferred_element_type,
):
    lhs_spec, rhs_spec, out_spec = dimension_numbers
    pads = []
    for n, k, out, (low, _), stride, d_lhs, d_rhs in zip(
        _take(lhs.shape, lhs_spec[2:]),
        _take(aval.shape, rhs_spec[2:]),
        _take(ct.shape, out_spec[2:]),
        padding,
        window_strides,
        lhs_dilation,
        rhs_dilation,
    ):
        pads.append((low, _dilated(k, d_rhs) - 1 + _dilated(out, stride) - _dilated(n, d_lhs) - low))
    return conv_general_dilated(
        lhs,
        ct,
        window_strides=rhs_dilation,
        padding=pads,
        lhs_dilation=lhs_dilation,
        rhs_dilation=window_strides,
        dimension_numbers=ConvDimensionNumbers(
            _swap_features(lhs_spec), _swap_features(out_spec), _swap_features(rhs_spec)
        ),
        feature_group_count=batch_group_count,
        batch_group_count=feature_group_count,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )


def _conv_transpose_rule(ct, lhs, rhs, *, precision, preferred_element_type, **params):
    position = 0 if isinstance(lhs, UndefinedPrimal) else 1
    unknown, known = (lhs, rhs) if position == 0 else (rhs, lhs)
    if isinstance(precision, tuple) and position == 0:
        # The kernel is the right operand here, too; the cotangent takes the precision of what it replaces.
        precision = (precision[0], precision[1])
    if known.dtype != ct.dtype:
        known = lax.convert_element_type(known, ct.dtype)
    rule = _lhs_cotangent if position == 0 else _rhs_cotangent
    aval = unknown.aval
    out = rule(ct, known, aval, precision=precision, preferred_element_type=None, **params)
    if out.dtype != aval.dtype:
        out = lax.convert_element_type(out, aval.dtype)
    return [out, None] if position == 0 else [None, out]


conv_general_dilated_p = Primitive(
    "conv_general_dilated",
    abstract=_conv_abstract,
    jvps=(
        lambda t, ans, lhs, rhs, **params: conv_general_dilated_p.bind(t, rhs, **params),
        lambda t, ans, lhs, rhs, **params: conv_general_dilated_p.bind(lhs, t, **params),
    ),
    transpose=_conv_transpose_rule,
    batch=_conv_batch,
    lower=_conv_lower,
)


# functions -----------------------------------------------------------------------------------------------------------


def _rank_check(lhs, rhs) -> None:
    if lhs.ndim != rhs.ndim:
        raise TypeError(
            f"conv_general_dilated: lhs and rhs must have the same rank, got {short(lhs.aval)} and {short(rhs.aval)}"
        )


def _are_strings(dimension_numbers) -> bool:
    return type(dimension_numbers) is tuple and set(map(type, dimension_numbers)) == {str}


@cached("geometry of convolutions", 512)
def _geometry(lhs_shape, rhs_shape, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers):
    """Dimension numbers, strides, padding and dilations as the primitive has them."""
    numbers = conv_dimension_numbers(lhs_shape, rhs_shape, dimension_numbers)
    count = len(lhs_shape) - 2
    lhs_dilation = (1,) * count if lhs_dilation is None else lhs_dilation
    rhs_dilation = (1,) * count if rhs_dilation is None else rhs_dilation
    if not isinstance(padding, tuple):
        if any(d != 1 for d in lhs_dilation):
            raise ValueError(
                f"conv_general_dilated: padding={padding!r} needs lhs_dilation of 1, got {lhs_dilation}: give the "
                "padding in numbers, or use conv_transpose"
            )
        kernel = [_dilated(k, d) for k, d in zip(_take(rhs_shape, numbers.rhs_spec[2:]), rhs_dilation)]
        padding = tuple(padtype_to_pads(_take(lhs_shape, numbers.lhs_spec[2:]), kernel, window_strides, padding))
    return numbers, window_strides, padding, lhs_dilation, rhs_dilation


def conv_general_dilated(
    lhs,
    rhs,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: PrecisionLike = None,
    preferred_element_type=None,
    out_sharding=None,
) -> Array:
    """Convolution of an input ``lhs`` with a kernel ``rhs``, as neural networks define it (the kernel is not flipped).

    ``padding`` is 'SAME', 'SAME_LOWER', 'VALID' or a pair for each spatial dimension. ``lhs_dilation`` puts gaps
    between the elements of the input, ``rhs_dilation`` between those of the kernel. ``dimension_numbers`` says how axes
    are ordered, by strings such as ``('NHWC', 'HWIO', 'NHWC')``; the default is ``('NCHW', 'OIHW', 'NCHW')``. Raises
    TypeError or ValueError where shapes, groups or numbers of spatial dimensions do not fit.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> image, kernel = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 16))
    >>> lax.conv_general_dilated(image, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")).shape
    (1, 4, 4, 16)
    """
    lhs, rhs = as_operand(lhs), as_operand(rhs)
    if lhs.ndim != rhs.ndim:
        _rank_check(lhs, rhs)
    if dimension_numbers is not None and not _are_strings(dimension_numbers):
        numbers = conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
        dimension_numbers = ConvDimensionNumbers(*map(int_tuple, numbers))
    numbers, window_strides, padding, lhs_dilation, rhs_dilation = _geometry(
        lhs.shape,
        rhs.shape,
        int_tuple(window_strides),
        tuple(map(int_tuple, padding)) if isinstance(padding, (tuple, list)) else padding,
        None if lhs_dilation is None else int_tuple(lhs_dilation),
        None if rhs_dilation is None else int_tuple(rhs_dilation),
        dimension_numbers,
    )
    return conv_general_dilated_p.bind(
        lhs,
        rhs,
        window_strides=window_strides,
        padding=padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=numbers,
        feature_group_count=integer(feature_group_count),
        batch_group_count=integer(batch_group_count),
        precision=canonicalize_precision(precision),
        preferred_element_type=None
        if preferred_element_type is None
        else code_dtype(requested_code(preferred_element_type)),
        out_sharding=out_sharding,
    )


def conv(
    lhs,
    rhs,
    window_strides: Sequence[int],
    padding: str,
    precision: PrecisionLike = None,
    preferred_element_type=None,
) -> Array:
    """Convolution of an ``NCHW`` input with an ``OIHW`` kernel.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.conv(jnp.ones((1, 3, 8, 8)), jnp.ones((16, 3, 3, 3)), (1, 1), "VALID").shape
    (1, 16, 6, 6)
    """
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, precision=precision, preferred_element_type=preferred_element_type
    )


def conv_with_general_padding(
    lhs,
    rhs,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None,
    rhs_dilation: Sequence[int] | None,
    precision: PrecisionLike = None,
    preferred_element_type=None,
) -> Array:
    """``conv_general_dilated`` for ``NCHW`` inputs and ``OIHW`` kernels."""
    return conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def _conv_transpose_padding(kernel: int, stride: int, padding: str) -> tuple[int, int]:
    """Padding with which a convolution of the dilated input has the size that the transposed one should have."""
    name = padding.upper()
    if name == "SAME":
        total = kernel + stride - 2
        before = kernel - 1 if stride > kernel - 1 else -(-total // 2)
    elif name == "VALID":
        total = kernel + stride - 2 + max(kernel - stride, 0)
        before = kernel - 1
    else:
        raise ValueError(
            f"conv_transpose: padding must be 'SAME', 'VALID' or a pair for each dimension, got {padding!r}"
        )
    return before, total - before


_CHANNELS_LAST = {
    2: ("NC", "IO", "NC"),
    3: ("NHC", "HIO", "NHC"),
    4: ("NHWC", "HWIO", "NHWC"),
    5: ("NHWDC", "HWDIO", "NHWDC"),
}


def conv_transpose(
    lhs,
    rhs,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    transpose_kernel: bool = False,
    precision: PrecisionLike = None,
    preferred_element_type=None,
    use_consistent_padding: bool = False,
) -> Array:
    """Transposed ("de-") convolution: upsamples the input by ``strides``.

    The default ``dimension_numbers`` are channels-last. ``transpose_kernel`` flips the kernel and swaps its feature
    axes, so that the result is the gradient of a convolution with the same kernel. With ``use_consistent_padding``,
    explicit padding means what it means to that convolution.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.conv_transpose(jnp.ones((1, 4, 4, 8)), jnp.ones((3, 3, 8, 2)), (2, 2), "SAME").shape
    (1, 8, 8, 2)
    """
    lhs, rhs = as_operand(lhs), as_operand(rhs)
    _rank_check(lhs, rhs)
    rank = lhs.ndim
    if dimension_numbers is None:
        if rank not in _CHANNELS_LAST:
            raise ValueError(f"conv_transpose: dimension_numbers must be given for operands of rank {rank}")
        dimension_numbers = _CHANNELS_LAST[rank]
    numbers = conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    strides = int_tuple(strides)
    spatial = tuple(numbers.rhs_spec[2:])
    rhs_dilation = (1,) * len(spatial) if rhs_dilation is None else int_tuple(rhs_dilation)
    kernel = [_dilated(k, d) for k, d in zip(_take(rhs.shape, spatial), rhs_dilation)]
    if isinstance(padding, str):
        pads = [_conv_transpose_padding(k, s, padding) for k, s in zip(kernel, strides)]
    elif use_consistent_padding:
        pads = [(k - 1 - low, k - 1 - high) for k, (low, high) in zip(kernel, padding)]
    else:
        pads = padding
    if transpose_kernel:
        rhs = lax.rev(rhs, spatial)
        order = list(range(rank))
        i, o = numbers.rhs_spec[1], numbers.rhs_spec[0]
        order[i], order[o] = o, i
        rhs = lax.transpose(rhs, tuple(order))
    return conv_general_dilated(
        lhs,
        rhs,
        (1,) * len(spatial),
        pads,
        strides,
        rhs_dilation,
        numbers,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def conv_general_dilated_patches(
    lhs,
    filter_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    precision: PrecisionLike = None,
    preferred_element_type=None,
) -> Array:
    """The patches that a convolution would see, each flattened into the feature axis (channel first, then position).

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.conv_general_dilated_patches(jnp.ones((1, 3, 8, 8)), (2, 2), (2, 2), "VALID").shape
    (1, 12, 4, 4)
    """
    lhs = as_operand(lhs)
    filter_shape = int_tuple(filter_shape)
    numbers = conv_dimension_numbers(lhs.shape, (1, 1, *filter_shape), dimension_numbers)
    size = 1
    for n in filter_shape:
        size *= n
    channels = lhs.shape[numbers.lhs_spec[1]]
    # One kernel for each position in the patch, which picks the element at that position; the same for each channel.
    rows, columns = (lax.broadcasted_iota("int32", (size, size), axis) for axis in (0, 1))
    kernel = lax.convert_element_type(lax.eq(rows, columns), lhs.dtype)
    kernel = lax.broadcast_in_dim(kernel, (channels, size, size), (1, 2))
    kernel = lax.reshape(kernel, (channels * size, 1, *filter_shape))
    kernel = lax.transpose(kernel, tuple(_invert(numbers.rhs_spec)))
    return conv_general_dilated(
        lhs,
        kernel,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        numbers,
        feature_group_count=channels,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def conv_general_dilated_local(
    lhs,
    rhs,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    filter_shape: Sequence[int],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    precision: PrecisionLike = None,
) -> Array:
    """Convolution with a kernel of its own at each position of the result (a locally connected layer).

    The spatial axes of ``rhs`` are those of the result, its input feature axis is a flattened patch.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.conv_general_dilated_local(jnp.ones((1, 3, 4)), jnp.ones((5, 6, 3)), (1,), "VALID", (2,)).shape
    (1, 5, 3)
    """
    lhs, rhs = as_operand(lhs), as_operand(rhs)
    _rank_check(lhs, rhs)
    numbers = conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    canonical = canonicalize_precision(precision)
    lhs_precision = canonical[0] if isinstance(canonical, tuple) else canonical
    patches = conv_general_dilated_patches(
        lhs, filter_shape, window_strides, padding, lhs_dilation, rhs_dilation, numbers, lhs_precision
    )
    _lhs_spec, rhs_spec, out_spec = numbers
    product = lax.dot_general(
        patches,
        rhs,
        (((out_spec[1],), (rhs_spec[1],)), (tuple(out_spec[2:]), tuple(rhs_spec[2:]))),
        precision=canonical,
    )
    # The product has the spatial axes first, then batch and feature.
    count = lhs.ndim - 2
    source = (count, count + 1, *range(count))
    order = [0] * lhs.ndim
    for axis, where in zip(out_spec, source):
        order[axis] = where
    return lax.transpose(product, tuple(order))
