"""Matrix products of numbers of four or eight bits that share a scale in blocks, as in the MX and NVFP4 formats."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._engine.array import asarray
from cyxla._transform.custom import custom_vjp
from cyxla.lax._util import check_choice, check_rank
from cyxla.numpy.promotion import requested_dtype


@dataclass(frozen=True)
class BlockScaleConfig:
    """How an operand is quantized.

    Attributes:
      mode: the name of the format.
      block_size: how many elements, along the axes that are summed over, share a scale.
      data_type: the dtype of the elements.
      scale_type: the dtype of the scales.
      global_scale: a scale of the whole operand, or None.
      infer_only: whether no derivative will be asked for.
    """

    mode: str
    block_size: int
    data_type: Any
    scale_type: Any
    global_scale: Any
    infer_only: bool


def get_scaled_dot_general_config(mode, global_scale=None):
    """The format of a name for `scaled_dot_general`: 'mxfp8', or 'nvfp4' with a scale of the whole operand.

    >>> import cyxla as jax
    >>> jax.nn.get_scaled_dot_general_config("mxfp8").block_size
    32
    """
    check_choice("get_scaled_dot_general_config", "mode", mode, ("nvfp4", "mxfp8"))
    if mode == "mxfp8":
        return BlockScaleConfig(mode, 32, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e8m0fnu, None, False)
    if global_scale is None:
        global_scale = jnp.ones((1,), np.float32)
    return BlockScaleConfig(mode, 16, ml_dtypes.float4_e2m1fn, ml_dtypes.float8_e4m3fn, global_scale, False)


def scaled_matmul(lhs, rhs, lhs_scales, rhs_scales, preferred_element_type=np.float32):
    """The products `lhs[b] @ rhs[b].T` of matrices whose elements are multiplied by a scale for each block of a row.

    Args:
      lhs: array of shape `(B, M, K)`.
      rhs: array of shape `(B, N, K)`.
      lhs_scales: array of shape `(B, M, K // block)`.
      rhs_scales: array of shape `(B, N, K // block)`.
      preferred_element_type: the dtype of the result, which has shape `(B, M, N)`. Sums are computed in float32.

    Raises ValueError for shapes that do not fit.
    """
    lhs, rhs, lhs_scales, rhs_scales = operands = [asarray(x) for x in (lhs, rhs, lhs_scales, rhs_scales)]
    for name, x in zip(("lhs", "rhs", "lhs_scales", "rhs_scales"), operands):
        check_rank("scaled_matmul", name, x, 3, 3)
    if lhs.shape[::2] != rhs.shape[::2]:
        raise ValueError(
            f"scaled_matmul: lhs of shape {lhs.shape} and rhs of shape {rhs.shape} must have equally many matrices "
            "and rows of one size"
        )
    blocks = lhs_scales.shape[2]
    if lhs_scales.shape[:2] != lhs.shape[:2] or rhs_scales.shape != (*rhs.shape[:2], blocks):
        raise ValueError(
            f"scaled_matmul: scales of shapes {lhs_scales.shape} and {rhs_scales.shape} do not fit operands of shapes "
            f"{lhs.shape} and {rhs.shape}: the first two sizes must agree, and the third be the number of blocks"
        )
    if blocks == 0 or lhs.shape[2] % blocks:
        raise ValueError(f"scaled_matmul: rows of {lhs.shape[2]} elements do not divide into {blocks} blocks")
    dtype = requested_dtype(preferred_element_type)
    wide = np.dtype(np.float64 if dtype == np.float64 else np.float32)

    def scaled(x, scales):
        split = x.astype(wide).reshape(*x.shape[:2], blocks, x.shape[2] // blocks)
        return (split * scales.astype(wide)[..., None]).reshape(x.shape)

    out = lax.dot_general(scaled(lhs, lhs_scales), scaled(rhs, rhs_scales), (((2,), (2,)), ((0,), (0,))))
    return out.astype(dtype)


def _quantized(x, config):
    """Rows of numbers as elements and scales of a format; rows are filled up with zeros to whole blocks."""
    x = x.astype(np.float32)
    if config.global_scale is not None:
        x = x / jnp.asarray(config.global_scale, np.float32).reshape(-1)[0]
    missing = -x.shape[-1] % config.block_size
    x = jnp.pad(x, ((0, 0), (0, 0), (0, missing)))
    split = x.reshape(*x.shape[:2], -1, config.block_size)
    largest = float(ml_dtypes.finfo(config.data_type).max)
    scale = jnp.max(jnp.abs(split), -1) / largest
    if config.scale_type is ml_dtypes.float8_e8m0fnu:
        # Powers of two, rounded up, so that no element is out of range.
        scale = jnp.exp2(jnp.clip(jnp.ceil(jnp.log2(scale)), -127, 127))
    else:
        bounds = ml_dtypes.finfo(config.scale_type)
        scale = jnp.clip(scale, float(bounds.smallest_subnormal), float(bounds.max))
    scale = scale.astype(config.scale_type)
    elements = jnp.clip(split / scale.astype(np.float32)[..., None], -largest, largest)
    return elements.astype(config.data_type).reshape(x.shape), scale


def _rows(x, batch, contracting):
    """x as matrices `(B, free, contracted)`, and the sizes of the axes that are neither."""
    free = [i for i in range(x.ndim) if i not in batch and i not in contracting]
    sizes = [[x.shape[i] for i in axes] for axes in (batch, free, contracting)]
    return jnp.transpose(x, (*batch, *free, *contracting)).reshape([math.prod(s) for s in sizes]), sizes[1], free


def _product(lhs, rhs, dimension_numbers, dtype, lhs_config, rhs_config):
    (lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch) = dimension_numbers
    batch = [lhs.shape[i] for i in lhs_batch]
    lhs, lhs_free, _ = _rows(lhs, lhs_batch, lhs_contracting)
    rhs, rhs_free, _ = _rows(rhs, rhs_batch, rhs_contracting)
    (a, a_scales), (b, b_scales) = _quantized(lhs, lhs_config), _quantized(rhs, rhs_config)
    out = scaled_matmul(a, b, a_scales, b_scales)
    for config in (lhs_config, rhs_config):
        if config.global_scale is not None:
            out = out * jnp.asarray(config.global_scale, np.float32).reshape(-1)[0]
    return out.astype(dtype).reshape(*batch, *lhs_free, *rhs_free)


@partial(custom_vjp, nondiff_argnums=(2, 3, 4))
def _scaled_dot(lhs, rhs, dimension_numbers, dtype, configs):
    return _product(lhs, rhs, dimension_numbers, dtype, *configs[:2])


def _scaled_dot_forward(lhs, rhs, dimension_numbers, dtype, configs):
    return _scaled_dot(lhs, rhs, dimension_numbers, dtype, configs), (lhs, rhs)


def _cotangent(ct, other, shape, own, others, ct_free, ct_config, other_config, dtype):
    """The cotangent of one operand: the product of that of the result with the other operand, quantized again."""
    (contracting, batch), (other_contracting, other_batch) = own, others
    free = [i for i in range(other.ndim) if i not in other_contracting and i not in other_batch]
    ct_batch = tuple(range(len(batch)))
    out = _product(ct, other, ((ct_free, tuple(free)), (ct_batch, other_batch)), dtype, ct_config, other_config)
    # The result has the batch axes, the free ones of this operand, and those summed over, in the order of the other.
    order = sorted(range(len(contracting)), key=lambda i: other_contracting[i])
    axes = [*batch, *[i for i in range(len(shape)) if i not in batch and i not in contracting]]
    axes += [contracting[i] for i in order]
    return jnp.transpose(out, [axes.index(i) for i in range(len(shape))])


def _scaled_dot_backward(dimension_numbers, dtype, configs, residuals, ct):
    lhs, rhs = residuals
    (lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch) = dimension_numbers
    lhs_config, rhs_config, ct_config = configs
    middle = ct.ndim - (rhs.ndim - len(rhs_contracting) - len(rhs_batch))
    left, right = (lhs_contracting, lhs_batch), (rhs_contracting, rhs_batch)
    lhs_free, rhs_free = tuple(range(len(lhs_batch), middle)), tuple(range(middle, ct.ndim))
    return (
        _cotangent(ct, rhs, lhs.shape, left, right, rhs_free, ct_config, rhs_config, lhs.dtype),
        _cotangent(ct, lhs, rhs.shape, right, left, lhs_free, ct_config, lhs_config, rhs.dtype),
    )


_scaled_dot.defvjp(_scaled_dot_forward, _scaled_dot_backward)


class _Configs(tuple):
    """Formats as one static argument; two are equal only if they are the same object, as their scales are arrays."""

    __slots__ = ()
    __hash__ = object.__hash__
    __eq__ = object.__eq__


def scaled_dot_general(
    lhs, rhs, dimension_numbers, preferred_element_type=np.float32, configs=None, implementation=None
):
    """`lax.dot_general` of operands that are quantized in blocks along the axes that are summed over.

    Args:
      lhs: array.
      rhs: array.
      dimension_numbers: as for `lax.dot_general`.
      preferred_element_type: the dtype of the result: float32, bfloat16 or float16.
      configs: the formats of `lhs`, of `rhs` and of cotangents, from `get_scaled_dot_general_config`. None quantizes
        nothing.
      implementation: of no effect: the products are computed in float32 on every device.

    Derivatives are those of the product without quantization, computed by products of quantized operands.

    >>> import cyxla as jax, cyxla.numpy as jnp
    >>> config = jax.nn.get_scaled_dot_general_config("mxfp8")
    >>> x, y = jnp.ones((2, 64)), jnp.ones((64, 1))
    >>> jax.nn.scaled_dot_general(x, y, (((1,), (0,)), ((), ())), configs=[config] * 3)
    Array([[64.],
           [64.]], dtype=float32)
    """
    lhs, rhs = asarray(lhs), asarray(rhs)
    if configs is None:
        return lax.dot_general(lhs, rhs, dimension_numbers, preferred_element_type=preferred_element_type)
    dtype = np.dtype(preferred_element_type)
    if dtype not in (np.float32, ml_dtypes.bfloat16, np.float16):
        raise TypeError(
            f"scaled_dot_general: preferred_element_type={dtype} must be one of float32, bfloat16 and float16"
        )
    configs = list(configs)
    if len(configs) < 2:
        raise IndexError(f"scaled_dot_general: a format each for lhs, rhs and cotangents is needed, got {len(configs)}")
    contracting, batch = dimension_numbers
    dimensions = tuple(tuple(map(int, axes)) for axes in (*contracting, *batch))
    return _scaled_dot(lhs, rhs, (dimensions[:2], dimensions[2:]), dtype, _Configs([*configs, configs[-1]][:3]))
