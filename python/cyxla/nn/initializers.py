"""Initial values for the parameters of neural networks.

An initializer is a function `(key, shape, dtype=..., out_sharding=None) -> array`. `zeros` and `ones` are initializers;
the others make one from the parameters of a distribution.
"""

import math
from typing import Any, Protocol, runtime_checkable

import numpy as np

import cyxla.numpy as jnp
from cyxla import lax, random
from cyxla._engine.array import Array
from cyxla.lax._util import canonicalize_shape
from cyxla.numpy.promotion import requested_dtype
from cyxla.random._arguments import place
from cyxla.random.keys import single_key
from cyxla.random.uniform_family import subkeys


@runtime_checkable
class Initializer(Protocol):
    """The type of initializers."""

    def __call__(self, key, shape, dtype=None, out_sharding=None) -> Array:
        raise NotImplementedError


def _dtype(dtype: Any):
    return requested_dtype(float if dtype is None else dtype)


def _is_complex(dtype) -> bool:
    return np.issubdtype(dtype, np.complexfloating)


def zeros(key, shape, dtype=None, out_sharding=None):
    """All zeros; the key is not used."""
    return place(jnp.zeros(canonicalize_shape(shape), _dtype(dtype)), out_sharding)


def ones(key, shape, dtype=None, out_sharding=None):
    """All ones; the key is not used."""
    return place(jnp.ones(canonicalize_shape(shape), _dtype(dtype)), out_sharding)


def constant(value, dtype=None) -> Initializer:
    """An initializer of arrays filled with `value`, which broadcasts to their shape."""
    default = dtype

    def init(key, shape, dtype=default, out_sharding=None):
        return place(jnp.full(canonicalize_shape(shape), value, _dtype(dtype)), out_sharding)

    return init


def uniform(scale=1e-2, dtype=None) -> Initializer:
    """An initializer of uniform values in `[0, scale)`.

    >>> import cyxla as jax, cyxla.numpy as jnp
    >>> jax.nn.initializers.uniform(10.0)(jax.random.key(42), (2, 3), jnp.float32).shape
    (2, 3)
    """
    default = dtype

    def init(key, shape, dtype=default, out_sharding=None):
        dtype = _dtype(dtype)
        return place(random.uniform(key, shape, dtype) * jnp.array(scale, dtype), out_sharding)

    return init


def normal(stddev=1e-2, dtype=None) -> Initializer:
    """An initializer of normal values of mean 0 and standard deviation `stddev`."""
    default = dtype

    def init(key, shape, dtype=default, out_sharding=None):
        dtype = _dtype(dtype)
        return place(random.normal(key, shape, dtype) * jnp.array(stddev, dtype), out_sharding)

    return init


def truncated_normal(stddev=1e-2, dtype=None, lower=-2.0, upper=2.0) -> Initializer:
    """An initializer of standard normal values between `lower` and `upper`, times `stddev`."""
    default = dtype

    def init(key, shape, dtype=default, out_sharding=None):
        dtype = _dtype(dtype)
        samples = random.truncated_normal(key, lower, upper, shape, dtype)
        return place(samples * jnp.array(stddev, dtype), out_sharding)

    return init


# by fan-in and fan-out ------------------------------------------------------------------------------------------------


def _axes(axis) -> tuple:
    return (axis,) if isinstance(axis, int) else tuple(axis)


def _fans(shape, in_axis, out_axis, batch_axis):
    """Numbers of inputs and outputs of a weight array, each times its receptive field."""
    if len(shape) <= 1 and in_axis == -2:
        raise ValueError(f"a shape of fewer than two axes, {shape}, has no rows and columns to count; give in_axis")
    sizes = [math.prod(shape[a] for a in _axes(axis)) for axis in (in_axis, out_axis, batch_axis)]
    fan_in, fan_out, batch = sizes
    field = math.prod(shape) / (fan_in * fan_out * batch) if fan_in * fan_out * batch else 0
    return fan_in * field, fan_out * field


def _complex_uniform(key, shape, dtype):
    """Uniform in the complex unit disk."""
    part = np.dtype(np.float32 if dtype == np.complex64 else np.float64)
    key_r, key_theta = subkeys(single_key("uniform", key))
    r = jnp.sqrt(2 * random.uniform(key_r, shape, part)).astype(dtype)
    theta = (2 * np.pi) * random.uniform(key_theta, shape, part).astype(dtype)
    return r * jnp.exp(1j * theta)


def _complex_truncated_normal(key, upper, shape, dtype):
    """Standard complex normal of modulus at most `upper`."""
    part = np.dtype(np.float32 if dtype == np.complex64 else np.float64)
    key_r, key_theta = subkeys(single_key("truncated_normal", key))
    mass = 1 - jnp.exp(jnp.array(-(upper**2), dtype))
    r = jnp.sqrt(-jnp.log(1 - mass * random.uniform(key_r, shape, part).astype(dtype)))
    theta = (2 * np.pi) * random.uniform(key_theta, shape, part).astype(dtype)
    return r * jnp.exp(1j * theta)


# Standard deviations of the truncated distributions: normal in (-2, 2), and complex normal of modulus at most 2.
_TRUNCATED_STDDEV = 0.87962566103423978
_COMPLEX_TRUNCATED_STDDEV = 0.95311164380491208


