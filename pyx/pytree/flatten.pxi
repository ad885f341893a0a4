# Flat: the buffer that flattening fills

cdef void flat_init(Flat* flat) noexcept:
    flat.tokens = flat.inline_tokens
    flat.n_tokens = 0
    flat.token_capacity = INLINE_TOKENS
    flat.leaves = flat.inline_leaves
    flat.n_leaves = 0
    flat.leaf_capacity = INLINE_LEAVES
    flat.hash = 0
    flat.depth = 0
    flat.opaque = False


cdef void flat_clear(Flat* flat) noexcept:
    cdef Py_ssize_t i
    for i in range(flat.n_tokens):
        xdecref(flat.tokens[i].obj)
    for i in range(flat.n_leaves):
        xdecref(flat.leaves[i])
    if flat.tokens != flat.inline_tokens:
        free(flat.tokens)
    if flat.leaves != flat.inline_leaves:
        free(flat.leaves)
    flat_init(flat)


cdef int _grow_tokens(Flat* flat) except -1:
    cdef Py_ssize_t capacity = 4 * flat.token_capacity
    cdef Token* tokens
    if flat.tokens == flat.inline_tokens:
        tokens = <Token*>malloc(capacity * sizeof(Token))
        if tokens != NULL:
            memcpy(tokens, flat.inline_tokens, flat.n_tokens * sizeof(Token))
    else:
        tokens = <Token*>realloc(flat.tokens, capacity * sizeof(Token))
    if tokens == NULL:
        raise MemoryError
    flat.tokens = tokens
    flat.token_capacity = capacity
    return 0


cdef int _grow_leaves(Flat* flat) except -1:
    cdef Py_ssize_t capacity = 4 * flat.leaf_capacity
    cdef PyObject** leaves
    if flat.leaves == flat.inline_leaves:
        leaves = <PyObject**>malloc(capacity * sizeof(PyObject*))
        if leaves != NULL:
            memcpy(leaves, flat.inline_leaves, flat.n_leaves * sizeof(PyObject*))
    else:
        leaves = <PyObject**>realloc(flat.leaves, capacity * sizeof(PyObject*))
    if leaves == NULL:
        raise MemoryError
    flat.leaves = leaves
    flat.leaf_capacity = capacity
    return 0


cdef inline int _put(Flat* flat, size_t head, PyObject* obj, size_t obj_hash) except -1:
    cdef size_t h
    if flat.n_tokens == flat.token_capacity:
        _grow_tokens(flat)
    cdef Token* token = &flat.tokens[flat.n_tokens]
    flat.n_tokens += 1
    token.head = head
    token.obj = obj
    xincref(obj)
    h = (flat.hash ^ (head + (obj_hash << 5))) * MULTIPLIER
    flat.hash = h ^ (h >> 29)
    return 0


cdef inline int _put_head(Flat* flat, int kind, Py_ssize_t arity, PyObject* obj) except -1:
    return _put(flat, <size_t>kind | (<size_t>arity << 8), obj, <size_t>obj >> 4)


cdef inline int _put_value(Flat* flat, int kind, PyObject* obj) except -1:
    return _put(flat, <size_t>kind, obj, _exact_hash(obj, 0, &flat.opaque))


cdef inline int _put_leaf(Flat* flat, PyObject* leaf) except -1:
    _put(flat, LEAF, NULL, 0)
    if flat.n_leaves == flat.leaf_capacity:
        _grow_leaves(flat)
    incref(leaf)
    flat.leaves[flat.n_leaves] = leaf
    flat.n_leaves += 1
    return 0


cdef int _put_run(Flat* flat, Token* token, Token* end) except -1:
    while token < end:
        if (token.head & KIND_MASK) >= KEY:
            _put_value(flat, <int>token.head, token.obj)
        else:
            _put(flat, token.head, token.obj, <size_t>token.obj >> 4)
        token += 1
    return 0

# Flattening

cdef inline int _add(Flat* flat, PyObject* x) except -1:
    cdef PyTypeObject* tp = type_of(x)
    cdef PyObject* node
    if tp == &PyTuple_Type:
        return _add_tuple(flat, x, TUPLE, NULL)
    if tp == &PyDict_Type:
        return _add_dict(flat, x)
    if tp == &PyList_Type:
        return _add_list(flat, x)
    if x == NONE_OBJECT:
        return _put(flat, NONE, NULL, 0)
    node = _lookup(tp)
    if node != NULL:
        if (<NodeType>node).kind == DATACLASS:
            return _add_dataclass(flat, x, <NodeType>node)
        return _add_registered(flat, x)
    if is_tuple_subclass(x) and _is_namedtuple_type(tp):
        return _add_tuple(flat, x, NAMEDTUPLE, <PyObject*>tp)
    return _put_leaf(flat, x)


