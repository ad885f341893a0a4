"""Discrete Fourier transforms. Complex ones of one, two and more axes, and those of real or Hermitian signals.

What the functions share: `n` or `s` are the sizes of the transformed axes, to which the input is cropped or padded with
zeros; `norm` says which direction is divided by the number N of elements: "backward" (the default) the inverse one,
"forward" the other, "ortho" both by the root of N. ValueError for sizes below one, for axes that repeat or do not
exist, and for another `norm`.
"""

from math import prod
from operator import index

from cyxla import lax
from cyxla._engine.array import asarray
from cyxla.lax import FftType
from cyxla.lax._util import canonicalize_axis, check_arrays, check_choice, scalar_like

from . import ufuncs
from .creation import arange, placed
from .elementwise import conjugate, remainder
from .promotion import convert, default_float, kind, requested_dtype
from .shape import moveaxis, roll

_INVERSE = (FftType.IFFT, FftType.IRFFT)
_SWAPPED = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def _check_norm(name, norm):
    if norm is not None:
        check_choice(f"fft.{name}", "norm", norm, ("backward", "ortho", "forward"))


def _scale(fft_type, norm, count):
    """What the result of the transform, whose inverse divides by `count`, is to be multiplied with."""
    exponent = {"forward": 1.0, "ortho": 0.5}.get(norm, 0.0)
    return float(count**exponent if fft_type in _INVERSE else count**-exponent)


def _sized(x, sizes):
    """x with its last axes cropped or padded with zeros to these sizes."""
    lead = x.ndim - len(sizes)
    if any(n < m for n, m in zip(sizes, x.shape[lead:])):
        limits = [min(n, m) for n, m in zip(sizes, x.shape[lead:])]
        x = lax.slice(x, (0,) * x.ndim, (*x.shape[:lead], *limits))
    if x.shape[lead:] != sizes:
        config = [(0, 0, 0)] * lead + [(0, n - m, 0) for n, m in zip(sizes, x.shape[lead:])]
        x = lax.pad(x, scalar_like(x, 0), config)
    return x


def _last_axes(x, fft_type, sizes):
    """The transform over the last axes, at most three at a time as XLA has it."""
    if len(sizes) <= 3:
        return lax.fft(x, fft_type, sizes)
    whole = FftType.IFFT if fft_type in _INVERSE else FftType.FFT
    if fft_type is FftType.RFFT:
        x = lax.fft(x, fft_type, sizes[-1:])
    real = fft_type in (FftType.RFFT, FftType.IRFFT)
    axes = list(range(x.ndim - len(sizes), x.ndim - real))
    for i in range(0, len(axes), 3):
        group = axes[i : i + 3]
        at_end = tuple(range(-len(group), 0))
        x = moveaxis(lax.fft(moveaxis(x, group, at_end), whole, [x.shape[d] for d in group]), at_end, group)
    return lax.fft(x, fft_type, sizes[-1:]) if fft_type is FftType.IRFFT else x


