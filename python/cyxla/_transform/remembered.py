"""Traces of functions that are traced by what calls them: found again as long as the function lives."""

import weakref

from cyxla._engine.caches import keep, register_tables
from cyxla._engine.config import epoch
from cyxla._engine.core import Tracer

# Traces of one function.
TRACE_BOUND = 1024
_traces = weakref.WeakKeyDictionary()
register_tables("traces of functions", TRACE_BOUND, lambda: list(_traces.values()))


def remembered(fun, key, trace):
    """What `trace()` gave for this function and key, under this configuration, or gives now.

    `trace()` returns a tuple whose second item is a list of constants; a trace that closes over tracers of a
    transformation that is under way is not kept. Nor is one of a function, or with a key, that has no hash.
    """
    key = (key, epoch())
    try:
        known = _traces.setdefault(fun, {})
        found = known.get(key)
    except TypeError:
        return trace()
    if found is None:
        found = trace()
        if not any(isinstance(c, Tracer) for c in found[1]):
            keep(known, key, found, TRACE_BOUND, "traces of functions")
    return found
