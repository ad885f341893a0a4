from collections.abc import Callable, Iterable
from typing import Any, final

from cyxla._engine.array import Array
from cyxla._engine.core import Primitive, Trace, Tracer

@final
class Axis:
    def __init__(self, size: int, name: Any = None, spmd_name: Any = None) -> None: ...
    @property
    def size(self) -> int: ...
    @property
    def name(self) -> Any: ...
    @property
    def spmd_name(self) -> Any: ...
    @property
    def explicit_mesh_axis(self) -> None: ...

@final
class BatchTracer(Tracer):
    @property
    def value(self) -> Array: ...
    @property
    def batch_dim(self) -> int: ...

@final
class BatchTrace(Trace):
    @property
    def axis(self) -> Axis: ...

def install_movement(transpose: Primitive, broadcast_in_dim: Primitive) -> None: ...
def batch_flat(
    fun: Callable[[list[Array]], Iterable[Any]], axis: Axis, values: list[Any], dims: list[int | None]
) -> tuple[list[Array], list[int | None]]: ...
