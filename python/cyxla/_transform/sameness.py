"""When two function objects are provably the same function, so that what was traced of one holds for the other.

Programs make a new lambda at every call of `scan`, `cond` or `jit`; its identity says nothing. Two functions are the
same if they have one code object and all that the code can read besides its arguments is equal: closure cells,
defaults and the globals it names, each an immutable value, the same array, a module of which the attributes in question
are such, or a function that is the same by this rule. Code that writes anything but locals, imports, or calls something
that is not known to be a function of its arguments, is not provable; then only identity counts.
"""

import builtins
import cmath
import dis
import enum
import functools
import inspect
import math
import operator
import threading
import weakref
from collections import OrderedDict, defaultdict, namedtuple
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType

import numpy as np

from cyxla._core.later import LATER
from cyxla._engine.array import ArrayImpl, MutableArray, typeof
from cyxla._engine.boundary import Boundary
from cyxla._engine.caches import CacheInfo, cached, register
from cyxla._engine.core import Primitive
from cyxla._engine.dispatch import JitFunction

# Instructions that write elsewhere than to locals, or read what is not looked at here.
_OPAQUE = {
    "DELETE_ATTR",
    "DELETE_GLOBAL",
    "DELETE_NAME",
    "IMPORT_FROM",
    "IMPORT_NAME",
    "IMPORT_STAR",
    "LOAD_BUILD_CLASS",
    "LOAD_FROM_DICT_OR_DEREF",
    "LOAD_FROM_DICT_OR_GLOBALS",
    "LOAD_LOCALS",
    "LOAD_SUPER_ATTR",
    "STORE_ATTR",
    "STORE_GLOBAL",
    "STORE_NAME",
}
_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}
_GLOBALS = {"LOAD_GLOBAL", "LOAD_NAME"}
_CELLS = {"STORE_DEREF", "DELETE_DEREF"}
_IMPURE_CODE = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR

_PURE_BUILTINS = frozenset(
    getattr(builtins, name)
    for name in """
    abs all any bool bytes callable chr complex dict divmod enumerate filter float frozenset hash int isinstance
    issubclass len list map max min ord pow range repr reversed round set slice sorted str sum tuple type zip
    ArithmeticError AssertionError Ellipsis Exception IndexError KeyError NotImplemented NotImplementedError
    RuntimeError StopIteration TypeError ValueError ZeroDivisionError
    """.split()  # noqa: SIM905
)
_PURE_MODULES = (cmath, math, operator)
_PURE_NUMPY = frozenset(
    getattr(np, name)
    for name in """
    arange argmax argmin argsort array asarray ascontiguousarray broadcast_shapes broadcast_to ceil clip concatenate
    cumsum diag dtype empty_like expand_dims eye finfo full full_like hstack identity iinfo isscalar issubdtype linspace
    max mean meshgrid min moveaxis ndim ones ones_like prod promote_types repeat reshape result_type round shape size
    sort squeeze stack std sum swapaxes tile transpose triu tril vstack where zeros zeros_like
    """.split()  # noqa: SIM905
)
_LIBRARIES = ("cyxla", "numpy", "ml_dtypes", "math", "operator", "functools")
_IMMUTABLE = (int, bool, str, bytes, type(None), type(...), np.dtype)


class NotProvable(Exception):
    """A function reads something of which it is not known that it stays as it is."""


class _Reads:
    """What a code object, with those inside of it, reads besides its arguments and cells."""

    __slots__ = ("attributes", "code", "names")

    def __init__(self, code):
        names, attributes = {}, set()
        self._add(code, frozenset(code.co_freevars), names, attributes)
        self.code = code
        self.names = tuple(names)
        self.attributes = tuple(sorted(attributes))

    def _add(self, code, cells, names, attributes):
        if code.co_flags & _IMPURE_CODE:
            raise NotProvable("it is a generator")
        for instruction in dis.get_instructions(code):
            name = instruction.opname
            if name in _OPAQUE or (name in _CELLS and instruction.argval in cells):
                raise NotProvable(f"its code has the instruction {name}")
            if name in _GLOBALS:
                names[instruction.argval] = None
            elif name in _ATTRIBUTES:
                attributes.add(instruction.argval)
        for const in code.co_consts:
            if isinstance(const, CodeType):
                self._add(const, cells, names, attributes)


