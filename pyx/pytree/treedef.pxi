# TreeDef

def _rebuild_treedef(list nodes):
    """Inverse of pickling."""
    cdef Flat flat
    cdef NodeType node
    cdef PyObject* found
    flat_init(&flat)
    try:
        for kind, arity, obj, extras in nodes:
            if kind in (CUSTOM, DATACLASS):
                found = _lookup(<PyTypeObject*>obj)
                if found == NULL or (<NodeType>found).kind != kind:
                    raise ValueError(f"cannot unpickle a PyTreeDef with a node of type {obj}: the type is not "
                                     "registered here in the way it was where the PyTreeDef was pickled")
                _put_head(&flat, kind, arity, found)
            elif kind == NAMEDTUPLE:
                _put_head(&flat, kind, arity, <PyObject*>obj)
            else:
                _put_head(&flat, kind, arity, NULL)
            for i in range(len(extras)):
                extra = extras[i]
                is_key = kind not in (CUSTOM, DATACLASS) and i >= len(extras) - arity
                _put_value(&flat, KEY if is_key else META, <PyObject*>extra)
        return flat_treedef(&flat)
    finally:
        flat_clear(&flat)


@cython.final
@cython.no_gc_clear     # the intern table must never hand out a TreeDef that the collector has emptied
cdef class TreeDef:
    """The structure of a pytree: everything but its leaves.

    Tree definitions with the same contents are one object, so ``is`` is nearly always as good as ``==``. They are
    hashable, immutable and can be pickled where their types and metadata can.
    """

    def __cinit__(self):
        self.structure_hash = -1

    def __init__(self):
        raise TypeError("PyTreeDef has no constructor: use tree_structure() or tree_flatten()")

    def __dealloc__(self):
        if self.n_tokens:
            _intern_remove(<PyObject*>self, self.intern_hash)
        free(self.tokens)

    def __eq__(self, other):
        if type(other) is not TreeDef:
            return False
        return _equal(self, <TreeDef>other)

    def __ne__(self, other):
        if type(other) is not TreeDef:
            return True
        return not _equal(self, <TreeDef>other)

    def __hash__(self):
        return _structure_hash(self)

    def __repr__(self):
        cdef Token* token = self.tokens
        cdef list pieces = []
        _write(&token, pieces)
        return f"PyTreeDef({''.join(pieces)})"

    def __reduce__(self):
        cdef Token* token = self.tokens
        cdef Token* end = self.tokens + self.n_tokens
        cdef list nodes = []
        while token < end:
            obj = None
            if _kind(token) in (NAMEDTUPLE, DATACLASS, CUSTOM):
                obj = _node_type(token)
            nodes.append((_kind(token), _arity(token), obj, _extras(token)))
            token += 1 + _n_extra(token)
        return _rebuild_treedef, (nodes,)

    def __copy__(self):
        return self

    def unflatten(self, leaves, /):
        """The tree with this structure and the given leaves."""
        return unflatten(self, leaves if type(leaves) is list else list(leaves))

    def flatten_up_to(self, tree):
        """The subtrees of ``tree`` at the places of this structure's leaves. Raises ValueError where they differ."""
        cdef Flat out
        flat_init(&out)
        try:
            _match(self.tokens, <PyObject*>tree, &out)
            return _leaf_list(&out)
        finally:
            flat_clear(&out)

    def compose(self, TreeDef inner not None, /):
        """This structure with ``inner`` in place of each leaf."""
        cdef Flat flat
        cdef Token* token = self.tokens
        cdef Token* end = token + self.n_tokens
        flat_init(&flat)
        try:
            while token < end:
                if token.head == LEAF:
                    _put_run(&flat, inner.tokens, inner.tokens + inner.n_tokens)
                else:
                    _put_run(&flat, token, token + 1)
                token += 1
            return flat_treedef(&flat)
        finally:
            flat_clear(&flat)

    def children(self):
        """The structures of the root's children."""
        cdef Token* token = self.tokens
        cdef Token* start = token + 1 + _n_extra(token)
        cdef list result = []
        cdef Py_ssize_t i
        for i in range(_arity(token)):
            token = _skip(start)
            result.append(_treedef_of_run(start, token))
            start = token
        return result

    def node_data(self):
        """The root's type and metadata; None for a leaf."""
        cdef int kind = _kind(self.tokens)
        if kind == LEAF:
            return None
        return _node_type(self.tokens), _shown_metadata(self.tokens) if kind != NAMEDTUPLE else None

    @staticmethod
    def from_node_data_and_children(registry, node_data, children):
        """Inverse of ``node_data()`` and ``children()``."""
        return _assemble(node_data, list(children))

    @staticmethod
    def make_from_node_data_and_children(registry, node_data, children):
        """Inverse of ``node_data()`` and ``children()``."""
        return _assemble(node_data, list(children))

    def from_iterable_tree(self, tree, /):
        """A tree with this structure, from nested iterables whose items are the children of each node."""
        cdef Token* token = self.tokens
        cdef list leaves = []
        _gather(&token, tree, leaves)
        return unflatten(self, leaves)

    def walk(self, f_node, f_leaf, leaves, /):
        """Folds bottom up: ``f_leaf(leaf)`` at leaves, ``f_node(children, node_data)`` at nodes."""
        cdef Token* token = self.tokens
        iterator = iter(leaves)
        result = _walk(&token, f_node, f_leaf, iterator)
        for _ in iterator:
            raise ValueError("there are too many leaves for this structure")
        return result

    def serialize_using_proto(self):
        """The bytes of jaxlib's PyTreeDefProto; only for None, tuples, lists and dicts with str keys."""
        return _to_proto(self)

    @staticmethod
    def deserialize_using_proto(registry, bytes data):
        """Inverse of ``serialize_using_proto``."""
        return _from_proto(data)


