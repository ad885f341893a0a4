# The configuration as the engine sees it: C flags of the current thread and a number that stands for all of it.

cdef extern from "thread_flags.h" nogil:
    ctypedef struct ThreadFlags "cyxla::ThreadFlags":
        long version
        long epoch
        long axes
        int tracing              # a trace is current
        int overridden
        int x64
        int explicit_x64
        int strict_promotion
        int rank_promotion
        int disable_jit
        int debug_nans
        int debug_infs
        int check_values         # debug_nans or debug_infs
        int check_tracer_leaks
        int log_compiles
        int explain_cache_misses
        int enable_checks
        int no_tracing
        int no_execution
        int transfer_guard

# The flags of the current thread, up to date. The pointer is valid in this thread only; ask again after running user
# code.
cdef ThreadFlags* thread_flags() noexcept
cdef void set_tracing(bint tracing) noexcept
# Equal for equal trace-relevant configurations, whatever happened in between: a part of every cache key.
cdef long config_epoch() noexcept
# The same for what is traced, which may also depend on the named axes.
cdef inline long trace_epoch(const ThreadFlags* flags) noexcept:
    return flags.epoch | flags.axes << 40
