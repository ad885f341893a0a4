"""Traces of functions that are traced by what calls them: found again as long as the function lives."""

import weakref

from cyxla._engine.config import epoch
from cyxla._engine.core import Tracer

_traces = weakref.WeakKeyDictionary()


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
            known[key] = found
    return found


def forget():
    """Forgets all of them."""
    _traces.clear()
