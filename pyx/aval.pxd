# Abstract values, interned: two equal avals are one object, so that every cache compares pointers.

cdef class ShapedArray:
    cdef readonly tuple shape
    cdef readonly object dtype       # numpy.dtype or an extended dtype
    cdef readonly bint weak_type
    cdef readonly int ndim
    cdef readonly Py_ssize_t size    # number of elements
    cdef readonly int code           # dtype code (dtypes.pxd)
    cdef readonly str mlir           # "tensor<2x3xf32>"; of an extended dtype, that of its physical representation
    cdef Py_hash_t hash
    cdef object intern_key
    cdef object __weakref__

cdef class AbstractRef(ShapedArray):
    cdef readonly ShapedArray inner_aval

cpdef AbstractRef ref_aval(ShapedArray inner)                         # the interned one
cdef ShapedArray with_shape(ShapedArray aval, tuple shape)            # same dtype; a reference's stays one
cpdef ShapedArray shaped_array(tuple shape, int code, bint weak)     # the interned one; shape holds exact ints
cdef ShapedArray with_code(ShapedArray aval, int code, bint weak)    # same shape
