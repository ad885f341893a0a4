# cython: language_level=3
import functools
import types

from cpython.object cimport PyObject, PyTypeObject

from cyxla._engine import config
from cyxla._engine.vectorcall cimport enable_vectorcall, vectorcallfunc

cdef extern from *:
    PyObject* PyObject_Vectorcall(PyObject*, PyObject* const*, size_t, PyObject*) noexcept
    void PyErr_Fetch(PyObject**, PyObject**, PyObject**) noexcept
    void PyErr_NormalizeException(PyObject**, PyObject**, PyObject**) noexcept
    void PyErr_Restore(PyObject*, PyObject*, PyObject*) noexcept
    int PyException_SetTraceback(PyObject*, PyObject*) noexcept
    void Py_XINCREF(PyObject*) noexcept
    void Py_XDECREF(PyObject*) noexcept

cdef object none = None


cdef bint is_internal(object traceback):
    name = traceback.tb_frame.f_globals.get("__name__")
    return type(name) is str and (name.startswith("cyxla.") or name == "cyxla")


cdef object users_part(object traceback):
    """The traceback without the entries of this package."""
    while traceback is not None and is_internal(traceback):
        traceback = traceback.tb_next
    entry = traceback
    while entry is not None:
        following = entry.tb_next
        if following is None:
            break
        if is_internal(following):
            entry.tb_next = following.tb_next
        else:
            entry = following
    return traceback


def filter_chain(error):
    """Removes the entries of this package from the tracebacks of what an exception was raised from."""
    seen = {id(error)}
    while True:
        error = error.__cause__ if error.__cause__ is not None or error.__suppress_context__ else error.__context__
        if error is None or id(error) in seen:
            return
        seen.add(id(error))
        error.__traceback__ = users_part(error.__traceback__)


cdef object kept(object error, object traceback):
    if config.get_by_name("jax_traceback_filtering") == "off":
        return traceback
    filter_chain(error)
    return users_part(traceback)


cdef void hide_internal_frames() noexcept:
    """Takes the entries of this package out of the traceback of the exception that is set."""
    cdef PyObject* kind = NULL
    cdef PyObject* value = NULL
    cdef PyObject* traceback = NULL
    cdef PyObject* short
    PyErr_Fetch(&kind, &value, &traceback)
    PyErr_NormalizeException(&kind, &value, &traceback)
    if value == NULL or traceback == NULL:
        PyErr_Restore(kind, value, traceback)
        return
    try:
        result = kept(<object>value, <object>traceback)
    except BaseException:
        # Whatever goes wrong here, the user's exception is the one to see.
        PyErr_Restore(kind, value, traceback)
        return
    short = NULL
    if result is not none:
        short = <PyObject*>result
    Py_XINCREF(short)
    Py_XDECREF(traceback)
    PyException_SetTraceback(value, <PyObject*>result)
    PyErr_Restore(kind, value, short)


cdef PyObject* forward(PyObject* callable, PyObject* const* args, size_t nargsf, PyObject* kwnames) noexcept:
    cdef PyObject* result = PyObject_Vectorcall(<PyObject*>(<Boundary>callable).function, args, nargsf, kwnames)
    if result == NULL:
        hide_internal_frames()
    return result


cdef class Boundary:
    """A public function: calls another one, and leaves only the user's frames in the tracebacks of what that raises.

    It looks like the function and binds to instances as one.
    """
    cdef vectorcallfunc vectorcall
    cdef object function
    cdef dict __dict__
    cdef object __weakref__

    def __init__(self, function):
        self.vectorcall = forward
        self.function = function
        functools.update_wrapper(self, function)

    def __call__(self, *args, **kwargs):
        # Replaced by the vectorcall slot; here so that the type shows that it is callable.
        return self.function(*args, **kwargs)

    def __get__(self, instance, owner):
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self):
        return repr(self.function)

    def __reduce__(self):
        return self.__qualname__


cdef Boundary probe = Boundary.__new__(Boundary)
cdef Py_ssize_t vectorcall_offset = <char*>&probe.vectorcall - <char*><PyObject*>probe
enable_vectorcall(<PyTypeObject*>Boundary, vectorcall_offset, True)


def api_boundary(function):
    """Decorator of public functions that call the user's: hides this package's frames from their tracebacks.

    `jax_traceback_filtering=off` shows them. Without an exception it costs one C call.
    """
    return Boundary(function)
