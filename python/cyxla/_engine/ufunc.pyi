import inspect
from collections.abc import Callable
from typing import Any, final

from cyxla._engine.array import Array
from cyxla._engine.core import Primitive

PROMOTIONS: dict[str, int]

class Elementwise:
    @property
    def primitive(self) -> Primitive: ...
    @property
    def nin(self) -> int: ...
    @property
    def __name__(self) -> str: ...
    @property
    def __qualname__(self) -> str: ...
    @property
    def __signature__(self) -> inspect.Signature: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Array: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Elementwise: ...

@final
class StrictOp(Elementwise):
    def __init__(
        self,
        primitive: Primitive,
        name: str | None = None,
        doc: str = "",
        *,
        nin: int = 0,
        module: str = "cyxla.lax",
        signature: str | None = None,
        keywords: Callable[..., Any] | None = None,
    ) -> None: ...

@final
class UFunc(Elementwise):
    def __init__(
        self,
        name: str,
        primitive: Primitive,
        promotion: str,
        bool_primitive: Primitive | None = None,
        doc: str = "",
        *,
        nin: int = 0,
        module: str = "cyxla.numpy",
        signature: str | None = None,
    ) -> None: ...
    # Given by cyxla.numpy when it is imported.
    @property
    def nargs(self) -> int: ...
    @property
    def nout(self) -> int: ...
    @property
    def identity(self) -> Any: ...
    def accumulate(self, a: Any, axis: int = 0, dtype: Any = None, out: None = None) -> Array: ...
    def at(self, a: Any, indices: Any, b: Any = None, /, *, inplace: bool = True) -> Array: ...
    def outer(self, A: Any, B: Any, /) -> Array: ...
    def reduce(
        self,
        a: Any,
        axis: int | tuple[int, ...] | None = 0,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Array: ...
    def reduceat(self, a: Any, indices: Any, axis: int = 0, dtype: Any = None, out: None = None) -> Array: ...

def lookup(module: str, name: str) -> Any: ...
def install_conversion(convert: Primitive, broadcast_in_dim: Primitive, not_equal: Primitive) -> None: ...
def install_rank_promotion(check: Callable[[str, tuple[tuple[int, ...], ...]], None] | None) -> None: ...
def install_method(name: str, attribute: Any) -> None: ...
def convert_operand(x: Any, dtype: Any, weak: bool = False) -> Array: ...
def promote_operands(args: tuple[Any, ...], inexact: bool = False, integers: bool = False) -> list[Array]: ...
