"""Activation functions, element by element.

Where a function has a corner, its derivative there is one of the one-sided ones, 0 for `relu` and `relu6`. They are
written with `where` on conditions that give this derivative by the usual rules, so that no custom rule is needed.
"""

from functools import partial

import numpy as np

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._transform.custom import custom_jvp
from cyxla._transform.jit import jit
from cyxla.lax._util import canonicalize_axis
from cyxla.nn._arguments import inexact, operand
from cyxla.numpy.promotion import promote_inexact


@custom_jvp
@jit
def relu(x):
    """Rectified linear unit: `max(x, 0)`. Its derivative at 0 is 0.

    >>> import cyxla as jax, cyxla.numpy as jnp
    >>> jax.nn.relu(jnp.array([-1.0, 0.0, 2.0]))
    Array([0., 0., 2.], dtype=float32)
    """
    return jnp.maximum(operand("relu", x), 0)


relu.defjvps(lambda t, ans, x: lax.select(jnp.greater(x, 0), t, lax.full_like(t, 0)))


@jit
def relu6(x):
    """Rectified linear unit with a ceiling: `min(max(x, 0), 6)`. Its derivative at 0 and 6 is 0."""
    x = operand("relu6", x)
    return jnp.where(x <= 0, 0.0, jnp.where(x >= 6, 6.0, x))


@jit
def squareplus(x, b=4):
    """`(x + sqrt(x**2 + b)) / 2`, a smooth relu without exponentials."""
    x, b = operand("squareplus", x), operand("squareplus", b, 1)
    return (x + jnp.sqrt(jnp.square(x) + b)) / 2


@jit
def softplus(x):
    """`log(1 + exp(x))`."""
    (x,) = promote_inexact(operand("softplus", x))
    return jnp.logaddexp(x, 0.0)


@jit
def sparse_plus(x):
    """0 below -1, x above 1, and `(x + 1)**2 / 4` in between."""
    x = operand("sparse_plus", x)
    return jnp.where(x <= -1.0, 0.0, jnp.where(x >= 1.0, x, (x + 1.0) ** 2 / 4))


@jit
def soft_sign(x):
    """`x / (abs(x) + 1)`."""
    x = operand("soft_sign", x)
    return x / (jnp.abs(x) + 1)


def sigmoid(x):
    """`1 / (1 + exp(-x))`."""
    return lax.logistic(x)


@jit
def sparse_sigmoid(x):
    """0 below -1, 1 above 1, and `(x + 1) / 2` in between: the derivative of `sparse_plus`."""
    return 0.5 * jnp.clip(operand("sparse_sigmoid", x) + 1.0, 0.0, 2.0)


@jit
def silu(x):
    """`x * sigmoid(x)`, also called swish."""
    x = operand("silu", x)
    return x * sigmoid(x)


swish = silu


@jit
def mish(x):
    """`x * tanh(softplus(x))`."""
    x = operand("mish", x)
    return x * jnp.tanh(softplus(x))


@jit
def log_sigmoid(x):
    """`log(sigmoid(x))`, computed as `-softplus(-x)`."""
    return -softplus(-operand("log_sigmoid", x))


@jit
def elu(x, alpha=1.0):
    """x where positive, `alpha * (exp(x) - 1)` elsewhere."""
    x = operand("elu", x)
    # expm1 sees zeros where its result is not taken: its overflow there would make the derivative NaN.
    return jnp.where(x > 0, x, alpha * jnp.expm1(jnp.where(x > 0, 0.0, x)))


@jit
def leaky_relu(x, negative_slope=1e-2):
    """x where not negative, `negative_slope * x` elsewhere."""
    x = operand("leaky_relu", x)
    return jnp.where(x >= 0, x, negative_slope * x)


@jit
def hard_tanh(x):
    """x, clipped to [-1, 1]."""
    x = operand("hard_tanh", x)
    return jnp.where(x > 1, 1, jnp.where(x < -1, -1, x))


@jit
def celu(x, alpha=1.0):
    """`max(x, 0) + alpha * (exp(min(x, 0) / alpha) - 1)`."""
    x = operand("celu", x)
    return jnp.maximum(x, 0.0) + alpha * jnp.expm1(jnp.minimum(x, 0.0) / alpha)


_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


@jit
def selu(x):
    """Scaled `elu` with the constants that keep mean 0 and variance 1 through a network's layers."""
    return _SELU_SCALE * elu(x, _SELU_ALPHA)


@partial(jit, static_argnames=("approximate",), inline=True)
def gelu(x, approximate=True):
    """x times the normal distribution function at x.

    Args:
      x: array.
      approximate: use the formula with tanh; otherwise the error function.
    """
    x = inexact(operand("gelu", x))
    if approximate:
        root = np.array(np.sqrt(2 / np.pi)).astype(x.dtype)
        return x * (0.5 * (1.0 + jnp.tanh(root * (x + 0.044715 * (x**3)))))
    return 0.5 * x * lax.erfc(-x * np.array(np.sqrt(0.5)).astype(x.dtype))


@partial(jit, static_argnames=("axis",))
def glu(x, axis=-1):
    """Gated linear unit: the first half of an axis times the sigmoid of its second half."""
    x = operand("glu", x)
    axis = canonicalize_axis(axis, x.ndim)
    size = x.shape[axis]
    if size % 2:
        raise AssertionError(f"glu: axis {axis} of size {size} cannot be halved")
    return lax.slice_in_dim(x, 0, size // 2, axis=axis) * sigmoid(lax.slice_in_dim(x, size // 2, size, axis=axis))


@jit
def hard_sigmoid(x):
    """`relu6(x + 3) / 6`."""
    return relu6(operand("hard_sigmoid", x) + 3.0) / 6.0


@jit
def hard_silu(x):
    """`x * hard_sigmoid(x)`."""
    x = operand("hard_silu", x)
    return x * hard_sigmoid(x)


hard_swish = hard_silu


def tanh(x, /):
    """Hyperbolic tangent."""
    return jnp.tanh(x)


@jit
def identity(x):
    """x itself."""
    return operand("identity", x)
