from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, final, overload

from cyxla._engine.aval import ShapedArray
from cyxla._engine.core import ClosedJaxpr, Primitive

class RulesByPlatform:
    primitive: Primitive
    rules: dict[str | None, Any]
    def __init__(self, primitive: Primitive, default: Any) -> None: ...
    def rule(self, platform: str) -> Any: ...
    def __call__(self, ctx: LoweringContext, *names: str, **params: Any) -> Any: ...

@final
class LoweringContext:
    avals_in: tuple[ShapedArray, ...]
    avals_out: tuple[ShapedArray, ...]
    overrides: dict[Primitive, Any]
    callbacks: list[Callable[..., Any]]
    token: str | None
    def __init__(self, platform: str = "cpu", scope: str | None = None) -> None: ...
    @property
    def platform(self) -> str: ...
    @property
    def functions(self) -> list[str]: ...
    @property
    def called(self) -> dict[Any, Any]: ...
    def fresh(self) -> str: ...
    def write(self, line: str) -> None: ...
    @overload
    def op(self, text: str, n: Literal[1] = 1) -> str: ...
    @overload
    def op(self, text: str, n: int) -> Any: ...
    def constant(self, value: Any, aval: ShapedArray | None = None) -> str: ...
    def broadcast(self, name: str, source: ShapedArray, target: ShapedArray, dims: Iterable[int]) -> str: ...
    def inline(self, closed: ClosedJaxpr, names: Iterable[str]) -> list[str]: ...
    def inline_function(
        self,
        function: Callable[..., Any],
        names: Iterable[str],
        avals: Iterable[ShapedArray],
        *,
        multiple_results: bool = True,
        cache: dict[Any, Any] | None = None,
        key: Any = None,
    ) -> Any: ...
    def region(self, closed: ClosedJaxpr) -> str: ...
    def body(
        self,
        closed: ClosedJaxpr,
        names: Iterable[str],
        before: Iterable[str] = (),
        types_before: Iterable[str] = (),
        with_token: bool = False,
    ) -> str: ...
    def call(self, closed: ClosedJaxpr, names: Iterable[str], hint: str = "fn") -> list[str]: ...
    def call_written(
        self,
        hint: str,
        key: tuple[Any, ...],
        names: Iterable[str],
        avals_in: Sequence[ShapedArray],
        avals_out: Sequence[ShapedArray],
        write: Callable[[list[str]], list[str]],
    ) -> list[str]: ...
    def private_function(self, closed: ClosedJaxpr, hint: str) -> str: ...
    def function_name(self, hint: str) -> str: ...
    def function(
        self,
        closed: ClosedJaxpr,
        name: str,
        visibility: str,
        arg_attributes: Sequence[str] | None = None,
        result_attributes: Sequence[str] | None = None,
    ) -> str: ...
    def function_by_platform(
        self,
        closed: ClosedJaxpr,
        platforms: tuple[str, ...],
        arg_attributes: Sequence[str] | None = None,
        result_attributes: Sequence[str] | None = None,
    ) -> str: ...

def trace_table() -> dict[Any, Any]: ...

TOKEN: str

def is_ordered(closed: ClosedJaxpr) -> bool: ...
def lower_module(
    closed: ClosedJaxpr,
    name: str,
    *,
    platforms: Sequence[str] = ("cpu",),
    arg_attributes: Sequence[str] | None = None,
    result_attributes: Sequence[str] | None = None,
    scope: str | None = None,
) -> tuple[str, list[Any], list[Callable[..., Any]]]: ...
