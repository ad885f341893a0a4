"""Checks in compiled programs: `checkify` turns a function's failing checks into a value, an `Error`.

`check(predicate, message)` states what must hold; `checkify(f)` gives a function that returns an error beside f's
result, under `jit`, `vmap`, `grad`, `scan` and the rest. Further checks are made by themselves: of indices, NaNs and
divisions, as the sets `index_checks`, `nan_checks`, `div_checks` ask for.
"""

import builtins
import contextlib
import functools
import itertools
import string
import sys
from typing import NamedTuple

import numpy as np

from cyxla import lax
from cyxla._engine.array import asarray, is_arraylike
from cyxla._engine.aval import ShapedArray
from cyxla._engine.boundary import api_boundary
from cyxla._engine.core import Primitive, Tracer, get_trace
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._transform.arguments import function_name
from cyxla._transform.effects import Effect, lowerable_effects, only
from cyxla._transform.jaxprs import batch_arguments
from cyxla._transform.remembered import remembered
from cyxla._transform.tracing import trace_lifted
from cyxla.tree_util import register_pytree_node_class

# -- kinds of errors


class JaxRuntimeError(ValueError):
    """A check has failed."""


class JaxException(Exception):
    """What a failed check means."""


class FailedCheckError(JaxException):
    """A `check` of the user's."""


class NaNError(JaxException):
    """A NaN was produced."""


class DivisionByZeroError(JaxException):
    """Something was divided by zero."""


class OOBError(JaxException):
    """An index was out of bounds."""


ErrorCategory = type[JaxException]

user_checks = frozenset({FailedCheckError})
nan_checks = frozenset({NaNError})
index_checks = frozenset({OOBError})
div_checks = frozenset({DivisionByZeroError})
float_checks = nan_checks | div_checks
automatic_checks = float_checks | index_checks
all_checks = automatic_checks | user_checks

_codes = itertools.count()


class Site:
    """One place in a program at which a check is made. Its payload says more of a failure: the values in a message."""

    __slots__ = ("avals", "category", "code", "describe")

    def __init__(self, category, avals, describe):
        self.category = category
        self.avals = tuple(avals)
        self.describe = describe  # NumPy arrays of these avals -> the message
        self.code = next(_codes)


class Layout(NamedTuple):
    """The arrays that hold a payload, whichever site it is of: those of several sites share them."""

    avals: tuple[ShapedArray, ...]

    @classmethod
    def of(cls, groups):
        avals = []
        for group in groups:
            free = list(avals)
            for aval in group:
                if aval in free:
                    free.remove(aval)
                else:
                    avals.append(aval)
        return cls(tuple(avals))

    def places(self, avals):
        """Where the arrays of a payload are kept."""
        taken = []
        for aval in avals:
            taken.append(next(i for i, a in enumerate(self.avals) if a is aval and i not in taken))
        return tuple(taken)


# -- the error value


@register_pytree_node_class
class Error:
    """Whether a check has failed, which one, and the values in its message. A pytree; under `vmap` one an element."""

    def __init__(self, _pred, _code, _metadata, _payload):
        self._pred = _pred
        self._code = _code
        self._metadata = _metadata  # ((site, places of its payload), ...)
        self._payload = _payload

    def tree_flatten(self):
        return (self._pred, self._code, *self._payload), self._metadata

    @classmethod
    def tree_unflatten(cls, metadata, data):
        pred, code, *payload = data
        return cls(pred, code, metadata, payload)

    def _failures(self):
        """`(index, exception)` of each failed element; the index is () where there is one."""
        for value in (self._pred, self._code, *self._payload):
            if isinstance(value, Tracer):
                raise ValueError(
                    "the error is a traced value: whether a check has failed is known only outside of jit and other "
                    "transformations. Return the error from the transformed function."
                )
        pred, code = np.asarray(self._pred), np.asarray(self._code)
        sites = {site.code: (site, places) for site, places in self._metadata}
        for index in map(tuple, np.argwhere(pred)):
            site, places = sites[int(code[index])]
            values = [asarray(self._payload[i])[index] for i in places]
            yield index, site.category(site.describe(*values))

    def get(self):
        """The message of the failed check, or None. Of elements of a batch there is a line each."""
        lines = []
        for index, exception in self._failures():
            where = f"at mapped index {', '.join(map(str, index))}: " if index else ""
            lines.append(f"{where}{exception}")
        return "\n".join(lines) if lines else None

    def get_exception(self):
        """The (first) failed check as an exception, or None."""
        return next((exception for _, exception in self._failures()), None)

    def throw(self):
        """Raises JaxRuntimeError, a ValueError, if a check has failed."""
        check_error(self)

    def __repr__(self):
        try:
            return f"Error({self.get()})"
        except ValueError:
            return "Error(traced)"