@cached("what code reads", 4096)
def _reads_of(code_id, holder):
    """The reads of a code object, or why they do not tell; by identity, as equality of code objects compares them."""
    try:
        return _Reads(holder.code)
    except NotProvable as error:
        return str(error)


class _Holder:
    """Keeps a code object alive as a key."""

    __slots__ = ("code",)

    def __init__(self, code):
        self.code = code

    def __hash__(self):
        return id(self.code)

    def __eq__(self, other):
        return self.code is other.code


class _Key:
    """Builds the key of one function: what it reads, with `held`, the objects in it that are known by identity."""

    def __init__(self):
        self.held = []
        self.inside = {}  # functions being looked at, for recursive ones
        # Modules and the attributes that any of the functions names: which one reads which is not followed.
        self.modules = {}
        self.attributes = set()

    def build(self, x):
        """The key of a value, with what is read of all modules that it refers to."""
        key = self.value(x)
        while True:
            extent = len(self.modules), len(self.attributes)
            attributes = sorted(self.attributes)
            modules = tuple([self.module(m, attributes) for m in list(self.modules.values())])
            if extent == (len(self.modules), len(self.attributes)):
                return key, modules

    def identity(self, x):
        self.held.append(x)
        return id(x)

    def function(self, fun):
        known = self.inside.get(id(fun))
        if known is not None:
            return "function", known
        self.inside[id(fun)] = len(self.inside)
        code = fun.__code__
        cells = tuple(map(self.cell, fun.__closure__ or ()))
        defaults = tuple(map(self.value, fun.__defaults__ or ()))
        kwdefaults = tuple([(k, self.value(v)) for k, v in (fun.__kwdefaults__ or {}).items()])
        extra = fun.__dict__
        wrapped = self.value(extra["__wrapped__"]) if "__wrapped__" in extra else None
        if len(extra) > (wrapped is not None):
            raise NotProvable(f"{fun.__qualname__} has attributes")
        # What the library's own functions read of their modules does not change.
        # (A wrapper has the `__module__` of the user's function that it wraps.)
        read = () if _root(fun.__globals__.get("__name__")) == "cyxla" else self.names(code, fun)
        return "function", self.identity(code), cells, defaults, kwdefaults, read, wrapped

    def names(self, code, fun):
        """The values of the globals and builtins that a function names."""
        reads = _reads_of(id(code), _Holder(code))
        if isinstance(reads, str):
            raise NotProvable(f"{fun.__qualname__}: {reads}")
        self.attributes.update(reads.attributes)
        read = []
        scope, basics = fun.__globals__, fun.__builtins__
        for name in reads.names:
            if name in scope:
                read.append(self.value(scope[name]))
                continue
            value = basics.get(name)
            if value is None:
                read.append("missing")  # which raises, or did when it was traced
            elif _is_among(value, _PURE_BUILTINS):
                read.append(id(value))
            else:
                raise NotProvable(f"it uses {name}")
        return tuple(read)

    def cell(self, cell):
        try:
            return self.value(cell.cell_contents)
        except ValueError:
            return "empty"

    def value(self, x):
        kind = type(x)
        if kind in _IMMUTABLE:
            return kind, x
        if kind is float:
            return kind, x.hex()
        if kind is complex:
            return kind, x.real.hex(), x.imag.hex()
        if kind is ArrayImpl or isinstance(x, MutableArray):
            # What a reference holds is read when the program runs, not when it is traced.
            return "array", self.identity(x)
        if kind is tuple or kind is frozenset:
            return kind, tuple(map(self.value, x))
        if kind is FunctionType:
            return self.function(x)
        if kind is ModuleType:
            self.modules[id(x)] = x
            return "module", self.identity(x)
        if isinstance(x, np.generic):
            if kind.__module__ not in ("numpy", "ml_dtypes"):
                raise NotProvable(f"{x!r:.50} is a scalar of its own kind")
            return kind, x.dtype, x.tobytes()
        if kind is functools.partial:
            if not x.__dict__:
                keywords = tuple([(k, self.value(v)) for k, v in x.keywords.items()])
                return kind, self.value(x.func), tuple(map(self.value, x.args)), keywords
        elif kind is weakref.ref:
            referent = x()
            if referent is not None:
                return kind, self.value(referent)
        elif kind is Boundary:
            # What a transformation returned: it reads its cells, the user's function among them.
            wrapped = x.__wrapped__
            if type(wrapped) is FunctionType and _root(wrapped.__globals__.get("__name__")) == "cyxla":
                return kind, self.function(wrapped)
        elif kind is JitFunction:
            return "jit", self.value(x.__wrapped__), x.spec.key()
        elif _is_known(x, kind):
            return "known", self.identity(x)
        raise NotProvable(f"it reads {x!r:.50} of type {kind.__name__}")

    def module(self, module, attributes):
        """What is read of a module, by any of the functions."""
        scope = vars(module)
        root = _root(module.__name__)
        if root not in _LIBRARIES and "__getattr__" in scope:
            raise NotProvable(f"the module {module.__name__} computes its attributes")
        found = []
        later = scope.get(LATER, ()) if root == "cyxla" else ()
        for name in attributes:
            x = getattr(module, name) if name in later else scope.get(name, self)
            if x is not self:
                # Whatever the library defines is a function of its arguments; it may have been replaced.
                plain = root == "cyxla" and type(x) is not ModuleType
                found.append((name, self.identity(x) if plain else self.value(x)))
        return id(module), tuple(found)


