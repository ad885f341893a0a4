"""What each trace and compilation cost, and why it was needed.

A record is made where a call missed; a call that hits adds one to a number and is not seen here. `explain` shows the
records, `jax_explain_cache_misses` logs them, and a function that is compiled too often is warned of.
"""

import contextlib
import functools
import logging
import operator
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
from cyxla._engine.pytree import flatten_one_level
from cyxla._engine.source import user_frame
from cyxla._transform import sameness
from cyxla._transform.arguments import function_name, parameters, written
from cyxla.tree_util import equality_errors, tree_flatten_with_path

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

    __slots__ = ("avals", "device", "epoch", "function", "options", "parts", "reason", "static", "tree", "tree_hash")

    def __init__(self, avals, static, device, *, fun=None, identity=None, tree=None, options=None):
        self.avals = avals
        self.static = static  # number or name of an argument -> (type, hash, text)
        self.device = None if device is None else str(device)
        self.epoch = config_epoch()
        self.function = reference(fun)
        self.reason = identity if isinstance(identity, str) else None
        self.parts = None
        if identity is not None and self.reason is None:
            parts = sameness.components(fun, identity[0])
            self.parts = {name: (hash(part), shown(part)) for name, part in parts.items()}
        self.options = options
        self.tree = None
        if tree is not None:
            # Structures of the user's classes may hold any object of theirs.
            self.tree = (lambda: tree) if sameness.is_plain(tree) else weakref.ref(tree)
        self.tree_hash = hash(tree)

    def has_function_of(self, other):
        mine, others = self.function(), other.function()
        return mine is not None and (mine is others or (type(mine) is MethodType and mine == others))

    def has_tree_of(self, other):
        if self.tree_hash != other.tree_hash or len(self.avals) != len(other.avals):
            return False
        if self.tree is None or other.tree is None:
            return self.tree is other.tree
        mine, others = self.tree(), other.tree()
        if mine is others or mine is None or others is None:
            return True
        try:
            return mine == others
        except ValueError:  # metadata that cannot be compared
            return False

    def distance(self, other):
        """How little alike two signatures are."""
        found = (self.epoch != other.epoch) + (self.device != other.device)
        if not self.has_function_of(other):
            found += 2
        if self.static != other.static:
            found += sum(other.static.get(name) != value for name, value in self.static.items())
        if not self.has_tree_of(other):
            return found + 2 + len(self.avals)
        return found + sum(map(operator.is_not, self.avals, other.avals))


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
    """What is written down of a value: its type, something that is equal for equal values, and how it prints."""
    # The user's own methods may raise anything; that a call missed is no reason to fail.
    try:
        hashed = hash(value)
    except Exception:
        hashed = id(value)
    text = f"<{type(value).__qualname__} object>"
    if type(value).__repr__ is not object.__repr__:  # which prints an address
        with contextlib.suppress(Exception):
            text = _shorten.repr(value)
    return type(value), hashed, text


