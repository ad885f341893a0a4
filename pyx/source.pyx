# cython: language_level=3
import os

from cpython.ref cimport PyObject, Py_DECREF, Py_INCREF, Py_XDECREF
from cpython.dict cimport PyDict_GetItem

cdef extern from *:
    """
    #include <frameobject.h>
    static inline PyObject* code_filename(PyCodeObject* code) { return code->co_filename; }
    """
    ctypedef struct PyFrameObject:
        pass
    ctypedef struct PyCodeObject:
        pass
    PyFrameObject* PyEval_GetFrame() noexcept
    PyFrameObject* PyFrame_GetBack(PyFrameObject*) noexcept
    PyCodeObject* PyFrame_GetCode(PyFrameObject*) noexcept
    int PyFrame_GetLasti(PyFrameObject*) noexcept
    PyObject* code_filename(PyCodeObject*) noexcept

cdef str package_directory = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
cdef dict internal_files = {}
cdef set internal_directories = {package_directory}


cdef bint is_internal(PyCodeObject* code) noexcept:
    cdef PyObject* name = code_filename(code)
    cdef PyObject* known = PyDict_GetItem(internal_files, <object>name)
    if known != NULL:
        return <object>known is True
    text = <object>name
    answer = False
    for directory in internal_directories:
        if text.startswith(directory):
            answer = True
    # Sources typed at a prompt have new names without end; the table is only a shortcut.
    if len(internal_files) > 4096:
        internal_files.clear()
    internal_files[text] = answer
    return answer


def exclude_directory(str directory):
    """Treats frames of files below `directory` as library code, not the user's."""
    internal_directories.add(directory.rstrip(os.sep) + os.sep)
    internal_files.clear()


cdef Location user_location() noexcept:
    cdef Location location
    cdef PyFrameObject* frame = PyEval_GetFrame()
    cdef PyFrameObject* back
    cdef PyCodeObject* code
    location.code = NULL
    location.lasti = -1
    Py_INCREF_frame(frame)
    while frame != NULL:
        code = PyFrame_GetCode(frame)
        if not is_internal(code):
            location.code = <void*>code
            location.lasti = PyFrame_GetLasti(frame)
            Py_XDECREF(<PyObject*>frame)
            return location
        Py_XDECREF(<PyObject*>code)
        back = PyFrame_GetBack(frame)
        Py_XDECREF(<PyObject*>frame)
        frame = back
    return location


cdef inline void Py_INCREF_frame(PyFrameObject* frame) noexcept:
    if frame != NULL:
        Py_INCREF(<object><PyObject*>frame)


def line_of(code, int lasti):
    """The line number of an instruction offset in a code object, or the function's first line."""
    if code is None:
        return None
    for start, stop, line in code.co_lines():
        if start <= lasti < stop and line is not None:
            return line
    return code.co_firstlineno


def column_of(code, int lasti):
    """The column, from 1 on, of the expression that an instruction offset belongs to; 0 where it is not known."""
    cdef int instruction = 0
    for _, _, column, _ in code.co_positions():
        if instruction == lasti // 2:
            return 0 if column is None else column + 1
        instruction += 1
    return 0


def public_function():
    """The name of the library's function that the user has called and that is still running; None where there is none.

    For messages of what is deep below that function.
    """
    cdef object frame = <object><PyObject*>PyEval_GetFrame() if PyEval_GetFrame() != NULL else None
    cdef object name = None
    while frame is not None and is_internal(<PyCodeObject*><PyObject*>frame.f_code):
        name = frame.f_code.co_name
        frame = frame.f_back
    return name if name is not None and name.isidentifier() and not name.startswith("_") else None


cpdef object user_frame():
    """`(file, line, function name)` of the innermost frame that is not the library's own, or None."""
    cdef Location location = user_location()
    if location.code == NULL:
        return None
    code = <object><PyObject*>location.code
    Py_DECREF(code)
    return code.co_filename, line_of(code, location.lasti), code.co_qualname
