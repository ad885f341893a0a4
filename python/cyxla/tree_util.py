"""Pytrees: nested containers of Python seen as a list of leaves and a structure.

A *node* is a tuple, list, dict, ``None``, namedtuple, ``OrderedDict``, ``defaultdict`` or an instance of a registered
class; anything else is a *leaf*. ``cyxla.tree`` has the functions under shorter names.
"""

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any

from cyxla._engine import pytree as _pytree
from cyxla._engine.pytree import (
    DictKey,
    FlattenedIndexKey,
    GetAttrKey,
    SequenceKey,
    is_tree_node,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_structure,
    tree_unflatten,
    treedef_tuple,
)
from cyxla._engine.pytree import TreeDef as PyTreeDef

__all__ = [
    "DictKey",
    "FlattenedIndexKey",
    "GetAttrKey",
    "KeyEntry",
    "KeyPath",
    "Partial",
    "PyTreeDef",
    "SequenceKey",
    "all_leaves",
    "default_registry",
    "flatten_one_level",
    "flatten_one_level_with_keys",
    "is_tree_node",
    "keystr",
    "register_dataclass",
    "register_pytree_node",
    "register_pytree_node_class",
    "register_pytree_with_keys",
    "register_pytree_with_keys_class",
    "register_static",
    "tree_all",
    "tree_broadcast",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_leaves",
    "tree_leaves_with_path",
    "tree_map",
    "tree_map_with_path",
    "tree_reduce",
    "tree_reduce_associative",
    "tree_structure",
    "tree_transpose",
    "tree_unflatten",
    "treedef_children",
    "treedef_is_leaf",
    "treedef_tuple",
]

KeyEntry = Any
KeyPath = tuple[KeyEntry, ...]


class Unspecified:
    """Default of arguments for which None is a value."""

    def __repr__(self) -> str:
        return "<unspecified>"


_unspecified = Unspecified()


class PyTreeRegistry:
    """The types that are nodes, and flattening by them. There is one, ``default_registry``."""

    def flatten(self, tree, leaf_predicate=None):
        """Leaves and structure of a tree."""
        return tree_flatten(tree, leaf_predicate)

    def flatten_with_path(self, tree, leaf_predicate=None):
        """Leaves with their paths, and structure; the predicate gets the path and the subtree."""
        return _pytree.flatten_with_path(tree, leaf_predicate, True)

    def flatten_one_level(self, tree):
        """Children and metadata of a node; None for a leaf."""
        return _pytree.flatten_one_level(tree)

    def flatten_one_level_with_keys(self, tree):
        """(key, child) pairs and metadata of a node; None for a leaf."""
        return _pytree.flatten_one_level(tree, True)

    def is_node(self, type):
        """Whether instances of a type are nodes."""
        return is_tree_node(type)

    def register_node(self, type, to_iterable, from_iterable, to_iterable_with_keys=None):
        """Registers a class with its flatten and unflatten functions."""
        _pytree.register_node(type, to_iterable, from_iterable, to_iterable_with_keys)

    def register_dataclass_node(self, type, data_fields, meta_fields, /):
        """Registers a class by its fields."""
        _pytree.register_dataclass_node(type, data_fields, meta_fields)


default_registry = PyTreeRegistry()


# Structures


def treedef_children(treedef):
    """The structures of the children of a structure's root.

    >>> treedef_children(tree_structure((1, [2, 3])))
    [PyTreeDef(*), PyTreeDef([*, *])]
    """
    return treedef.children()


def treedef_is_leaf(treedef):
    """Whether a structure is one node: a leaf, None or an empty container."""
    return treedef.num_nodes == 1


