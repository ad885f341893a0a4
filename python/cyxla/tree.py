"""The functions on pytrees under short names; ``cyxla.tree_util`` has the rest."""

from cyxla import tree_util as _tree_util

__all__ = [
    "all",
    "broadcast",
    "flatten",
    "flatten_with_path",
    "leaves",
    "leaves_with_path",
    "map",
    "map_with_path",
    "reduce",
    "reduce_associative",
    "static",
    "structure",
    "transpose",
    "unflatten",
]

all = _tree_util.tree_all
broadcast = _tree_util.tree_broadcast
flatten = _tree_util.tree_flatten
flatten_with_path = _tree_util.tree_flatten_with_path
leaves = _tree_util.tree_leaves
leaves_with_path = _tree_util.tree_leaves_with_path
map = _tree_util.tree_map
map_with_path = _tree_util.tree_map_with_path
reduce = _tree_util.tree_reduce
reduce_associative = _tree_util.tree_reduce_associative
structure = _tree_util.tree_structure
transpose = _tree_util.tree_transpose
unflatten = _tree_util.tree_unflatten


def static(**kwargs):
    """A ``dataclasses.field`` that ``register_dataclass`` takes as metadata rather than as a child.

    >>> import dataclasses, cyxla
    >>> @cyxla.tree_util.register_dataclass
    ... @dataclasses.dataclass
    ... class Layer:
    ...     weight: float
    ...     name: str = static(default="layer")
    >>> leaves(Layer(1.0))
    [1.0]
    """
    metadata = {"static": True, **(kwargs.pop("metadata", None) or {})}
    import dataclasses

    return dataclasses.field(metadata=metadata, **kwargs)
