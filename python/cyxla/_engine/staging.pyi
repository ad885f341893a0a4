from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

from cyxla._engine.array import Array
from cyxla._engine.aval import ShapedArray
from cyxla._engine.core import Jaxpr, Trace, Tracer, Var

@final
class StagingTracer(Tracer): ...

class StagingTrace(Trace):
    @property
    def debug_info(self) -> Any: ...
    def argument_index(self, var: Var) -> int | None: ...

@final
class LinearTrace(StagingTrace): ...

def install_name_stack(function: Callable[[], str | None]) -> None: ...
def trace_flat(
    fun: Callable[[list[Array]], Iterable[Any]], avals: Iterable[ShapedArray], debug_info: Any = None
) -> tuple[Jaxpr, list[Array]]: ...
def trace_unknown(
    fun: Callable[[list[Array]], Iterable[Any]], avals: Iterable[ShapedArray]
) -> tuple[Jaxpr, list[Array], list[Array | None]]: ...
def dce_jaxpr(
    jaxpr: Jaxpr, used_outputs: Sequence[bool], instantiate: bool | Sequence[bool] = False
) -> tuple[Jaxpr, list[bool]]: ...
