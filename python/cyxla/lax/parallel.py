"""Collective operations: what the members of a mapped axis, known by its name, compute together.

Under `vmap(axis_name=...)` each becomes an operation on the batch axis. The rules below say, for one axis, what that
is; operands with several names are taken one name at a time, and groups of members as a further batch axis.
"""

import functools
import math
import operator

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array, asarray
from cyxla._engine.aval import integer, shaped_array
from cyxla._engine.batching import batch_flat
from cyxla._engine.config import named_axes
from cyxla._engine.core import NamedAxisEffect, Primitive
from cyxla._engine.dtypes import dtype_code
from cyxla._transform.jaxprs import move_batch_axis
from cyxla._transform.vmap import vmap
from cyxla.lax._util import kind_of, scalar_like
from cyxla.tree_util import tree_map

INT32 = dtype_code(np.int32)

# ---- names and sizes of axes


def _as_tuple(axis_name):
    return tuple(axis_name) if isinstance(axis_name, (tuple, list)) else (axis_name,)


def _size_of(name):
    for known, size in reversed(named_axes()):
        if known == name:
            return size
    bound = ", ".join(repr(known) for known, _ in named_axes())
    raise NameError(
        f"unbound axis name: {name!r}. A collective works over an axis that is being mapped with that name, as by "
        f"vmap(..., axis_name={name!r}); here {'the names are ' + bound if bound else 'no axis has a name'}."
    )


def axis_size(axis_name):
    """The size of a mapped axis, or the product of the sizes of several, as an int.

    Raises NameError for a name that no enclosing transformation maps over.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.vmap(lambda x: x * cyxla.lax.axis_size("i"), axis_name="i")(jnp.ones(3))
    Array([3., 3., 3.], dtype=float32)
    """
    return math.prod(_size_of(name) for name in _as_tuple(axis_name))


def _effects_of(axes):
    return frozenset([NamedAxisEffect(name) for name in axes if not isinstance(name, int)])


def _dimension(name, what, axis, rank):
    if not -rank <= integer(axis) < rank:
        raise ValueError(f"{name}: {what}={axis} is none of the dimensions of an array of rank {rank}")
    return integer(axis) % rank


def _groups(name, groups, size):
    """Groups of members of equal size, as a tuple of tuples; None stays None."""
    if groups is None:
        return None
    groups = tuple(tuple(int(i) for i in group) for group in groups)
    if sorted(i for group in groups for i in group) != list(range(size)):
        raise ValueError(
            f"{name}: axis_index_groups={list(map(list, groups))} must name each of the {size} members of the axis once"
        )
    if len({len(group) for group in groups}) > 1:
        raise ValueError(f"{name}: the groups of axis_index_groups must have one size, got {list(map(list, groups))}")
    return groups


# ---- rules over one axis. `whole` functions take the operand of all members, with the members in front, and give the
# results of all of them, in front too.


def _in_groups(whole, groups):
    """What `whole` does, done within each group of members."""
    if groups is None:
        return whole
    order = np.array(groups, np.int32)

    def grouped(x):
        results = vmap(whole)(lax.reshape(_take(x, order.ravel()), (*order.shape, *x.shape[1:])))
        flat = lax.reshape(results, (order.size, *results.shape[2:]))
        return _take(flat, np.argsort(order.ravel()).astype(np.int32))

    return grouped


def _take(x, rows):
    """Rows of x along its leading axis, by constant indices."""
    dimensions = lax.GatherDimensionNumbers(tuple(range(1, x.ndim)), (0,), (0,))
    mode = lax.GatherScatterMode.PROMISE_IN_BOUNDS
    return lax.gather(x, asarray(rows[:, None]), dimensions, (1, *x.shape[1:]), mode=mode)


def _repeat(x, n):
    """n copies of x, in front."""
    return lax.broadcast_in_dim(x, (n, *x.shape), tuple(range(1, x.ndim + 1)))


