"""What each trace and compilation cost, and why it was needed.

A record is made where a call missed; a call that hits adds one to a number and is not seen here. `explain` shows the
records, `jax_explain_cache_misses` logs them, and a function that is compiled too often is warned of.
"""

import functools
import logging
import reprlib
import sys
import threading
import time
import warnings
import weakref
from collections import Counter, deque
from types import MethodType
from typing import NamedTuple

from cyxla._core.config import config
from cyxla._core.errors import PACKAGE, RecompilationWarning
from cyxla._engine import caches
from cyxla._engine.caches import CacheInfo, keep
from cyxla._engine.config import configuration
from cyxla._engine.config import epoch as config_epoch
from cyxla._engine.core import ClosedJaxpr, Jaxpr
from cyxla._engine.dispatch import JitFunction, Tally
from cyxla._engine.source import user_frame
from cyxla._transform import sameness
from cyxla._transform.arguments import argument_path, function_name, parameter, written
from cyxla.tree_util import equality_errors

logger = logging.getLogger("cyxla")

FUNCTION_BOUND = 512  # functions and operations of which records are kept
RECORD_BOUND = 32  # the most recent records of each
CHANGES_BOUND = 8  # of one record
NAME = "records of compilations"

_shorten = reprlib.Repr()
_shorten.maxstring = _shorten.maxother = 60
_lock = threading.RLock()
_listeners = threading.local()
_histories = {}
caches.register(
    NAME,
    lambda: CacheInfo(
        sum(len(history.records) for history in list(_histories.values())),
        FUNCTION_BOUND * RECORD_BOUND,
        evictions=caches.evicted(NAME),
    ),
    lambda: _histories.clear(),
)


class Change(NamedTuple):
    """One difference between a call that missed and the most similar one before."""

    kind: str  # 'shape', 'dtype', 'weak type', 'static value', 'tree structure', 'device', 'configuration', ...
    what: str
    before: str | None
    after: str | None
    note: str | None = None

    def __str__(self):
        text = f"{self.what}: {self.kind}"
        if self.before is not None:
            text += f" {self.before} -> {self.after}"
        return text if self.note is None else f"{text}, {self.note}"


class Signature:
    """What a trace or program is found by, held so that it keeps no user's object alive."""

    __slots__ = (
        "avals",
        "device",
        "epoch",
        "function",
        "num_leaves",
        "options",
        "parts",
        "reason",
        "static",
        "tree",
        "tree_hash",
    )

    def __init__(self, avals, static, device, *, fun=None, identity=None, tree=None, options=None):
        self.avals = avals
        self.static = static  # name -> (type, hash, text)
        self.device = None if device is None else str(device)
        self.epoch = config_epoch()
        self.function = reference(fun)
        self.reason = identity if isinstance(identity, str) else None
        self.parts = None
        if identity is not None and self.reason is None:
            parts = sameness.components(fun, identity[0])
            self.parts = {name: (hash(part), shown(part)) for name, part in parts.items()}
        self.options = options
        self.tree = reference(tree)
        self.tree_hash = hash(tree)
        self.num_leaves = len(avals)

    def has_function_of(self, other):
        mine, others = self.function(), other.function()
        return mine is not None and (mine is others or (isinstance(mine, MethodType) and mine == others))

    def has_tree_of(self, other):
        mine, others = self.tree(), other.tree()
        if mine is None or others is None:
            return self.tree_hash == other.tree_hash and self.num_leaves == other.num_leaves
        try:
            return mine == others
        except ValueError:  # metadata that cannot be compared
            return False

    def distance(self, other):
        """How little alike two signatures are."""
        found = 2 * (not self.has_function_of(other)) + (self.epoch != other.epoch) + (self.device != other.device)
        found += sum(other.static.get(name) != value for name, value in self.static.items())
        if not self.has_tree_of(other) or len(self.avals) != len(other.avals):
            return found + 2 + len(self.avals)
        return found + sum(a is not b for a, b in zip(self.avals, other.avals))

    def text(self):
        pieces = [aval.str_short() for aval in self.avals[:4]]
        if len(self.avals) > 4:
            pieces.append(f"... {len(self.avals)} arrays")
        if self.options is not None:  # parameters of operations take more room than they tell
            pieces += [f"{name}={text}" for name, (_, _, text) in self.static.items()]
        return f"({', '.join(pieces)})"


def reference(x):
    """A weak reference to an object, or to what a method is bound to; one that is dead where there can be none."""
    try:
        return weakref.WeakMethod(x) if isinstance(x, MethodType) else weakref.ref(x)
    except TypeError:
        return lambda: None


def shown(part):
    """A part of a function's key as the user wrote it, where it is a plain value."""
    if isinstance(part, tuple) and len(part) == 2:
        kind, value = part
        if kind is float:
            return repr(float.fromhex(value))
        if kind in (int, bool, str, type(None)):
            return _shorten.repr(value)
    return None


