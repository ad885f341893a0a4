"""What equations of jaxprs say besides their operation: where the user wrote them, under which names."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple


class NameStack(tuple[str, ...]):
    """A path of scopes, printed with slashes.

    >>> str(NameStack(("layer",)).extend("dot"))
    'layer/dot'
    """

    __slots__ = ()

    @property
    def stack(self) -> tuple[str, ...]:
        """The scopes, outermost first."""
        return tuple(self)

    def extend(self, name: str) -> NameStack:
        """The stack with one more scope."""
        return NameStack((*self, name))

    def wrap(self, name: str) -> NameStack:
        """The stack with a scope for a transformation."""
        return NameStack((*self, f"{name}()"))

    def transform(self, name: str) -> NameStack:
        """The stack with a scope for a transformation."""
        return self.wrap(name)

    def __add__(self, other: Any) -> NameStack:
        return NameStack((*self, *other))

    def __repr__(self) -> str:
        return f"NameStack({tuple(self)})"

    def __str__(self) -> str:
        return "/".join(self)

    @classmethod
    def of(cls, path: str | None) -> NameStack:
        """The stack of a path with slashes."""
        return cls(path.split("/")) if path else cls()


class SourceInfo(NamedTuple):
    """Where an equation comes from: `traceback` is `(file, line, function)` or None."""

    traceback: Any
    name_stack: NameStack

    def replace(self, *, traceback: Any = None, name_stack: NameStack | None = None) -> SourceInfo:
        """The source with another place or other names; what is None stays as it is."""
        return SourceInfo(
            self.traceback if traceback is None else traceback, self.name_stack if name_stack is None else name_stack
        )

    @classmethod
    def of(cls, source: Any, path: str | None) -> SourceInfo:
        """From what an equation keeps."""
        return cls(source, NameStack.of(path))


class EquationContext:
    """The settings an equation was written under; here there are none that evaluating it again would need."""

    @property
    def manager(self) -> Any:
        """A context manager that makes the settings current."""
        return nullcontext()

    def __repr__(self) -> str:
        return "EquationContext()"


CONTEXT = EquationContext()