def _is_known(x, kind):
    """Whether a value is a function of its arguments, or a type or constant, that does not change."""
    if kind is BuiltinFunctionType:
        return _is_among(x, _PURE_BUILTINS) or any(vars(m).get(x.__name__) is x for m in _PURE_MODULES)
    if isinstance(x, type):
        if _is_among(x, _PURE_BUILTINS) or x is functools.partial or _is_plain_type(x):
            return True
        return issubclass(x, (np.generic, np.ndarray, np.dtype)) and _root(x.__module__) in ("numpy", "ml_dtypes")
    if isinstance(x, enum.Enum):
        return _root(kind.__module__) == "cyxla"
    if isinstance(x, np.ufunc) or kind is Primitive or kind.__module__ == "cyxla._engine.ufunc":
        return True
    return kind.__module__ == "numpy" and _is_among(x, _PURE_NUMPY)


def _is_among(x, known):
    try:
        return x in known
    except TypeError:
        return False


def _root(name):
    return name.partition(".")[0] if isinstance(name, str) else ""


_PLAIN_NODES = (tuple, list, dict, OrderedDict, defaultdict, type(None))
_NAMEDTUPLE = frozenset(vars(namedtuple("_Sample", ""))) | {"__annotate_func__", "__annotations__", "__orig_bases__"}
_NAMEDTUPLE |= {"__annotations_cache__", "__static_attributes__", "__firstlineno__"}


@cached("plain structures of arguments", 1024)
def is_plain(tree):
    """Whether arguments of a structure have no methods or class attributes of the user's, which could change."""
    node = tree.node_data()
    if node is not None and not _is_plain_type(node[0]):
        return False
    return all(map(is_plain, tree.children()))


def _is_plain_type(kind):
    if kind in _PLAIN_NODES or _root(kind.__module__) == "cyxla":
        return True
    return kind.__bases__ == (tuple,) and not set(vars(kind)) - _NAMEDTUPLE - set(getattr(kind, "_fields", ()))


def function_key(fun):
    """`(key, held)`: functions with equal keys are the same; or None, where only identity can be relied on.

    The key refers to objects by their address, so it is good as long as `held`, a list of them, is kept.
    """
    found = identify(fun)
    return None if isinstance(found, str) else found


