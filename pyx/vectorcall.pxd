# The vectorcall protocol (PEP 590) for extension types: a call goes through a slot of the instance, with no tuple or
# dict made for the arguments.
from cpython.object cimport PyObject, PyTypeObject

# Declared without exceptions, so that Cython adds no traceback entry of its own where one passes.
ctypedef PyObject* (*vectorcallfunc)(PyObject*, PyObject* const*, size_t, PyObject*) noexcept

cdef extern from *:
    """
    static void enable_vectorcall(PyTypeObject* type, Py_ssize_t offset, int is_method) {
        type->tp_vectorcall_offset = offset;
        type->tp_call = PyVectorcall_Call;
        type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL | (is_method ? Py_TPFLAGS_METHOD_DESCRIPTOR : 0);
        PyType_Modified(type);
    }
    """
    # `offset`: of the slot in an instance. `is_method`: the type's __get__ binds as a function's does, so that calling
    # a method makes no bound method.
    void enable_vectorcall(PyTypeObject* type, Py_ssize_t offset, bint is_method) noexcept
    Py_ssize_t PyVectorcall_NARGS(size_t nargsf) noexcept
