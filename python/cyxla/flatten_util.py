"""A tree of arrays as one vector, and back."""

import dataclasses
import itertools
import math

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._engine.array import typeof
from cyxla.tree_util import PyTreeDef, tree_flatten

__all__ = ["ravel_pytree"]


@dataclasses.dataclass(frozen=True, repr=False)
class _Unravel:
    """Inverse of ravelling trees of one structure. Compares by value, so that it can be a static argument."""

    treedef: PyTreeDef
    shapes: tuple
    dtypes: tuple
    dtype: object

    def __call__(self, arr):
        if not self.shapes:
            return self.treedef.unflatten([])
        aval = typeof(arr)
        size = sum(map(math.prod, self.shapes))
        if not aval.shape or aval.shape[0] != size:
            raise ValueError(f"unravel: the array must have shape ({size},), it has {aval.shape}")
        # A vector of another dtype stands for a tree of that dtype, but not if the tree mixes several.
        mixed = any(dtype != self.dtype for dtype in self.dtypes)
        if mixed and aval.dtype != self.dtype:
            raise TypeError(
                f"unravel: the array must have dtype {self.dtype}, to which the leaves' dtypes "
                f"{', '.join(sorted({str(dtype) for dtype in self.dtypes}))} were joined; got {aval.dtype}"
            )
        ends = list(itertools.accumulate(map(math.prod, self.shapes)))
        leaves = [jnp.reshape(x, shape) for x, shape in zip(jnp.split(arr, ends[:-1]), self.shapes)]
        if mixed:
            leaves = [_convert(x, dtype) for x, dtype in zip(leaves, self.dtypes)]
        return self.treedef.unflatten(leaves)

    def __repr__(self):
        return f"<unravel to {self.treedef} of shapes {self.shapes}>"


def _convert(x, dtype):
    if jnp.issubdtype(x.dtype, jnp.complexfloating) and not jnp.issubdtype(dtype, jnp.complexfloating):
        x = lax.real(x)
    return lax.convert_element_type(x, dtype)


def ravel_pytree(pytree):
    """Concatenates the leaves of a tree into one vector, of the dtype to which theirs promote.

    Returns the vector and a function that turns such a vector into a tree again. That function restores the dtypes of
    the leaves, for which it needs a vector of the promoted dtype (TypeError otherwise), unless they have only one. It
    raises ValueError for a vector of another length. Leaves must be arrays or scalars (TypeError otherwise).

    >>> vector, unravel = ravel_pytree({"a": 1.0, "b": [2.0, 3.0]})
    >>> vector.shape
    (3,)
    >>> sorted(unravel(2 * vector))
    ['a', 'b']
    """
    leaves, treedef = tree_flatten(pytree)
    avals = [typeof(leaf) for leaf in leaves]
    if not leaves:
        return jnp.zeros(0), _Unravel(treedef, (), (), None)
    dtype = jnp.result_type(*leaves)
    shapes, dtypes = tuple(aval.shape for aval in avals), tuple(aval.dtype for aval in avals)
    vectors = [jnp.ravel(leaf) for leaf in leaves]
    if any(d != dtype for d in dtypes):
        vectors = [lax.convert_element_type(vector, dtype) for vector in vectors]
    return jnp.concatenate(vectors), _Unravel(treedef, shapes, dtypes, dtype)
