"""Discrete Fourier transforms over the last one to three axes."""

from enum import Enum
from math import prod
from operator import index

import numpy as np

from cyxla import lax
from cyxla._engine.aval import shaped_array
from cyxla._engine.core import Primitive
from cyxla._engine.dtypes import dtype_code
from cyxla.lax._util import as_operand, bits_of, complex_code, kind_of, move_axis, real_code, scalar_like, short
from cyxla.lax.convert import convert

_FLOAT32, _FLOAT64 = dtype_code(np.float32), dtype_code(np.float64)


class FftType(Enum):
    """Which transform: of complex numbers, of real numbers to half the spectrum, and the inverses of these."""

    FFT = 0
    IFFT = 1
    RFFT = 2
    IRFFT = 3


def _fft_type(value) -> FftType:
    if isinstance(value, FftType):
        return value
    if not isinstance(value, str):
        raise TypeError(f"fft: fft_type={value!r} must be a jax.lax.FftType or its name, such as 'FFT'")
    try:
        return FftType[value.upper()]
    except KeyError:
        names = ", ".join(t.name for t in FftType)
        raise ValueError(f"fft: fft_type={value!r} is unknown; choose one of {names}") from None


def _fft_abstract(x, *, fft_type, fft_lengths):
    kind = FftType(fft_type)
    count = len(fft_lengths)
    if count > 3:
        raise ValueError(f"fft: fft_lengths={fft_lengths} names {count} axes; one transform covers 3 at most")
    if count > x.ndim:
        raise ValueError(f"fft: fft_lengths={fft_lengths} needs {count} axes or more, the operand is {short(x)}")
    if kind is FftType.RFFT:
        if x.code not in (_FLOAT32, _FLOAT64):
            raise ValueError(
                f"fft: the operand of RFFT must be float32 or float64, got {short(x)}; convert it with .astype(...)"
            )
    elif kind_of(x) != "c":
        raise ValueError(f"fft: the operand of {kind.name} must be complex, got {short(x)}")
    code = {FftType.RFFT: complex_code, FftType.IRFFT: real_code}.get(kind, int)(x.code)
    if not count:
        return shaped_array(x.shape, code, False)
    expected = fft_lengths if kind is not FftType.IRFFT else _halved(fft_lengths)
    if x.shape[-count:] != expected:
        raise ValueError(
            f"fft: {kind.name} with fft_lengths={fft_lengths} needs the last axes {expected}, the operand is {short(x)}"
        )
    if kind is FftType.RFFT and not fft_lengths[-1]:
        raise ValueError(f"fft: RFFT of no element has no spectrum; fft_lengths={fft_lengths}")
    lengths = _halved(fft_lengths) if kind is FftType.RFFT else fft_lengths
    return shaped_array((*x.shape[:-count], *lengths), code, False)


def _halved(lengths):
    """The sizes of the half of a spectrum that determines the rest when the signal is real."""
    return (*lengths[:-1], lengths[-1] // 2 + 1 if lengths[-1] else 0)


def _fft_lower(ctx, x, *, fft_type, fft_lengths):
    source, out = ctx.avals_in[0], ctx.avals_out[0]
    if not fft_lengths:
        return x
    if not source.size:
        return ctx.constant(0, out)
    return ctx.op(
        f"stablehlo.fft {x}, type = {FftType(fft_type).name}, length = {list(fft_lengths)} : "
        f"({source.mlir}) -> {out.mlir}"
    )


def _multiplicity(length, x):
    """How often each coefficient of a half spectrum occurs in the whole, along the last axis of x."""
    times = np.full(length // 2 + 1, 2.0)
    times[0] = 1
    if length % 2 == 0:
        times[-1] = 1
    times = as_operand(times.astype(x.dtype))
    return lax.broadcast_in_dim(times, x.shape, (x.ndim - 1,))


def _fft_transpose(ct, x, *, fft_type, fft_lengths):
    kind = FftType(fft_type)
    if kind in (FftType.FFT, FftType.IFFT):  # symmetric matrices
        return [_bind(ct, kind, fft_lengths)]
    if not fft_lengths:
        return [lax.real(ct) if kind is FftType.RFFT else convert(ct, x.aval.code, False)]
    count = prod(fft_lengths)
    if kind is FftType.RFFT:
        half = lax.div(lax.conj(ct), _multiplicity(fft_lengths[-1], ct))
        out = _bind(half, FftType.IRFFT, fft_lengths)
        return [lax.mul(out, scalar_like(out, count))]
    if not ct.size:
        return [lax.full(x.aval.shape, 0, x.aval.dtype)]
    out = _bind(ct, FftType.RFFT, fft_lengths)
    return [lax.conj(lax.mul(out, lax.div(_multiplicity(fft_lengths[-1], out), scalar_like(out, count))))]


def _fft_batch(args, dims, *, fft_type, fft_lengths):
    return fft_p.bind(move_axis(args[0], dims[0], 0), fft_type=fft_type, fft_lengths=fft_lengths), 0


fft_p = Primitive(
    "fft",
    abstract=_fft_abstract,
    lower=_fft_lower,
    linear=True,
    transpose=_fft_transpose,
    batch=_fft_batch,
)


def _bind(x, kind, lengths):
    return fft_p.bind(x, fft_type=kind.value, fft_lengths=lengths)


def _float_code(aval):
    return _FLOAT64 if bits_of(aval.code) == 64 else _FLOAT32


def fft(x, fft_type, fft_lengths):
    """The discrete Fourier transform over the last axes, as many as `fft_lengths` has entries, at most three.

    FFT and IFFT transform complex numbers. RFFT transforms real numbers and gives `length // 2 + 1` coefficients along
    the last axis; IRFFT takes these back to `length` real numbers. Other operands are converted. The inverses divide by
    the number of elements. ValueError for lengths that are not the sizes of the operand.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> lax.fft(jnp.float32([1, 2, 3, 4]), "RFFT", (4,))
    Array([10.+0.j, -2.+2.j, -2.+0.j], dtype=complex64)
    """
    kind = _fft_type(fft_type)
    try:
        lengths = tuple(map(index, fft_lengths))
    except TypeError:
        raise TypeError(f"fft: fft_lengths={fft_lengths!r} must be a sequence of integers") from None
    x = as_operand(x)
    code = x.aval.code
    if kind is FftType.RFFT:
        if kind_of(x.aval) == "c":
            raise ValueError(f"fft: RFFT transforms real numbers, got {short(x.aval)}; use FFT or take x.real")
        if kind_of(x.aval) in "biu":
            code = _float_code(x.aval)
    elif kind_of(x.aval) != "c":
        code = complex_code(_float_code(x.aval))
    return _bind(convert(x, code, False), kind, lengths)
