# The public functions on trees that are hot enough to be compiled; the rest is in cyxla.tree_util.

def tree_flatten(tree, is_leaf=None):
    """Splits a tree into the list of its leaves and its structure.

    ``is_leaf`` is asked at every node; where it answers True, the node counts as a leaf. Keys of dicts are visited in
    sorted order. ``None`` is a node without children.

    >>> tree_flatten({"b": [2, 3], "a": 1})
    ([1, 2, 3], PyTreeDef({'a': *, 'b': [*, *]}))
    """
    cdef Flat flat
    flat_init(&flat)
    try:
        _add_checked(&flat, tree, is_leaf)
        treedef = flat_treedef(&flat)
        return _leaf_list(&flat), treedef
    finally:
        flat_clear(&flat)


def tree_leaves(tree, is_leaf=None):
    """The leaves of a tree.

    >>> tree_leaves({"b": [2, 3], "a": (1, None)})
    [1, 2, 3]
    """
    cdef Flat flat
    flat_init(&flat)
    try:
        _add_checked(&flat, tree, is_leaf)
        return _leaf_list(&flat)
    finally:
        flat_clear(&flat)


def tree_structure(tree, is_leaf=None):
    """The structure of a tree.

    >>> tree_structure([1, (2, None)])
    PyTreeDef([*, (*, None)])
    """
    cdef Flat flat
    flat_init(&flat)
    try:
        _add_checked(&flat, tree, is_leaf)
        return flat_treedef(&flat)
    finally:
        flat_clear(&flat)


def tree_unflatten(treedef, leaves):
    """The tree with the given structure and leaves. Raises ValueError if their number does not fit.

    >>> leaves, treedef = tree_flatten({"a": 1, "b": [2, 3]})
    >>> tree_unflatten(treedef, [10, 20, 30])
    {'a': 10, 'b': [20, 30]}
    """
    if type(treedef) is TreeDef:
        return unflatten(<TreeDef>treedef, leaves if type(leaves) is list else list(leaves))
    return treedef.unflatten(leaves)


cdef object _build_flat(Flat* flat):
    cdef Reader reader
    reader.token = flat.tokens
    reader.leaf = flat.leaves
    reader.depth = 0
    return _take(_build(&reader))


def tree_map(f, tree, *rest, is_leaf=None):
    """Calls ``f`` on each leaf of ``tree`` and returns the results in a tree of the same structure.

    Each of ``rest`` must have the structure of ``tree``, or go on below its leaves; ``f`` then gets the corresponding
    subtree of each as a further argument. Raises ValueError, naming the path, where a structure differs.

    >>> tree_map(lambda x, y: x + y, {"a": 1, "b": [2]}, {"a": 10, "b": [20]})
    {'a': 11, 'b': [22]}
    """
    cdef Flat flat
    cdef Py_ssize_t i
    cdef PyObject* result
    flat_init(&flat)
    try:
        _add_checked(&flat, tree, is_leaf)
        if rest:
            _map_many(&flat, f, tree, <tuple>rest, is_leaf)
        else:
            for i in range(flat.n_leaves):
                result = call_one(<PyObject*>f, flat.leaves[i])
                decref(flat.leaves[i])
                flat.leaves[i] = result
        return _build_flat(&flat)
    finally:
        flat_clear(&flat)


cdef int _map_many(Flat* flat, f, tree, tuple rest, is_leaf) except -1:
    """Replaces each leaf by f(leaf, subtree of each of rest)."""
    cdef Flat others
    cdef Py_ssize_t i, j, n = flat.n_leaves, n_args = 1 + len(rest)
    cdef PyObject* result
    cdef PyObject** args = NULL
    flat_init(&others)
    try:
        for other in rest:
            try:
                _match(flat.tokens, <PyObject*>other, &others)
            except ValueError:
                if explain_mismatch is not None:
                    explain_mismatch("tree_map", tree, other, is_leaf)
                raise
        args = <PyObject**>malloc((n_args + 1) * sizeof(PyObject*))
        if args == NULL:
            raise MemoryError
        for i in range(n):
            args[1] = flat.leaves[i]
            for j in range(n_args - 1):
                args[2 + j] = others.leaves[j * n + i]
            result = vectorcall(<PyObject*>f, args + 1, <size_t>n_args | VECTORCALL_OFFSET, NULL)
            decref(flat.leaves[i])
            flat.leaves[i] = result
    finally:
        free(args)
        flat_clear(&others)
    return 0


cdef object explain_mismatch = None


def set_mismatch_explainer(explainer):
    """Installs ``explainer(what, prefix, tree, is_leaf)``, which raises the error that names the path of a mismatch."""
    global explain_mismatch
    explain_mismatch = explainer


def flatten_with_path(tree, is_leaf=None, bint is_leaf_takes_path=False):
    """The leaves with their paths, and the structure."""
    cdef Flat flat
    cdef list paths = []
    if is_leaf is not None and not callable(is_leaf):
        raise TypeError(f"is_leaf must be a function, got {is_leaf!r}")
    flat_init(&flat)
    try:
        _add_with_path(&flat, tree, is_leaf, is_leaf_takes_path, (), paths)
        treedef = flat_treedef(&flat)
        return list(zip(paths, _leaf_list(&flat))), treedef
    finally:
        flat_clear(&flat)


def flatten_one_level(tree, bint with_keys=False):
    """The children of a node, paired with their keys if asked for, and its metadata. None for a leaf."""
    cdef Flat flat
    cdef list children, keys = [] if with_keys else None
    flat_init(&flat)
    try:
        children = _open(&flat, tree, keys)
        if children is None:
            return None
        metadata = _metadata(flat.tokens)
        kind = _kind(flat.tokens)
    finally:
        flat_clear(&flat)
    result = list(zip(keys, children)) if with_keys else children
    if kind in (NONE, TUPLE, DICT) or (kind == LIST and with_keys) or (kind == CUSTOM and not with_keys):
        result = tuple(result)
    return result, metadata


def treedef_tuple(treedefs):
    """The structure of a tuple whose items have the given structures.

    >>> treedef_tuple([tree_structure(1), tree_structure([1, 2])])
    PyTreeDef((*, [*, *]))
    """
    return _assemble((tuple, None), list(treedefs))
