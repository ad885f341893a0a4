"""What the library remembers: `cache_info` and `clear_caches`. The tables themselves are where they are used."""

import weakref
from types import MethodType

from cyxla._engine import caches, dispatch, host, native
from cyxla._engine.caches import CacheInfo
from cyxla._engine.core import all_primitives

# Functions jitted twice with equal options share their compiled programs: function -> options -> signatures.
_entries = weakref.WeakKeyDictionary()
# Jitted functions that do not.
_others = weakref.WeakSet()
_OPTIONS_BOUND = 64


def shared_entries(fun, key):
    """The table of signatures of a function jitted with some options; None for functions that share none."""
    if isinstance(fun, MethodType):
        return None
    try:
        by_options = _entries.setdefault(fun, {})
        found = by_options.get(key)
    except TypeError:
        return None
    if found is None:
        found = {}
        caches.keep(by_options, key, found, _OPTIONS_BOUND, "options of jitted functions")
    return found


def own_entries(jitted):
    """Counts in the signatures of a jitted function that shares none."""
    _others.add(jitted)


def _all_entries():
    shared = [table for by_options in caches.snapshot(_entries.values) for table in list(by_options.values())]
    return shared + [jitted.entries for jitted in caches.snapshot(_others.copy)]


def _forget_signatures():
    for table in _all_entries():
        table.clear()
    dispatch.forget_last_calls()


def _forget_eager():
    for primitive in all_primitives().values():
        primitive.eager_cache.clear()
    dispatch.forget_last_calls()


def _on_disk():
    from cyxla._runtime import cache

    return cache.info()


def _signatures():
    stats = dispatch.stats()
    entries = sum(map(len, _all_entries()))
    name = "signatures of jitted functions"
    return CacheInfo(entries, dispatch.SIGNATURE_BOUND, misses=stats["traces"], evictions=caches.evicted(name))


def _eager():
    entries = sum(len(p.eager_cache) for p in all_primitives().values())
    return CacheInfo(entries, dispatch.EAGER_BOUND, evictions=caches.evicted("eager programs"))


def _forget_plans():
    for primitive in all_primitives().values():
        primitive.host_plans.clear()
    dispatch.forget_last_calls()


def _plans():
    entries = sum(len(p.host_plans) for p in all_primitives().values())
    return CacheInfo(entries, host.PLAN_BOUND, evictions=caches.evicted("plans of host kernels"))


def _options():
    entries = sum(map(len, caches.snapshot(_entries.values)))
    return CacheInfo(entries, _OPTIONS_BOUND, evictions=caches.evicted("options of jitted functions"))


caches.register("plans of host kernels", _plans, _forget_plans)
caches.register("signatures of jitted functions", _signatures, _forget_signatures)
caches.register("eager programs", _eager, _forget_eager)
caches.register(
    "options of jitted functions",
    _options,
    # Kept: jitted functions hold the tables.
    lambda: None,
)
caches.register(
    "memory of freed arrays",
    lambda: CacheInfo(0, None, bytes=native.idle_bytes(), rule="what exceeds 1 MiB of one size is not kept"),
    native.trim,
)
caches.register(
    "executables on disk",
    _on_disk,
    # It outlives the process: emptied by deleting its files.
    lambda: None,
)


class CacheReport(dict):
    """What `cache_info()` returns: CacheInfo by the name of the cache; prints as a table.

    `programs` counts the programs compiled or loaded so far: `native` run in this process, `pjrt` through the runtime.
    """

    def __init__(self, infos, programs):
        super().__init__(infos)
        self.programs = programs

    def __str__(self):
        columns = ("entries", "bound", "bytes", "hits", "misses", "evictions")
        width = max(map(len, self), default=0)
        lines = [" " * width + "".join(f"{column:>11}" for column in columns)]
        for name, info in self.items():
            cells = ["" if getattr(info, column) is None else getattr(info, column) for column in columns]
            lines.append(f"{name:{width}}" + "".join(f"{cell:>11}" for cell in cells))
        lines.append("programs: " + ", ".join(f"{count} {way}" for way, count in self.programs.items()))
        return "\n".join(lines)


def cache_info():
    """What each cache of the library holds, and how large it may become.

    Returns a dict of `CacheInfo(entries, bound, bytes, hits, misses, evictions, rule)` by name of cache; what is not
    counted is None. Its attribute `programs` says how many compiled programs run natively and through PJRT.
    `print(cyxla.cache_info())` shows a table.

    >>> import cyxla
    >>> info = cyxla.cache_info()
    >>> info["eager programs"].bound
    1024
    >>> sorted(info.programs)
    ['native', 'pjrt']
    """
    stats = dispatch.stats()
    native_programs = stats["native"]
    return CacheReport(caches.reports(), {"native": native_programs, "pjrt": stats["compilations"] - native_programs})


def clear_caches():
    """Forgets all traces and compiled programs, of every function and of eager operations, and all else remembered.

    The compilation cache on disk stays. Whatever is called next is traced and compiled anew.

    >>> import cyxla
    >>> cyxla.clear_caches()
    >>> cyxla.cache_info()["signatures of jitted functions"].entries
    0
    """
    caches.clear()
