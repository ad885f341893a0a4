"""Exceptions that tracing and running programs raise."""

from typing import Any

from cyxla._core.errors import (
    ConcretizationTypeError,
    InconclusiveDimensionOperation,
    JAXIndexError,
    JaxprTypeError,
    JAXTypeError,
    KeyReuseError,
    NonConcreteBooleanIndexError,
    RecompilationWarning,
    TracerArrayConversionError,
    TracerBoolConversionError,
    TracerIntegerConversionError,
    UnexpectedTracerError,
)

__all__ = [
    "ConcretizationTypeError",
    "InconclusiveDimensionOperation",
    "JAXIndexError",
    "JAXTypeError",
    "JaxRuntimeError",  # noqa: F822
    "JaxprTypeError",
    "KeyReuseError",
    "NonConcreteBooleanIndexError",
    "RecompilationWarning",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "UnexpectedTracerError",
]


def __getattr__(name: str) -> Any:
    # The compiler's own exception: asking for it loads jaxlib.
    if name == "JaxRuntimeError":
        from cyxla._runtime.xla import JaxRuntimeError

        return JaxRuntimeError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
