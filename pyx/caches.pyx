# cython: language_level=3
"""Every cache of the library by name: how large it is, how large it may become, how to empty it.

Tables keep to their bounds by `keep`, functions by `cached`. What a cache drops can always be computed again. What an
object remembers about itself (`ClosedJaxpr.derived`) dies with it, and interned objects (avals, treedefs) are held by
nothing but their users: neither is a cache in this sense.
"""
import collections
import functools

CacheInfo = collections.namedtuple(
    "CacheInfo", ("entries", "bound", "bytes", "hits", "misses", "evictions", "rule"),
    defaults=(None, None, None, None, "oldest quarter first"), module="cyxla._engine.caches")
CacheInfo.__doc__ = """What is known of one cache; None where it is not counted.

`bound` is how many entries there may be, in each table where a cache has one for each function or primitive; in bytes
where it has `bytes`. `rule` says what goes first when the bound is reached.
"""

cdef dict evictions = {}
cdef dict reports_by_name = {}


cpdef int keep(dict table, object key, object value, Py_ssize_t bound, str name) except -1:
    """table[key] = value; a table of `bound` entries drops its oldest quarter first. `name` is the cache's."""
    if len(table) >= bound and key not in table:
        oldest = list(table)[:bound // 4 + 1]
        for old in oldest:
            table.pop(old, None)
        evictions[name] = evictions.get(name, 0) + len(oldest)
    table[key] = value
    return 0


def snapshot(iterate):
    """What `iterate()` goes through, as a list: of a weak table, to which other threads may add meanwhile."""
    while True:
        try:
            return list(iterate())
        except RuntimeError:
            # It was added to: once more.
            pass


def evicted(str name):
    """How many entries `keep` has dropped from the tables of a cache."""
    return evictions.get(name, 0)


def register(str name, report, clear):
    """Makes a cache known: `report()` gives its CacheInfo, `clear()` empties it."""
    if name in reports_by_name:
        raise ValueError(f"there are two caches named {name!r}")
    reports_by_name[name] = (report, clear)


def register_tables(str name, Py_ssize_t bound, tables):
    """Makes a cache known whose tables, filled by `keep`, `tables()` gives."""
    def report():
        return CacheInfo(sum([len(table) for table in tables()]), bound, evictions=evicted(name))

    def clear():
        for table in list(tables()):
            table.clear()

    register(name, report, clear)


def cached(str name, Py_ssize_t bound):
    """A decorator: remembers the results of a function of hashable arguments, at most `bound` of them."""
    def decorate(function):
        remembering = functools.lru_cache(bound)(function)

        def report():
            hits, misses, _, entries = remembering.cache_info()
            return CacheInfo(entries, bound, None, hits, misses, max(0, misses - entries), "least recently used first")

        register(name, report, remembering.cache_clear)
        return remembering

    return decorate


def reports():
    """The CacheInfo of each cache by name, for the modules loaded so far."""
    return {name: report() for name, (report, _) in sorted(reports_by_name.items())}


def clear():
    """Empties all caches."""
    for _, empty in list(reports_by_name.values()):
        empty()
