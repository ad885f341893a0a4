"""`explain`: what was compiled for a call, what that cost, how it runs, and why it was not found in a cache."""

import functools
from collections.abc import Mapping

from cyxla._transform import records
from cyxla._transform.arguments import function_name

_SITE = ("site", "first called at", "hits", "so far", "trace", "lower", "XLA", "runs")


class Explanation(Mapping):
    """What `explain(f)(*args)` returns: a mapping; prints as a table.

    Keys: `function`, its name; `defined`, where; `hits`, `misses` and `compilations` of it so far; `sites`, a list of
    what was met in this call, each a dict; `history`, the misses of the function so far, the last 32 of them, each such
    a dict. `result` is the value of the call.
    """

    def __init__(self, fun, result, sites):
        self.result = result
        histories = records.find(fun)
        where = next((h.where for h in histories if h.where is not None), None)
        code = getattr(getattr(fun, "__wrapped__", fun), "__code__", None)
        if where is None and code is not None:
            where = code.co_filename, code.co_firstlineno
        past = sorted((r for h in histories for r in list(h.records)), key=lambda r: r.time)
        self._found = {
            "function": function_name(fun),
            "defined": None if where is None else f"{where[0]}:{where[1]}",
            "hits": sum(h.hits for h in histories),
            "misses": sum(h.misses for h in histories),
            "compilations": sum(h.compilations for h in histories),
            "sites": [{**record.as_dict(), "new": new, "hits_in_call": now} for record, new, now in sites],
            "history": [record.as_dict() for record in past],
        }

    def __getitem__(self, key):
        return self._found[key]

    def __iter__(self):
        return iter(self._found)

    def __len__(self):
        return len(self._found)

    def as_dict(self):
        """All of it as plain dicts, lists, strings and numbers."""
        return {**self._found, "sites": list(map(dict, self["sites"])), "history": list(map(dict, self["history"]))}

    def __repr__(self):
        found = self._found
        lines = [found["function"] + (f", defined at {found['defined']}" if found["defined"] else "")]
        if found["misses"]:
            lines.append(
                f"so far: {found['hits']} hits, {found['misses']} misses, {found['compilations']} compilations of it"
            )
        else:
            lines.append("not compiled itself; what it calls may be")
        lines.append("")
        if found["sites"]:
            lines.append("In this call (times in ms):")
            lines += _table([_SITE, *map(_row, found["sites"])])
            for site in found["sites"]:
                if site["new"]:
                    lines.append(f"miss: {_title(site)}: {site['why']}")
        else:
            lines.append("In this call nothing was compiled, or found among what had been.")
        if found["history"]:
            lines += ["", f"Misses of {found['function']} so far:"]
            lines += [f"{miss['number']:>4}. {_place(miss)} {_title(miss)}: {miss['why']}" for miss in found["history"]]
            if len(found["history"]) < found["misses"]:
                lines.append(f"      ({found['misses'] - len(found['history'])} older ones are not listed)")
        return "\n".join(lines)


def _title(site):
    return f"{site['kind']} {site['name']}{site['arguments']}"


def _place(site):
    return "?" if site["file"] is None else f"{site['file']}:{site['line']}"


def _row(site):
    times = [f"{1e3 * site[key]:.2f}" for key in ("trace_s", "lower_s", "compile_s")]
    if not site["new"]:
        times = [f"({t})" for t in times]
    if site["runs"] is None:
        runs = "in a larger program"
    else:
        runs = "native" if site["runs"] == "native" else f"PJRT: {site['why_not_native']}"
    return _title(site), _place(site), str(site["hits_in_call"]), str(site["hits"]), *times, runs


def _table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(_SITE))]
    right = {2, 3, 4, 5, 6}
    return [
        "  "
        + "  ".join(f"{c:>{w}}" if i in right else f"{c:{w}}" for i, (c, w) in enumerate(zip(row, widths))).rstrip()
        for row in rows
    ]


def explain(fun):
    """A function that calls `fun` and tells what was compiled for it: `explain(fun)(*args)`.

    It returns an `Explanation`: printed, a table; otherwise a mapping. `sites` has a row for every jitted function,
    operation outside of jit and piece of control flow that the call compiled or found compiled: where it was called,
    how often it was found, the seconds that tracing, lowering and XLA took when it was not, whether it runs natively or
    through PJRT and why. `history` has the misses of `fun` so far, each with what had changed since the most similar
    call before: shapes, dtypes, weak types, static values, the structure of arguments, devices, options, or the
    function itself. The value of the call is its `result`.

    What is shown is always written down, where a call misses; hits cost nothing. Hits of other threads are counted in.

    Raises TypeError if `fun` is not callable, and whatever `fun` raises.

    >>> import cyxla, cyxla.numpy as jnp
    >>> double = cyxla.jit(lambda x: 2 * x)
    >>> y = double(jnp.ones(3))
    >>> found = cyxla.explain(double)(jnp.ones(4))
    >>> found["misses"], found["history"][1]["why"]
    (2, 'x: shape (3,) -> (4,)')
    """
    if not callable(fun):
        raise TypeError(f"explain takes a function, got {fun!r:.200} of type {type(fun).__name__}")

    @functools.wraps(fun)
    def explained(*args, **kwargs):
        before = {id(record): count for record, count in records.hits()}
        with records.Listening() as made:
            result = fun(*args, **kwargs)
        new = {id(record) for record in made}
        sites = [(record, True, record.tally.hits) for record in made]
        for record, count in records.hits():
            # One made meanwhile by another thread is that thread's.
            earlier = before.get(id(record), count)
            if id(record) not in new and count > earlier:
                sites.append((record, False, count - earlier))
        return Explanation(fun, result, sites)

    return explained