init_error = Error(np.zeros((), np.bool_), np.zeros((), np.int32), (), ())


# -- the primitive


class CheckEffect(Effect):
    """A check is made. Nothing of it is left to happen when the program runs."""

    observable = False


lowerable_effects.add_type(CheckEffect)


def _raise(pred, code, *payload, metadata, debug):
    if debug or not np.asarray(pred).any():
        return []
    exception = Error(pred, code, metadata, payload).get_exception()
    raise JaxRuntimeError(str(exception))


def _check_batch(axis, args, dims, *, metadata, debug):
    """The last failing element stands for all, as in jax."""
    (pred, code, *payload), (pred_batched, *batched) = batch_arguments(args, dims)
    if pred_batched:
        last = lax.sub(np.int32(pred.shape[0] - 1), lax.argmax(lax.rev(pred, (0,)), 0, np.int32))
        pred = lax.reduce_or(pred, (0,))
    else:
        last = lax.full((), 0, np.int32)
    rest = [lax.dynamic_index_in_dim(x, last, 0, keepdims=False) if b else x for x, b in zip((code, *payload), batched)]
    check_p.bind(pred, *rest, metadata=metadata, debug=debug)
    return [], []


def _check_lower(ctx, *names, metadata, debug):
    if debug:
        return []
    raise ValueError(
        "checkify.check is part of a function that is compiled without being checkified: apply checkify.checkify to "
        "the function outside of jit, scan and the like, or use checkify.debug_check"
    )


check_p = Primitive(
    "check",
    abstract=lambda *avals, **params: [],
    impl=_raise,
    differentiable=False,
    batch=_check_batch,
    batch_needs_axis=True,
    lower=_check_lower,
    multiple_results=True,
    effects=lambda **params: _EFFECT,
)
_EFFECT = only(CheckEffect)


def _is_array(leaf):
    return is_arraylike(leaf) and not isinstance(leaf, builtins.int | float | complex)


def _location(depth):
    frame = sys._getframe(depth)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _check(pred, msg, args, kwargs, debug, location):
    aval = getattr(pred, "aval", None)
    if aval is None and isinstance(pred, np.ndarray | np.bool_ | bool):
        aval = asarray(pred).aval
    if aval is None or aval.shape or aval.dtype != bool:
        got = repr(pred) if aval is None else aval.str_short()
        raise TypeError(f"checkify.check: the predicate must be a boolean scalar, got {got}; use jnp.all or jnp.any")
    leaves, tree = tree_flatten((args, kwargs))
    for leaf in leaves:
        if not _is_array(leaf):
            raise TypeError(
                f"checkify.check: the values for the message must be arrays, got {leaf!r:.200} of type "
                f"{type(leaf).__name__}; write what is known already into the message"
            )
    string.Formatter().vformat(msg, [_Anything()] * len(args), dict.fromkeys(kwargs, _Anything()))
    arrays = [asarray(leaf) for leaf in leaves]

    def describe(*values):
        args, kwargs = tree_unflatten(tree, values)
        return f"{msg.format(*args, **kwargs)} (check failed at {location})"

    site = Site(FailedCheckError, [a.aval for a in arrays], describe)
    metadata = ((site, tuple(range(len(arrays)))),)
    check_p.bind(lax.bitwise_not(asarray(pred)), asarray(np.int32(site.code)), *arrays, metadata=metadata, debug=debug)


class _Anything:
    """Takes every format, for the check that a message has all its arguments."""

    def __format__(self, spec):
        return ""

    def __getattr__(self, name):
        return self

    def __getitem__(self, index):
        return self


