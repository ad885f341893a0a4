# Reading tokens

cdef inline int _kind(Token* token) noexcept:
    return <int>(token.head & KIND_MASK)


cdef inline Py_ssize_t _arity(Token* token) noexcept:
    return <Py_ssize_t>(token.head >> 8)


cdef inline Py_ssize_t _n_extra(Token* token) noexcept:
    """How many KEY and META tokens follow a head."""
    cdef int kind = _kind(token)
    if kind == CUSTOM:
        return 1
    if kind == DATACLASS:
        return tuple_size(<PyObject*>(<NodeType>token.obj).meta_fields)
    if kind == DICT or kind == ORDERED_DICT:
        return _arity(token)
    if kind == DEFAULT_DICT:
        return 1 + _arity(token)
    return 0


cdef Token* _skip(Token* token) noexcept:
    """The end of the subtree that starts here."""
    cdef Py_ssize_t pending = 1
    while pending > 0:
        pending += _arity(token) - 1
        token += 1 + _n_extra(token)
    return token


cdef tuple _extras(Token* token):
    cdef Py_ssize_t i
    return tuple([<object>token[1 + i].obj for i in range(_n_extra(token))])


cdef object _node_type(Token* token):
    cdef int kind = _kind(token)
    if kind == NAMEDTUPLE:
        return <object>token.obj
    if kind == DATACLASS or kind == CUSTOM:
        return (<NodeType>token.obj).type
    return {NONE: type(None), TUPLE: tuple, LIST: list, DICT: dict, ORDERED_DICT: collections.OrderedDict,
            DEFAULT_DICT: collections.defaultdict}[kind]


cdef object _metadata(Token* token):
    """What tells this node from others of its type."""
    cdef int kind = _kind(token)
    if kind == CUSTOM:
        return <object>token[1].obj
    if kind == DEFAULT_DICT:
        return <object>token[1].obj, _extras(token)[1:]
    if kind == NAMEDTUPLE:
        return <object>token.obj
    if kind == DICT or kind == ORDERED_DICT or kind == DATACLASS:
        return _extras(token)
    return None

# Unflattening

cdef struct Reader:
    Token* token
    PyObject** leaf
    int depth


cdef PyObject* _build(Reader* reader) except NULL:
    """The tree that starts at the reader's token: a new reference."""
    cdef Token* token = reader.token
    cdef int kind = _kind(token)
    cdef PyObject* result
    if kind == LEAF:
        reader.token += 1
        result = reader.leaf[0]
        reader.leaf += 1
        incref(result)
        return result
    if kind == NONE:
        reader.token += 1
        incref(NONE_OBJECT)
        return NONE_OBJECT
    _enter(&reader.depth)
    try:
        if kind == TUPLE:
            reader.token += 1
            return _build_tuple(reader, _arity(token))
        if kind == LIST:
            return _build_list(reader)
        if kind == DICT:
            return _build_dict(reader)
        return _build_other(reader)
    finally:
        _leave(&reader.depth)


cdef PyObject* _build_tuple(Reader* reader, Py_ssize_t n) except NULL:
    cdef Py_ssize_t i
    cdef PyObject* result = tuple_new(n)
    cdef bint done = False
    try:
        for i in range(n):
            tuple_set(result, i, _build(reader))
        done = True
    finally:
        if not done:
            decref(result)
    return result


cdef PyObject* _build_list(Reader* reader) except NULL:
    cdef Py_ssize_t i, n = _arity(reader.token)
    cdef PyObject* result = list_new(n)
    cdef bint done = False
    reader.token += 1
    try:
        for i in range(n):
            list_set(result, i, _build(reader))
        done = True
    finally:
        if not done:
            decref(result)
    return result


cdef int _build_items(Reader* reader, PyObject* mapping) except -1:
    cdef Py_ssize_t i, n = _arity(reader.token)
    cdef Token* keys = reader.token + 1 + _n_extra(reader.token) - n
    cdef PyObject* value
    reader.token += 1 + _n_extra(reader.token)
    for i in range(n):
        value = _build(reader)
        try:
            dict_set(mapping, keys[i].obj, value)
        finally:
            decref(value)
    return 0