def static_value(value):
    try:
        hashed = hash(value)
    except TypeError:
        hashed = id(value)
    return type(value), hashed, _shorten.repr(value)


class Record:
    """One trace of a function, or one operation compiled by itself: what it cost, and why it was made."""

    __slots__ = (
        "changes",
        "compilations",
        "compile_s",
        "history",
        "kind",
        "lower_s",
        "name",
        "number",
        "path",
        "signature",
        "tally",
        "time",
        "trace_s",
        "where",
    )

    def __init__(self, kind, name, signature, trace_s, history):
        self.kind = kind
        self.name = name
        self.signature = signature
        self.where = user_frame()
        self.trace_s = trace_s
        self.lower_s = self.compile_s = 0.0
        self.compilations = 0
        self.path = None
        self.tally = Tally()
        self.time = time.time()
        self.history = history
        self.number = 0
        self.changes = ()

    def compiled(self, seconds, path):
        """Notes a compilation by XLA, and how the program runs."""
        with _lock:
            self.compile_s += seconds
            self.compilations += 1
            self.path = path
            self.history.compilations += 1
            self.history.warn(self)

    def location(self):
        return "?" if self.where is None else f"{self.where[0]}:{self.where[1]}"

    def why(self):
        """Why the call missed, in words."""
        if not self.history.comparable:
            return "made by a transformation, compiled for the first time"
        return "; ".join(map(str, self.changes)) if self.number > 1 else "first call"

    def runs(self):
        """How the program runs: 'native', 'PJRT: ' and the reason, or where it went."""
        if self.path is None:
            return "not by itself"
        return self.path.replace("pjrt", "PJRT", 1)

    def as_dict(self):
        return {
            "kind": self.kind,
            "name": self.name,
            "arguments": self.signature.text(),
            "static": {name: text for name, (_, _, text) in self.signature.static.items()},
            "file": self.where and self.where[0],
            "line": self.where and self.where[1],
            "caller": self.where and self.where[2],
            "number": self.number,
            "why": self.why(),
            "changes": [change._asdict() for change in self.changes],
            "trace_s": self.trace_s,
            "lower_s": self.lower_s,
            "compile_s": self.compile_s,
            "compilations": self.compilations,
            "runs": None if self.path is None else self.path.partition(":")[0],
            "why_not_native": self.path[6:] if self.path is not None and self.path.startswith("pjrt: ") else None,
            "hits": self.tally.hits,
        }


class History:
    """The records of one function, or of one operation."""

    def __init__(self, key, name, held=(), where=None, comparable=True):
        self.key = key
        self.name = name
        self.held = held  # the code objects of the key
        self.where = where
        self.comparable = comparable
        self.records = deque()
        self.misses = self.compilations = 0
        self.changes = Counter()
        self.warned = False
        self._retired = []  # tallies of records that are no longer listed
        self._retired_hits = 0
        self._patience = RECORD_BOUND

    @property
    def hits(self):
        with _lock:
            return self._retired_hits + sum(t.hits for t in self._retired) + sum(r.tally.hits for r in self.records)

    def add(self, record, fun=None, tree=None, static=None, on_trace=False):
        with _lock:
            self.misses += 1
            record.number = self.misses
            if self.comparable and self.records:
                record.changes = tuple(_changes(record, self.records, fun, tree, static, on_trace))
                self.changes.update({(change.kind, change.what) for change in record.changes})
                if len(self.changes) > 4 * RECORD_BOUND:
                    self.changes = Counter(dict(self.changes.most_common(RECORD_BOUND)))
            self.records.append(record)
            if len(self.records) > RECORD_BOUND:
                self._retire(self.records.popleft().tally)

    def _retire(self, tally):
        # Its program may be called again. Those that only this list knows are summed up now and then.
        self._retired.append(tally)
        if len(self._retired) > self._patience:
            for old in [Tally()]:
                alone = sys.getrefcount(old)  # what refers to an item of a list that nobody else knows
            alive = []
            for old in self._retired:
                if sys.getrefcount(old) > alone:
                    alive.append(old)
                else:
                    self._retired_hits += old.hits
            self._retired = alive
            self._patience = 2 * len(alive) + RECORD_BOUND

    def warn(self, record):
        limit = config.cyxla_recompilation_warning
        if self.warned or not limit or not 0 < limit < self.compilations or self.where is None:
            return
        self.warned = True
        if self.where[0].startswith(PACKAGE):
            return
        reasons = ", ".join(f"{what} ({kind}, {n} times)" for (kind, what), n in self.changes.most_common(3))
        kinds = {kind for (kind, _), _ in self.changes.most_common(2)}
        file, line = (record.where or self.where)[:2]
        warnings.warn_explicit(
            f"{self.name}, defined at {self.where[0]}:{self.where[1]}, was compiled {self.compilations} times. What "
            f"changed most often: {reasons or 'nothing that is known'}. {_advice(kinds)} "
            "cyxla.explain(f)(*args) lists the misses; the option cyxla_recompilation_warning sets from which number "
            "on this is said.",
            RecompilationWarning,
            file,
            line,
        )


