"""`associative_scan`: all prefixes of an associative operation, in a logarithmic number of steps."""

import operator

from cyxla import lax
from cyxla._engine.array import asarray
from cyxla._engine.boundary import api_boundary
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._transform.arguments import function_name
from cyxla.lax.control_flow.common import to_arrays


@api_boundary
def associative_scan(fn, elems, reverse=False, axis=0):
    """The prefixes `elems[0]`, `fn(elems[0], elems[1])`, ... of an associative function, along an axis.

    `elems` is a pytree of arrays of equal size along `axis`; `fn(a, b)` takes two such trees (of any number of elements
    each) and returns one. `reverse` combines from the end. Neighbours are combined in pairs, so that the depth of the
    computation is the logarithm of the size.

    Raises TypeError where `fn` is no function or changes shapes, ValueError where sizes differ or `fn` returns another
    number of arrays, AttributeError for operands that are no arrays (numbers have no axis), IndexError for none at all.

    >>> import cyxla.numpy as jnp
    >>> from cyxla import lax
    >>> lax.associative_scan(jnp.add, jnp.arange(5))
    Array([ 0,  1,  3,  6, 10], dtype=int32)
    """
    if not callable(fn):
        raise TypeError(f"associative_scan takes a function of two trees first, got {fn!r:.200}")
    leaves, tree = tree_flatten(elems)
    for x in leaves:
        if not hasattr(x, "shape"):
            raise AttributeError(
                f"associative_scan takes arrays with an axis to go along, in containers; got {x!r:.200} of type "
                f"{type(x).__name__}, which has no shape"
            )
    if not leaves:
        raise IndexError(f"associative_scan: there are no arrays in the operand, {elems!r:.200}")
    leaves, axis = [asarray(x) for x in leaves], operator.index(axis)
    for x in leaves:
        if not -x.ndim <= axis < x.ndim:
            raise ValueError(f"associative_scan: an array of shape {x.shape} has no axis {axis}")
    axes = [axis % x.ndim for x in leaves]
    sizes = {x.shape[i] for x, i in zip(leaves, axes)}
    if len(sizes) > 1:
        raise ValueError(
            f"associative_scan: all arrays must have the same size along axis {axis}; their shapes are "
            f"{[x.shape for x in leaves]}"
        )

    def combine(first, second):
        out, out_tree = tree_flatten(fn(tree_unflatten(tree, first), tree_unflatten(tree, second)))
        if len(out) != len(first):
            raise ValueError(
                f"associative_scan: {function_name(fn)} must return what it takes, a tree of structure {tree}; it "
                f"returned {out_tree}"
            )
        out = to_arrays(out, "associative_scan")
        for got, given in zip(out, first):
            if got.shape != given.shape:
                raise TypeError(
                    f"associative_scan: {function_name(fn)} must keep the shapes of what it combines, which are any "
                    f"number of elements at a time; it made {got.aval.str_short()} of two {given.aval.str_short()}"
                )
        return out

    def part(xs, start, stop, stride=1):
        return [lax.slice_in_dim(x, start, stop, stride, i) for x, i in zip(xs, axes)]

    def scan(xs, size):
        if size < 2:
            return xs
        # The prefixes that end at odd positions are those of the pairs; the even ones take one element more.
        pairs = combine(part(xs, 0, size - size % 2, 2), part(xs, 1, size, 2))
        odd = scan(pairs, size // 2)
        even = part(xs, 0, 1)
        if size > 2:
            rest = combine(part(odd, 0, (size - 1) // 2), part(xs, 2, size, 2))
            even = [lax.concatenate([a, b], i) for a, b, i in zip(even, rest, axes)]
        return [interleave(a, b, i, size) for a, b, i in zip(even, odd, axes)]

    size = sizes.pop()
    if reverse:
        leaves = [lax.rev(x, (i,)) for x, i in zip(leaves, axes)]
    results = scan(leaves, size)
    if reverse:
        results = [lax.rev(x, (i,)) for x, i in zip(results, axes)]
    return tree_unflatten(tree, results)


def interleave(even, odd, axis, size):
    """The elements of two arrays in turn, along an axis; `even` may have one more."""
    both = size // 2
    halves = [lax.expand_dims(lax.slice_in_dim(x, 0, both, 1, axis), (axis + 1,)) for x in (even, odd)]
    shape = list(even.shape)
    shape[axis] = 2 * both
    out = lax.reshape(lax.concatenate(halves, axis + 1), shape)
    if size % 2 == 0:
        return out
    return lax.concatenate([out, lax.slice_in_dim(even, both, both + 1, 1, axis)], axis)


__all__ = ["associative_scan"]