if not is_heap_type(<PyTypeObject*>TreeDef):
    set_type_name(<PyTypeObject*>TreeDef, "cyxla.tree_util.PyTreeDef")


cdef object _shown_metadata(Token* token):
    # A dict's keys appear as a list here and as a tuple in flatten_one_level.
    return list(_extras(token)) if _kind(token) == DICT else _metadata(token)


cdef int _write(Token** cursor, list pieces) except -1:
    cdef Token* token = cursor[0]
    cdef int kind = _kind(token)
    cdef Py_ssize_t i, n = _arity(token)
    cursor[0] += 1 + _n_extra(token)
    if kind == LEAF or kind == NONE:
        pieces.append("*" if kind == LEAF else "None")
        return 0
    if kind == TUPLE:
        opening, closing = "(", ",)" if n == 1 else ")"
    elif kind == LIST:
        opening, closing = "[", "]"
    elif kind == DICT:
        opening, closing = "{", "}"
    else:
        if kind == NAMEDTUPLE:
            opening = f"CustomNode(namedtuple[{_node_type(token).__name__}], ["
        else:
            opening = f"CustomNode({_node_type(token).__name__}[{_metadata(token)}], ["
        closing = "])"
    pieces.append(opening)
    enter_recursion(" while printing a pytree")
    try:
        for i in range(n):
            if i:
                pieces.append(", ")
            if kind == DICT:
                pieces.append(f"{<object>token[1 + i].obj!r}: ")
            _write(cursor, pieces)
    finally:
        leave_recursion()
    pieces.append(closing)
    return 0


cdef int _gather(Token** cursor, tree, list leaves) except -1:
    cdef Token* token = cursor[0]
    cdef list children
    cursor[0] += 1 + _n_extra(token)
    if token.head == LEAF:
        leaves.append(tree)
        return 0
    children = list(tree)
    if len(children) != _arity(token):
        raise ValueError(f"a node of {_arity(token)} children is needed here, got {len(children)}")
    enter_recursion(" while reading a tree of iterables")
    try:
        for child in children:
            _gather(cursor, child, leaves)
    finally:
        leave_recursion()
    return 0


cdef object _walk(Token** cursor, f_node, f_leaf, iterator):
    cdef Token* token = cursor[0]
    cdef Py_ssize_t i
    cdef list children = []
    cursor[0] += 1 + _n_extra(token)
    if token.head == LEAF:
        for leaf in iterator:
            return f_leaf(leaf)
        raise ValueError("there are too few leaves for this structure")
    enter_recursion(" while walking a pytree")
    try:
        for i in range(_arity(token)):
            children.append(_walk(cursor, f_node, f_leaf, iterator))
    finally:
        leave_recursion()
    return f_node(tuple(children), _shown_metadata(token))


cdef TreeDef _assemble(node_data, list children):
    cdef Flat flat
    cdef TreeDef child
    cdef PyObject* found
    cdef Py_ssize_t n = len(children)
    cdef dict plain = {type(None): NONE, tuple: TUPLE, list: LIST}
    for item in children:
        if type(item) is not TreeDef:
            raise TypeError(f"the children of a PyTreeDef must be PyTreeDefs, got {item!r}")
    if node_data is None:
        if n:
            raise RuntimeError(f"node_data is None, which makes a leaf, but there are {n} children")
        return LEAF_TREEDEF
    node_type, data = node_data
    found = _lookup(<PyTypeObject*>node_type) if isinstance(node_type, type) else NULL
    flat_init(&flat)
    try:
        if node_type in plain:
            if node_type is type(None):
                children, n = [], 0
            _put_head(&flat, plain[node_type], n, NULL)
        elif node_type is dict or node_type is collections.OrderedDict or node_type is collections.defaultdict:
            if node_type is dict:
                _put_head(&flat, DICT, n, NULL)
            elif node_type is collections.OrderedDict:
                _put_head(&flat, ORDERED_DICT, n, NULL)
            else:
                factory, data = data
                _put_head(&flat, DEFAULT_DICT, n, NULL)
                _put_value(&flat, META, <PyObject*>factory)
            if len(data) != n:
                raise RuntimeError(f"a dict of the keys {list(data)} needs as many children, got {n}")
            for item in data:
                _put_value(&flat, KEY, <PyObject*>item)
        elif found != NULL:
            _put_head(&flat, (<NodeType>found).kind, n, found)
            if (<NodeType>found).kind == CUSTOM:
                _put_value(&flat, META, <PyObject*>data)
            elif len(data) != len((<NodeType>found).meta_fields) or n != len((<NodeType>found).data_fields):
                raise RuntimeError(f"the fields {data} and {n} children do not make up a {node_type}")
            else:
                for item in data:
                    _put_value(&flat, META, <PyObject*>item)
        elif isinstance(node_type, type) and _is_node_type(<PyTypeObject*>node_type):
            _put_head(&flat, NAMEDTUPLE, n, <PyObject*>node_type)
        else:
            raise RuntimeError(f"{node_type} is not registered as a pytree node")
        for item in children:
            child = <TreeDef>item
            _put_run(&flat, child.tokens, child.tokens + child.n_tokens)
        return flat_treedef(&flat)
    finally:
        flat_clear(&flat)