cdef PyObject* _build_dict(Reader* reader) except NULL:
    cdef PyObject* result = dict_new()
    cdef bint done = False
    try:
        _build_items(reader, result)
        done = True
    finally:
        if not done:
            decref(result)
    return result


cdef PyObject* _build_dataclass(Reader* reader) except NULL:
    cdef NodeType node = <NodeType>reader.token.obj
    cdef Py_ssize_t i, n_meta = len(node.meta_fields), n = len(node.data_fields), built = 0
    cdef Token* meta = reader.token + 1
    cdef PyObject** args = <PyObject**>malloc((n + n_meta + 1) * sizeof(PyObject*))
    if args == NULL:
        raise MemoryError
    reader.token += 1 + n_meta
    try:
        for i in range(n):
            args[i] = _build(reader)
            built += 1
        for i in range(n_meta):
            args[n + i] = meta[i].obj
        return vectorcall(<PyObject*>node.type, args, 0, <PyObject*>node.fields)
    finally:
        for i in range(built):
            decref(args[i])
        free(args)


cdef PyObject* _build_other(Reader* reader) except NULL:
    cdef Token* token = reader.token
    cdef int kind = _kind(token)
    cdef PyObject* children
    if kind == DATACLASS:
        return _build_dataclass(reader)
    if kind == ORDERED_DICT or kind == DEFAULT_DICT:
        items = <object>_build_dict(reader)
        decref(<PyObject*>items)
        if kind == ORDERED_DICT:
            result = collections.OrderedDict(items)
        else:
            result = collections.defaultdict(<object>token[1].obj, items)
        incref(<PyObject*>result)
        return <PyObject*>result
    reader.token += 1 + _n_extra(token)
    children = _build_tuple(reader, _arity(token))
    try:
        if kind == NAMEDTUPLE:
            return call_tuple(token.obj, children)
        result = (<NodeType>token.obj).from_iterable(<object>token[1].obj, <object>children)
        incref(<PyObject*>result)
        return <PyObject*>result
    finally:
        decref(children)


cdef object _take(PyObject* owned):
    result = <object>owned
    decref(owned)
    return result


cdef object unflatten_array(TreeDef treedef, PyObject** leaves):
    cdef Reader reader
    reader.token = treedef.tokens
    reader.leaf = leaves
    reader.depth = 0
    return _take(_build(&reader))


cdef int _check_leaf_count(TreeDef treedef, Py_ssize_t n) except -1:
    if n != treedef.num_leaves:
        raise ValueError(f"the structure {treedef!r} has {treedef.num_leaves} leaves, got {n}")
    return 0


cdef object unflatten(TreeDef treedef, list leaves):
    cdef Py_ssize_t n = list_size(<PyObject*>leaves)
    if n != treedef.num_leaves:
        _check_leaf_count(treedef, n)
    if treedef.tokens[0].head == LEAF:
        return leaves[0]
    if treedef.calls_python:
        leaves = leaves[:]     # user code may change the caller's list
    return unflatten_array(treedef, (<PyListObject*><PyObject*>leaves).ob_item)


cdef TreeDef flatten_into(object tree, list leaves):
    cdef Flat flat
    flat_init(&flat)
    try:
        _add(&flat, <PyObject*>tree)
        return _finish(&flat, leaves)
    finally:
        flat_clear(&flat)


cdef TreeDef flatten_args(tuple args, dict kwargs, list leaves):
    cdef Flat flat
    flat_init(&flat)
    try:
        _add_args(&flat, (<PyTupleObject*><PyObject*>args).ob_item, tuple_size(<PyObject*>args), <PyObject*>kwargs)
        return _finish(&flat, leaves)
    finally:
        flat_clear(&flat)


cdef TreeDef _finish(Flat* flat, list leaves):
    cdef Py_ssize_t i
    for i in range(flat.n_leaves):
        list_append(<PyObject*>leaves, flat.leaves[i])
    return flat_treedef(flat)


cdef list _leaf_list(Flat* flat):
    """The leaves, moved out of the buffer."""
    cdef Py_ssize_t i, n = flat.n_leaves
    cdef PyObject* result = list_new(n)
    for i in range(n):
        list_set(result, i, flat.leaves[i])
    flat.n_leaves = 0
    return <list>_take(result)
