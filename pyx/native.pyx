# cython: language_level=3
cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy

# Work in bytes from which a call lets other threads run; below, giving up Python's lock costs more than it gains.
cdef uint64_t LENGTHY = 1 << 16
cdef Limits limits


# These decorators have no effect in the .pxd. The collector must not clear `owner`: memory without one is the pool's.
@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class HostMemory:
    """Memory aligned to 64 bytes; as a buffer, read-only bytes."""

    def __cinit__(self):
        self.data = NULL
        self.size = 0
        self.dimension_used = False

    def __dealloc__(self):
        if self.owner is None:
            pool_free(self.data, self.size)

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.data, self.size, True, flags)

    def __releasebuffer__(self, Py_buffer* buffer):
        if buffer.internal == self.dimension:
            self.dimension_used = False
        else:
            PyMem_Free(buffer.internal)

    def __len__(self):
        return self.size

    @property
    def address(self):
        """Where the memory is."""
        return <uintptr_t>self.data


cdef HostMemory new_memory(Py_ssize_t size):
    cdef HostMemory memory = HostMemory.__new__(HostMemory)
    memory.data = pool_allocate(size)
    if memory.data == NULL:
        raise MemoryError(f"no {size} bytes for an array")
    memory.size = size
    return memory


cdef int view_memory(HostMemory memory, Py_buffer* buffer, const char* format, Py_ssize_t itemsize,
                     tuple shape) except -1:
    cdef Py_ssize_t i, n = len(shape), stride = itemsize
    cdef Py_ssize_t* dimensions = NULL
    if n == 1 and not memory.dimension_used:
        dimensions = memory.dimension
        dimensions[0] = shape[0]
        dimensions[1] = stride
        memory.dimension_used = True
    elif n:
        dimensions = <Py_ssize_t*>PyMem_Malloc(2 * n * sizeof(Py_ssize_t))
        if dimensions == NULL:
            raise MemoryError()
        for i in range(n - 1, -1, -1):
            dimensions[i] = shape[i]
            dimensions[n + i] = stride
            stride *= dimensions[i]
    buffer.obj = memory
    buffer.buf = memory.data
    buffer.len = memory.size
    buffer.itemsize = itemsize
    buffer.readonly = True
    buffer.ndim = <int>n
    buffer.format = <char*>format
    buffer.shape = dimensions
    buffer.strides = dimensions + n if n else NULL
    buffer.suboffsets = NULL
    buffer.internal = dimensions
    return 0


cdef HostMemory memory_of(object value):
    cdef HostMemory memory
    cdef Py_buffer buffer
    cdef uintptr_t address
    if value.flags.c_contiguous and value.dtype.isnative:
        try:
            PyObject_GetBuffer(value, &buffer, PyBUF_SIMPLE)
        except (BufferError, ValueError, TypeError):
            # NumPy makes no buffer of the types that ml_dtypes adds.
            address = value.__array_interface__["data"][0]
        else:
            address = <uintptr_t>buffer.buf
            PyBuffer_Release(&buffer)
        if address % 64 == 0:
            memory = HostMemory.__new__(HostMemory)
            memory.owner = value
            memory.data = <void*>address
            memory.size = value.nbytes
            return memory
    cdef bytes contents
    if not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    contents = value.tobytes()
    memory = new_memory(PyBytes_GET_SIZE(contents))
    memcpy(memory.data, PyBytes_AS_STRING(contents), memory.size)
    return memory


@cython.final
cdef class NativeProgram:
    """An XLA:CPU executable, loaded into this process. Made by `load`."""

    def __dealloc__(self):
        del self.program
        PyMem_Free(self.sizes)

    cdef int call(self, void** buffers) except -1:
        cdef Context* context = self.program.acquire()
        cdef bint done
        if context == NULL:
            raise MemoryError("no memory for a program's temporaries")
        if self.lengthy:
            with nogil:
                done = self.program.run(context[0], buffers)
        else:
            done = self.program.run(context[0], buffers)
        if not done:
            message = (<bytes>context.message).decode("utf-8", "replace")
            context.message[0] = 0
            self.program.release(context)
            raise RuntimeError(f"a step of a compiled program failed: {message or 'a kernel reported an error'}")
        self.program.release(context)
        return 0

    def run(self, arguments):
        """Runs the program on NumPy arrays of the right sizes; returns the results as `HostMemory`."""
        cdef list kept = []
        cdef Py_ssize_t i
        cdef vector[void*] buffers
        if len(arguments) != self.n_parameters:
            raise TypeError(f"the program takes {self.n_parameters} arguments, got {len(arguments)}")
        for i in range(self.n_parameters):
            memory = memory_of(arguments[i])
            if <size_t>(<HostMemory>memory).size != self.sizes[i]:
                raise ValueError(f"argument {i} has {len(memory)} bytes, not {self.sizes[i]}")
            kept.append(memory)
            buffers.push_back((<HostMemory>memory).data)
        outputs = [new_memory(self.sizes[self.n_parameters + i]) for i in range(self.n_outputs)]
        for memory in outputs:
            buffers.push_back((<HostMemory>memory).data)
        self.call(buffers.data())
        return outputs

    @property
    def parameters(self):
        """(XLA's number of the dtype, shape) of each parameter."""
        return [describe(&shape) for shape in self.program.parameters]

    @property
    def outputs(self):
        """(XLA's number of the dtype, shape) of each result."""
        return [describe(&shape) for shape in self.program.outputs]

    @property
    def work(self):
        """About how many bytes the steps of a call read and write."""
        return self.program.work

    @property
    def n_thunks(self):
        """Steps of the program, those in loops counted once."""
        return self.program.n_thunks


cdef object describe(Shape* shape):
    return shape.dtype, tuple(shape.dims)


def load(bytes serialized not None):
    """A serialized XLA:CPU executable as a `NativeProgram`; or, where it is to be left to PJRT, the reason as a string.

    The bytes must come from jaxlib in this process: the code in them will be run.
    """
    cdef string reason
    cdef Py_ssize_t i
    cdef NativeProgram self
    cdef const uint8_t* data = <const uint8_t*>PyBytes_AS_STRING(serialized)
    cdef size_t size = PyBytes_GET_SIZE(serialized)
    cdef Program* program
    with nogil:
        program = Program.load(data, size, limits, reason)
    if program == NULL:
        return reason.decode("utf-8", "replace") or "no memory"
    self = NativeProgram.__new__(NativeProgram)
    self.program = program
    self.n_parameters = program.parameters.size()
    self.n_outputs = program.outputs.size()
    self.lengthy = program.open_ended or program.work > LENGTHY
    self.sizes = <size_t*>PyMem_Malloc((self.n_parameters + self.n_outputs + 1) * sizeof(size_t))
    if self.sizes == NULL:
        raise MemoryError()
    for i in range(self.n_parameters):
        self.sizes[i] = program.parameters[i].bytes
    for i in range(self.n_outputs):
        self.sizes[self.n_parameters + i] = program.outputs[i].bytes
    return self


def register_function(str name, capsule):
    """Makes a function (a PyCapsule of a typed FFI handler) known by the name that programs call it by.

    False if it cannot be called from here.
    """
    cdef const char* label = PyCapsule_GetName(capsule)
    return register_target(name.encode(), PyCapsule_GetPointer(capsule, label))


def idle_bytes():
    """Bytes of freed arrays that are kept for the next ones."""
    return pool_idle_bytes()


def trim():
    """Gives the memory of freed arrays back to the system."""
    pool_trim()
