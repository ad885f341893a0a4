# NumPy arrays as C sees them, without NumPy's headers: the fields that its ABI guarantees, in their order. Whoever uses
# this asks `layout_is_known()` first.
from cpython.object cimport PyObject

cdef extern from *:
    """
    typedef struct {
        PyObject_HEAD
        char* data;
        int nd;
        Py_ssize_t* dimensions;
        Py_ssize_t* strides;
        PyObject* base;
        PyObject* descr;
        int flags;
    } CyxlaNdarray;

    static inline int cyxla_is_contiguous(const CyxlaNdarray* array) {
        return (array->flags & 0x101) == 0x101;  // NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_ALIGNED
    }
    """
    ctypedef struct Ndarray "CyxlaNdarray":
        char* data
        int nd
        Py_ssize_t* dimensions
        Py_ssize_t* strides
        PyObject* descr
    bint is_contiguous "cyxla_is_contiguous"(Ndarray*) noexcept nogil


cdef inline bint layout_is_known(object np) except -1:
    """Whether the structure above is the one of this NumPy: tried on an array."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    cdef Ndarray* fields = <Ndarray*><PyObject*>array
    return (<size_t>fields.data == array.__array_interface__["data"][0] and fields.nd == 2
            and fields.dimensions[0] == 2 and fields.dimensions[1] == 3 and fields.strides[0] == 12
            and fields.descr == <PyObject*>array.dtype and is_contiguous(fields)
            and not is_contiguous(<Ndarray*><PyObject*>array[:, ::2]))
