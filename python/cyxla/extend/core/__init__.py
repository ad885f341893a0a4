"""Primitives, jaxprs and traces, for libraries that add to them or interpret them."""

import collections.abc
import weakref
from typing import Any, NamedTuple

import numpy as np

from cyxla._core.errors import ConcretizationTypeError, InconclusiveDimensionOperation, JaxprTypeError
from cyxla._engine.array import ArrayImpl, is_arraylike
from cyxla._engine.aval import ShapedArray
from cyxla._engine.batching import BatchTrace
from cyxla._engine.config import named_axes
from cyxla._engine.core import (
    ClosedJaxpr,
    EvalTrace,
    Jaxpr,
    Literal,
    Primitive,
    Trace,
    Tracer,
    Var,
    eval_jaxpr,
    get_trace,
    using_trace,
)
from cyxla._engine.core import Eqn as JaxprEqn
from cyxla._engine.core import NamedAxisEffect as NamedAxisEffect
from cyxla._engine.staging import LinearTrace, StagingTrace
from cyxla._transform.effects import Effect

no_effects = frozenset()


Effects = collections.abc.Set


class AbstractToken:
    """The abstract value of what orders effects."""

    def __eq__(self, other):
        return type(other) is AbstractToken

    def __hash__(self):
        return hash(AbstractToken)

    def __repr__(self):
        return "AbstractToken()"

    def str_short(self, short_dtypes=False, mesh_axis_types=False):
        return "Tok"


abstract_token = AbstractToken()


class Token:
    """A value that says that something has happened."""

    def __init__(self, buf):
        self._buf = buf

    @property
    def aval(self):
        return abstract_token

    def block_until_ready(self):
        """Waits until it has."""
        self._buf.block_until_ready()
        return self


class TraceTag:
    """Marks the traces that belong to one use of a transformation."""


class DropVar:
    """A result that nobody uses. Jaxprs of Cyxla have plain variables there."""

    def __init__(self, aval):
        self.aval = aval

    def __repr__(self):
        return "_"

    def pretty_print(self, context, *, print_dtype=True):
        """As it is printed."""
        return "_"


class DebugInfo(NamedTuple):
    """What messages say of a traced function: `func_src_info` is `"name at file:line"`, the names may be None.

    `result_paths` may be a function that returns them, as long as they are not known.
    """

    traced_for: str
    func_src_info: str
    arg_names: Any
    result_paths: Any

    @property
    def func_name(self):
        """The name of the function."""
        return self.func_src_info.split(" ")[0]

    def _place(self):
        file, _, line = self.func_src_info.partition(" at ")[2].rpartition(":")
        return (file, int(line)) if file and line.isdigit() else (None, None)

    @property
    def func_filename(self):
        """The file of the function, or None."""
        return self._place()[0]

    @property
    def func_lineno(self):
        """The line of the function, or None."""
        return self._place()[1]

    def replace(self, **changes):
        return self._replace(**changes)

    def replace_func_name(self, name):
        """The same for a function of another name."""
        rest = self.func_src_info[len(self.func_name) :]
        return self._replace(func_src_info=f"{name}{rest}")

    def with_unknown_names(self):
        """The same without the names of arguments and results."""
        return self._replace(arg_names=None, result_paths=None)

    def resolve_result_paths(self):
        """The same with the names of results, where they are a function that returns them."""
        paths = self.result_paths
        return self._replace(result_paths=tuple(paths())) if callable(paths) else self

    def safe_arg_names(self, expected_count):
        """The names of the arguments, so many; empty ones if they are not known. AssertionError for another number."""
        self.assert_arg_names(expected_count)
        return ("",) * expected_count if self.arg_names is None else tuple(self.arg_names)

    def safe_result_paths(self, expected_count):
        """The names of the results, so many; empty ones if they are not known. AssertionError for another number."""
        self.assert_result_paths(expected_count)
        return ("",) * expected_count if self.result_paths is None else tuple(self.result_paths)

    def filter_arg_names(self, keep):
        """The names of the arguments that are marked in `keep`; None if they are not known."""
        return _marked("arguments", self.arg_names, keep)

    def filter_result_paths(self, keep):
        """The names of the results that are marked in `keep`; None if they are not known."""
        return _marked("results", self.result_paths, keep)

    def assert_arg_names(self, expected_count):
        """AssertionError unless so many arguments, or none, have names."""
        _check_count("arguments", self.arg_names, expected_count)

    def assert_result_paths(self, expected_count):
        """AssertionError unless so many results, or none, have names."""
        _check_count("results", self.result_paths, expected_count)