def variance_scaling(scale, mode, distribution, in_axis=-2, out_axis=-1, batch_axis=(), dtype=None) -> Initializer:
    """An initializer of values whose variance is `scale / fan`.

    Args:
      scale: factor of the variance.
      mode: which fan: "fan_in", "fan_out", "fan_avg" (their mean) or "fan_geo_avg" (their geometric mean).
      distribution: "truncated_normal", "normal" or "uniform".
      in_axis, out_axis, batch_axis: axis or axes of inputs, of outputs, and those that are neither; all other axes are
        the receptive field.
      dtype: default dtype of the arrays.
    """
    default = dtype

    def init(key, shape, dtype=default, out_sharding=None):
        shape, dtype = canonicalize_shape(shape), _dtype(dtype)
        fan_in, fan_out = _fans(shape, in_axis, out_axis, batch_axis)
        if mode == "fan_in":
            fan = fan_in
        elif mode == "fan_out":
            fan = fan_out
        elif mode == "fan_avg":
            fan = (fan_in + fan_out) / 2
        elif mode == "fan_geo_avg":
            fan = (fan_in * fan_out) ** 0.5
        else:
            raise ValueError(
                f"variance_scaling: mode={mode!r} is unknown; choose one of 'fan_in', 'fan_out', 'fan_avg', "
                "'fan_geo_avg'"
            )
        variance = jnp.array(scale / fan, dtype)
        if distribution == "normal":
            samples = random.normal(key, shape, dtype) * jnp.sqrt(variance)
        elif distribution == "uniform":
            if _is_complex(dtype):
                samples = _complex_uniform(key, shape, dtype) * jnp.sqrt(variance)
            else:
                samples = random.uniform(key, shape, dtype, -1) * jnp.sqrt(3 * variance)
        elif distribution == "truncated_normal":
            if _is_complex(dtype):
                stddev = jnp.sqrt(variance) / jnp.array(_COMPLEX_TRUNCATED_STDDEV, dtype)
                samples = _complex_truncated_normal(key, 2, shape, dtype) * stddev
            else:
                stddev = jnp.sqrt(variance) / jnp.array(_TRUNCATED_STDDEV, dtype)
                samples = random.truncated_normal(key, -2, 2, shape, dtype) * stddev
        else:
            raise ValueError(
                f"variance_scaling: distribution={distribution!r} is unknown; choose one of 'normal', 'uniform', "
                "'truncated_normal'"
            )
        return place(samples, out_sharding)

    return init


def _scaled(name, scale, mode, distribution, doc):
    def make(in_axis=-2, out_axis=-1, batch_axis=(), dtype=None) -> Initializer:
        return variance_scaling(scale, mode, distribution, in_axis, out_axis, batch_axis, dtype)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"{doc}: `variance_scaling({scale}, {mode!r}, {distribution!r})`."
    return make


glorot_uniform = xavier_uniform = _scaled("glorot_uniform", 1.0, "fan_avg", "uniform", "Glorot's uniform initializer")
glorot_normal = xavier_normal = _scaled(
    "glorot_normal", 1.0, "fan_avg", "truncated_normal", "Glorot's normal initializer"
)
lecun_uniform = _scaled("lecun_uniform", 1.0, "fan_in", "uniform", "LeCun's uniform initializer")
lecun_normal = _scaled("lecun_normal", 1.0, "fan_in", "truncated_normal", "LeCun's normal initializer")
he_uniform = kaiming_uniform = _scaled("he_uniform", 2.0, "fan_in", "uniform", "He's uniform initializer")
he_normal = kaiming_normal = _scaled("he_normal", 2.0, "fan_in", "truncated_normal", "He's normal initializer")


# orthogonal -----------------------------------------------------------------------------------------------------------


def orthogonal(scale=1.0, column_axis=-1, dtype=None) -> Initializer:
    """An initializer of uniformly random orthogonal matrices, times `scale`.

    Arrays of more dimensions are matrices with the columns along `column_axis`. Raises ValueError for fewer than two.
    """
    default = dtype

    def init(key, shape, dtype=default, out_sharding=None):
        shape, dtype = canonicalize_shape(shape), _dtype(dtype)
        if len(shape) < 2:
            raise ValueError(f"orthogonal: a shape of 2 axes or more is needed, got {shape}")
        columns = shape[column_axis]
        rows = math.prod(shape) // columns if columns else 0
        matrix = random.orthogonal(key, rows, (), dtype, columns)
        rest = list(shape)
        rest.pop(column_axis)
        matrix = jnp.moveaxis(matrix.reshape(*rest, columns), -1, column_axis)
        return place(jnp.array(scale, dtype) * matrix, out_sharding)

    return init


def delta_orthogonal(scale=1.0, column_axis=-1, dtype=None) -> Initializer:
    """An initializer of convolution kernels that are an orthogonal matrix at their centre and zero elsewhere.

    Shapes have 3 to 5 dimensions, the last two being inputs and outputs, of which there must be at least as many.
    """
    default = dtype

    def init(key, shape, dtype=default, out_sharding=None):
        shape, dtype = canonicalize_shape(shape), _dtype(dtype)
        if len(shape) not in (3, 4, 5):
            raise ValueError(f"delta_orthogonal: a shape of 3 to 5 axes is needed, got {shape}")
        if shape[-1] < shape[-2]:
            raise ValueError(
                f"delta_orthogonal: there must be at least as many outputs as inputs, the last two sizes of {shape}"
            )
        matrix = orthogonal(scale, column_axis, dtype)(key, shape[-2:])
        centre = tuple((n - 1) // 2 for n in shape[:-2])
        zero = lax.full(shape, 0, dtype)
        update = lax.expand_dims(matrix, tuple(range(len(centre))))
        start = tuple(np.int32(n) for n in (*centre, 0, 0))
        return place(lax.dynamic_update_slice(zero, update, start), out_sharding)

    return init
