# Trees of Python containers as a flat list of leaves and an interned TreeDef.
#
# A TreeDef is a pre-order run of tokens. Flattening writes that run into a Flat, hashing as it goes, and finds the
# TreeDef that holds the same run already; a tree seen before costs no Python object.
from cpython.ref cimport PyObject

cdef struct Token:
    size_t head           # kind | arity << 8
    PyObject* obj         # what the kind says (see the table in pytree.pyx), or NULL

cdef enum:
    INLINE_TOKENS = 40
    INLINE_LEAVES = 24

# The state of one flattening. Lives on the C stack of whoever flattens; owns a reference to each leaf and token object.
cdef struct Flat:
    Token* tokens
    Py_ssize_t n_tokens
    Py_ssize_t token_capacity
    PyObject** leaves
    Py_ssize_t n_leaves
    Py_ssize_t leaf_capacity
    size_t hash
    int depth
    bint opaque
    Token inline_tokens[INLINE_TOKENS]
    PyObject* inline_leaves[INLINE_LEAVES]

cdef class TreeDef:
    cdef Token* tokens
    cdef readonly Py_ssize_t num_leaves
    cdef readonly Py_ssize_t num_nodes
    cdef Py_ssize_t n_tokens
    cdef size_t intern_hash
    cdef Py_hash_t structure_hash   # what hash() gives, -1 until asked for
    cdef bint opaque                # holds keys or metadata whose == is user code: equal treedefs may be two objects
    cdef bint calls_python          # unflattening runs user code
    cdef bint represents            # is the representative of its class of equal treedefs
    cdef TreeDef representative
    cdef tuple objects              # owns what the tokens point to
    cdef object __weakref__

# For callers that want neither a list nor a tuple: flat_init; then flat_add or flat_call; flat_treedef; read
# flat.leaves[0 .. n_leaves); flat_clear, always, also after an error.
cdef void flat_init(Flat* flat) noexcept
cdef void flat_clear(Flat* flat) noexcept
cdef int flat_add(Flat* flat, PyObject* tree) except -1
# As flattening (args, kwargs), from the arguments of a vectorcall: keyword values follow the positional ones.
cdef int flat_call(Flat* flat, PyObject** args, Py_ssize_t nargs, PyObject* kwnames) except -1
cdef TreeDef flat_treedef(Flat* flat)

# The same with Python containers. Each appends the leaves to the list.
cdef TreeDef flatten_into(object tree, list leaves)
cdef TreeDef flatten_args(tuple args, dict kwargs, list leaves)      # kwargs may be None
cdef object unflatten(TreeDef treedef, list leaves)
cdef object unflatten_array(TreeDef treedef, PyObject** leaves)      # num_leaves borrowed references

# Equal treedefs (in the sense of ==) have one representative, so caches compare its pointer. For almost every treedef
# that is the treedef itself; the others hold metadata that only user code can compare, which may raise ValueError.
cdef TreeDef find_representative(TreeDef treedef)

cdef inline TreeDef cache_key(TreeDef treedef):
    if not treedef.opaque or treedef.represents:
        return treedef
    return find_representative(treedef)