def identify(fun):
    """`function_key(fun)`, or why it cannot be told."""
    if type(fun) is MethodType:
        return "it is a method, and may read what changes in its object"
    key = _Key()
    try:
        return key.build(fun), key.held
    except NotProvable as error:
        return str(error)


def components(fun, key):
    """What a function's key says of each thing that it reads, by a name for that: `closure variable n`, `global N`."""
    if type(fun) is functools.partial and key[0] is functools.partial:
        found = {f"bound argument {i}": value for i, value in enumerate(key[2])}
        found.update((f"bound argument {name}", value) for name, value in key[3])
        return {**components(fun.func, key[1]), **found}
    if type(fun) is not FunctionType or key[0] != "function":
        return {"function": key}
    _, _, cells, defaults, kwdefaults, read, wrapped = key
    code = fun.__code__
    found = {f"closure variable {name}": value for name, value in zip(code.co_freevars, cells)}
    names = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
    found.update((f"default of {name}", value) for name, value in zip(names, defaults))
    found.update((f"default of {name}", value) for name, value in kwdefaults)
    if read:
        found.update((f"global {name}", value) for name, value in zip(_reads_of(id(code), _Holder(code)).names, read))
    if wrapped is not None:
        found["the function it wraps"] = wrapped
    return found


class SharedTraces:
    """Traces by function key, the most recently used ones; fewer where the functions hold many bytes of arrays."""

    def __init__(self, max_entries=1024, max_bytes=1 << 28):
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.entries = OrderedDict()  # key -> (trace, what the key holds, bytes)
        self.bytes = 0
        self.hits = self.misses = self.evictions = 0
        self._lock = threading.Lock()

    def get(self, key):
        with self._lock:
            found = self.entries.get(key)
            if found is None:
                self.misses += 1
                return None
            self.hits += 1
            self.entries.move_to_end(key)
            return found[0]

    def put(self, key, trace, held):
        size = sum(typeof(x).nbytes for x in held if isinstance(x, (ArrayImpl, MutableArray)))
        with self._lock:
            if key in self.entries or size > self.max_bytes:
                return
            self.entries[key] = trace, held, size
            self.bytes += size
            while len(self.entries) > self.max_entries or self.bytes > self.max_bytes:
                self.bytes -= self.entries.popitem(last=False)[1][2]
                self.evictions += 1

    def clear(self):
        with self._lock:
            self.entries.clear()
            self.bytes = 0

    def report(self):
        return CacheInfo(
            len(self.entries),
            self.max_entries,
            self.bytes,
            self.hits,
            self.misses,
            self.evictions,
            f"least recently used first, also when they hold {self.max_bytes >> 20} MiB of arrays",
        )


traces = SharedTraces()
register("traces of functions that are the same", traces.report, traces.clear)


def _are_provable(values):
    key = _Key()
    try:
        for value in values:
            key.build(value)
    except NotProvable:
        return False
    return True


def shared(fun, tree, key, trace, keep, static=(), observe=None):
    """`trace()`, or what it gave for a function that is the same and an equal key; kept if `keep(result)` allows.

    `tree` is the structure of the arguments, `static` those that are values: the function can read them, too.
    `observe`, if given, is told the function's key, or why there is none.
    """
    if not is_plain(tree):
        mine = "an argument is of a class of the user's, whose methods it may call"
    elif static and not _are_provable(static):
        mine = "a static argument may change"
    else:
        mine = identify(fun)
    if observe is not None:
        observe(mine if isinstance(mine, str) else mine[0])
    if isinstance(mine, str):
        return trace()
    full = (mine[0], key)
    try:
        found = traces.get(full)
    except TypeError:  # the key has no hash
        return trace()
    if found is None:
        found = trace()
        after = function_key(fun)
        # Tracing runs the function, which could have changed what it reads.
        if after is not None and after[0] == mine[0] and keep(found):
            traces.put(full, found, mine[1])
    return found