def _merge(x, axis):
    """Dimensions axis and axis + 1 as one."""
    return lax.reshape(x, (*x.shape[:axis], x.shape[axis] * x.shape[axis + 1], *x.shape[axis + 2 :]))


def _split(x, axis, *outer):
    """One dimension as several, the first of the sizes given."""
    inner = x.shape[axis] // math.prod(outer)
    return lax.reshape(x, (*x.shape[:axis], *outer, inner, *x.shape[axis + 1 :]))


def _move(x, source, to):
    order = [i for i in range(x.ndim) if i != source]
    order.insert(to, source)
    return lax.transpose(x, tuple(order))


def _collective(name, abstract, whole, by_names, *, positions=(), for_all=None, **rules):
    """A collective over the axis or axes `axis_name`, whose parameters named in `positions` are dimensions.

    `for_all(x, **params)` is the one result of all members, where they have the same.
    `by_names(x, names, **params)` is the same over several names in terms of collectives over one.
    """

    def batch(axis, args, dims, **params):
        names = _as_tuple(params["axis_name"])
        (x,), (d,) = args, dims
        if axis.name not in names:
            if d is None:
                return primitive.bind(x, **params), None
            x = move_batch_axis(x, d, axis.size)
            return primitive.bind(x, **params | {k: params[k] + 1 for k in positions}), 0
        rest = {k: v for k, v in params.items() if k not in ("axis_name", "axis_index_groups")}
        groups = params.get("axis_index_groups")
        if len(names) > 1:
            if groups is not None:
                raise NotImplementedError(f"{name}: axis_index_groups over several axes, {names}")
            outs, out_dims = batch_flat(lambda a: [by_names(a[0], names, **rest)], axis, [x], [d])
            return outs[0], out_dims[0]
        x = move_batch_axis(x, d, axis.size)
        if groups is None and for_all is not None:
            return for_all(x, **rest), None
        return _in_groups(functools.partial(whole, **rest), groups)(x), 0

    def lower(ctx, x, *, axis_name, **params):
        _unbound(name, axis_name)

    primitive = Primitive(
        name,
        abstract=abstract,
        batch=batch,
        batch_needs_axis=True,
        lower=lower,
        linear=True,
        effects=lambda *, axis_name, **params: _effects_of(_as_tuple(axis_name)),
        **rules,
    )
    return primitive


def _unbound(name, names):
    raise NameError(
        f"unbound axis name: {name} is over {names!r}, which nothing maps over in the program being compiled"
    )


# ---- reductions over members: names and positions of dimensions together


def _reduce_abstract(x, *, axes, axis_index_groups):
    positions = [a for a in axes if isinstance(a, int)]
    return x.update(shape=tuple(n for i, n in enumerate(x.shape) if i not in positions)) if positions else x


def _reduction(name, reduce, repeated, **rules):
    """psum, pmax or pmin: `reduce(x, dimensions)`; `repeated(x, n)` is that of n equal members."""

    def batch(axis, args, dims, *, axes, axis_index_groups):
        (x,), (d,) = args, dims
        rest = tuple(a for a in axes if a != axis.name)
        if len(rest) < len(axes):
            if axis_index_groups is not None:
                x, d = _in_groups(everyone, axis_index_groups)(move_batch_axis(x, d, axis.size)), 0
            elif d is None:
                x = repeated(x, axis.size)
            else:
                x, d = reduce(x, (d,)), None
            axis_index_groups = None
        if not rest:
            return x, d
        if d is not None:
            x, d = move_batch_axis(x, d, axis.size), 0
            rest = tuple(a + 1 if isinstance(a, int) else a for a in rest)
        if not any(isinstance(a, int) for a in rest) or not all(isinstance(a, int) for a in rest):
            return primitive.bind(x, axes=rest, axis_index_groups=axis_index_groups), d
        return reduce(x, rest), d

    def everyone(x):
        return _repeat(reduce(x, (0,)), x.shape[0])

    def lower(ctx, x, *, axes, axis_index_groups):
        _unbound(name, [a for a in axes if not isinstance(a, int)])

    primitive = Primitive(
        name,
        abstract=_reduce_abstract,
        batch=batch,
        batch_needs_axis=True,
        lower=lower,
        effects=lambda *, axes, axis_index_groups: _effects_of(axes),
        **rules,
    )
    return primitive


