# The boundary to the user: an exception that crosses it shows the user's frames only.
from cpython.object cimport PyObject

# A vectorcall function declared without exceptions, so that Cython adds no traceback entry of its own where one passes.
ctypedef PyObject* (*raw_vectorcall)(PyObject*, PyObject* const*, size_t, PyObject*) noexcept

cdef void hide_internal_frames() noexcept      # of the exception that is set