@api_boundary
def check(pred, msg, *fmt_args, debug=False, **fmt_kwargs):
    """States that a boolean scalar is true; `msg.format(*fmt_args, **fmt_kwargs)` is the message if it is not.

    Outside of transformations a failing check raises JaxRuntimeError, a ValueError. A function with checks that is
    compiled must be checkified; `debug=True` is for checks that are to be ignored where it is not.

    Raises TypeError for a predicate that is no boolean scalar, or values that are no arrays.

    >>> import cyxla, cyxla.numpy as jnp
    >>> from cyxla.experimental import checkify
    >>> def f(x):
    ...     checkify.check(x > 0, "{x} is not positive", x=x)
    ...     return jnp.log(x)
    >>> error, _ = cyxla.jit(checkify.checkify(f))(jnp.float32(-1))
    >>> error.get()
    '-1.0 is not positive (check failed at ...)'
    """
    _check(pred, msg, fmt_args, fmt_kwargs, bool(debug), _location(2))


@api_boundary
def debug_check(pred, msg, *fmt_args, **fmt_kwargs):
    """A `check` that is ignored, also outside of compiled programs, unless the function is checkified."""
    _check(pred, msg, fmt_args, fmt_kwargs, True, _location(2))


@api_boundary
def check_error(error):
    """Raises JaxRuntimeError if an error says that a check has failed; within a checkified function it fails there.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.experimental import checkify
    >>> checkify.check_error(checkify.checkify(jnp.sin)(1.0)[0])
    """
    if not isinstance(error, Error):
        raise ValueError(f"check_error takes the Error that a checkified function returns, got {error!r:.200}")
    if get_trace() is None and all(not isinstance(x, Tracer) for x in (error._pred, error._code, *error._payload)):
        exception = error.get_exception()
        if exception is not None:
            raise JaxRuntimeError(str(exception))
        return
    pred, code, *payload = map(asarray, (error._pred, error._code, *error._payload))
    if pred.ndim:
        raise ValueError(f"check_error takes the error of one element, got one of shape {pred.shape}")
    check_p.bind(pred, code, *payload, metadata=error._metadata, debug=False)


# -- the transformation


@api_boundary
def checkify(f, errors=user_checks):
    """A function that returns `(error, f(...))`: its checks are collected in an `Error`, not raised.

    `errors` is the set of checks to make: `user_checks`, `nan_checks` (operations that give NaN), `div_checks`,
    `index_checks` (indices, also of slices and updates, out of bounds), and unions of them: `float_checks`,
    `automatic_checks`, `all_checks`. The first failure is kept; the computation goes on. Indices that are Python
    integers are settled when a function is traced, so `index_checks` does not see them.

    >>> import cyxla, cyxla.numpy as jnp
    >>> from cyxla.experimental import checkify
    >>> f = cyxla.jit(checkify.checkify(lambda x, i: x[i], errors=checkify.index_checks))
    >>> error, _ = f(jnp.arange(3), 5)
    >>> print(error.get())
    out-of-bounds index 5 for axis 0 of size 3, of an array of shape (3,)...
    >>> f(jnp.arange(3), 2)[0].throw()
    """
    if not callable(f):
        raise TypeError(f"checkify takes a function, got {f!r:.200}")
    errors = frozenset(errors)

    @api_boundary
    @_wraps(f)
    def checked(*args, **kwargs):
        from cyxla.experimental._checks import collect, evaluate, initial_state

        leaves, in_tree = tree_flatten((args, kwargs))
        arrays = [asarray(leaf) for leaf in leaves]
        avals = tuple(a.aval for a in arrays)
        closed, consts, out_tree = remembered(f, in_tree, ("checkify", avals), lambda: _trace(f, in_tree, avals))
        sites = collect(closed, errors)
        layout = Layout.of([avals for _, avals in sites])
        state, outs = evaluate(closed, errors, layout, initial_state(layout), [*consts, *arrays])
        metadata = []
        for pairs, avals in sites:
            places = layout.places(avals)
            metadata += [(site, tuple(places[i] for i in inner)) for site, inner in pairs]
        pred, code, *payload = state
        return Error(pred, code, tuple(dict(metadata).items()), payload), tree_unflatten(out_tree, outs)

    return checked


def _wraps(f):
    def decorate(checked):
        with contextlib.suppress(AttributeError):
            functools.update_wrapper(checked, f)
        return checked

    return decorate


def _trace(f, in_tree, avals):
    return trace_lifted(lambda args, kwargs: f(*args, **kwargs), in_tree, avals, function_name(f))


__all__ = [
    "Error",
    "ErrorCategory",
    "JaxRuntimeError",
    "all_checks",
    "automatic_checks",
    "check",
    "check_error",
    "checkify",
    "debug_check",
    "div_checks",
    "float_checks",
    "index_checks",
    "init_error",
    "nan_checks",
    "user_checks",
]