def _sum(x, dimensions):
    return lax.reduce_sum(x, axes=dimensions)


def _psum_transpose(ct, x, *, axes, axis_index_groups):
    # Each member's cotangent counts for all members: theirs are summed.
    names = tuple(a for a in axes if not isinstance(a, int))
    ct = psum_p.bind(ct, axes=names, axis_index_groups=axis_index_groups)
    shape = x.aval.shape
    kept = tuple(i for i in range(len(shape)) if i not in axes)
    return [ct if len(kept) == len(shape) else lax.broadcast_in_dim(ct, shape, kept)]


psum_p = _reduction("psum", _sum, lambda x, n: lax.mul(x, scalar_like(x, n)), linear=True, transpose=_psum_transpose)
pmax_p = _reduction("pmax", lambda x, d: lax.reduce_max(x, axes=d), lambda x, n: x)
pmin_p = _reduction("pmin", lambda x, d: lax.reduce_min(x, axes=d), lambda x, n: x)


def _reduce(primitive, x, axis_name, groups, of_number):
    """A reduction over the leaves of a pytree; `of_number(value, n)` is that of a Python or NumPy number."""
    axes = _as_tuple(axis_name)
    names = tuple(a for a in axes if not isinstance(a, int))
    if len(set(axes)) < len(axes):
        raise ValueError(f"{primitive.name}: axis_name={axes} has an axis twice; name each once")
    size = math.prod(_size_of(name) for name in names)
    groups = _groups(primitive.name, groups, size)
    if groups is not None and len(axes) > 1:
        raise NotImplementedError(f"{primitive.name}: axis_index_groups with several axes, {axes}")
    members = size if groups is None else len(groups[0])

    def leaf(value):
        if len(names) == len(axes) and not isinstance(value, Array) and not isinstance(value, bool):
            return of_number(value, members)
        value = asarray(value)
        positions = [_dimension(primitive.name, "axis_name", a, value.ndim) for a in axes if isinstance(a, int)]
        if primitive is psum_p and kind_of(value.aval) == "b":
            value = lax.convert_element_type(value, np.int32)
        if not names:
            return {psum_p: lax.reduce_sum, pmax_p: lax.reduce_max, pmin_p: lax.reduce_min}[primitive](
                value, axes=tuple(positions)
            )
        return primitive.bind(value, axes=(*names, *positions), axis_index_groups=groups)

    return tree_map(leaf, x)


def psum(x, axis_name, *, axis_index_groups=None):
    """Sum over the members of a mapped axis; every member gets it.

    `x` is a pytree of arrays; booleans count as int32. `axis_name` is a name, or a tuple of names and of positions of
    the operand's own dimensions. `axis_index_groups`, lists of members of one size, makes each group sum for itself.

    Raises NameError for an unbound name, ValueError for groups that do not partition the members.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.vmap(lambda x: x / cyxla.lax.psum(x, "i"), axis_name="i")(jnp.array([1.0, 3.0]))
    Array([0.25, 0.75], dtype=float32)
    """
    return _reduce(psum_p, x, axis_name, axis_index_groups, lambda value, n: value * n)


def pmax(x, axis_name, *, axis_index_groups=None):
    """Maximum over the members of a mapped axis; see `psum` for the arguments. It has no derivative."""
    return _reduce(pmax_p, x, axis_name, axis_index_groups, lambda value, n: value)