cdef int _add_value(Flat* flat, PyObject* x) except -1:
    return _add(flat, x)


cdef int _add_tuple(Flat* flat, PyObject* x, int kind, PyObject* tp) except -1:
    cdef Py_ssize_t i, n = tuple_size(x)
    _put_head(flat, kind, n, tp)
    _enter(&flat.depth)
    try:
        for i in range(n):
            _add_value(flat, tuple_item(x, i))
    finally:
        _leave(&flat.depth)
    return 0


cdef int _changed_size(str what) except -1:
    raise RuntimeError(f"{what} changed size while it was flattened as a pytree")


cdef int _add_list(Flat* flat, PyObject* x) except -1:
    cdef Py_ssize_t i, n = list_size(x)
    cdef PyObject* item
    _put_head(flat, LIST, n, NULL)
    _enter(&flat.depth)
    try:
        for i in range(n):
            if list_size(x) != n:
                _changed_size("list")
            item = list_item(x, i)
            incref(item)
            try:
                _add_value(flat, item)
            finally:
                decref(item)
    finally:
        _leave(&flat.depth)
    return 0


cdef inline bint _str_less(PyObject* a, PyObject* b) noexcept:
    cdef Py_ssize_t m, n
    cdef int order
    if is_ascii(a) and is_ascii(b):
        m = str_length(a)
        n = str_length(b)
        order = memcmp(ascii_data(a), ascii_data(b), m if m < n else n)
        return order < 0 or (order == 0 and m < n)
    return compare_str(a, b) < 0


cdef int _add_dict(Flat* flat, PyObject* x) except -1:
    cdef Py_ssize_t n = dict_size(x), i = 0, pos = 0, start
    cdef PyObject* key
    cdef PyObject* value
    cdef PyObject* previous = NULL
    cdef size_t h
    _put_head(flat, DICT, n, NULL)
    start = flat.n_tokens
    h = flat.hash
    while dict_next(x, &pos, &key, &value):
        if type_of(key) != &PyUnicode_Type or (previous != NULL and not _str_less(previous, key)):
            while flat.n_tokens > start:
                flat.n_tokens -= 1
                decref(flat.tokens[flat.n_tokens].obj)
            flat.hash = h
            return _add_unsorted_dict(flat, x, n)
        _put_value(flat, KEY, key)
        previous = key
    pos = 0
    _enter(&flat.depth)
    try:
        while dict_next(x, &pos, &key, &value):
            incref(value)
            try:
                _add_value(flat, value)
            finally:
                decref(value)
            i += 1
            if i > n or dict_size(x) != n:
                _changed_size("dict")
    finally:
        _leave(&flat.depth)
    return 0


cdef int _add_unsorted_dict(Flat* flat, PyObject* x, Py_ssize_t n) except -1:
    cdef PyObject* keys[MAX_INSERTION_SORT]
    cdef PyObject* values[MAX_INSERTION_SORT]
    cdef PyObject* key
    cdef PyObject* value
    cdef Py_ssize_t pos = 0, i = 0, j
    cdef list ordered
    cdef bint strings = n <= MAX_INSERTION_SORT
    if strings:
        while dict_next(x, &pos, &key, &value):
            if type_of(key) != &PyUnicode_Type:
                strings = False
                break
            j = i
            while j > 0 and _str_less(key, keys[j - 1]):
                keys[j] = keys[j - 1]
                values[j] = values[j - 1]
                j -= 1
            keys[j] = key
            values[j] = value
            i += 1
    _enter(&flat.depth)
    try:
        if strings:
            for i in range(n):
                incref(values[i])
            try:
                for i in range(n):
                    _put_value(flat, KEY, keys[i])
                for i in range(n):
                    _add_value(flat, values[i])
            finally:
                for i in range(n):
                    decref(values[i])
        else:
            ordered = _sorted_keys(<object>x)
            for item in ordered:
                _put_value(flat, KEY, <PyObject*>item)
            for item in ordered:
                child = (<dict>x)[item]
                _add_value(flat, <PyObject*>child)
    finally:
        _leave(&flat.depth)
    return 0


