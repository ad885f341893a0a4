# Programs run in this process, without PJRT, and the memory that they read and write.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.string cimport string
from libcpp.vector cimport vector

cdef extern from "native/pool.h" namespace "cyxla::native" nogil:
    void* pool_allocate(size_t)
    void pool_free(void*, size_t)
    size_t pool_idle_bytes()
    void pool_trim()

cdef extern from "native/foreign.h" namespace "cyxla::native" nogil:
    cbool register_target(const char*, void*)

cdef extern from "native/program.h" namespace "cyxla::native" nogil:
    cppclass Shape:
        int dtype
        vector[int64_t] dims
        size_t bytes
    cppclass Limits:
        uint64_t work
        uint64_t grid_work
        uint64_t temporaries
    cppclass Context:
        char message[240]
    cppclass Donation "cyxla::native::Program::Donation":
        uint32_t source "from"
        uint32_t target "to"
    cppclass Program:
        @staticmethod
        Program* load(const uint8_t*, size_t, const Limits&, string&)
        Context* acquire()
        void release(Context*)
        cbool run(Context&, void**)
        vector[Shape] parameters
        vector[Shape] outputs
        vector[Donation] donations
        uint64_t work
        cbool open_ended
        size_t n_thunks


cdef class HostMemory:
    cdef void* data
    cdef Py_ssize_t size
    cdef object owner            # whose memory it is; None: our own, from the pool
    cdef Py_ssize_t dimension[2]    # the shape and the stride of a view of one dimension
    cdef bint dimension_used

cdef HostMemory new_memory(Py_ssize_t size)
# Fills in a view of all of it, row-major and read-only.
cdef int view_memory(HostMemory memory, Py_buffer* buffer, const char* format, Py_ssize_t itemsize,
                     tuple shape) except -1
cdef HostMemory memory_of(object value)     # of a numpy array: in place where it is aligned and contiguous, else a copy


cdef class NativeProgram:
    cdef Program* program
    cdef readonly Py_ssize_t n_parameters
    cdef readonly Py_ssize_t n_outputs
    cdef size_t* sizes           # in bytes, of the parameters and then the outputs
    cdef bint lengthy            # long enough that other threads should run meanwhile
    cdef int call(self, void** buffers) except -1
