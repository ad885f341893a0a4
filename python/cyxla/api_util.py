"""Helpers for functions that take transformations apart: flattening of arguments, numbers of arguments, donation."""

import inspect

from cyxla._engine.array import is_arraylike
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._transform.shapes import abstract
from cyxla.extend.core import DebugInfo
from cyxla.extend.linear_util import transformation2, transformation_with_aux2
from cyxla.tree_util import broadcast_prefix


def safe_map(f, *args):
    """The list of `f(x, y, ...)` over sequences of one length.

    >>> safe_map(lambda x, y: x + y, [1, 2], [3, 4])
    [4, 6]
    """
    args = [list(arg) for arg in args]
    lengths = [len(arg) for arg in args]
    if len(set(lengths)) > 1:
        raise ValueError(f"safe_map: the sequences differ in length: {lengths}")
    return [f(*values) for values in zip(*args)]


def _flat_call(f, store, in_tree, nokwargs, flat_args):
    args, kwargs = (tree_unflatten(in_tree, flat_args), {}) if nokwargs else tree_unflatten(in_tree, flat_args)
    outs, out_tree = tree_flatten(f(*args, **kwargs))
    store.store(out_tree)
    return outs


def _flatten(f, store, in_tree, *flat_args):
    return _flat_call(f, store, in_tree, False, flat_args)


def _flatten_nokwargs(f, store, in_tree, *flat_args):
    return _flat_call(f, store, in_tree, True, flat_args)


def flatten_fun(fun, *gen_static_args, use_eq_store=False, unk_names=False):
    """A `WrappedFun` of flat arguments with flat results, and a thunk of the structure of its results.

    The other argument is the structure of `(args, kwargs)`.
    """
    return transformation_with_aux2(_flatten, fun, *gen_static_args, use_eq_store=use_eq_store)


def flatten_fun_nokwargs(fun, *gen_static_args, use_eq_store=False, unk_names=False):
    """As `flatten_fun`, for the structure of `args` alone."""
    return transformation_with_aux2(_flatten_nokwargs, fun, *gen_static_args, use_eq_store=use_eq_store)


class _Unhashable:
    """A static argument without a hash; equal to itself only."""

    def __init__(self, val):
        self.val = val


class _Hashable:
    def __init__(self, val):
        self.val = val

    def __hash__(self):
        return hash(self.val)

    def __eq__(self, other):
        return type(other) is _Hashable and type(self.val) is type(other.val) and self.val == other.val


def _argnums_partial(f, numbers, fixed, *dynamic, **kwargs):
    args = [None if x is None else x.val for x in fixed]
    for number, value in zip(numbers, dynamic):
        args[number] = value
    return f(*args, **kwargs)


def argnums_partial(f, dyn_argnums, args, require_static_args_hashable=True):
    """A `WrappedFun` of some of the arguments, the others fixed; and the values of those.

    Raises ValueError for fixed arguments without a hash, unless `require_static_args_hashable=False`.
    """
    dyn_argnums = (dyn_argnums,) if isinstance(dyn_argnums, int) else tuple(dyn_argnums)
    dyn_argnums = tuple(n % len(args) for n in dyn_argnums)
    fixed = []
    for i, arg in enumerate(args):
        if i in dyn_argnums:
            fixed.append(None)
            continue
        try:
            hash(arg)
            fixed.append(_Hashable(arg))
        except TypeError:
            if require_static_args_hashable:
                raise ValueError(
                    f"argument {i}, of type {type(arg).__name__}, is static and must have a hash: {arg!r:.200}"
                ) from None
            fixed.append(_Unhashable(arg))
    return transformation2(_argnums_partial, f, dyn_argnums, tuple(fixed)), tuple(args[n] for n in dyn_argnums)


def flatten_axes(name, treedef, axis_tree, *, kws=False, tupled_args=False):
    """One axis (or None) for each leaf of a structure, from a tree prefix of axes; ValueError where it does not fit."""
    try:
        return broadcast_prefix(axis_tree, tree_unflatten(treedef, [0] * treedef.num_leaves), lambda x: x is None)
    except ValueError as error:
        raise ValueError(f"{name}={axis_tree!r} does not fit values of structure {treedef} ({error})") from None


def rebase_donate_argnums(donate_argnums, static_argnums):
    """Numbers of donated arguments as they are without the static ones."""
    if overlap := set(donate_argnums) & set(static_argnums):
        raise ValueError(f"arguments {sorted(overlap)} are both static and donated; an argument can be one of these")
    return tuple(sorted(n - sum(s < n for s in static_argnums) for n in donate_argnums))


def donation_vector(donate_argnums, donate_argnames, in_tree, kws=True):
    """Whether each leaf of `(args, kwargs)` of a structure is donated (with `kws=False`, of `args`)."""
    skeleton = tree_unflatten(in_tree, range(in_tree.num_leaves))
    args, kwargs = skeleton if kws else (skeleton, {})
    out = []
    for i, arg in enumerate(args):
        out += [i in donate_argnums] * len(tree_flatten(arg)[0])
    for name in sorted(kwargs):
        out += [name in donate_argnames] * len(tree_flatten(kwargs[name])[0])
    return tuple(out)


def shaped_abstractify(x):
    """The aval of an array, a number, or anything with shape and dtype."""
    if not is_arraylike(x) and not (hasattr(x, "shape") and hasattr(x, "dtype")):
        raise TypeError(f"an array is needed, got {x!r:.200} of type {type(x).__name__}")
    return abstract(x)


def debug_info(
    traced_for,
    fun,
    args,
    kwargs,
    *,
    static_argnums=(),
    static_argnames=(),
    result_paths_thunk=None,
    sourceinfo=None,
    signature=None,
):
    """What messages say of a function to be traced: for what, which it is, and the names of its arguments.

    >>> debug_info("jit", lambda x, y: x, (1, 2), {}).arg_names
    ('x', 'y')
    """
    name = getattr(fun, "__name__", type(fun).__name__)
    code = getattr(inspect.unwrap(fun) if callable(fun) else fun, "__code__", None)
    if sourceinfo is None:
        sourceinfo = name if code is None else f"{name} at {code.co_filename}:{code.co_firstlineno}"
    try:
        bound = (signature or inspect.signature(fun)).bind(*args, **kwargs)
        arguments = bound.arguments
    except (TypeError, ValueError):
        arguments = None
    names = None
    if arguments is not None:
        static = {list(arguments)[n] for n in static_argnums if n < len(arguments)} | set(static_argnames)
        names = tuple(_leaf_names({k: v for k, v in arguments.items() if k not in static}))
    return DebugInfo(traced_for, sourceinfo, names, result_paths_thunk)


def _leaf_names(arguments):
    from cyxla.tree_util import keystr, tree_flatten_with_path

    for name, value in arguments.items():
        for path, _ in tree_flatten_with_path(value)[0]:
            yield f"{name}{keystr(path)}"