cdef list _sorted_keys(x):
    cdef list keys = list(x)
    try:
        keys.sort()
    except Exception as error:
        raise ValueError(
            f"the keys of a dict in a pytree must be sortable, but sorting {keys!r} raised: {error}") from error
    return keys


cdef int _add_dataclass(Flat* flat, PyObject* x, NodeType node) except -1:
    cdef Py_ssize_t i, n = tuple_size(<PyObject*>node.data_fields)
    cdef PyObject* value
    _put_head(flat, DATACLASS, n, <PyObject*>node)
    for i in range(tuple_size(<PyObject*>node.meta_fields)):
        value = get_attr(x, tuple_item(<PyObject*>node.meta_fields, i))
        try:
            _put_value(flat, META, value)
        finally:
            decref(value)
    _enter(&flat.depth)
    try:
        for i in range(n):
            value = get_attr(x, tuple_item(<PyObject*>node.data_fields, i))
            try:
                _add_value(flat, value)
            finally:
                decref(value)
    finally:
        _leave(&flat.depth)
    return 0


cdef int _add_registered(Flat* flat, PyObject* x) except -1:
    cdef list children = _open(flat, <object>x, None)
    cdef Py_ssize_t i
    _enter(&flat.depth)
    try:
        for i in range(list_size(<PyObject*>children)):
            _add_value(flat, list_item(<PyObject*>children, i))
    finally:
        _leave(&flat.depth)
    return 0


cdef list _open(Flat* flat, x, list keys):
    """Takes one node apart: writes its head, keys and metadata, returns its children; None, if it is a leaf.

    Appends a path entry for each child to ``keys``, unless that is None.
    """
    cdef PyTypeObject* tp = type_of(<PyObject*>x)
    cdef PyObject* found
    cdef NodeType node
    cdef list children, names
    if x is None:
        _put(flat, NONE, NULL, 0)
        return []
    if tp == &PyTuple_Type or tp == &PyList_Type:
        children = list(x)
        _put_head(flat, TUPLE if tp == &PyTuple_Type else LIST, len(children), NULL)
        if keys is not None:
            keys.extend([SequenceKey(i) for i in range(len(children))])
        return children
    if tp == &PyDict_Type:
        return _open_mapping(flat, x, _sorted_keys(x), DICT, keys)
    found = _lookup(tp)
    if found == NULL:
        if not (is_tuple_subclass(<PyObject*>x) and _is_namedtuple_type(tp)):
            return None
        children = [tuple.__getitem__(x, i) for i in range(tuple.__len__(x))]
        _put_head(flat, NAMEDTUPLE, len(children), <PyObject*>tp)
        if keys is not None:
            keys.extend([GetAttrKey(name) for name in (<object>tp)._fields])
        return children
    node = <NodeType>found
    if node.kind == ORDERED_DICT:
        return _open_mapping(flat, x, list(x), ORDERED_DICT, keys)
    if node.kind == DEFAULT_DICT:
        return _open_mapping(flat, x, _sorted_keys(x), DEFAULT_DICT, keys)
    if node.kind == DATACLASS:
        _put_head(flat, DATACLASS, len(node.data_fields), <PyObject*>node)
        for name in node.meta_fields:
            value = getattr(x, name)
            _put_value(flat, META, <PyObject*>value)
        if keys is not None:
            keys.extend([GetAttrKey(name) for name in node.data_fields])
        return [getattr(x, name) for name in node.data_fields]
    names = None
    if keys is not None and node.to_iterable_with_keys is not None:
        names = []
        children, aux = _open_custom_with_keys(node, x, names)
    else:
        children, aux = _open_custom(node, x)
    _put_head(flat, CUSTOM, len(children), <PyObject*>node)
    _put_value(flat, META, <PyObject*>aux)
    if keys is not None:
        keys.extend(names if names is not None else [FlattenedIndexKey(i) for i in range(len(children))])
    return children


cdef list _open_mapping(Flat* flat, x, list names, int kind, list keys):
    cdef list children = [x[name] for name in names]
    _put_head(flat, kind, len(children), NULL)
    if kind == DEFAULT_DICT:
        factory = x.default_factory
        _put_value(flat, META, <PyObject*>factory)
    for name in names:
        _put_value(flat, KEY, <PyObject*>name)
        if keys is not None:
            keys.append(DictKey(name))
    return children


cdef tuple _open_custom(NodeType node, x):
    result = node.to_iterable(x)
    if not isinstance(result, tuple) or len(result) != 2:
        raise ValueError(f"the flatten function of {node.type} must return a (children, metadata) tuple, "
                         f"got {result!r}")
    children, aux = result
    try:
        iterator = iter(children)
    except TypeError:
        raise ValueError(f"the flatten function of {node.type} must return a (children, metadata) tuple whose children "
                         f"are iterable, got {result!r}") from None
    return list(iterator), aux


