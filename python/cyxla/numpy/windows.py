"""Window functions of signal processing."""

import operator

import numpy as np

from cyxla import lax

from .creation import arange, ones
from .elementwise import i0
from .promotion import convert, default_float


def _points(M):
    dtype = default_float()
    M = operator.index(M)
    return M, convert(arange(M), dtype), dtype


def bartlett(M):
    """The triangular window of M points that is 0 at both ends."""
    M, n, dtype = _points(M)
    if M <= 1:
        return ones(M, dtype)
    return 1 - lax.abs(2 * n + (1 - M)) / (M - 1)


def blackman(M):
    """The Blackman window of M points."""
    M, n, dtype = _points(M)
    if M <= 1:
        return ones(M, dtype)
    return 0.42 - 0.5 * lax.cos(2 * np.pi * n / (M - 1)) + 0.08 * lax.cos(4 * np.pi * n / (M - 1))


def hamming(M):
    """The Hamming window of M points."""
    M, n, dtype = _points(M)
    if M <= 1:
        return ones(M, dtype)
    return 0.54 - 0.46 * lax.cos(2 * np.pi * n / (M - 1))


def hanning(M):
    """The Hann window of M points."""
    M, n, dtype = _points(M)
    if M <= 1:
        return ones(M, dtype)
    return 0.5 * (1 - lax.cos(2 * np.pi * n / (M - 1)))


def kaiser(M, beta):
    """The Kaiser window of M points with shape parameter ``beta``."""
    M, n, dtype = _points(M)
    if M <= 1:
        return ones(M, dtype)
    alpha = 0.5 * (M - 1)
    beta = convert(beta, dtype)
    return i0(beta * lax.sqrt(1 - lax.square((n - alpha) / alpha))) / i0(beta)
