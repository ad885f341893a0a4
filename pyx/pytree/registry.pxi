# The registry: type -> NodeType, an open-addressing table keyed by the type's address

@cython.final
cdef class NodeType:
    """How instances of one registered type are taken apart and put together."""
    cdef int kind
    cdef object type
    cdef object to_iterable
    cdef object from_iterable
    cdef object to_iterable_with_keys
    cdef tuple data_fields
    cdef tuple meta_fields
    cdef tuple fields

cdef struct RegistryEntry:
    PyTypeObject* type
    PyObject* node

cdef RegistryEntry* registry_table = NULL
cdef size_t registry_mask = 0
cdef list registry_nodes = []       # owns the NodeTypes, and through them the types


cdef inline size_t _type_slot(PyTypeObject* tp) noexcept:
    return ((<size_t>tp) * MULTIPLIER) >> 40


cdef inline PyObject* _lookup(PyTypeObject* tp) noexcept:
    cdef size_t i = _type_slot(tp) & registry_mask
    while registry_table[i].type != NULL:
        if registry_table[i].type == tp:
            return registry_table[i].node
        i = (i + 1) & registry_mask
    return NULL


cdef void _registry_put(RegistryEntry* table, size_t mask, PyTypeObject* tp, PyObject* node) noexcept:
    cdef size_t i = _type_slot(tp) & mask
    while table[i].type != NULL:
        i = (i + 1) & mask
    table[i].type = tp
    table[i].node = node


cdef int _register(NodeType node) except -1:
    global registry_table, registry_mask
    cdef PyTypeObject* tp = <PyTypeObject*>node.type
    cdef RegistryEntry* table
    cdef size_t capacity, i
    if 4 * (len(registry_nodes) + 1) > registry_mask:
        capacity = 64 if registry_table == NULL else 2 * (registry_mask + 1)
        table = <RegistryEntry*>malloc(capacity * sizeof(RegistryEntry))
        if table == NULL:
            raise MemoryError
        for i in range(capacity):
            table[i].type = NULL
        for known in registry_nodes:
            _registry_put(table, capacity - 1, <PyTypeObject*>(<NodeType>known).type, <PyObject*>known)
        free(registry_table)
        registry_table = table
        registry_mask = capacity - 1
    registry_nodes.append(node)
    _registry_put(registry_table, registry_mask, tp, <PyObject*>node)
    return 0


cdef NodeType _new_node_type(int kind, type_):
    if not isinstance(type_, type):
        raise TypeError(f"only classes can be registered as pytree nodes, got {type_!r}")
    if type_ in (tuple, list, dict, type(None)) or _lookup(<PyTypeObject*>type_) != NULL:
        raise ValueError(f"{type_} is a pytree node already, and cannot be registered again")
    cdef NodeType node = NodeType.__new__(NodeType)
    node.kind = kind
    node.type = type_
    return node


def register_node(type_, to_iterable, from_iterable, to_iterable_with_keys=None):
    """Makes instances of a type inner nodes, taken apart and rebuilt by the callbacks."""
    if not callable(to_iterable) or not callable(from_iterable):
        raise TypeError(
            f"the flatten and unflatten functions of {type_!r} must be callable, got {to_iterable!r} and "
            f"{from_iterable!r}")
    if to_iterable_with_keys is not None and not callable(to_iterable_with_keys):
        raise TypeError(f"the flatten-with-keys function of {type_!r} must be callable, got {to_iterable_with_keys!r}")
    cdef NodeType node = _new_node_type(CUSTOM, type_)
    node.to_iterable = to_iterable
    node.from_iterable = from_iterable
    node.to_iterable_with_keys = to_iterable_with_keys
    _register(node)


def register_dataclass_node(type_, data_fields, meta_fields):
    """Makes instances of a type inner nodes whose children are the data fields; keyword arguments rebuild them."""
    cdef NodeType node = _new_node_type(DATACLASS, type_)
    node.data_fields = tuple([str(name) for name in data_fields])
    node.meta_fields = tuple([str(name) for name in meta_fields])
    node.fields = node.data_fields + node.meta_fields
    _register(node)


cdef void _register_builtin(type_, int kind):
    cdef NodeType node = NodeType.__new__(NodeType)
    node.kind = kind
    node.type = type_
    _register(node)

_register_builtin(collections.OrderedDict, ORDERED_DICT)
_register_builtin(collections.defaultdict, DEFAULT_DICT)


cdef inline bint _is_namedtuple_type(PyTypeObject* tp):
    return hasattr(<object>tp, "_fields")


cdef bint _is_node_type(PyTypeObject* tp):
    if tp == &PyTuple_Type or tp == &PyList_Type or tp == &PyDict_Type or tp == type_of(NONE_OBJECT):
        return True
    return _lookup(tp) != NULL or (issubclass(<object>tp, tuple) and _is_namedtuple_type(tp))


def is_tree_node(typ):
    """Whether instances of a type are nodes rather than leaves.

    >>> is_tree_node(list), is_tree_node(int)
    (True, False)
    """
    return isinstance(typ, type) and _is_node_type(<PyTypeObject*>typ)