def _transform(name, fft_type, a, s, axes, norm):
    check_arrays(f"fft.{name}", a)
    x = asarray(a)
    _check_norm(name, norm)
    if s is not None:
        s = tuple(map(index, s))
        if any(n < 1 for n in s):
            raise ValueError(f"fft.{name}: the sizes of transformed axes must be 1 or more, got {s}")
    if axes is None:
        axes = range(x.ndim) if s is None else range(x.ndim - len(s), x.ndim)
    if s is not None and len(s) != len(axes):
        raise ValueError(f"fft.{name}: s={s} and axes={tuple(axes)} differ in length")
    if len({d % x.ndim if x.ndim else d for d in map(index, axes)}) != len(axes):
        raise ValueError(f"fft.{name}: axes={tuple(axes)} names an axis twice")
    axes = tuple(canonicalize_axis(d, x.ndim) for d in axes)
    if not axes and fft_type is FftType.RFFT:
        return x
    at_end = tuple(range(-len(axes), 0))
    x = moveaxis(x, axes, at_end)
    if s is None:
        s = x.shape[x.ndim - len(axes) :]
        if fft_type is FftType.IRFFT and s:
            s = (*s[:-1], max(0, 2 * (s[-1] - 1)))
    half = fft_type is FftType.IRFFT and s
    x = _sized(x, (*s[:-1], s[-1] // 2 + 1 if s[-1] else 0) if half else s)
    x = _last_axes(x, fft_type if s else FftType.IFFT, s)
    factor = _scale(fft_type, norm, prod(s)) if x.size else 1.0
    if factor != 1:
        x = lax.mul(x, scalar_like(x, factor))
    return moveaxis(x, at_end, axes)


def _one_axis(name, fft_type, a, n, axis, norm):
    if isinstance(axis, (tuple, list)):
        raise ValueError(f"fft.{name}: axis={axis} must be one axis; {name.replace('fft', 'fftn')} takes several")
    return _transform(name, fft_type, a, None if n is None else (n,), None if axis is None else (axis,), norm)


def _two_axes(name, fft_type, a, s, axes, norm):
    if len(axes) != 2:
        raise ValueError(f"fft.{name}: axes={tuple(axes)} must be two axes; {name[:-1]}n takes any number")
    return _transform(name, fft_type, a, s, axes, norm)


def fft(a, n=None, axis=-1, norm=None):
    """Discrete Fourier transform along one axis.

    >>> import cyxla.numpy as jnp
    >>> jnp.fft.fft(jnp.float32([1, 2, 3, 4]))
    Array([10.+0.j, -2.+2.j, -2.+0.j, -2.-2.j], dtype=complex64)
    """
    return _one_axis("fft", FftType.FFT, a, n, axis, norm)


def ifft(a, n=None, axis=-1, norm=None):
    """Inverse of `fft`.

    >>> import cyxla.numpy as jnp
    >>> jnp.fft.ifft(jnp.complex64([10, -2 + 2j, -2, -2 - 2j])).real
    Array([1., 2., 3., 4.], dtype=float32)
    """
    return _one_axis("ifft", FftType.IFFT, a, n, axis, norm)


def rfft(a, n=None, axis=-1, norm=None):
    """Transform of a real signal: the first n // 2 + 1 coefficients, which determine the others.

    ValueError for complex and half-precision input.

    >>> import cyxla.numpy as jnp
    >>> jnp.fft.rfft(jnp.float32([1, 2, 3, 4]))
    Array([10.+0.j, -2.+2.j, -2.+0.j], dtype=complex64)
    """
    return _one_axis("rfft", FftType.RFFT, a, n, axis, norm)


def irfft(a, n=None, axis=-1, norm=None):
    """Inverse of `rfft`; `n` is the size of the real result, by default 2 * (size of the axis - 1).

    >>> import cyxla.numpy as jnp
    >>> jnp.fft.irfft(jnp.complex64([10, -2 + 2j, -2]))
    Array([1., 2., 3., 4.], dtype=float32)
    """
    return _one_axis("irfft", FftType.IRFFT, a, n, axis, norm)


def _hermitian_norm(name, a, axis, norm):
    check_arrays(f"fft.{name}", a)
    _check_norm(name, norm)
    if axis is None:
        raise TypeError(f"fft.{name}: axis=None; name one axis")
    return _SWAPPED[norm]


def hfft(a, n=None, axis=-1, norm=None):
    """Transform of a signal with Hermitian symmetry, of which `a` is one half; the result is real.

    >>> import cyxla.numpy as jnp
    >>> jnp.fft.hfft(jnp.complex64([1, 2, 3]))
    Array([ 8., -2.,  0., -2.], dtype=float32)
    """
    norm = _hermitian_norm("hfft", a, axis, norm)
    return _one_axis("hfft", FftType.IRFFT, conjugate(a), n, axis, norm)


def ihfft(a, n=None, axis=-1, norm=None):
    """Inverse of `hfft`: of a real spectrum, one half of the signal.

    >>> import cyxla.numpy as jnp
    >>> jnp.fft.ihfft(jnp.float32([8, -2, 0, -2])).real
    Array([1., 2., 3.], dtype=float32)
    """
    norm = _hermitian_norm("ihfft", a, axis, norm)
    return conjugate(_one_axis("ihfft", FftType.RFFT, a, n, axis, norm))


def fft2(a, s=None, axes=(-2, -1), norm=None):
    """Transform over two axes.

    >>> import cyxla.numpy as jnp
    >>> jnp.fft.fft2(jnp.ones((2, 2))).real
    Array([[4., 0.],
           [0., 0.]], dtype=float32)
    """
    return _two_axes("fft2", FftType.FFT, a, s, axes, norm)


def ifft2(a, s=None, axes=(-2, -1), norm=None):
    """Inverse of `fft2`."""
    return _two_axes("ifft2", FftType.IFFT, a, s, axes, norm)


def rfft2(a, s=None, axes=(-2, -1), norm=None):
    """Transform of a real signal over two axes, the last of which is halved as by `rfft`."""
    return _two_axes("rfft2", FftType.RFFT, a, s, axes, norm)


def irfft2(a, s=None, axes=(-2, -1), norm=None):
    """Inverse of `rfft2`; `s` are the sizes of the real result."""
    return _two_axes("irfft2", FftType.IRFFT, a, s, axes, norm)


def fftn(a, s=None, axes=None, norm=None):
    """Transform over several axes: those named, else as many last ones as `s` has sizes, else all.

    >>> import cyxla.numpy as jnp
    >>> jnp.fft.fftn(jnp.ones((1, 2, 2))).real
    Array([[[4., 0.],
            [0., 0.]]], dtype=float32)
    """
    return _transform("fftn", FftType.FFT, a, s, axes, norm)


def ifftn(a, s=None, axes=None, norm=None):
    """Inverse of `fftn`."""
    return _transform("ifftn", FftType.IFFT, a, s, axes, norm)


def rfftn(a, s=None, axes=None, norm=None):
    """Transform of a real signal over several axes, the last of which is halved as by `rfft`."""
    return _transform("rfftn", FftType.RFFT, a, s, axes, norm)


def irfftn(a, s=None, axes=None, norm=None):
    """Inverse of `rfftn`; `s` are the sizes of the real result."""
    return _transform("irfftn", FftType.IRFFT, a, s, axes, norm)


# ---- frequencies and shifts


def _spacing(name, n, d):
    """What the numbers of the coefficients are divided by."""
    for argument, value in (("n", n), ("d", d)):
        if isinstance(value, (list, tuple)):
            raise ValueError(f"fft.{name}: {argument}={value} must be a number")
    return d * n


def fftfreq(n, d=1.0, *, dtype=None, device=None):
    """The frequencies of the coefficients that `fft` gives for n samples with distance d: k / (d * n).

    >>> import cyxla.numpy as jnp
    >>> jnp.fft.fftfreq(4, d=0.5)
    Array([ 0. ,  0.5, -1. , -0.5], dtype=float32)
    """
    whole = _spacing("fftfreq", n, d)
    dtype = default_float() if dtype is None else requested_dtype(dtype)
    floating = dtype if kind(dtype) in "fc" else default_float()
    half = n // 2
    numbers = ufuncs.subtract(remainder(ufuncs.add(arange(n), half), n), half)
    out = ufuncs.divide(convert(numbers, floating), asarray(whole, dtype=floating))
    return placed(convert(out, dtype), device)


def rfftfreq(n, d=1.0, *, dtype=None, device=None):
    """The frequencies of the coefficients that `rfft` gives for n samples with distance d: k / (d * n).

    >>> import cyxla.numpy as jnp
    >>> jnp.fft.rfftfreq(4, d=0.5)
    Array([0. , 0.5, 1. ], dtype=float32)
    """
    whole = _spacing("rfftfreq", n, d)
    dtype = default_float() if dtype is None else requested_dtype(dtype)
    return placed(ufuncs.divide(lax.iota(dtype, int(n // 2 + 1)), asarray(whole, dtype=dtype)), device)


def fftshift(x, axes=None):
    """Rolls axes, by default all, so that the frequency zero comes to their middle.

    >>> import cyxla.numpy as jnp
    >>> jnp.fft.fftshift(jnp.fft.fftfreq(4))
    Array([-0.5 , -0.25,  0.  ,  0.25], dtype=float32)
    """
    return _shift("fftshift", x, axes, lambda n: n // 2)


def ifftshift(x, axes=None):
    """Inverse of `fftshift`.

    >>> import cyxla.numpy as jnp
    >>> jnp.fft.ifftshift(jnp.fft.fftshift(jnp.arange(5)))
    Array([0, 1, 2, 3, 4], dtype=int32)
    """
    return _shift("ifftshift", x, axes, lambda n: -(n // 2))


def _shift(name, x, axes, distance):
    check_arrays(f"fft.{name}", x)
    x = asarray(x)
    if axes is None:
        axes = tuple(range(x.ndim))
    elif isinstance(axes, int):
        axes = (axes,)
    if any(not -x.ndim <= d < x.ndim for d in axes):
        raise IndexError(f"fft.{name}: axes={tuple(axes)} must lie in [{-x.ndim}, {x.ndim}), the shape is {x.shape}")
    return roll(x, tuple(distance(x.shape[d]) for d in axes), tuple(axes))
