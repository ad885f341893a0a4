"""Types for annotations: what functions accept as an array, and what they promise to return."""

from typing import Any, Protocol

import numpy as np

from cyxla._engine.array import Array


class SupportsDType(Protocol):
    """Anything with a dtype."""

    @property
    def dtype(self) -> np.dtype[Any]: ...


ArrayLike = Array | np.ndarray | np.bool_ | np.number | bool | int | float | complex
DTypeLike = str | type[Any] | np.dtype[Any] | SupportsDType

__all__ = ["ArrayLike", "DTypeLike"]