def _advice(kinds):
    advice = {
        "shape": "Pad arrays to a few sizes, or map over the axis that varies.",
        "dtype": "Convert arguments to one dtype before the call.",
        "weak type": "Pass arrays, or always Python numbers, not now this and now that.",
        "static value": "Pass it as an ordinary argument, unless it decides shapes or Python's control flow.",
        "tree structure": "Pass containers of one structure.",
        "configuration": "Set options once, outside of the loop.",
        "function": "Make the function once, outside of the loop, and pass what varies as an argument.",
        "device": "Put arguments on one device.",
        "forgotten": "The caches are being emptied, or overflow.",
        "outer trace": "Pass what it closes over as an argument.",
    }
    return " ".join(advice[kind] for kind in sorted(kinds) if kind in advice)


# -- what has changed


def _changes(record, earlier, fun, tree, static, on_trace):
    mine = record.signature
    nearest = min(reversed(earlier), key=lambda other: mine.distance(other.signature)).signature
    found = [
        *_function_changes(record.name, nearest, mine),
        *_argument_changes(nearest, mine, fun, tree, static, record.kind == "jit"),
        *_static_changes(nearest, mine),
        *_configuration_changes(nearest.epoch, mine.epoch),
    ]
    if nearest.device != mine.device:
        found.append(Change("device", "committed arguments", str(nearest.device), str(mine.device)))
    if nearest.options != mine.options:
        found.append(Change("options", record.name, None, None, "jitted with other options"))
    if on_trace:
        found.append(
            Change(
                "outer trace",
                record.name,
                None,
                None,
                "it closes over a value of a transformation that is under way, and is traced anew at each call",
            )
        )
    if not found:
        found.append(
            Change("forgotten", record.name, None, None, "compiled before: caches were cleared or reached a bound")
        )
    if len(found) > CHANGES_BOUND:
        rest = len(found) - CHANGES_BOUND + 1
        found[CHANGES_BOUND - 1 :] = [Change(found[-1].kind, f"{rest} more", None, None)]
    return found


def _function_changes(name, before, after):
    if after.has_function_of(before):
        if before.parts is not None and after.parts is not None:
            yield from _part_changes(before.parts, after.parts)
        return
    if after.reason is not None:
        yield Change("function", name, None, None, f"a new function, which may differ from the last: {after.reason}")
    elif before.parts is not None and after.parts is not None:
        yield from _part_changes(before.parts, after.parts)


def _part_changes(before, after):
    for part in {**before, **after}:
        old, new = before.get(part, (None, None)), after.get(part, (None, None))
        if old[0] != new[0]:
            if old[1] is not None and new[1] is not None:
                yield Change("function", part, old[1], new[1])
            else:
                yield Change("function", part, None, None, "another value or object")


def _argument_changes(before, after, fun, tree, static, of_function):
    if not after.has_tree_of(before) or len(before.avals) != len(after.avals):
        yield from _tree_changes(before.tree(), tree, fun, static)
        return
    for i, (old, new) in enumerate(zip(before.avals, after.avals)):
        if old is new:
            continue
        where = argument_path(fun, tree, static, i) if of_function and tree is not None else f"operand {i}"
        if old.shape != new.shape:
            yield Change("shape", where, str(old.shape), str(new.shape))
        if old.dtype != new.dtype:
            yield Change("dtype", where, str(old.dtype), str(new.dtype))
        if old.weak_type != new.weak_type:
            yield Change("weak type", where, str(old.weak_type), str(new.weak_type))


def _tree_changes(before, after, fun, static):
    if before is None or after is None:
        yield Change("tree structure", "arguments", None, None, "other than before")
        return
    old, new = (tree.unflatten(range(tree.num_leaves)) for tree in (before, after))
    for path, had, has, _ in equality_errors(old, new):
        if len(path) >= 2:
            where = written(fun, static, path)
        else:
            where = "keyword arguments" if path and path[0].idx == 1 else "arguments"
        yield Change("tree structure", where, had, has)


def _static_changes(before, after):
    for name in {**before.static, **after.static}:
        old, new = before.static.get(name), after.static.get(name)
        if old != new:
            texts = ["absent" if value is None else value[2] for value in (old, new)]
            note = None
            if texts[0] == texts[1]:
                note = f"equal in print; of type {new[0].__name__}, was {old[0].__name__}, or another object"
            yield Change("static value", name, *texts, note)


