"""`vmap`: a function of one example as a function of a batch."""

import functools

import numpy as np

from cyxla._engine.array import asarray, is_arraylike, typeof
from cyxla._engine.batching import Axis, batch_flat
from cyxla._engine.boundary import api_boundary
from cyxla._engine.config import NamedAxis
from cyxla._engine.dtypes import float0
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._transform import vmappables
from cyxla._transform.arguments import argument_path, function_name
from cyxla._transform.jaxprs import move_batch_axis
from cyxla._transform.references import is_reference
from cyxla.tree_util import broadcast_prefix


def _is_none(x):
    return x is None


def _is_axis(x):
    return x is None or vmappables.is_spec(x)


def flat_axes(what, axes, tree, api="vmap"):
    """One axis (or None) a leaf, from a tree prefix of axes."""
    if axes is None or type(axes) is int:
        return [axes] * tree.num_leaves
    try:
        is_leaf = _is_axis if vmappables.registered else _is_none
        flat = broadcast_prefix(axes, tree_unflatten(tree, [0] * tree.num_leaves), is_leaf)
    except ValueError as error:
        raise ValueError(
            f"{api}: {what}={axes} does not fit values of structure {tree}: an entry is an axis, or a container like "
            f"that of the values ({error})"
        ) from None
    for axis in flat:
        if axis is not None and (not isinstance(axis, int) or isinstance(axis, bool)) and not vmappables.is_spec(axis):
            raise TypeError(f"{api} {what} must be an int, None, or a container of those, got {axis!r} in {axes!r}")
    return flat


def mapped_size(leaves, axes, paths, api="vmap", axis_size=None):
    """The common size of the mapped axes."""
    sizes = {}
    for index, (leaf, axis) in enumerate(zip(leaves, axes)):
        if axis is None or vmappables.is_data(leaf):
            continue
        if not is_arraylike(leaf):
            raise TypeError(
                f"{api} maps over arrays; got {leaf!r:.200} of type {type(leaf).__name__} at {paths(index)}"
            )
        shape = typeof(leaf).shape
        if not isinstance(axis, int):
            raise TypeError(f"{api}: {paths(index)} is an array, which is mapped along an int; got the axis {axis!r}")
        if not -len(shape) <= axis < len(shape):
            raise ValueError(
                f"{api}: {paths(index)} of shape {shape} has no axis {axis} to map over; correct in_axes, or give an "
                f"array of rank {axis + 1 if axis >= 0 else -axis} or more"
            )
        sizes.setdefault(shape[axis], []).append(index)
    if axis_size is not None:
        sizes.setdefault(axis_size, [])
    if not sizes:
        raise ValueError(f"{api}: no argument is mapped; give one an axis in in_axes, or give axis_size")
    if len(sizes) > 1:
        listed = "; ".join(
            f"size {size}: "
            + (
                ", ".join(f"{paths(i)} of shape {typeof(leaves[i]).shape}, axis {axes[i]}" for i in where)
                or "axis_size"
            )
            for size, where in sizes.items()
        )
        raise ValueError(f"{api}: the mapped axes differ in size: {listed}")
    return next(iter(sizes))


