"""What messages say about the arguments and results of a transformed function."""

import functools
import inspect
import types
import weakref

from cyxla._engine.array import is_arraylike
from cyxla._transform.references import check_no_reference
from cyxla.tree_util import keystr, tree_flatten_with_path


def function_name(fun):
    """The name of a function, looking through `functools.partial`."""
    while isinstance(fun, functools.partial):
        fun = fun.func
    name = getattr(fun, "__name__", None) or type(fun).__name__
    return name


def argument_path(fun, in_tree, static, index):
    """How the user would write the leaf `index` of a call's arguments, e.g. `params['w']`."""
    skeleton = in_tree.unflatten(list(range(in_tree.num_leaves)))
    path = next(path for path, leaf in tree_flatten_with_path(skeleton)[0] if leaf == index)
    return written(parameters(fun), [i for i, _, _ in static[0]] if static else (), path)


def written(names, static_numbers, path):
    """How the user would write what is at a path, of two keys or more, in `(args, kwargs)` without static arguments."""
    rest = keystr(path[2:])
    if path[0].idx == 1:
        return f"{path[1].key}{rest}"
    number = path[1].idx
    for i in static_numbers:
        if i <= number:
            number += 1
    return f"{names[number] if number < len(names) else f'args[{number}]'}{rest}"


def parameters(fun):
    """The names of a function's positional parameters, as far as they can be told."""
    try:
        found = inspect.signature(fun).parameters.values()
    except (ValueError, TypeError):
        return []
    return [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


class DebugInfo:
    """Which function a trace is of; says where one of its tracers came from.

    It lives as long as the program that was traced, which must not keep the function alive.
    """

    __slots__ = ("api", "identity", "in_tree", "name", "reference", "seconds", "static")

    def __init__(self, api, name, fun=None, in_tree=None, static=None):
        self.api = api
        self.name = name
        self.in_tree = in_tree
        self.static = static
        # How long tracing took, and what makes the function the same as another (`sameness.function_key`), or why not.
        self.seconds = 0.0
        self.identity = None
        try:
            self.reference = (weakref.WeakMethod if isinstance(fun, types.MethodType) else weakref.ref)(fun)
        except TypeError:
            self.reference = lambda: None

    @property
    def func_name(self):
        return self.name

    def describe(self, tracer, index):
        where = f"in {self.name}, transformed by {self.api}"
        if index is None or self.in_tree is None:
            return f"the value was computed {where}"
        try:
            return (
                f"the value is the argument {argument_path(self.reference(), self.in_tree, self.static, index)} {where}"
            )
        except StopIteration:
            return f"the value was computed {where}"


def _result_path(leaf, out):
    paths = [keystr(path) for path, value in tree_flatten_with_path(out)[0] if value is leaf]
    return f" at result{paths[0]}" if paths and paths[0] else ""


def check_result(leaf, out, name):
    """Raises the TypeError for a result that is not an array."""
    if is_arraylike(leaf):
        check_no_reference(leaf, name, lambda: _result_path(leaf, out))
    else:
        raise TypeError(
            f"{name} returned {leaf!r:.200} of type {type(leaf)}{_result_path(leaf, out)}: a transformed function "
            "returns arrays, numbers, and containers of them"
        )