def pmin(x, axis_name, *, axis_index_groups=None):
    """Minimum over the members of a mapped axis; see `psum` for the arguments. It has no derivative."""
    return _reduce(pmin_p, x, axis_name, axis_index_groups, lambda value, n: value)


def pmean(x, axis_name, *, axis_index_groups=None):
    """Mean over the members of a mapped axis; see `psum` for the arguments."""
    n = psum(1, axis_name, axis_index_groups=axis_index_groups)
    return tree_map(lambda total: total / n, psum(x, axis_name, axis_index_groups=axis_index_groups))


# ---- the member's own number


def _index_batch(axis, args, dims, *, axis_name):
    if axis.name != axis_name:
        return axis_index_p.bind(axis_name=axis_name), None
    return lax.iota(np.int32, axis.size), 0


axis_index_p = Primitive(
    "axis_index",
    abstract=lambda *, axis_name: shaped_array((), INT32, False),
    batch=_index_batch,
    batch_needs_axis=True,
    lower=lambda ctx, *, axis_name: _unbound("axis_index", axis_name),
    differentiable=False,
    effects=lambda *, axis_name: _effects_of((axis_name,)),
)


def axis_index(axis_name):
    """The number of this member along a mapped axis, int32[]; over several names the last one varies fastest.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.vmap(lambda x: x + cyxla.lax.axis_index("i"), axis_name="i")(jnp.zeros(3))
    Array([0., 1., 2.], dtype=float32)
    """
    if not isinstance(axis_name, (tuple, list)):
        _size_of(axis_name)
        return axis_index_p.bind(axis_name=axis_name)
    number, inner = np.int32(0), 1
    for name in reversed(axis_name):
        number = number + axis_index(name) * np.int32(inner)
        inner *= _size_of(name)
    return asarray(number)


# ---- gathering


def _gather_abstract(x, *, all_gather_dimension, axis_index_groups, axis_name, axis_size, tiled):
    shape = list(x.shape)
    if tiled:
        shape[all_gather_dimension] *= axis_size
    else:
        shape.insert(all_gather_dimension, axis_size)
    return x.update(shape=tuple(shape))


def _gather_for_all(x, *, all_gather_dimension, axis_size, tiled):
    # The members' axis goes where it was asked for.
    gathered = _move(x, 0, all_gather_dimension)
    return _merge(gathered, all_gather_dimension) if tiled else gathered


def _gather_whole(x, **params):
    return _repeat(_gather_for_all(x, **params), x.shape[0])


def _gather_by_names(x, names, *, all_gather_dimension, axis_size, tiled):
    for name in reversed(names):
        x = all_gather(x, name)
    x = lax.reshape(x, (axis_size, *x.shape[len(names) :]))
    x = _move(x, 0, all_gather_dimension)
    return _merge(x, all_gather_dimension) if tiled else x


def _gather_transpose(ct, x, *, all_gather_dimension, **params):
    return [reduce_scatter_p.bind(ct, scatter_dimension=all_gather_dimension, **params)]


all_gather_p = _collective(
    "all_gather",
    _gather_abstract,
    _gather_whole,
    _gather_by_names,
    positions=("all_gather_dimension",),
    for_all=_gather_for_all,
    transpose=_gather_transpose,
)


def all_gather(x, axis_name, *, axis_index_groups=None, axis=0, tiled=False, to="varying"):
    """The values of all members of a mapped axis, along a new dimension `axis`, or with `tiled` one after the other
    along the existing dimension `axis`.

    `x` is a pytree of arrays; see `psum` for the names and groups.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.vmap(lambda x: cyxla.lax.all_gather(x, "i"), axis_name="i")(jnp.arange(2))
    Array([[0, 1],
           [0, 1]], dtype=int32)
    """
    names, size, groups = _arguments("all_gather", axis_name, axis_index_groups)

    def leaf(value):
        value = asarray(value)
        dimension = _dimension("all_gather", "axis", axis, value.ndim if tiled else value.ndim + 1)
        return all_gather_p.bind(
            value,
            all_gather_dimension=dimension,
            axis_index_groups=groups,
            axis_name=names,
            axis_size=size,
            tiled=tiled,
        )

    return tree_map(leaf, x)


