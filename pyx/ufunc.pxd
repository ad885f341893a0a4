# Callables over elementwise primitives: strict ones (cyxla.lax) and ones that promote and broadcast (cyxla.numpy).
from cyxla._engine.array cimport Array
from cyxla._engine.aval cimport ShapedArray
from cyxla._engine.core cimport Primitive
from cyxla._engine.vectorcall cimport vectorcallfunc


cdef enum Promotion:
    NUMERIC
    INEXACT
    LOGICAL

cdef class Elementwise:
    cdef vectorcallfunc vectorcall
    cdef readonly Primitive primitive
    cdef Primitive bool_primitive
    cdef Promotion promotion
    cdef bint strict
    cdef readonly int nin
    cdef dict fields            # __name__, __doc__, __signature__...
    cdef object scalar          # the last Python number beside an array that needed no conversion,
    cdef ShapedArray beside     # that array's aval,
    cdef Array promoted         # and what the number became
    cdef Primitive of_promoted
    cdef long epoch

cdef class StrictOp(Elementwise):
    pass

cdef class UFunc(Elementwise):
    pass

cdef object apply_unary(Elementwise op, object x)
cdef object apply_binary(Elementwise op, object x, object y)
cdef Array convert(Array x, int code, bint weak)
cdef Array broadcast_to(Array x, tuple shape)