def all_leaves(iterable: Iterable[Any], is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether every item of an iterable is a leaf.

    >>> all_leaves([1, 2]), all_leaves([1, (2,)])
    (True, False)
    """
    items = list(iterable)
    leaves = tree_leaves(items, is_leaf)
    return len(leaves) == len(items) and all(map(operator.is_, leaves, items))


def not_a_node(tree):
    return ValueError(f"{tree!r:.200} of type {type(tree).__name__} is a leaf: only nodes of a tree have children")


def flatten_one_level(tree):
    """The children of a node and its metadata. Raises ValueError for a leaf.

    >>> flatten_one_level({"b": [1, 2], "a": 3})
    ((3, [1, 2]), ('a', 'b'))
    """
    opened = _pytree.flatten_one_level(tree)
    if opened is None:
        raise not_a_node(tree)
    return opened


def flatten_one_level_with_keys(tree):
    """The (key, child) pairs of a node and its metadata. Raises ValueError for a leaf.

    >>> flatten_one_level_with_keys([7])
    (((SequenceKey(idx=0), 7),), None)
    """
    opened = _pytree.flatten_one_level(tree, True)
    if opened is None:
        raise not_a_node(tree)
    return opened


# Paths


def _simple_key(key):
    match key:
        case DictKey() | FlattenedIndexKey():
            return str(key.key)
        case SequenceKey():
            return str(key.idx)
        case GetAttrKey():
            return key.name
    return str(key)


def keystr(keys: KeyPath, *, simple: bool = False, separator: str = "") -> str:
    """A path as text: by default as it would be written to index the tree.

    >>> path = (DictKey("a"), SequenceKey(0), GetAttrKey("x"))
    >>> keystr(path), keystr(path, simple=True, separator="/")
    ("['a'][0].x", 'a/0/x')
    """
    return separator.join(map(_simple_key if simple else str, keys))


def tree_flatten_with_path(tree, is_leaf=None, is_leaf_takes_path=False):
    """As ``tree_flatten``, but each leaf comes in a pair with its path.

    With ``is_leaf_takes_path``, the predicate is called with the path and the subtree.

    >>> tree_flatten_with_path({"a": [7]})
    ([((DictKey(key='a'), SequenceKey(idx=0)), 7)], PyTreeDef({'a': [*]}))
    """
    return _pytree.flatten_with_path(tree, is_leaf, is_leaf_takes_path)


def tree_leaves_with_path(tree, is_leaf=None, is_leaf_takes_path=False):
    """The (path, leaf) pairs of a tree."""
    return _pytree.flatten_with_path(tree, is_leaf, is_leaf_takes_path)[0]


generate_key_paths = tree_leaves_with_path


def tree_map_with_path(f, tree, *rest, is_leaf=None, is_leaf_takes_path=False):
    """As ``tree_map``, but ``f`` gets the path of the leaf as its first argument.

    >>> tree_map_with_path(lambda path, x: (keystr(path), x), {"a": [7]})
    {'a': [("['a'][0]", 7)]}
    """
    leaves, treedef = _pytree.flatten_with_path(tree, is_leaf, is_leaf_takes_path)
    columns = []
    for other in rest:
        try:
            columns.append(treedef.flatten_up_to(other))
        except ValueError:
            _raise_prefix_error("tree_map_with_path tree", tree, other, is_leaf, is_leaf_takes_path)
            raise
    return treedef.unflatten([f(path, leaf, *others) for (path, leaf), *others in zip(leaves, *columns)])


# Folds


def tree_reduce(function, tree, initializer=_unspecified, is_leaf=None):
    """Folds the leaves from left to right. Raises TypeError if there are none and no initializer.

    >>> tree_reduce(lambda x, y: x + y, {"a": 1, "b": [2, 3]})
    6
    """
    if isinstance(initializer, Unspecified):
        return functools.reduce(function, tree_leaves(tree, is_leaf))
    return functools.reduce(function, tree_leaves(tree, is_leaf), initializer)


def tree_reduce_associative(operation, tree, *, identity=_unspecified, is_leaf=None):
    """Folds the leaves in a balanced binary tree of calls, for an associative operation.

    Raises TypeError if there are no leaves and no identity.

    >>> tree_reduce_associative(lambda x, y: f"({x}{y})", list("abcd"))
    '((ab)(cd))'
    """
    leaves = tree_leaves(tree, is_leaf)
    if not leaves:
        if isinstance(identity, Unspecified):
            raise TypeError("tree_reduce_associative: the tree has no leaves; give identity= to return for it")
        return identity

    def fold(items):
        if len(items) == 1:
            return items[0]
        middle = len(items) // 2
        return operation(fold(items[:middle]), fold(items[middle:]))

    return fold(leaves)


def tree_all(tree, *, is_leaf=None):
    """Whether all leaves are true.

    >>> tree_all([True, {"a": 0}])
    False
    """
    return all(tree_leaves(tree, is_leaf))


# Changes of structure


def tree_transpose(outer_treedef, inner_treedef, pytree_to_transpose):
    """Turns a tree of ``outer`` structure whose leaves have ``inner`` structure inside out.

    ``inner_treedef=None`` takes that of the first subtree. Raises TypeError if the numbers of leaves do not fit.

    >>> tree_transpose(tree_structure([0, 0]), tree_structure({"a": 0}), [{"a": 1}, {"a": 2}])
    {'a': [1, 2]}
    """
    leaves, treedef = tree_flatten(pytree_to_transpose)
    if inner_treedef is None:
        inner_treedef = tree_structure(outer_treedef.flatten_up_to(pytree_to_transpose)[0])
    n_inner, n_outer = inner_treedef.num_leaves, outer_treedef.num_leaves
    if treedef.num_leaves != n_inner * n_outer:
        raise TypeError(
            f"the tree to transpose should have the structure {outer_treedef.compose(inner_treedef)}, "
            f"which does not fit its structure {treedef}"
        )
    rows = [leaves[i : i + n_inner] for i in range(0, n_inner * n_outer, n_inner)] if n_inner else []
    columns = [outer_treedef.unflatten(column) for column in zip(*rows)]
    return inner_treedef.unflatten(columns)


def broadcast_prefix(prefix_tree, full_tree, is_leaf=None):
    """The leaves of a prefix, each repeated for every leaf of ``full_tree`` under it.

    >>> broadcast_prefix([1, 2], [(0, 0), 0])
    [1, 1, 2]
    """
    leaves, treedef = tree_flatten(prefix_tree, is_leaf)
    try:
        subtrees = treedef.flatten_up_to(full_tree)
    except ValueError:
        _raise_prefix_error("broadcast_prefix prefix_tree", prefix_tree, full_tree, is_leaf)
        raise
    result = []
    for leaf, subtree in zip(leaves, subtrees):
        result += [leaf] * tree_structure(subtree).num_leaves
    return result


def tree_broadcast(prefix_tree, full_tree, is_leaf=None):
    """Extends a prefix to the structure of ``full_tree`` by repeating its leaves.

    Raises ValueError, naming the path, if it is not a prefix.

    >>> tree_broadcast([1, 2], [(0, 0), 0])
    [(1, 1), 2]
    """
    return tree_unflatten(tree_structure(full_tree), broadcast_prefix(prefix_tree, full_tree, is_leaf))


# Mismatches between a tree and what should be a prefix of it


def equality_errors(tree1, tree2, is_leaf=None):
    """Where two trees differ in structure: (path, what the first has, what the second has, explanation) each."""
    yield from _equality_errors((), tree1, tree2, is_leaf)


def _equality_errors(path, tree1, tree2, is_leaf):
    def open_node(tree):
        return None if is_leaf is not None and is_leaf(tree) else _pytree.flatten_one_level(tree, True)

    opened1, opened2 = open_node(tree1), open_node(tree2)
    if opened1 is None and opened2 is None:
        return
    if opened1 is None or opened2 is None or type(tree1) is not type(tree2):
        what = [
            f"a leaf of type {type(t)}" if o is None else f"{type(t)}" for t, o in ((tree1, opened1), (tree2, opened2))
        ]
        yield path, what[0], what[1], "their Python types differ"
        return
    (pairs1, metadata1), (pairs2, metadata2) = opened1, opened2
    if len(pairs1) != len(pairs2):
        kind = type(tree1).__name__
        yield (
            path,
            f"{kind} with {len(pairs1)} children",
            f"{kind} with {len(pairs2)} children",
            "their numbers of children differ",
        )
    elif metadata1 != metadata2:
        yield path, f"metadata {metadata1}", f"metadata {metadata2}", "their metadata differ"
    else:
        for (key, child1), (_, child2) in zip(pairs1, pairs2):
            yield from _equality_errors((*path, key), child1, child2, is_leaf)


def prefix_errors(prefix_tree, full_tree, is_leaf=None) -> list[Callable[[str], ValueError]]:
    """Where ``prefix_tree`` is not a prefix of ``full_tree``.

    One function for each place; called with the name of the prefix (an argument's, say) it returns the ValueError that
    names the path and says what differs there.
    """
    return list(_prefix_errors((), prefix_tree, full_tree, _with_path(is_leaf)))


def _with_path(is_leaf):
    return None if is_leaf is None else lambda path, tree: is_leaf(tree)


def _prefix_errors(path, prefix, full, is_leaf):
    if is_leaf is not None and is_leaf(path, prefix):
        return
    opened = _pytree.flatten_one_level(prefix, True)
    if opened is None:
        return
    kind = type(prefix)
    if type(full) is not kind:
        yield _mismatch(path, f"is a {kind.__name__}", f"a {type(full).__name__}")
        return
    pairs, metadata = opened
    full_pairs, full_metadata = _pytree.flatten_one_level(full, True)
    if len(pairs) != len(full_pairs):
        if kind in (tuple, list):
            yield _mismatch(path, f"is a {kind.__name__} of {len(pairs)} items", f"one of {len(full_pairs)}")
        else:
            keys, full_keys = _names(pairs), _names(full_pairs)
            yield _mismatch(path, f"is a {kind.__name__} of the children {keys}", f"one of the children {full_keys}")
    elif not _same_metadata(metadata, full_metadata):
        yield _mismatch(path, f"is a {kind.__name__} with metadata {metadata}", f"one with metadata {full_metadata}")
    else:
        for (key, child), (_, full_child) in zip(pairs, full_pairs):
            yield from _prefix_errors((*path, key), child, full_child, is_leaf)


def _same_metadata(a, b):
    try:
        return a is b or bool(a == b)
    except Exception:  # an == that raises is reported as a difference, with both values
        return False


def _names(pairs):
    return ", ".join(_simple_key(key) for key, _ in pairs)


def _mismatch(path, found, full):
    """A function of the prefix's name that makes the ValueError for one place."""
    return lambda name: ValueError(f"{name}{keystr(path)} {found}, but the tree that it must fit has {full} there")


def _raise_prefix_error(name, prefix_tree, full_tree, is_leaf, is_leaf_takes_path=False):
    stop = is_leaf if is_leaf_takes_path else _with_path(is_leaf)
    for error in _prefix_errors((), prefix_tree, full_tree, stop):
        raise error(name) from None


_pytree.set_mismatch_explainer(
    lambda what, prefix, full, is_leaf: _raise_prefix_error(f"{what} tree", prefix, full, is_leaf)
)


# Registration


def register_pytree_node(nodetype, flatten_func, unflatten_func, flatten_with_keys_func=None) -> None:
    """Makes instances of a class nodes.

    ``flatten_func(node)`` returns (children, metadata), ``unflatten_func(metadata, children)`` the node again, and
    ``flatten_with_keys_func(node)``, if given, ((key, child) pairs, metadata). Metadata must hash and compare.
    Raises ValueError if the class is registered already.

    >>> class Box:
    ...     def __init__(self, item, label):
    ...         self.item, self.label = item, label
    >>> register_pytree_node(Box, lambda b: ((b.item,), b.label), lambda label, items: Box(*items, label))
    >>> tree_flatten(Box([1, 2], "x"))
    ([1, 2], PyTreeDef(CustomNode(Box[x], [[*, *]])))
    """
    _pytree.register_node(nodetype, flatten_func, unflatten_func, flatten_with_keys_func)


def register_pytree_with_keys(nodetype, flatten_with_keys, unflatten_func, flatten_func=None) -> None:
    """Makes instances of a class nodes whose children have keys in paths.

    ``flatten_with_keys(node)`` returns ((key, child) pairs, metadata); ``flatten_func``, if given, is used where keys
    are not needed.
    """
    if flatten_func is None:

        def flatten_func(node):
            pairs, metadata = flatten_with_keys(node)
            return [child for _, child in pairs], metadata

    _pytree.register_node(nodetype, flatten_func, unflatten_func, flatten_with_keys)


def register_pytree_node_class(cls):
    """Class decorator: a node by its methods ``tree_flatten`` and (a class method) ``tree_unflatten``."""
    register_pytree_node(cls, operator.methodcaller("tree_flatten"), cls.tree_unflatten)
    return cls


def register_pytree_with_keys_class(cls):
    """Class decorator: a node by its methods ``tree_flatten_with_keys`` and (a class method) ``tree_unflatten``.

    ``tree_flatten``, where the class has it, is used when keys are not needed.
    """
    flatten_func = operator.methodcaller("tree_flatten") if hasattr(cls, "tree_flatten") else None
    register_pytree_with_keys(cls, operator.methodcaller("tree_flatten_with_keys"), cls.tree_unflatten, flatten_func)
    return cls


def register_dataclass(nodetype, data_fields=None, meta_fields=None, drop_fields=()):
    """Makes instances of a dataclass nodes: data fields are children, meta fields are compared and hashed.

    Without explicit fields, those marked ``metadata={"static": True}`` (see ``cyxla.tree.static``) are meta fields and
    all others data. ``drop_fields`` names init fields that are neither; unflattening leaves them to their defaults.
    Nodes are rebuilt by calling the class with keyword arguments. Returns the class.

    Raises TypeError if one kind of fields is given without the other, or neither for a class that is no dataclass;
    ValueError if a field is missing, unknown, of both kinds, or if the class is registered already.

    >>> import dataclasses
    >>> @register_dataclass
    ... @dataclasses.dataclass
    ... class Layer:
    ...     weight: float
    ...     name: str = dataclasses.field(metadata={"static": True})
    >>> tree_map(lambda x: 2 * x, Layer(1.5, "first"))
    Layer(weight=3.0, name='first')
    """
    if (data_fields is None) != (meta_fields is None):
        raise TypeError(
            f"register_dataclass: give both data_fields and meta_fields, or neither; got data_fields={data_fields!r}, "
            f"meta_fields={meta_fields!r}"
        )
    import dataclasses

    is_dataclass = isinstance(nodetype, type) and dataclasses.is_dataclass(nodetype)
    if data_fields is None:
        if not is_dataclass:
            raise TypeError(
                f"register_dataclass: {nodetype!r} is no dataclass, so data_fields and meta_fields must be given"
            )
        fields = [f for f in dataclasses.fields(nodetype) if f.name not in drop_fields]
        data_fields = [f.name for f in fields if not f.metadata.get("static", False)]
        meta_fields = [f.name for f in fields if f.metadata.get("static", False)]
    data_fields, meta_fields = tuple(data_fields), tuple(meta_fields)
    chosen = {*data_fields, *meta_fields}
    if overlap := {*data_fields} & {*meta_fields}:
        raise ValueError(
            f"register_dataclass: {sorted(overlap)} are in data_fields and in meta_fields; a field is one or the other"
        )
    if is_dataclass:
        init_fields = {f.name for f in dataclasses.fields(nodetype) if f.init} - {*drop_fields}
        problem = f"register_dataclass: the fields given for {nodetype.__name__} are not those with init=True."
        if missing := init_fields - chosen:
            raise ValueError(f"{problem} Missing: {sorted(missing)}; those to leave out go into drop_fields.")
        if unexpected := chosen - init_fields:
            raise ValueError(f"{problem} Unknown: {sorted(unexpected)}.")
    _pytree.register_dataclass_node(nodetype, data_fields, meta_fields)
    return nodetype


def register_static(cls):
    """Class decorator: instances are nodes without children, themselves the metadata; so they must hash and compare.

    >>> @register_static
    ... class Mode(str):
    ...     pass
    >>> tree_leaves([Mode("fast"), 1])
    [1]
    """
    register_pytree_node(cls, lambda node: ((), node), lambda node, _: node)
    return cls


class _OpaqueCallable:
    """Hides the type of a function, so that ``functools.partial`` does not merge two partials into one."""

    def __init__(self, fun):
        self.fun = fun

    def __call__(self, *args, **kwargs):
        return self.fun(*args, **kwargs)

    def __eq__(self, other):
        return type(other) is _OpaqueCallable and self.fun == other.fun

    def __hash__(self):
        return hash(self.fun)

    def __repr__(self):
        return f"{type(self).__name__}({self.fun!r})"


class Partial(functools.partial):
    """``functools.partial`` as a node: its arguments are children, its function is metadata.

    So a function with bound arrays can be passed to, and returned from, a transformed function.

    >>> add = Partial(lambda x, y: x + y, 1)
    >>> add(2), tree_leaves(add)
    (3, [1])
    """

    def __new__(klass, func, *args, **kw):
        if isinstance(func, functools.partial):
            func = _OpaqueCallable(func)
        return super().__new__(klass, func, *args, **kw)


register_pytree_node(
    Partial,
    lambda partial: ((partial.args, partial.keywords), partial.func),
    lambda func, children: Partial(func, *children[0], **children[1]),
)
