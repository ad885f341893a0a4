"""SciPy's functions on arrays that can be differentiated, batched and compiled."""

from cyxla.scipy import linalg, special

__all__ = ["linalg", "special"]
