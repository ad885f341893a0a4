"""The instruction set: operations on arrays of strict dtypes and shapes, each with rules for every transformation.

One file a family of operations; `cyxla.numpy` builds on these.
"""
# What nearly every program uses, one statement a family, in the order in which the files build on each other.
# ruff: noqa: F401, I001

from cyxla._core.later import later as _later
from cyxla.lax.options import AccuracyMode, RoundingMethod, Tolerance
from cyxla.lax.unary import (
    abs, abs_p, acos, acos_p, acosh, acosh_p, asin, asin_p, asinh, asinh_p, atan, atan_p, atanh, atanh_p,
    bitwise_not, cbrt, cbrt_p, ceil, ceil_p, clz, clz_p, conj, conj_p, cos, cos_p, cosh, cosh_p, exp, exp2, exp2_p,
    exp_p, expm1, expm1_p, floor, floor_p, imag, imag_p, integer_pow, integer_pow_p, is_finite, is_finite_p, log,
    log1p, log1p_p, log_p, logistic, logistic_p, neg, neg_p, not_p, population_count, population_count_p, real,
    real_p, reciprocal, round, round_p, rsqrt, rsqrt_p, sign, sign_p, sin, sin_p, sinh, sinh_p, sqrt, sqrt_p,
    square, square_p, tan, tan_p, tanh, tanh_p,
)  # fmt: skip
from cyxla.lax.binary import (
    add, add_any, add_p, and_p, atan2, atan2_p, bitwise_and, bitwise_or, bitwise_xor, complex, complex_p, div,
    div_p, eq, eq_p, eq_to_p, ge, ge_p, gt, gt_p, le, le_p, le_to_p, lt, lt_p, lt_to_p, max, max_p, min, min_p, mul,
    mul_p, mulhi, mulhi_p, ne, ne_p, nextafter, nextafter_p, or_p, pow, pow_p, rem, rem_p, shift_left, shift_left_p,
    shift_right_arithmetic, shift_right_arithmetic_p, shift_right_logical, shift_right_logical_p, sub, sub_p, xor_p,
)  # fmt: skip
from cyxla.lax.select import clamp, clamp_p, select, select_n, select_n_p
from cyxla.lax.convert import (
    bitcast_convert_type, bitcast_convert_type_p, convert_element_type, convert_element_type_p, copy_p,
    optimization_barrier, optimization_barrier_p, reduce_precision, reduce_precision_p, stop_gradient,
    stop_gradient_p,
)  # fmt: skip
from cyxla.lax.creation import broadcasted_iota, dtype, empty, full, full_like, iota, iota_p
from cyxla.lax.shape import (
    broadcast, broadcast_in_dim, broadcast_in_dim_p, broadcast_like, broadcast_shapes, broadcast_to_rank, collapse,
    expand_dims, reshape, reshape_p, rev, rev_p, shape_as_value, squeeze, squeeze_p, transpose, transpose_p,
)  # fmt: skip
from cyxla.lax.pieces import (
    concatenate, concatenate_p, pad, pad_p, split, split_p, stack, stack_p, tile, tile_p, unstack, unstack_p,
)  # fmt: skip
from cyxla.lax.reduction import (
    argmax, argmax_p, argmin, argmin_p, reduce, reduce_and, reduce_and_p, reduce_max, reduce_max_p, reduce_min,
    reduce_min_p, reduce_or, reduce_or_p, reduce_p, reduce_prod, reduce_prod_p, reduce_sum, reduce_sum_p,
    reduce_xor, reduce_xor_p,
)  # fmt: skip
from cyxla.lax.slicing import (
    dynamic_index_in_dim, dynamic_slice, dynamic_slice_in_dim, dynamic_slice_p, dynamic_update_index_in_dim,
    dynamic_update_slice, dynamic_update_slice_in_dim, dynamic_update_slice_p, index_in_dim, slice, slice_in_dim,
    slice_p,
)  # fmt: skip
from cyxla.lax.gather_scatter import (
    gather, gather_p, GatherDimensionNumbers, GatherScatterMode, index_take, scatter, scatter_add, scatter_add_p,
    scatter_apply, scatter_max, scatter_max_p, scatter_min, scatter_min_p, scatter_mul, scatter_mul_p, scatter_p,
    scatter_sub, scatter_sub_p, ScatterDimensionNumbers,
)  # fmt: skip
from cyxla.lax.precision import DotAlgorithm, DotAlgorithmPreset, Precision, PrecisionLike
from cyxla.lax.contraction import batch_matmul, dot, dot_general, dot_general_p, DotDimensionNumbers
from cyxla.lax import _hooks
from cyxla._transform.transfer import device_put_p

# Families that are loaded when one of their functions is first asked for.
_LATER = {
    "approximate": "approx_max_k approx_min_k approx_top_k_p",
    "bessel": "bessel_i0e bessel_i0e_p bessel_i1e bessel_i1e_p",
    "composites": "composite",
    "control_flow": "associative_scan cond cond_p custom_linear_solve custom_root fori_loop linear_solve_p map "
    "platform_dependent scan scan_p switch while_loop while_p",
    "convolution": "conv conv_dimension_numbers conv_general_dilated conv_general_dilated_local conv_general_dilated_p "
    "conv_general_dilated_patches conv_general_permutations conv_general_shape_tuple conv_shape_tuple "
    "conv_transpose conv_transpose_shape_tuple conv_with_general_padding ConvDimensionNumbers "
    "ConvGeneralDilatedDimensionNumbers padtype_to_pads",
    "cumulative": "cumlogsumexp cumlogsumexp_p cummax cummax_p cummin cummin_p cumprod cumprod_p cumsum cumsum_p",
    "fourier": "fft fft_p FftType",
    "gamma": "betainc igamma igamma_grad_a igamma_grad_a_p igamma_p igammac igammac_p random_gamma_grad "
    "regularized_incomplete_beta_p",
    "parallel": "all_gather all_gather_p all_to_all all_to_all_p axis_index axis_index_p axis_size pbroadcast pmax "
    "pmax_p pmean pmin pmin_p ppermute ppermute_p pshuffle psum psum_p psum_scatter pswapaxes",
    "ragged": "ragged_dot ragged_dot_general RaggedDotDimensionNumbers",
    "rng": "RandomAlgorithm rng_bit_generator rng_bit_generator_p rng_uniform rng_uniform_p",
    "scaled": "scaled_dot",
    "sorting": "sort sort_key_val sort_p top_k top_k_p",
    "special": "digamma digamma_p erf erf_inv erf_inv_p erf_p erfc erfc_p lgamma lgamma_p polygamma polygamma_p zeta "
    "zeta_p",
    "staging": "after_all after_all_p create_token create_token_p dce_sink dce_sink_p stage stage_p",
    "window": "reduce_window reduce_window_max_p reduce_window_min_p reduce_window_p reduce_window_shape_tuple "
    "reduce_window_sum_p select_and_gather_add_p select_and_scatter_add_p select_and_scatter_p",
}
__getattr__, __dir__ = _later(__name__, _LATER, modules=("linalg",))
