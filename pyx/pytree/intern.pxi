# Exact equality, by which treedefs are interned: decided without running user code. Two values that are == but could be
# told apart (1 and True, 0.0 and -0.0, two instances of a class with its own __eq__) are kept apart.

cdef size_t _exact_hash(PyObject* obj, int depth, bint* opaque) noexcept:
    cdef PyTypeObject* tp = type_of(obj)
    cdef Py_hash_t cached
    cdef size_t h
    cdef Py_ssize_t i
    if tp == &PyUnicode_Type:
        cached = (<PyASCIIObject*>obj).hash
        return <size_t>(cached if cached != -1 else known_hash(obj))
    if tp == &PyLong_Type or tp == &PyBytes_Type:
        return <size_t>known_hash(obj) + 1
    if tp == &PyFloat_Type:
        return bits_of(float_value(obj)) * MULTIPLIER
    if tp == &PyTuple_Type and depth < MAX_TUPLE_DEPTH:
        h = 7
        for i in range(tuple_size(obj)):
            h = (h ^ _exact_hash(tuple_item(obj, i), depth + 1, opaque)) * MULTIPLIER
            h ^= h >> 32
        return h
    cdef void* compare = richcompare_of(tp)
    if compare != IDENTITY_EQ and compare != NULL and obj != <PyObject*>True and obj != <PyObject*>False:
        opaque[0] = True
    return <size_t>obj >> 4


cdef bint _exactly_equal(PyObject* a, PyObject* b, int depth) noexcept:
    cdef PyTypeObject* tp
    cdef Py_ssize_t i
    if a == b:
        return True
    if a == NULL or b == NULL:
        return False
    tp = type_of(a)
    if tp != type_of(b):
        return False
    if tp == &PyUnicode_Type:
        return compare_str(a, b) == 0
    if tp == &PyLong_Type or tp == &PyBytes_Type:
        return is_equal(a, b, Py_EQ) == 1
    if tp == &PyFloat_Type:
        return bits_of(float_value(a)) == bits_of(float_value(b))
    if tp == &PyTuple_Type and depth < MAX_TUPLE_DEPTH and tuple_size(a) == tuple_size(b):
        for i in range(tuple_size(a)):
            if not _exactly_equal(tuple_item(a, i), tuple_item(b, i), depth + 1):
                return False
        return True
    return False

# The table of TreeDefs: open addressing, borrowed pointers; a TreeDef takes itself out when it dies

cdef struct InternEntry:
    size_t hash
    PyObject* treedef

cdef InternEntry* intern_table = NULL
cdef size_t intern_mask = 0
cdef size_t intern_count = 0


cdef int _intern_reserve() except -1:
    global intern_table, intern_mask
    cdef size_t capacity, i, j, old_mask = intern_mask
    cdef InternEntry* old = intern_table
    cdef InternEntry* table
    if old != NULL and 2 * (intern_count + 1) <= intern_mask:
        return 0
    capacity = 1024 if old == NULL else 2 * (intern_mask + 1)
    table = <InternEntry*>malloc(capacity * sizeof(InternEntry))
    if table == NULL:
        raise MemoryError
    for i in range(capacity):
        table[i].treedef = NULL
    if old != NULL:
        for i in range(old_mask + 1):
            if old[i].treedef != NULL:
                j = old[i].hash & (capacity - 1)
                while table[j].treedef != NULL:
                    j = (j + 1) & (capacity - 1)
                table[j] = old[i]
    free(old)
    intern_table = table
    intern_mask = capacity - 1
    return 0


cdef void _intern_remove(PyObject* treedef, size_t hash) noexcept:
    global intern_count
    cdef size_t i = hash & intern_mask, j, home
    while intern_table[i].treedef != treedef:
        if intern_table[i].treedef == NULL:
            return
        i = (i + 1) & intern_mask
    intern_count -= 1
    j = i
    while True:     # closes the gap, so that no probe stops early
        j = (j + 1) & intern_mask
        if intern_table[j].treedef == NULL:
            break
        home = intern_table[j].hash & intern_mask
        if ((j - home) & intern_mask) >= ((j - i) & intern_mask):
            intern_table[i] = intern_table[j]
            i = j
    intern_table[i].treedef = NULL


cdef PyObject* _intern_find(Flat* flat) noexcept:
    cdef size_t i = flat.hash & intern_mask
    cdef Py_ssize_t k
    cdef TreeDef candidate
    cdef Token* a
    cdef Token* b
    while intern_table[i].treedef != NULL:
        # One whose last reference has gone may still be here while its weak references are told.
        if intern_table[i].hash == flat.hash and refcount(intern_table[i].treedef) > 0:
            a = (<TreeDef>intern_table[i].treedef).tokens
            if (<TreeDef>intern_table[i].treedef).n_tokens == flat.n_tokens:
                b = flat.tokens
                if memcmp(a, b, flat.n_tokens * sizeof(Token)) == 0:
                    return intern_table[i].treedef
                for k in range(flat.n_tokens):
                    if a[k].head != b[k].head or not _exactly_equal(a[k].obj, b[k].obj, 0):
                        break
                else:
                    return intern_table[i].treedef
        i = (i + 1) & intern_mask
    return NULL


cdef TreeDef LEAF_TREEDEF = None