def _arguments(name, axis_name, groups):
    """Names as a tuple, the number of members that take part together, the groups."""
    names = _as_tuple(axis_name)
    size = axis_size(names)
    groups = _groups(name, groups, size)
    return names, size if groups is None else len(groups[0]), groups


# ---- summing and scattering


def _scatter_abstract(x, *, axis_index_groups, axis_name, axis_size, scatter_dimension, tiled):
    shape = list(x.shape)
    if tiled:
        shape[scatter_dimension] //= axis_size
    else:
        del shape[scatter_dimension]
    return x.update(shape=tuple(shape))


def _scatter_whole(x, *, axis_size, scatter_dimension, tiled):
    total = _sum(x, (0,))
    if tiled:
        total = _split(total, scatter_dimension, axis_size)
    return _move(total, scatter_dimension, 0)


def _scatter_by_names(x, names, *, axis_size, scatter_dimension, tiled):
    x = _split(x, scatter_dimension, *map(_size_of, names))
    for name in names:
        x = psum_scatter(x, name, scatter_dimension=scatter_dimension)
    return x if tiled else lax.squeeze(x, (scatter_dimension,))


def _scatter_transpose(ct, x, *, scatter_dimension, **params):
    return [all_gather_p.bind(ct, all_gather_dimension=scatter_dimension, **params)]


reduce_scatter_p = _collective(
    "reduce_scatter",
    _scatter_abstract,
    _scatter_whole,
    _scatter_by_names,
    positions=("scatter_dimension",),
    transpose=_scatter_transpose,
)


def psum_scatter(x, axis_name, *, scatter_dimension=0, axis_index_groups=None, tiled=False):
    """The sum over the members of a mapped axis, of which each member gets a slice along `scatter_dimension`.

    The dimension is as long as the axis has members and disappears; with `tiled` it is a multiple of that and becomes
    shorter. `x` is a pytree of arrays; see `psum` for the names and groups.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.vmap(lambda x: cyxla.lax.psum_scatter(x, "i"), axis_name="i")(jnp.arange(4.0).reshape(2, 2))
    Array([2., 4.], dtype=float32)
    """
    names, size, groups = _arguments("psum_scatter", axis_name, axis_index_groups)

    def leaf(value):
        value = asarray(value)
        dimension = _dimension("psum_scatter", "scatter_dimension", scatter_dimension, value.ndim)
        _check_slices("psum_scatter", "scatter_dimension", value, dimension, size, tiled)
        return reduce_scatter_p.bind(
            value,
            axis_index_groups=groups,
            axis_name=names,
            axis_size=size,
            scatter_dimension=dimension,
            tiled=tiled,
        )

    return tree_map(leaf, x)


def _check_slices(name, what, x, dimension, size, tiled):
    n = x.shape[dimension]
    if n % size if tiled else n != size:
        wanted = f"a multiple of {size}" if tiled else f"{size}, or a multiple of it with tiled=True"
        raise ValueError(
            f"{name}: dimension {dimension} ({what}) of the operand of shape {x.shape} has to be {wanted}: the number "
            "of members of the axis"
        )


# ---- exchanging slices


def _exchange_abstract(x, *, axis_index_groups, axis_name, concat_axis, split_axis, tiled):
    shape = list(x.shape)
    if tiled:
        size = _members(axis_name, axis_index_groups)
        shape[split_axis] //= size
        shape[concat_axis] *= size
    else:
        shape.insert(concat_axis, shape.pop(split_axis))
    return x.update(shape=tuple(shape))


def _members(axis_name, groups):
    return axis_size(axis_name) if groups is None else len(groups[0])


