# Where in the user's program an operation was written: a code object and an instruction offset, resolved to a line only
# when somebody asks.

cdef struct Location:
    void* code       # a new reference to a PyCodeObject, or NULL
    int lasti

cdef Location user_location() noexcept
cpdef object user_frame()