def _check_count(what, names, expected_count):
    if callable(names):
        raise AssertionError(f"the names of the {what} are not known yet; see resolve_result_paths")
    if names is not None and len(names) != expected_count:
        raise AssertionError(f"{expected_count} {what}, of which {len(names)} have names: {names}")


def _marked(what, names, keep):
    if names is None:
        return None
    _check_count(what, names, len(keep))
    return tuple(name for name, kept in zip(names, keep) if kept)


class CallPrimitive(Primitive):
    """A primitive that is applied to a function: `bind(fun, *args)`, `fun` being a `WrappedFun`, calls it."""

    call_primitive = True

    def __init__(self, name):
        super().__init__(name, multiple_results=True, skip_canonicalization=True)
        self.def_impl(call_impl)

    def bind(self, fun, *args, **params):
        return fun.call_wrapped(*args)

    def get_bind_params(self, params):
        from cyxla.extend.linear_util import wrap_init

        params = dict(params)
        jaxpr = params.pop("call_jaxpr")
        closed = ClosedJaxpr(jaxpr, []) if isinstance(jaxpr, Jaxpr) else jaxpr
        return [wrap_init(jaxpr_as_fun(closed))], params


def call_impl(f, *args, **params):
    """Calls a `WrappedFun`."""
    return f.call_wrapped(*args)


# jaxprs ---------------------------------------------------------------------------------------------------------------


def jaxpr_as_fun(closed_jaxpr, *args):
    """A function that evaluates a closed jaxpr on its arguments and returns the list of results.

    With arguments, evaluates it on them.

    >>> import cyxla
    >>> jaxpr_as_fun(cyxla.make_jaxpr(lambda x: x + 1.0)(2.0))(3.0)
    [Array(4., dtype=float32, weak_type=True)]
    """

    def evaluate(*args):
        return eval_jaxpr(closed_jaxpr.jaxpr, closed_jaxpr.consts, args)

    return evaluate(*args) if args else evaluate


def new_jaxpr_eqn(invars, outvars, primitive, params, effects, source_info=None, ctx=None):
    """An equation `outvars = primitive[params] invars`."""
    return JaxprEqn(primitive, invars, outvars, params)


def jaxprs_in_params(params):
    """The jaxprs among the parameters of an equation, one after the other."""
    for value in params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(item, Jaxpr):
                yield item
            elif isinstance(item, ClosedJaxpr):
                yield item.jaxpr


def subjaxprs(jaxpr):
    """The jaxprs in the equations of a jaxpr, not those further inside."""
    for eqn in jaxpr.eqns:
        yield from jaxprs_in_params(eqn.params)


def gensym():
    """A function that makes new variables of avals."""
    return Var


def check_jaxpr(jaxpr):
    """Checks that a jaxpr uses what is defined, and that its variables have the avals that its primitives say.

    Raises JaxprTypeError otherwise.
    """
    known = {*jaxpr.constvars, *jaxpr.invars}
    for eqn in jaxpr.eqns:
        for atom in eqn.invars:
            _check_atom(atom, known, f"the equation `{eqn}`")
        if eqn.primitive.multiple_results and not isinstance(eqn.primitive.abstract, collections.abc.Callable):
            continue
        said = eqn.primitive.abstract_eval(*[atom.aval for atom in eqn.invars], **eqn.params)
        said = list(said) if eqn.primitive.multiple_results else [said]
        given = [v.aval for v in eqn.outvars]
        if [(a.shape, a.dtype) for a in said] != [(a.shape, a.dtype) for a in given]:
            raise JaxprTypeError(
                f"the results of `{eqn}` are {', '.join(a.str_short() for a in given)}; by its rule for abstract "
                f"evaluation, {eqn.primitive} gives {', '.join(a.str_short() for a in said)}"
            )
        for sub in jaxprs_in_params(eqn.params):
            check_jaxpr(sub)
        known.update(eqn.outvars)
    for atom in jaxpr.outvars:
        _check_atom(atom, known, "the results")


def _check_atom(atom, known, where):
    if type(atom) is not Literal and atom not in known:
        raise JaxprTypeError(f"the variable {atom} of {where} is not defined before")


# values and avals -----------------------------------------------------------------------------------------------------


def _array_types():
    from cyxla._engine import dtypes

    scalars = {np.dtype(name).type for name in ("bool", "int8", "int16", "int32", "int64")}
    scalars |= {
        np.dtype(name).type for name in ("uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")
    }
    scalars |= {np.complex64, np.complex128, dtypes.np_dtype("bfloat16").type if hasattr(dtypes, "np_dtype") else None}
    return scalars - {None} | {np.ndarray, ArrayImpl}


array_types = _array_types()


