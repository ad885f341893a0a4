"""Traces of functions that are traced by what calls them: found again as long as the function lives, or one like it."""

import weakref

from cyxla._engine.caches import keep, register_tables, snapshot
from cyxla._engine.config import epoch
from cyxla._engine.core import Tracer
from cyxla._transform import sameness

# Traces of one function.
TRACE_BOUND = 1024
_traces = weakref.WeakKeyDictionary()
register_tables("traces of functions", TRACE_BOUND, lambda: snapshot(_traces.values))


def _closes_over_no_tracer(traced):
    return not any(isinstance(c, Tracer) for c in traced[1])


def remembered(fun, in_tree, key, trace, static=(), observe=None):
    """What `trace()` gave for this function, or one that is provably the same, and this key, or gives now.

    `in_tree` is the structure of the function's arguments, `static` those of them that are values; `observe` is as in
    `sameness.shared`.

    `trace()` returns a tuple whose second item is a list of constants; a trace that closes over tracers of a
    transformation that is under way is not kept. Nor is one of a function, or with a key, that has no hash.
    """
    key = (in_tree, key, epoch())
    try:
        known = _traces.setdefault(fun, {})
        found = known.get(key)
    except TypeError:
        return trace()
    if found is None:
        found = sameness.shared(fun, in_tree, key, trace, _closes_over_no_tracer, static, observe)
        if _closes_over_no_tracer(found):
            keep(known, key, found, TRACE_BOUND, "traces of functions")
    return found