def _exchange_whole(x, *, concat_axis, split_axis, tiled):
    n = x.shape[0]
    if tiled:
        x = _split(x, 1 + split_axis, n)
    # Members and slices change places; the members end where the slices are to be put together.
    x = _move(x, 1 + split_axis, 0)
    x = _move(x, 1, 1 + concat_axis)
    return _merge(x, 1 + concat_axis) if tiled else x


def _exchange_by_names(x, names, *, concat_axis, split_axis, tiled):
    sizes = [_size_of(name) for name in names]
    x = _split(x, split_axis, *sizes)
    if not tiled:
        x = lax.squeeze(x, (split_axis + len(names),))
    for i, name in enumerate(names):
        # The slices for this axis are behind the members already exchanged.
        x = all_to_all(x, name, split_axis + i, i)
    x = lax.reshape(x, (math.prod(sizes), *x.shape[len(names) :]))
    x = _move(x, 0, concat_axis)
    return _merge(x, concat_axis) if tiled else x


def _exchange_transpose(ct, x, *, concat_axis, split_axis, **params):
    return [all_to_all_p.bind(ct, concat_axis=split_axis, split_axis=concat_axis, **params)]


all_to_all_p = _collective(
    "all_to_all",
    _exchange_abstract,
    _exchange_whole,
    _exchange_by_names,
    positions=("concat_axis", "split_axis"),
    transpose=_exchange_transpose,
)


def all_to_all(x, axis_name, split_axis, concat_axis, *, axis_index_groups=None, tiled=False):
    """Each member's slice j along `split_axis` goes to member j, which puts what it gets together along `concat_axis`.

    Without `tiled` the dimension `split_axis` is as long as the axis has members and disappears, and `concat_axis` is
    new; with it, the first becomes shorter and the second longer. `x` is a pytree of arrays; see `psum` for the names
    and groups.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.vmap(lambda x: cyxla.lax.all_to_all(x, "i", 0, 0), axis_name="i")(jnp.arange(4).reshape(2, 2))
    Array([[0, 2],
           [1, 3]], dtype=int32)
    """
    names, size, groups = _arguments("all_to_all", axis_name, axis_index_groups)

    def leaf(value):
        value = asarray(value)
        split = _dimension("all_to_all", "split_axis", split_axis, value.ndim)
        concat = _dimension("all_to_all", "concat_axis", concat_axis, value.ndim)
        _check_slices("all_to_all", "split_axis", value, split, size, tiled)
        return all_to_all_p.bind(
            value,
            axis_index_groups=groups,
            axis_name=names if len(names) > 1 else names[0],
            concat_axis=concat,
            split_axis=split,
            tiled=tiled,
        )

    return tree_map(leaf, x)


def pswapaxes(x, axis_name, axis, *, axis_index_groups=None):
    """The mapped axis and the dimension `axis` of the operand exchanged; they need one size."""
    return all_to_all(x, axis_name, axis, axis, axis_index_groups=axis_index_groups)


# ---- permuting


def _sources(perm, size):
    """For each member the one it gets its value from, or -1."""
    sources = np.full(size, -1, np.int32)
    for source, to in perm:
        sources[to] = source
    return sources


def _permute_whole(x, *, perm):
    sources = _sources(perm, x.shape[0])
    permuted = _take(x, np.maximum(sources, 0))
    if (sources >= 0).all():
        return permuted
    reached = lax.broadcast_in_dim(asarray(sources >= 0), permuted.shape, (0,))
    return lax.select(reached, permuted, lax.full_like(permuted, 0))


def _permute_by_names(x, names, *, perm):
    everything = all_gather(x, names)
    sources = _sources(perm, everything.shape[0])
    source = lax.dynamic_index_in_dim(asarray(sources), axis_index(names), keepdims=False)
    value = lax.dynamic_index_in_dim(everything, lax.max(source, np.int32(0)), keepdims=False)
    return lax.select(lax.broadcast(lax.ge(source, np.int32(0)), value.shape), value, lax.full_like(value, 0))


