"""SciPy's functions on arrays that can be differentiated, batched and compiled."""

from cyxla.scipy import special

__all__ = ["special"]
