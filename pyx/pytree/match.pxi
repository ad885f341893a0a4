# Flattening up to a treedef: the tree may go on below the treedef's leaves

cdef Token* _match(Token* token, PyObject* x, Flat* out) except NULL:
    """Appends the subtrees of x at the leaves of the treedef at token to out.leaves. Returns the treedef's end."""
    cdef int kind = _kind(token)
    cdef Py_ssize_t i, n
    cdef PyObject* value
    if kind == LEAF:
        if out.n_leaves == out.leaf_capacity:
            _grow_leaves(out)
        incref(x)
        out.leaves[out.n_leaves] = x
        out.n_leaves += 1
        return token + 1
    n = _arity(token)
    _enter(&out.depth)
    try:
        if kind == TUPLE and type_of(x) == &PyTuple_Type and tuple_size(x) == n:
            token += 1
            for i in range(n):
                token = _match(token, tuple_item(x, i), out)
            return token
        if kind == LIST and type_of(x) == &PyList_Type and list_size(x) == n:
            token += 1
            for i in range(n):
                if list_size(x) != n:
                    _changed_size("list")
                value = list_item(x, i)
                incref(value)
                try:
                    token = _match(token, value, out)
                finally:
                    decref(value)
            return token
        if kind == DICT and type_of(x) == &PyDict_Type and dict_size(x) == n:
            return _match_dict(token, x, out)
        return _match_other(token, <object>x, out)
    finally:
        _leave(&out.depth)


cdef Token* _match_dict(Token* token, PyObject* x, Flat* out) except NULL:
    cdef Py_ssize_t i, n = _arity(token)
    cdef Token* child = token + 1 + n
    cdef PyObject* value
    for i in range(n):
        value = dict_get(x, token[1 + i].obj)
        if value == NULL:
            raise_pending(0 if pending_error() == NULL else -1)
            _key_mismatch(token, <dict>x)
        incref(value)
        try:
            child = _match(child, value, out)
        finally:
            decref(value)
    return child


cdef int _key_mismatch(Token* token, dict x) except -1:
    raise ValueError(f"a dict with the keys {list(_extras(token))} is needed here, got the keys {_sorted_keys(x)}")


cdef Token* _match_other(Token* token, x, Flat* out) except NULL:
    cdef int kind = _kind(token)
    cdef Py_ssize_t n = _arity(token)
    cdef Flat scratch
    cdef list children
    cdef Token* child
    if kind == NONE:
        if x is not None:
            raise ValueError(f"None is needed here, got {x!r}: None is a node without children, and no leaf that could "
                             "stand for a value, unless is_leaf=lambda x: x is None is given")
        return token + 1
    if kind == DICT:
        if type(x) is not dict:
            raise ValueError(f"a dict is needed here, got {x!r}")
        _key_mismatch(token, x)
    if kind == TUPLE or kind == LIST:
        expected = _node_type(token)
        if type(x) is not expected:
            raise ValueError(f"a {expected.__name__} is needed here, got {x!r}")
        raise ValueError(f"a {expected.__name__} of {n} items is needed here, got {len(x)}: {x!r}")
    if kind == NAMEDTUPLE:
        if not (isinstance(x, tuple) and _is_namedtuple_type(type_of(<PyObject*>x))):
            raise ValueError(f"a named tuple is needed here, got {x!r}")
        if len(x) != n:
            raise ValueError(f"a named tuple of {n} fields is needed here, got {len(x)}: {x!r}")
        if type(x) is not <object>token.obj:
            raise ValueError(f"a {<object>token.obj} is needed here, got {x!r}")
    elif type(x) is not _node_type(token):
        raise ValueError(f"a {_node_type(token)} is needed here, got {x!r}")
    flat_init(&scratch)
    try:
        children = _open(&scratch, x, None)
        if kind != NAMEDTUPLE:
            found = _metadata(scratch.tokens)
            if not _metadata_equal(_metadata(token), found):
                raise ValueError(f"a {_node_type(token)} with metadata {_metadata(token)} is needed here, got metadata "
                                 f"{found} in {x!r}")
    finally:
        flat_clear(&scratch)
    if len(children) != n:
        raise ValueError(f"a {_node_type(token)} of {n} children is needed here, got {len(children)}: {x!r}")
    child = token + 1 + _n_extra(token)
    for value in children:
        child = _match(child, <PyObject*>value, out)
    return child
