# PyTreeDefProto, the wire format in which jaxlib stores tree definitions:
#   repeated nodes = 1 {arity = 1, type = 2, dict keys = 3 {packed string ids = 1}}, in post-order;
#   repeated strings = 2.
cdef dict PROTO_TYPES = {LEAF: 1, LIST: 2, NONE: 3, TUPLE: 4, DICT: 5}
cdef dict PROTO_KINDS = {1: LEAF, 2: LIST, 3: NONE, 4: TUPLE, 5: DICT}


cdef bytes _varint(size_t value):
    cdef list digits = []
    while value > 127:
        digits.append(128 | (value & 127))
        value >>= 7
    digits.append(value)
    return bytes(digits)


cdef bytes _field(int number, bytes payload):
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


cdef bytes _to_proto(TreeDef treedef):
    cdef dict strings = {}
    cdef list nodes = []
    cdef Token* token = treedef.tokens
    _node_to_proto(&token, nodes, strings)
    return b"".join([_field(1, node) for node in nodes] + [_field(2, name.encode()) for name in strings])


cdef int _node_to_proto(Token** cursor, list nodes, dict strings) except -1:
    cdef Token* token = cursor[0]
    cdef int kind = _kind(token)
    cdef Py_ssize_t i
    cdef bytes node = b""
    if kind not in PROTO_TYPES:
        raise ValueError("only None, tuples, lists and dicts can be serialized as a protocol buffer, not a node "
                         f"of type {_node_type(token)}; pickle the PyTreeDef instead")
    cursor[0] += 1 + _n_extra(token)
    enter_recursion(" while serializing a pytree")
    try:
        for i in range(_arity(token)):
            _node_to_proto(cursor, nodes, strings)
    finally:
        leave_recursion()
    if _arity(token):
        node += b"\x08" + _varint(_arity(token))
    node += b"\x10" + _varint(PROTO_TYPES[kind])
    if kind == DICT and _arity(token):
        ids = b""
        for key in _extras(token):
            if not isinstance(key, str):
                raise ValueError("only dicts with str keys can be serialized as a protocol buffer, "
                                 f"not one with the key {key!r}; pickle the PyTreeDef instead")
            ids += _varint(strings.setdefault(key, len(strings)))
        node += _field(3, _field(1, ids))
    nodes.append(node)
    return 0


cdef list _parse_fields(bytes data):
    """(number, value) of each field: an int for a varint, bytes for a length-delimited one."""
    cdef list fields = []
    cdef Py_ssize_t pos = 0
    while pos < len(data):
        tag, pos = _parse_varint(data, pos)
        value, pos = _parse_varint(data, pos)
        if tag & 7 == 2:
            if pos + value > len(data):
                raise ValueError("the message is cut off")
            value, pos = data[pos:pos + value], pos + value
        elif tag & 7 != 0:
            raise ValueError("the message is cut off")
        fields.append((tag >> 3, value))
    return fields


cdef tuple _parse_varint(bytes data, Py_ssize_t pos):
    value, shift = 0, 0
    while pos < len(data) and shift < 64:
        value |= (data[pos] & 127) << shift
        shift += 7
        pos += 1
        if not data[pos - 1] & 128:
            return value, pos
    raise ValueError("the message is cut off")


cdef TreeDef _from_proto(bytes data):
    cdef list stack = [], nodes = [], strings = [], ids
    try:
        for number, value in _parse_fields(data):
            (nodes if number == 1 else strings).append(value)
        for node in nodes:
            fields = dict(_parse_fields(node))
            arity = fields.get(1, 0)
            kind = PROTO_KINDS[fields[2]]
            if arity > len(stack):
                raise ValueError
            children = stack[len(stack) - arity:]
            del stack[len(stack) - arity:]
            if kind == LEAF:
                stack.append(LEAF_TREEDEF)
            elif kind == DICT:
                ids = []
                packed = dict(_parse_fields(fields.get(3, b""))).get(1, b"")
                pos = 0
                while pos < len(packed):
                    index, pos = _parse_varint(packed, pos)
                    ids.append(index)
                stack.append(_assemble((dict, [strings[i].decode() for i in ids]), children))
            else:
                stack.append(_assemble(({NONE: type(None), TUPLE: tuple, LIST: list}[kind], None), children))
        (treedef,) = stack
    except Exception as error:
        raise RuntimeError("these bytes do not hold a serialized structure") from error
    return treedef