cdef tuple _open_custom_with_keys(NodeType node, x, list names):
    result = node.to_iterable_with_keys(x)
    if not isinstance(result, tuple) or len(result) != 2:
        raise ValueError(f"the flatten-with-keys function of {node.type} must return a ((key, child) pairs, metadata) "
                         f"tuple, got {result!r}")
    cdef list children = []
    for pair in result[0]:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise ValueError(f"the flatten-with-keys function of {node.type} must return ((key, child) pairs, "
                             f"metadata), got the pair {pair!r}")
        names.append(pair[0])
        children.append(pair[1])
    return children, result[1]


cdef bint _truth(answer) except -1:
    if answer is True or answer is False or answer is None:
        return answer is True
    raise ValueError(f"is_leaf must return True or False, it returned {answer!r}")


cdef int _add_if_not_leaf(Flat* flat, x, is_leaf) except -1:
    """Flattening under a predicate that stops it."""
    cdef list children
    if _truth(is_leaf(x)):
        return _put_leaf(flat, <PyObject*>x)
    children = _open(flat, x, None)
    if children is None:
        return _put_leaf(flat, <PyObject*>x)
    _enter(&flat.depth)
    try:
        for child in children:
            _add_if_not_leaf(flat, child, is_leaf)
    finally:
        _leave(&flat.depth)
    return 0


cdef int _add_with_path(Flat* flat, x, is_leaf, bint takes_path, tuple path, list paths) except -1:
    """The same, recording the path of each leaf."""
    cdef list children = None, keys
    cdef Py_ssize_t i
    if is_leaf is None or not _truth(is_leaf(path, x) if takes_path else is_leaf(x)):
        keys = []
        children = _open(flat, x, keys)
    if children is None:
        paths.append(path)
        return _put_leaf(flat, <PyObject*>x)
    _enter(&flat.depth)
    try:
        for i in range(len(children)):
            _add_with_path(flat, children[i], is_leaf, takes_path, path + (keys[i],), paths)
    finally:
        _leave(&flat.depth)
    return 0


cdef int flat_add(Flat* flat, PyObject* tree) except -1:
    return _add(flat, tree)


cdef int _add_checked(Flat* flat, tree, is_leaf) except -1:
    if is_leaf is None:
        return _add(flat, <PyObject*>tree)
    if not callable(is_leaf):
        raise TypeError(f"is_leaf must be a function of one argument, got {is_leaf!r}")
    return _add_if_not_leaf(flat, tree, is_leaf)


cdef int flat_call(Flat* flat, PyObject** args, Py_ssize_t nargs, PyObject* kwnames) except -1:
    cdef PyObject* keys[MAX_INSERTION_SORT]
    cdef PyObject* values[MAX_INSERTION_SORT]
    cdef Py_ssize_t i, j, n = 0 if kwnames == NULL else tuple_size(kwnames)
    cdef PyObject* key
    if n > MAX_INSERTION_SORT:
        kwargs = {<object>tuple_item(kwnames, i): <object>args[nargs + i] for i in range(n)}
        return _add_args(flat, args, nargs, <PyObject*>kwargs)
    _put_head(flat, TUPLE, 2, NULL)
    _put_head(flat, TUPLE, nargs, NULL)
    for i in range(nargs):
        _add_value(flat, args[i])
    for i in range(n):
        key = tuple_item(kwnames, i)
        j = i
        while j > 0 and _str_less(key, keys[j - 1]):
            keys[j] = keys[j - 1]
            values[j] = values[j - 1]
            j -= 1
        keys[j] = key
        values[j] = args[nargs + i]
    _put_head(flat, DICT, n, NULL)
    for i in range(n):
        _put_value(flat, KEY, keys[i])
    for i in range(n):
        _add_value(flat, values[i])
    return 0


cdef int _add_args(Flat* flat, PyObject** args, Py_ssize_t nargs, PyObject* kwargs) except -1:
    cdef Py_ssize_t i
    _put_head(flat, TUPLE, 2, NULL)
    _put_head(flat, TUPLE, nargs, NULL)
    for i in range(nargs):
        _add_value(flat, args[i])
    if kwargs == NONE_OBJECT:
        return _put_head(flat, DICT, 0, NULL)
    return _add_dict(flat, kwargs)