def vmap(fun, in_axes=0, out_axes=0, axis_name=None, axis_size=None, spmd_axis_name=None, sum_match=False):
    """Maps a function over an axis of its arguments, as one vectorized computation.

    `in_axes` and `out_axes` are axes, or tree prefixes of the arguments (tuple of positional arguments) and results
    with axes as leaves; None is for what is not mapped. Keyword arguments are mapped over axis 0. `axis_size` gives the
    size where no argument is mapped; `axis_name` names the axis for collectives.

    Raises ValueError for axes that do not exist or have different sizes, TypeError for what is no axis.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.vmap(jnp.dot, in_axes=(None, 0))(jnp.ones(2), jnp.ones((3, 2)))
    Array([2., 2., 2.], dtype=float32)
    """
    if not callable(fun):
        raise TypeError(f"vmap takes a function, got {fun!r:.200} of type {type(fun).__name__}")
    if isinstance(in_axes, list):
        # A list is a container of axes like a tuple.
        in_axes = tuple(in_axes)
    if not (in_axes is None or isinstance(in_axes, (int, tuple, dict)) or vmappables.is_spec(in_axes)):
        raise TypeError(
            f"vmap in_axes must be an int, None, or a tuple of entries corresponding to the positional arguments, got "
            f"{in_axes!r} of type {type(in_axes).__name__}"
        )

    @api_boundary
    @functools.wraps(fun, updated=())
    def vmapped(*args, **kwargs):
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            raise ValueError(
                f"vmap in_axes has {len(in_axes)} entries, {in_axes}, and {function_name(fun)} was called with "
                f"{len(args)} positional arguments: give one entry per argument, or one int for all"
            )
        is_leaf = vmappables.is_data if vmappables.registered else None
        leaves, tree = tree_flatten((args, kwargs), is_leaf)
        axes = flat_axes("in_axes", in_axes, tree.children()[0]) + [0] * tree.children()[1].num_leaves
        size = vmappables.size_as_int(axis_size)
        size = mapped_size(leaves, axes, lambda i: argument_path(fun, tree, None, i), axis_size=size)
        values, dims, data = [], [], {}
        for i, (leaf, axis) in enumerate(zip(leaves, axes)):
            if is_leaf is not None and is_leaf(leaf):
                data[i] = leaf, axis
            elif axis is None:
                values.append(asarray(leaf) if is_arraylike(leaf) else leaf)
                dims.append(None)
            else:
                array = asarray(leaf)
                values.append(array)
                dims.append(axis % array.ndim)
        out_tree = wanted = None
        data_out = {}

        def flat(tracers):
            nonlocal out_tree, wanted
            if data:
                for i, (leaf, axis) in data.items():
                    tracers.insert(i, mapping.element(leaf, axis))
            call_args, call_kwargs = tree_unflatten(tree, tracers)
            outs, out_tree = tree_flatten(fun(*call_args, **call_kwargs), is_leaf)
            wanted = flat_axes("out_axes", out_axes, out_tree)
            if is_leaf is not None:
                data_out.update((i, mapping.joined(x, wanted[i])) for i, x in enumerate(outs) if is_leaf(x))
                outs = [x for i, x in enumerate(outs) if i not in data_out]
                wanted = [axis for i, axis in enumerate(wanted) if i not in data_out]
            for leaf in outs:
                if not is_arraylike(leaf):
                    raise TypeError(
                        f"{function_name(fun)} returned {leaf!r:.200} of type {type(leaf)} under vmap: return arrays, "
                        "numbers, and containers of them"
                    )
            return outs

        axis = Axis(size, axis_name, spmd_axis_name)
        mapping = None if is_leaf is None else vmappables.Mapping(axis_size, size)
        if axis_name is None:
            outs, out_dims = batch_flat(flat, axis, values, dims)
        else:
            with NamedAxis(axis_name, size):
                outs, out_dims = batch_flat(flat, axis, values, dims)
        results = []
        for out, dim, axis in zip(outs, out_dims, wanted):
            if out.dtype == float0:
                results.append(np.zeros(out.shape if axis is None else (size, *out.shape), float0))
                continue
            if axis is None:
                if dim is not None:
                    raise ValueError(
                        f"vmap: a result of {function_name(fun)} of type {out.aval.str_short()} depends on a mapped "
                        "argument, but its entry in out_axes is None; give it an axis"
                    )
                results.append(out)
                continue
            if not isinstance(axis, int):
                raise ValueError(f"vmap: a result is an array, which is joined along an int; got the axis {axis!r}")
            if is_reference(out):
                if dim is None or axis % out.ndim != dim:
                    raise ValueError(
                        f"vmap: a result of {function_name(fun)} is a reference of type {out.aval.str_short()}, whose "
                        f"batch axis is {dim} and cannot be moved to {axis}"
                    )
                results.append(out)
                continue
            rank = out.ndim if dim is not None else out.ndim + 1
            if not -rank <= axis < rank:
                raise ValueError(f"vmap out_axes entry {axis} is out of range for a result with {rank} axes")
            results.append(move_batch_axis(out, dim, size, axis % rank))
        for i, joined in data_out.items():
            results.insert(i, joined)
        return tree_unflatten(out_tree, results)

    return vmapped