ppermute_p = _collective(
    "ppermute",
    lambda x, *, axis_name, perm: x,
    _permute_whole,
    _permute_by_names,
    transpose=lambda ct, x, *, axis_name, perm: [
        ppermute_p.bind(ct, axis_name=axis_name, perm=tuple((to, source) for source, to in perm))
    ],
)


def ppermute(x, axis_name, perm):
    """Sends the members' values to each other: `perm` holds pairs (from, to). Members that get none have zeros.

    `x` is a pytree of arrays. Raises ValueError where a member sends or gets twice, or does not exist, TypeError where
    members are not integers.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.vmap(lambda x: cyxla.lax.ppermute(x, "i", [(0, 1), (1, 2)]), axis_name="i")(jnp.array([5, 6, 7]))
    Array([0, 5, 6], dtype=int32)
    """
    names = _as_tuple(axis_name)
    size = axis_size(names)
    perm = tuple(_pair(pair) for pair in perm)
    for ends in zip(*perm):
        if len(set(ends)) < len(ends) or not all(0 <= end < size for end in ends):
            raise ValueError(
                f"ppermute: perm={list(perm)} must have each of the {size} members at most once as a source and once "
                "as a target"
            )
    return tree_map(lambda value: ppermute_p.bind(asarray(value), axis_name=names, perm=perm), x)


def _pair(pair):
    """Two members of an axis, as integers."""
    if isinstance(pair, str) or not hasattr(pair, "__len__") or len(pair) != 2:
        error = ValueError if hasattr(pair, "__len__") else TypeError
        raise error(f"ppermute: perm must hold pairs of a source and a target, it has {pair!r:.100}")
    try:
        source, to = map(operator.index, pair)
    except TypeError:
        raise TypeError(f"ppermute: sources and targets in perm are integers, got {pair!r:.100}") from None
    return source, to


def pshuffle(x, axis_name, perm):
    """Member i gets the value of member `perm[i]`; `perm` is a permutation of all members.

    Raises ValueError for any other `perm`.
    """
    perm, size = list(perm), axis_size(_as_tuple(axis_name))
    if len(perm) != size or any(member not in perm for member in range(size)):
        raise ValueError(f"pshuffle: perm={perm} is no permutation of the {size} members; ppermute takes pairs")
    perm = [int(source) for source in perm]
    return ppermute(x, axis_name, [(source, to) for to, source in enumerate(perm)])


def _broadcast_for_all(x, *, source):
    return lax.index_in_dim(x, source, 0, keepdims=False)


def _broadcast_whole(x, *, source):
    return _repeat(_broadcast_for_all(x, source=source), x.shape[0])


def _broadcast_by_names(x, names, *, source):
    return lax.index_in_dim(all_gather(x, names), source, 0, keepdims=False)


def _broadcast_transpose(ct, x, *, axis_name, source):
    total = psum(ct, axis_name)
    is_source = lax.eq(axis_index(axis_name), np.int32(source))
    return [lax.select(lax.broadcast(is_source, total.shape), total, lax.full_like(total, 0))]


pbroadcast_p = _collective(
    "pbroadcast",
    lambda x, *, axis_name, source: x,
    _broadcast_whole,
    _broadcast_by_names,
    for_all=_broadcast_for_all,
    transpose=_broadcast_transpose,
)


def pbroadcast(x, axis_name, source):
    """The value of the member `source`, for every member of a mapped axis. `x` is a pytree of arrays."""
    names = _as_tuple(axis_name)
    size = axis_size(names)
    if not 0 <= source < size:
        raise ValueError(f"pbroadcast: the axis has no member {source}, only {size}")
    return tree_map(lambda value: pbroadcast_p.bind(asarray(value), axis_name=names, source=int(source)), x)
