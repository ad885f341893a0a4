# cython: language_level=3, boundscheck=False, wraparound=False
"""Pytrees: flattening, unflattening and mapping over nested containers, with interned tree definitions."""

import collections
import functools
import weakref

cimport cython
from cpython.ref cimport PyObject, PyTypeObject
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy

cdef extern from "Python.h":
    ctypedef struct PyASCIIObject:
        Py_hash_t hash
    ctypedef struct PyListObject:
        PyObject** ob_item
    ctypedef struct PyTupleObject:
        PyObject** ob_item
    PyTypeObject PyTuple_Type
    PyTypeObject PyList_Type
    PyTypeObject PyDict_Type
    PyTypeObject PyUnicode_Type
    PyTypeObject PyLong_Type
    PyTypeObject PyFloat_Type
    PyTypeObject PyBytes_Type
    PyTypeObject PyBaseObject_Type
    PyTypeObject* type_of "Py_TYPE"(PyObject*) noexcept
    void incref "Py_INCREF"(PyObject*) noexcept
    void decref "Py_DECREF"(PyObject*) noexcept
    Py_ssize_t refcount "Py_REFCNT"(PyObject*) noexcept
    void xincref "Py_XINCREF"(PyObject*) noexcept
    void xdecref "Py_XDECREF"(PyObject*) noexcept
    bint is_tuple_subclass "PyTuple_Check"(PyObject*) noexcept
    Py_ssize_t tuple_size "PyTuple_GET_SIZE"(PyObject*) noexcept
    PyObject* tuple_item "PyTuple_GET_ITEM"(PyObject*, Py_ssize_t) noexcept
    PyObject* tuple_new "PyTuple_New"(Py_ssize_t) except NULL
    void tuple_set "PyTuple_SET_ITEM"(PyObject*, Py_ssize_t, PyObject*) noexcept
    Py_ssize_t list_size "PyList_GET_SIZE"(PyObject*) noexcept
    PyObject* list_item "PyList_GET_ITEM"(PyObject*, Py_ssize_t) noexcept
    PyObject* list_new "PyList_New"(Py_ssize_t) except NULL
    void list_set "PyList_SET_ITEM"(PyObject*, Py_ssize_t, PyObject*) noexcept
    int list_append "PyList_Append"(PyObject*, PyObject*) except -1
    Py_ssize_t dict_size "PyDict_Size"(PyObject*) except -1
    bint dict_next "PyDict_Next"(PyObject*, Py_ssize_t*, PyObject**, PyObject**) noexcept
    PyObject* dict_new "PyDict_New"() except NULL
    int dict_set "PyDict_SetItem"(PyObject*, PyObject*, PyObject*) except -1
    PyObject* dict_get "PyDict_GetItemWithError"(PyObject*, PyObject*) noexcept
    PyObject* get_attr "PyObject_GetAttr"(PyObject*, PyObject*) except NULL
    PyObject* call_one "PyObject_CallOneArg"(PyObject*, PyObject*) except NULL
    PyObject* call_tuple "PyObject_CallObject"(PyObject*, PyObject*) except NULL
    PyObject* vectorcall "PyObject_Vectorcall"(PyObject*, PyObject**, size_t, PyObject*) except NULL
    int is_equal "PyObject_RichCompareBool"(PyObject*, PyObject*, int) except -1
    Py_hash_t object_hash "PyObject_Hash"(PyObject*) except -1
    Py_hash_t known_hash "PyObject_Hash"(PyObject*) noexcept
    bint is_ascii "PyUnicode_IS_COMPACT_ASCII"(PyObject*) noexcept
    const void* ascii_data "PyUnicode_DATA"(PyObject*) noexcept
    Py_ssize_t str_length "PyUnicode_GET_LENGTH"(PyObject*) noexcept
    int compare_str "PyUnicode_Compare"(PyObject*, PyObject*) noexcept
    double float_value "PyFloat_AS_DOUBLE"(PyObject*) noexcept
    PyObject* pending_error "PyErr_Occurred"() noexcept
    void leave_recursion "Py_LeaveRecursiveCall"() noexcept
    int Py_EQ
    size_t VECTORCALL_OFFSET "PY_VECTORCALL_ARGUMENTS_OFFSET"

cdef extern from *:
    """
    #include <cstring>
    static inline void* cyxla_richcompare_of(PyTypeObject* type) { return (void*)type->tp_richcompare; }
    static inline bool cyxla_is_heap_type(PyTypeObject* type) { return type->tp_flags & Py_TPFLAGS_HEAPTYPE; }
    static inline void cyxla_set_type_name(PyTypeObject* type, const char* name) { type->tp_name = name; }
    static inline int cyxla_enter_recursion(const char* where) { return Py_EnterRecursiveCall(where) ? -1 : 0; }
    static inline int cyxla_raise_pending(int status) { return status; }
    static inline size_t cyxla_bits_of(double value) {
        size_t bits = 0;
        memcpy(&bits, &value, sizeof bits);
        return bits;
    }
    """
    void* richcompare_of "cyxla_richcompare_of"(PyTypeObject*) noexcept
    bint is_heap_type "cyxla_is_heap_type"(PyTypeObject*) noexcept
    void set_type_name "cyxla_set_type_name"(PyTypeObject*, const char*) noexcept
    size_t bits_of "cyxla_bits_of"(double) noexcept
    int enter_recursion "cyxla_enter_recursion"(const char*) except -1
    int raise_pending "cyxla_raise_pending"(int) except -1

# What each token holds, and what follows it:
#   LEAF, NONE
#   TUPLE, LIST                        the children
#   NAMEDTUPLE   obj: the class        the children
#   DICT, ORDERED_DICT                 a KEY for each child, then the children
#   DEFAULT_DICT                       a META, the default_factory, then the same
#   DATACLASS    obj: its NodeType     a META for each meta field, then the children
#   CUSTOM       obj: its NodeType     one META, the auxiliary data, then the children
cdef enum Kind:
    LEAF, NONE, TUPLE, LIST, NAMEDTUPLE, DICT, ORDERED_DICT, DEFAULT_DICT, DATACLASS, CUSTOM, KEY, META

cdef enum:
    KIND_MASK = 255
    MAX_INSERTION_SORT = 16
    MAX_TUPLE_DEPTH = 16
    UNCHECKED_DEPTH = 32

cdef size_t MULTIPLIER = <size_t>0x9E3779B97F4A7C15ULL
cdef void* IDENTITY_EQ = richcompare_of(&PyBaseObject_Type)
cdef PyObject* NONE_OBJECT = <PyObject*>None


# Asking the interpreter about the stack costs as much as a leaf, so the first levels go unasked.
cdef inline int _enter(int* depth) except -1:
    if depth[0] >= UNCHECKED_DEPTH:
        enter_recursion(" in a pytree")
    depth[0] += 1
    return 0


cdef inline void _leave(int* depth) noexcept:
    depth[0] -= 1
    if depth[0] >= UNCHECKED_DEPTH:
        leave_recursion()


include "pytree/keys.pxi"
include "pytree/registry.pxi"
include "pytree/intern.pxi"
include "pytree/flatten.pxi"
include "pytree/unflatten.pxi"
include "pytree/match.pxi"
include "pytree/treedef.pxi"
include "pytree/proto.pxi"
include "pytree/functions.pxi"


cdef int _start() except -1:
    global LEAF_TREEDEF
    cdef Flat flat
    _intern_reserve()
    flat_init(&flat)
    _put(&flat, LEAF, NULL, 0)
    LEAF_TREEDEF = _new_treedef(&flat)
    flat_clear(&flat)
    return 0

_start()