cdef TreeDef flat_treedef(Flat* flat):
    cdef PyObject* found
    if flat.n_tokens == 1 and flat.tokens[0].head == LEAF:
        return LEAF_TREEDEF
    found = _intern_find(flat)
    if found != NULL:
        return <TreeDef>found
    return _new_treedef(flat)


cdef TreeDef _new_treedef(Flat* flat):
    global intern_count
    cdef TreeDef treedef = TreeDef.__new__(TreeDef)
    cdef list objects = []
    cdef Py_ssize_t i
    cdef int kind
    cdef PyObject* found
    cdef size_t slot
    for i in range(flat.n_tokens):
        kind = <int>(flat.tokens[i].head & KIND_MASK)
        if flat.tokens[i].obj != NULL:
            objects.append(<object>flat.tokens[i].obj)
        treedef.num_leaves += kind == LEAF
        treedef.num_nodes += kind < KEY
        if NAMEDTUPLE <= kind < KEY and kind != DICT:
            treedef.calls_python = True
        if kind == KEY and type_of(flat.tokens[i].obj) != &PyUnicode_Type:
            treedef.calls_python = True
    treedef.objects = tuple(objects)
    treedef.structure_hash = -1
    treedef.opaque = flat.opaque
    treedef.intern_hash = flat.hash
    treedef.tokens = <Token*>malloc(max(flat.n_tokens, 1) * sizeof(Token))
    if treedef.tokens == NULL:
        raise MemoryError
    memcpy(treedef.tokens, flat.tokens, flat.n_tokens * sizeof(Token))
    _intern_reserve()
    # Making the objects above may have run a garbage collection, and that other code, which made the same treedef.
    found = _intern_find(flat)
    if found != NULL:
        return <TreeDef>found
    treedef.n_tokens = flat.n_tokens
    slot = flat.hash & intern_mask
    while intern_table[slot].treedef != NULL:
        slot = (slot + 1) & intern_mask
    intern_table[slot].hash = flat.hash
    intern_table[slot].treedef = <PyObject*>treedef
    intern_count += 1
    return treedef


cdef TreeDef _treedef_of_run(Token* token, Token* end):
    cdef Flat flat
    flat_init(&flat)
    try:
        _put_run(&flat, token, end)
        return flat_treedef(&flat)
    finally:
        flat_clear(&flat)


def interned_count():
    """Number of distinct tree definitions that are alive."""
    return intern_count


# Equality in the sense of ==

cdef bint _metadata_equal(a, b) except -1:
    try:
        return is_equal(<PyObject*>a, <PyObject*>b, Py_EQ)
    except Exception as error:
        raise ValueError(
            f"comparing pytree metadata {a!r} with {b!r} raised {type(error).__name__}: {error}. Metadata must be "
            "hashable and compare to a plain bool; arrays have to be children of the node instead.") from error


cdef bint _equal(TreeDef a, TreeDef b) except -1:
    cdef Py_ssize_t i
    cdef PyObject* x
    cdef PyObject* y
    if a is b:
        return True
    if a.n_tokens != b.n_tokens or a.num_leaves != b.num_leaves or _structure_hash(a) != _structure_hash(b):
        return False
    for i in range(a.n_tokens):
        if a.tokens[i].head != b.tokens[i].head:
            return False
        x = a.tokens[i].obj
        y = b.tokens[i].obj
        if x != y and (x == NULL or y == NULL or not _metadata_equal(<object>x, <object>y)):
            return False
    return True


cdef Py_hash_t _structure_hash(TreeDef treedef) except -1:
    """A hash that agrees with ==. Metadata takes no part, since it need not be hashable."""
    cdef size_t h = 1
    cdef Py_ssize_t i
    cdef Token* token
    if treedef.structure_hash == -1:
        for i in range(treedef.n_tokens):
            token = &treedef.tokens[i]
            h = (h ^ token.head) * MULTIPLIER
            if _kind(token) == KEY:
                h = (h ^ <size_t>object_hash(token.obj)) * MULTIPLIER
            h ^= h >> 32
        treedef.structure_hash = <Py_hash_t>(h >> 1)
    return treedef.structure_hash


cdef dict representatives = {}     # hash, metadata included where it is hashable -> weak references


def _forget_representative(key, reference):
    alive = representatives.get(key)
    if alive is not None:
        alive.remove(reference)
        if not alive:
            del representatives[key]


cdef TreeDef find_representative(TreeDef treedef):
    cdef Py_ssize_t i
    cdef TreeDef other
    if not treedef.opaque or treedef.represents:
        return treedef
    if treedef.representative is not None:
        return treedef.representative
    h = [_structure_hash(treedef)]
    for i in range(treedef.n_tokens):
        if _kind(&treedef.tokens[i]) == META:
            try:
                h.append(hash(<object>treedef.tokens[i].obj))
            except Exception:
                h.append(None)      # unhashable: found by its structure alone
    key = hash(tuple(h))
    for reference in list(representatives.get(key, ())):
        other = reference()
        if other is not None and _equal(treedef, other):
            treedef.representative = other
            return other
    treedef.represents = True
    representatives.setdefault(key, []).append(weakref.ref(treedef, functools.partial(_forget_representative, key)))
    return treedef
