"""`jax_check_tracer_leaks`: finds the tracers that outlive their transformation, and who holds them."""

from __future__ import annotations

import gc
import types
from typing import Any

from cyxla._core.errors import UnexpectedTracerError, described, origin_of


def holder(referrer: Any, value: Any) -> str:
    """What an object is that refers to a value, as far as it can be said in words."""
    if isinstance(referrer, dict):
        names = ""
        for key in referrer:
            if referrer[key] is value:
                names += f"{', ' if names else ''}{key!r}"
        module = referrer.get("__name__")
        owner = f"the globals of module {module}" if module and "__builtins__" in referrer else "a dict"
        return f"{owner}, as {names}"
    if isinstance(referrer, (list, tuple)):
        where = None
        for i, item in enumerate(referrer):
            if item is value:
                where = i
                break
        return f"a {type(referrer).__name__} of {len(referrer)}, as item {where}"
    if isinstance(referrer, types.CellType):
        return "a nonlocal variable of a function"
    return f"an object of type {type(referrer).__name__}"


def holders(value: Any, ignored: list[Any]) -> list[str]:
    """Who refers to a value. No closure here has it as a variable, which would count as one."""
    found = []
    for referrer in gc.get_referrers(value):
        if referrer is not ignored and not isinstance(referrer, types.FrameType):
            found.append(holder(referrer, value))
    return found


def report(trace: Any) -> None:
    """Raises UnexpectedTracerError if tracers of a trace that has ended are still held by somebody."""
    gc.collect()
    tracers = []
    for referrer in gc.get_referrers(trace):
        if getattr(referrer, "_trace", None) is trace:
            tracers.append(referrer)
    if not tracers:
        return
    lines = []
    for tracer in tracers:
        held = holders(tracer, tracers)
        lines.append(f"  {described(tracer)}, held by {'; '.join(held) or 'an extension type'}.{origin_of(tracer, '')}")
    raise UnexpectedTracerError(
        "Leaked traced values: the function has returned, and a side effect keeps these:\n"
        + "\n".join(lines)
        + "\nInstead: return the values from the function."
    )
