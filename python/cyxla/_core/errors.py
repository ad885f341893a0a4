"""The exceptions of `cyxla.errors`: their messages name the user's line, the value's type and what to write instead."""

from __future__ import annotations

import linecache
import os
import sys
from typing import Any

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
LIBRARIES = tuple(f"{os.sep}{name}{os.sep}" for name in ("numpy", "contextlib.py", "functools.py"))


def user_line() -> str:
    """Where the user's code is: ' at file:line, in function' and the source line; '' if no frame is the user's."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(PACKAGE) and not any(part in name for part in LIBRARIES) and "<frozen" not in name:
            line = linecache.getline(name, frame.f_lineno, frame.f_globals).strip()
            return f" at {name}:{frame.f_lineno}, in {frame.f_code.co_name}" + (f"\n    {line}\n" if line else "")
        frame = frame.f_back
    return ""


def described(tracer: Any) -> str:
    """The type of a tracer, as far as it is known: 'a traced array of type float32[3]'."""
    aval = getattr(tracer, "aval", None)
    return f"a traced array of type {aval}" if aval is not None else f"the traced value {tracer!r}"


def origin_of(tracer: Any, origin: str) -> str:
    if not origin:
        describe = getattr(tracer, "_origin", None)
        origin = describe() if describe is not None else ""
    origin = origin.strip().rstrip(".")
    return f" {origin[0].upper()}{origin[1:]}." if origin else ""


def compose(problem: str, tracer: Any, origin: str, instead: str) -> str:
    place = user_line()
    end = "" if place.endswith("\n") else ".\n"
    return (
        f"{problem}{place}{end}While a function is traced, the shape and dtype of a value are known, but not the value."
        f"{origin_of(tracer, origin)}\nInstead: {instead}"
    )


STATIC = "if it comes from an argument that takes few values, make that one static: jit(f, static_argnums=...)"


class JAXTypeError(TypeError):
    """A traced value was used where none can be."""

    def __init__(self, message: Any = "") -> None:
        super().__init__(message)


class JAXIndexError(IndexError):
    """An index cannot be used while a function is traced."""

    def __init__(self, message: Any = "") -> None:
        super().__init__(message)


class ConcretizationTypeError(JAXTypeError):
    """The value of a traced array was asked for.

    Args:
      tracer: the traced array, or the whole message.
      context: what asked for the value.
      origin: where the traced array comes from.
    """

    def __init__(self, tracer: Any, context: str = "", origin: str = "") -> None:
        if isinstance(tracer, str) and not context:
            super().__init__(tracer)
            return
        super().__init__(
            compose(
                f"The value of {described(tracer)} is needed{': ' + context if context else ''},",
                tracer,
                origin,
                "convert a dtype by x.astype(dtype), not by float(x) or int(x); move the code that needs the value out "
                f"of the traced function; {STATIC}.",
            )
        )


class TracerBoolConversionError(ConcretizationTypeError):
    """The truth of a traced array was asked for: `if x > 0`, `while`, `and`, `or`, `not`, `assert`, bool().

    Args:
      tracer: the traced array, or the whole message.
      origin: where the traced array comes from.
    """

    def __init__(self, tracer: Any, origin: str = "") -> None:
        if isinstance(tracer, str):
            super().__init__(tracer)
            return
        JAXTypeError.__init__(
            self,
            compose(
                f"The truth of {described(tracer)} is needed (if, while, and, or, not, assert, bool),",
                tracer,
                origin,
                "select values by jnp.where(condition, a, b) and branches by lax.cond(condition, f, g, x); loop by "
                "lax.while_loop or lax.fori_loop; combine conditions by &, |, ~ rather than and, or, not; "
                f"{STATIC}.",
            ),
        )


class TracerArrayConversionError(JAXTypeError):
    """A traced array was passed to NumPy.

    Args:
      tracer: the traced array, or the whole message.
      origin: where the traced array comes from.
    """

    def __init__(self, tracer: Any, origin: str = "") -> None:
        if isinstance(tracer, str):
            super().__init__(tracer)
            return
        super().__init__(
            compose(
                f"A NumPy array was asked for from {described(tracer)}: it was passed to a function of NumPy, or used "
                "as the index of a NumPy array,",
                tracer,
                origin,
                "call the function of the same name in cyxla.numpy; turn a NumPy array into one of ours before "
                f"indexing it with a traced value: jnp.asarray(a)[i]; call host code by pure_callback; {STATIC}.",
            )
        )


class TracerIntegerConversionError(JAXTypeError):
    """A traced array was used as a Python integer: as index of a list, in range(), as a size.

    Args:
      tracer: the traced array, or the whole message.
      origin: where the traced array comes from.
    """

    def __init__(self, tracer: Any, origin: str = "") -> None:
        if isinstance(tracer, str):
            super().__init__(tracer)
            return
        super().__init__(
            compose(
                f"A Python integer was asked for from {described(tracer)}: it is the index of a list or tuple, an "
                "argument of range(), a shape or an axis,",
                tracer,
                origin,
                "stack the list into an array, jnp.stack(items)[i]; choose between functions by lax.switch; loop by "
                f"lax.fori_loop; {STATIC}.",
            )
        )


class NonConcreteBooleanIndexError(JAXIndexError):
    """An array was indexed by a traced boolean mask, which makes the result's shape depend on values.

    Args:
      tracer: the mask, or the whole message.
      origin: where the mask comes from.
    """

    def __init__(self, tracer: Any, origin: str = "") -> None:
        if isinstance(tracer, str):
            super().__init__(tracer)
            return
        super().__init__(
            compose(
                f"The boolean index is {described(tracer)}, so the shape of the result is not known,",
                tracer,
                origin,
                "keep the shape and replace what the mask leaves out: jnp.where(mask, x, 0), or "
                "jnp.sum(x, where=mask) and the like; to set elements, jnp.where(mask, new, x); for positions, "
                "jnp.where(mask, size=n, fill_value=0).",
            )
        )


class UnexpectedTracerError(JAXTypeError):
    """A traced value was used after, or outside of, the transformation that made it.

    Args:
      tracer: the traced value, or the whole message.
      origin: where the traced value comes from.
    """

    def __init__(self, tracer: Any, origin: str = "") -> None:
        if getattr(tracer, "aval", None) is None:
            super().__init__(tracer)
            return
        place = user_line()
        end = "" if place.endswith("\n") else ".\n"
        super().__init__(
            f"A leaked traced value: {described(tracer)} is used outside of the transformation that made "
            f"it,{place}{end}It was kept by a side effect of the traced function: in a global or nonlocal variable, a "
            f"list or dict, an attribute, a generator or another thread.{origin_of(tracer, origin)}\nInstead: return "
            "the value from the function, and pass in as an argument what changes from call to call. "
            "`with checking_leaks():` around the call raises where the value leaks."
        )


class KeyReuseError(JAXTypeError):
    """A random key was used more than once (while jax_debug_key_reuse is on)."""


class InconclusiveDimensionOperation(Exception):
    """The result of an operation on symbolic dimensions is not known."""


class JaxprTypeError(TypeError):
    """A jaxpr is not well formed."""


class RecompilationWarning(UserWarning):
    """A function has been compiled more often than `cyxla_recompilation_warning` allows.

    The message names what changed most often between the calls; `cyxla.explain(f)(*args)` lists the calls. See the
    option for how to set the number, or `warnings.simplefilter("ignore", cyxla.errors.RecompilationWarning)`.
    """


for error in list(globals().values()):
    if isinstance(error, type) and issubclass(error, Exception):
        error.__module__ = "cyxla.errors"
del error