def _configuration_changes(before, after):
    if before == after:
        return
    old, new = configuration(before), configuration(after)
    if old is None or new is None:
        yield Change("configuration", "options", None, None, "other than before")
        return
    for name in new:
        if old.get(name) != new[name]:
            kind = "named axes" if name == "named axes" else "configuration"
            yield Change(kind, name, repr(old.get(name)), repr(new[name]))


# -- making records


def _codes(fun):
    """What a function is known by, however often it is made: the code objects of it and of what it wraps."""
    codes = []
    while len(codes) < 32:
        if isinstance(fun, JitFunction):
            fun = fun.__wrapped__
        elif isinstance(fun, functools.partial):
            codes.append(functools.partial)
            fun = fun.func
        elif isinstance(fun, MethodType):
            fun = fun.__func__
        else:
            codes.append(getattr(fun, "__code__", type(fun)))
            wrapped = getattr(fun, "__wrapped__", None)
            if wrapped is None:
                break
            fun = wrapped
    return tuple(codes)


def _history(key, make):
    with _lock:
        found = _histories.get(key)
        if found is None:
            found = make()
            keep(_histories, key, found, FUNCTION_BOUND, NAME)
        return found


def of_function(fun, kind="jit"):
    """The history of a function; the same for functions of one code."""
    codes = _codes(fun)
    innermost = codes[-1]
    where = None
    if hasattr(innermost, "co_filename"):
        where = innermost.co_filename, innermost.co_firstlineno
    return _history((kind, *map(id, codes)), lambda: History(kind, function_name(fun), codes, where))


def find(fun):
    """The histories of a function, as it was jitted or called by control flow."""
    ids = tuple(map(id, _codes(fun)))
    with _lock:
        return [history for key, history in _histories.items() if key[1:] == ids]


def _finish(record):
    for listener in getattr(_listeners, "stack", ()):
        listener.append(record)
    if config.jax_explain_cache_misses:
        logger.warning(
            "%s %s%s, called at %s, was not in the cache (miss %d): %s",
            record.kind, record.name, record.signature.text(), record.location(), record.number, record.why(),
        )  # fmt: skip
    return record


def traced(spec, in_tree, avals, static, device, options, identity, seconds, may_be_kept):
    """The record of a jitted function that was traced in `seconds`."""
    fun = spec.fun
    values = {}
    for i, _, value in static[0] if static else ():
        values[parameter(fun, i)] = static_value(value)
    for name, _, value in static[1] if static else ():
        values[name] = static_value(value)
    signature = Signature(avals, values, device, fun=fun, identity=identity, tree=in_tree, options=options)
    history = of_function(fun)
    record = Record("jit", spec.name, signature, seconds, history)
    history.add(record, fun, in_tree, static, on_trace=not may_be_kept)
    return _finish(record)


def program(kind, jaxpr, avals, params, device, *, name=None):
    """The record of control flow, or of a transformed jit, that is compiled by itself."""
    info = jaxpr.jaxpr.debug_info
    fun = getattr(info, "reference", lambda: None)()
    values = _parameters(params)
    if fun is None:
        # What a transformation made; its operands tell nothing about the user's call.
        history = _history(("program", kind), lambda: History(kind, name or kind, comparable=False))
        return _add(Record(kind, name or kind, Signature(avals, values, device), 0.0, history))
    signature = Signature(avals, values, device, fun=fun, identity=info.identity)
    return _add(Record(kind, info.name, signature, info.seconds, of_function(fun, kind)))


def operation(jaxpr, device):
    """The record of an operation that is compiled by itself: a jaxpr of one equation."""
    (eqn,) = jaxpr.eqns
    name = eqn.primitive.name
    signature = Signature(tuple([v.aval for v in jaxpr.invars]), _parameters(eqn.params), device)
    return _add(Record("operation", name, signature, 0.0, _history(("operation", name), lambda: History(name, name))))


def _add(record):
    record.history.add(record)
    return _finish(record)


def _parameters(params):
    return {
        name: static_value(value)
        for name, value in params.items()
        if not isinstance(value, (ClosedJaxpr, Jaxpr)) and not (isinstance(value, tuple) and name == "branches")
    }


# -- reading them


class Listening:
    """Context manager: collects the records that this thread makes."""

    def __enter__(self):
        self.records = []
        if not hasattr(_listeners, "stack"):
            _listeners.stack = []
        _listeners.stack.append(self.records)
        return self.records

    def __exit__(self, *exc):
        # By identity: lists of equal records are equal.
        _listeners.stack[:] = [known for known in _listeners.stack if known is not self.records]


def hits():
    """How often each record's program was found again: [(record, hits)]."""
    with _lock:
        return [(record, record.tally.hits) for history in _histories.values() for record in history.records]