class Record:
    """One trace of a function, or one operation compiled by itself: what it cost, and why it was made."""

    __slots__ = (
        "_changes",
        "compilations",
        "compile_s",
        "history",
        "kind",
        "lower_s",
        "name",
        "nearest",
        "number",
        "outer_trace",
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
        self.nearest = None
        self.outer_trace = False
        self._changes = None

    @property
    def changes(self):
        """What differs from the most similar call before; worked out when somebody asks."""
        if self._changes is None:
            found = () if self.nearest is None else _changes(self.name, self.nearest, self.signature, self._names())
            if self.outer_trace:
                note = "it closes over a value of a transformation that is under way, and is traced anew at each call"
                found = (*found, Change("outer trace", self.name, None, None, note))
            if not found and self.nearest is not None:
                note = "compiled before: caches were cleared or reached a bound"
                found = (Change("forgotten", self.name, None, None, note),)
            self._changes = found
            self.nearest = None
        return self._changes

    def _names(self):
        """The names of the positional parameters, or None for an operation."""
        if self.kind != "jit":
            return None
        fun = self.signature.function()
        if fun is not None:
            return parameters(fun)
        codes = self.history.held
        # Of the function nothing else is left.
        return codes[0].co_varnames[: codes[0].co_argcount] if len(codes) == 1 and hasattr(codes[0], "co_name") else ()

    def static(self):
        """How static arguments, or the parameters of an operation, print, by name."""
        names = self._names()
        return {_static_name(name, names): text for name, (_, _, text) in self.signature.static.items()}

    def arguments(self):
        avals = self.signature.avals
        pieces = [aval.str_short() for aval in avals[:4]]
        if len(avals) > 4:
            pieces.append(f"... {len(avals)} arrays")
        if self.kind == "jit":  # parameters of operations take more room than they tell
            pieces += [f"{name}={text}" for name, text in self.static().items()]
        return f"({', '.join(pieces)})"

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
            "arguments": self.arguments(),
            "static": self.static(),
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
        self.warned = False
        self._retired = []  # tallies of records that are no longer listed
        self._retired_hits = 0
        self._patience = RECORD_BOUND

    @property
    def hits(self):
        with _lock:
            return self._retired_hits + sum(t.hits for t in self._retired) + sum(r.tally.hits for r in self.records)

    def add(self, record):
        with _lock:
            self.misses += 1
            record.number = self.misses
            if self.comparable and self.records:
                mine = record.signature
                # Of very many arguments, only the last calls are worth looking at.
                earlier = [r.signature for r in reversed(self.records)][: RECORD_BOUND if len(mine.avals) < 64 else 4]
                record.nearest = min(earlier, key=mine.distance)
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
        changes = Counter((change.kind, change.what) for record in self.records for change in record.changes)
        reasons = ", ".join(f"{what} ({kind})" for (kind, what), _ in changes.most_common(3))
        kinds = {kind for (kind, _), _ in changes.most_common(2)}
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


def _changes(name, before, after, names):
    found = [
        *_function_changes(name, before, after),
        *_argument_changes(before, after, names),
        *_static_changes(before, after, names),
        *_configuration_changes(before.epoch, after.epoch),
    ]
    if before.device != after.device:
        found.append(Change("device", "committed arguments", str(before.device), str(after.device)))
    if before.options != after.options:
        found.append(Change("options", name, None, None, "jitted with other options"))
    if len(found) > CHANGES_BOUND:
        rest = len(found) - CHANGES_BOUND + 1
        found[CHANGES_BOUND - 1 :] = [Change(found[-1].kind, f"{rest} more", None, None)]
    return tuple(found)


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


def _argument_changes(before, after, names):
    if not after.has_tree_of(before):
        yield from _tree_changes(before, after, names)
        return
    labels = None
    for i, (old, new) in enumerate(zip(before.avals, after.avals)):
        if old is new:
            continue
        if labels is None:
            labels = _leaf_names(after, names)
        if old.shape != new.shape:
            yield Change("shape", labels[i], str(old.shape), str(new.shape))
        if old.dtype != new.dtype:
            yield Change("dtype", labels[i], str(old.dtype), str(new.dtype))
        if old.weak_type != new.weak_type:
            yield Change("weak type", labels[i], str(old.weak_type), str(new.weak_type))


def _static_numbers(signature):
    return sorted(name for name in signature.static if isinstance(name, int))


def _leaf_names(signature, names):
    n = len(signature.avals)
    if names is None:
        return [f"operand {i}" for i in range(n)]
    tree = signature.tree()
    if tree is not None:
        try:
            paths = [path for path, _ in tree_flatten_with_path(tree.unflatten(range(n)))[0]]
            numbers = _static_numbers(signature)
            return [written(names, numbers, path) for path in paths]
        except Exception:
            # Nodes of the user's classes may not take numbers as leaves.
            pass
    return [f"leaf {i}" for i in range(n)]


def _tree_changes(before, after, names):
    differences = []
    trees = [signature.tree and signature.tree() for signature in (before, after)]
    if None not in trees:
        try:
            trees = [tree.unflatten(range(tree.num_leaves)) for tree in trees]
            differences = [(path, *_structures(trees, path)) for path, *_ in equality_errors(*trees)]
        except Exception:
            # As in `_leaf_names`.
            differences = []
    if not differences:
        yield Change("tree structure", "arguments", None, None, "other than before")
    for path, had, has in differences:
        if len(path) >= 2:
            where = written(names, _static_numbers(after), path)
        else:
            where = "keyword arguments" if path and path[0].idx == 1 else "arguments"
        yield Change("tree structure", where, had, has)


def _structures(trees, path):
    """What each of two trees has at a path, in words that differ."""
    nodes = list(trees)
    for key in path:
        nodes = [next(child for k, child in flatten_one_level(node, True)[0] if k == key) for node in nodes]
    opened = [flatten_one_level(node, True) for node in nodes]
    names = [None if found is None else type(node).__name__ for node, found in zip(nodes, opened)]
    words = [_structure(node, found) for node, found in zip(nodes, opened)]
    if words[0] == words[1]:
        if names[0] == names[1]:
            words = [f"{name} with metadata {found[1]!r:.60}" for name, found in zip(names, opened)]
        else:
            words = [f"{word} ({type(node)})" for word, node in zip(words, nodes)]
    return words


def _structure(node, opened):
    if opened is None:
        return "a leaf"
    if node is None:
        return "None"
    name = type(node).__name__
    if isinstance(node, dict):
        return f"{name} of {', '.join(map(repr, node)) or 'nothing'}"
    return f"{name} of {len(opened[0]) or 'nothing'}" if isinstance(node, (tuple, list)) else name


def _static_name(name, names):
    if isinstance(name, int):
        return names[name] if name < len(names) else f"args[{name}]"
    return name


def _static_changes(before, after, names):
    for name in {**before.static, **after.static}:
        old, new = before.static.get(name), after.static.get(name)
        if old != new:
            texts = ["absent" if value is None else value[2] for value in (old, new)]
            note = None
            if texts[0] == texts[1]:
                note = f"equal in print; of type {new[0].__name__}, was {old[0].__name__}, or another object"
            yield Change("static value", _static_name(name, names), *texts, note)


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


def _add(record):
    record.history.add(record)
    for listener in getattr(_listeners, "stack", ()):
        listener.append(record)
    if config.jax_explain_cache_misses:
        logger.warning(
            "%s %s%s, called at %s, was not in the cache (miss %d): %s",
            record.kind, record.name, record.arguments(), record.location(), record.number, record.why(),
        )  # fmt: skip
    return record


def traced(spec, in_tree, avals, static, device, options, identity, seconds, may_be_kept):
    """The record of a jitted function that was traced in `seconds`."""
    fun = spec.fun
    values = {}
    for i, _, value in static[0] if static else ():
        values[i] = static_value(value)
    for name, _, value in static[1] if static else ():
        values[name] = static_value(value)
    signature = Signature(avals, values, device, fun=fun, identity=identity, tree=in_tree, options=options)
    history = of_function(fun)
    record = Record("jit", spec.name, signature, seconds, history)
    record.outer_trace = not may_be_kept
    return _add(record)


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