def valid_jaxtype(x):
    """Whether a value is an array, or a number that stands for one."""
    return is_arraylike(x)


def primal_dtype_to_tangent_dtype(primal_dtype):
    """The dtype of tangents of values of a dtype: itself for floats, `float0` for integers and booleans."""
    return ShapedArray((), primal_dtype).to_tangent_aval().dtype


def mapped_aval(size, axis, aval):
    """The aval of one element along an axis (None: of a value that has no such axis)."""
    if axis is None:
        return aval
    if aval.shape[axis] != size:
        raise ValueError(f"mapped_aval: axis {axis} of {aval.str_short()} has not the size {size}")
    axis %= aval.ndim
    return aval.update(shape=aval.shape[:axis] + aval.shape[axis + 1 :])


def unmapped_aval(size, axis, aval, explicit_mesh_axis=None):
    """The aval of `size` values along a new axis (None: of one value)."""
    if axis is None:
        return aval
    shape = list(aval.shape)
    shape.insert(axis % (aval.ndim + 1), size)
    return aval.update(shape=tuple(shape))


def concrete_or_error(force, val, context=""):
    """`force(val)`, or `val` where `force` is None; ConcretizationTypeError, which says `context`, for tracers."""
    if isinstance(val, Tracer):
        raise ConcretizationTypeError(val, context)
    return val if force is None else force(val)


# traces ---------------------------------------------------------------------------------------------------------------


class set_current_trace:
    """Context manager: makes a trace the current one of this thread."""

    def __init__(self, trace, check_leaks=False):
        self._using = using_trace(trace)

    def __enter__(self):
        self._using.__enter__()

    def __exit__(self, *exc):
        return self._using.__exit__(*exc)


class take_current_trace:
    """Context manager: gives the current trace of this thread, and evaluates eagerly meanwhile."""

    def __enter__(self):
        trace = find_top_trace(())
        self._using = using_trace(None)
        self._using.__enter__()
        return trace

    def __exit__(self, *exc):
        return self._using.__exit__(*exc)


def find_top_trace(_):
    """The current trace of this thread; an `EvalTrace` where operations are evaluated eagerly."""
    trace = get_trace()
    return EvalTrace() if trace is None else trace


def _traces():
    trace = get_trace()
    while trace is not None:
        yield trace
        trace = trace.parent


class OpaqueTraceState:
    """Equal where the same transformations are under way."""

    def __init__(self):
        trace = get_trace()
        self._trace = None if trace is None else weakref.ref(trace)
        self._axes = named_axes()

    def __eq__(self, other):
        return isinstance(other, OpaqueTraceState) and (self._trace, self._axes) == (other._trace, other._axes)

    def __hash__(self):
        return hash((self._trace, self._axes))


def get_opaque_trace_state(convention=None):
    """Something to compare: equal when the same transformations are under way."""
    return OpaqueTraceState()


def unsafe_am_i_under_a_jit_DO_NOT_USE():
    """Whether a function is being traced into a jaxpr."""
    return any(isinstance(t, StagingTrace) and not isinstance(t, LinearTrace) for t in _traces())


def unsafe_am_i_under_a_vmap_DO_NOT_USE():
    """Whether a function is being vectorized."""
    return any(isinstance(t, BatchTrace) for t in _traces())


def unsafe_get_axis_names_DO_NOT_USE():
    """The names of the mapped axes."""
    return [name for name, _ in named_axes()]


def nonempty_axis_env_DO_NOT_USE():
    """Whether there are mapped axes with names."""
    return bool(named_axes())


def __getattr__(name):
    if name == "primitives":
        import importlib

        return importlib.import_module("cyxla.extend.core.primitives")
    raise AttributeError(f"module 'cyxla.extend.core' has no attribute {name!r}")


__all__ = [
    "AbstractToken",
    "CallPrimitive",
    "ClosedJaxpr",
    "DebugInfo",
    "DropVar",
    "Effect",
    "Effects",
    "InconclusiveDimensionOperation",
    "Jaxpr",
    "JaxprEqn",
    "JaxprTypeError",
    "Literal",
    "Primitive",
    "Token",
    "Trace",
    "TraceTag",
    "Tracer",
    "Var",
    "array_types",
    "call_impl",
    "check_jaxpr",
    "concrete_or_error",
    "find_top_trace",
    "gensym",
    "get_opaque_trace_state",
    "jaxpr_as_fun",
    "jaxprs_in_params",
    "mapped_aval",
    "new_jaxpr_eqn",
    "no_effects",
    "primal_dtype_to_tangent_dtype",
    "set_current_trace",
    "subjaxprs",
    "take_current_trace",
    "unmapped_aval",
    "valid_jaxtype",
]
