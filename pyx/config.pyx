"""Values of the configuration options: global ones, overrides of each thread, and the C flags derived from them.

The options themselves (names, types, documentation) are a table in cyxla._core.options; cyxla._core.config defines them
here by number.
"""

import functools
import threading

from cyxla._engine.caches import CacheInfo, evicted, register

from cyxla._engine.caches cimport keep

cdef extern from *:
    """
    #include "thread_flags.h"
    static thread_local cyxla::ThreadFlags cyxla_thread_flags_storage = {};
    static inline cyxla::ThreadFlags* cyxla_thread_flags_pointer() { return &cyxla_thread_flags_storage; }
    """
    ThreadFlags* flags_storage "cyxla_thread_flags_pointer" () noexcept nogil

cdef list global_values = []
cdef list key_options = []        # numbers of the options that take part in the epoch
cdef dict numbers = {}            # name -> number
cdef dict epochs = {}             # values of key_options -> epoch
cdef long last_epoch = 0
cdef set key_numbers = set()      # key_options as a set
cdef dict transitions = {}        # (epoch, option, its new value) -> epoch and flags after the change
cdef Py_ssize_t CONFIGURATION_BOUND = 1024
cdef long global_version = 1


def forget_configurations():
    """Empties the tables of epochs. The flags of all threads are made anew: an old epoch must not meet a new one."""
    global global_version
    epochs.clear()
    transitions.clear()
    global_version += 1


register("configurations", lambda: CacheInfo(len(epochs) + len(transitions), CONFIGURATION_BOUND,
                                             evictions=evicted("configurations")), forget_configurations)
cdef dict axes_numbers = {(): 0}   # named axes of a thread -> their number
cdef long last_axes = 0
register("named axes", lambda: CacheInfo(len(axes_numbers), CONFIGURATION_BOUND, evictions=evicted("named axes")),
         lambda: None)
cdef object local = threading.local()
cdef object NO_OVERRIDE = object()


cdef inline object option(str name, dict overrides, object default):
    cdef object number = numbers.get(name)
    if number is None:
        return default
    if overrides is not None:
        value = overrides.get(number, NO_OVERRIDE)
        if value is not NO_OVERRIDE:
            return value
    return global_values[<Py_ssize_t> number]


cdef int refresh(ThreadFlags* flags) except -1:
    global last_epoch
    cdef dict overrides = local.overrides if flags.overridden else None
    cdef list key = []
    cdef object number, value
    for number in key_options:
        value = global_values[<Py_ssize_t> number]
        if overrides is not None:
            value = overrides.get(number, value)
        key.append(value)
    cdef tuple frozen = tuple(key)
    cdef object epoch = epochs.get(frozen)
    if epoch is None:
        last_epoch += 1
        epoch = last_epoch
        # An epoch that was dropped is not given again: the same options have a new one then, and the caches miss.
        keep(epochs, frozen, epoch, CONFIGURATION_BOUND, "configurations")
    flags.epoch = epoch
    flags.x64 = bool(option("jax_enable_x64", overrides, False))
    flags.strict_promotion = option("jax_numpy_dtype_promotion", overrides, "standard") == "strict"
    value = option("jax_explicit_x64_dtypes", overrides, "warn")
    flags.explicit_x64 = 0 if value == "warn" else 1 if value == "error" else 2
    value = option("jax_numpy_rank_promotion", overrides, "allow")
    flags.rank_promotion = 0 if value == "allow" else 1 if value == "warn" else 2
    flags.disable_jit = bool(option("jax_disable_jit", overrides, False))
    flags.debug_nans = bool(option("jax_debug_nans", overrides, False))
    flags.debug_infs = bool(option("jax_debug_infs", overrides, False))
    flags.check_values = flags.debug_nans or flags.debug_infs
    flags.check_tracer_leaks = bool(option("jax_check_tracer_leaks", overrides, False))
    flags.log_compiles = bool(option("jax_log_compiles", overrides, False))
    flags.explain_cache_misses = bool(option("jax_explain_cache_misses", overrides, False))
    flags.enable_checks = bool(option("jax_enable_checks", overrides, False))
    flags.no_tracing = bool(option("jax_no_tracing", overrides, False))
    flags.no_execution = bool(option("jax_no_execution", overrides, False))
    flags.transfer_guard = 0
    for name in ("jax_transfer_guard", "jax_transfer_guard_host_to_device",
                 "jax_transfer_guard_device_to_device", "jax_transfer_guard_device_to_host"):
        if option(name, overrides, None) not in (None, "allow"):
            flags.transfer_guard = 1
    flags.version = global_version
    return 0


cdef ThreadFlags* thread_flags() noexcept:
    cdef ThreadFlags* flags = flags_storage()
    if flags.version != global_version:
        refresh(flags)
    return flags


cdef long config_epoch() noexcept:
    return thread_flags().epoch


cdef void set_tracing(bint tracing) noexcept:
    flags_storage().tracing = tracing


cdef int refresh_option(ThreadFlags* flags, object number) except -1:
    # After one override has begun or ended. The epoch stands for the values of all options in the key, so what a change
    # of one of them leads to is remembered.
    cdef tuple step, known
    cdef object value
    if flags.version != global_version or number not in key_numbers:
        return refresh(flags)
    value = (<dict> local.overrides).get(number, NO_OVERRIDE)
    if value is NO_OVERRIDE:
        value = global_values[<Py_ssize_t> number]
    step = (flags.epoch, number, value)
    known = transitions.get(step)
    if known is None:
        refresh(flags)
        known = (flags.epoch, flags.x64, flags.explicit_x64, flags.strict_promotion, flags.rank_promotion,
                 flags.no_execution)
        keep(transitions, step, known, CONFIGURATION_BOUND, "configurations")
    else:
        (flags.epoch, flags.x64, flags.explicit_x64, flags.strict_promotion, flags.rank_promotion,
         flags.no_execution) = known
    return 0


def define(str name, object default, bint in_key):
    """Adds an option and returns its number. Those in the key must have hashable values."""
    global global_version, epochs
    if name in numbers:
        raise ValueError(f"the option {name} exists already")
    number = len(global_values)
    global_values.append(default)
    numbers[name] = number
    if in_key:
        hash(default)
        key_options.append(number)
        key_numbers.add(number)
        epochs = {key + (default,): known for key, known in epochs.items()}     # caches filled before stay valid
    global_version += 1
    return number


def get(Py_ssize_t number):
    """The value that holds in this thread."""
    cdef ThreadFlags* flags = flags_storage()
    if flags.overridden:
        value = (<dict> local.overrides).get(number, NO_OVERRIDE)
        if value is not NO_OVERRIDE:
            return value
    return global_values[number]


def get_by_name(str name, default=None):
    """The value of an option in this thread; the default before the option is defined."""
    cdef object number = numbers.get(name)
    return default if number is None else get(number)


def get_global(Py_ssize_t number):
    """The value that holds in threads without an override."""
    return global_values[number]


def set_global(Py_ssize_t number, object value):
    """Sets the value for all threads that do not override it."""
    global global_version
    hash(value)
    global_values[number] = value
    global_version += 1


cpdef push(Py_ssize_t number, object value):
    """Overrides an option in this thread. Returns what `pop` needs to restore the state before."""
    cdef ThreadFlags* flags = flags_storage()
    cdef dict overrides
    hash(value)
    if flags.overridden:
        overrides = local.overrides
    else:
        overrides = local.overrides = {}
    previous = overrides.get(number, NO_OVERRIDE)
    overrides[number] = value
    flags.overridden = <int> len(overrides)
    refresh_option(flags, number)
    return previous


cpdef pop(Py_ssize_t number, object previous):
    """Ends an override; `previous` is what `push` returned."""
    cdef ThreadFlags* flags = flags_storage()
    cdef dict overrides = local.overrides
    if previous is NO_OVERRIDE:
        del overrides[number]
    else:
        overrides[number] = previous
    flags.overridden = <int> len(overrides)
    refresh_option(flags, number)


def epoch():
    """A number that is equal for equal trace-relevant configurations and named axes."""
    return trace_epoch(thread_flags())


def configuration(long key):
    """The options and named axes for which `epoch()` gave a number, by name; None where it is not remembered."""
    cdef dict found = None
    cdef long options = key & ((<long>1 << 40) - 1)
    for values, known in list(epochs.items()):
        if known == options:
            by_number = {number: name for name, number in numbers.items()}
            found = {by_number[number]: value for number, value in zip(key_options, values)}
    if found is not None:
        found["named axes"] = None
        for axes, known in list(axes_numbers.items()):
            if known == key >> 40:
                found["named axes"] = axes
    return found


def named_axes():
    """The (name, size) of each named axis that this thread maps over, outermost first."""
    return local.axes if flags_storage().axes else ()


cdef class NamedAxis:
    """Context manager: under it this thread maps over one more named axis."""
    cdef object axis
    cdef tuple outer

    def __init__(self, name, Py_ssize_t size):
        self.axis = (name, size)

    def __enter__(self):
        self.outer = named_axes()
        self.set(self.outer + (self.axis,))

    def __exit__(self, *exc):
        self.set(self.outer)
        return False

    cdef int set(self, tuple axes) except -1:
        # Like the epochs, a number that was dropped is not given again: what was traced under it may be kept.
        global last_axes
        number = axes_numbers.get(axes)
        if number is None:
            last_axes += 1
            number = last_axes
            keep(axes_numbers, axes, number, CONFIGURATION_BOUND, "named axes")
        flags_storage().axes = number if axes else 0
        local.axes = axes
        return 0


def overrides():
    """This thread's overrides, by option number; for handing them to another thread with `push`."""
    return dict(local.overrides) if flags_storage().overridden else {}


cdef class Override:
    """Context manager, or decorator, under which some options have other values in this thread.

    `values` holds pairs of an option's number and its (checked) value.
    """
    cdef tuple values
    cdef list previous

    def __init__(self, tuple values):
        self.values = values
        self.previous = []

    def __enter__(self):
        cdef list replaced = []
        cdef tuple pair
        try:
            for pair in self.values:
                replaced.append(push(pair[0], pair[1]))
        except BaseException:
            self.restore(replaced)
            raise
        self.previous.append(replaced)

    def __exit__(self, *exc):
        self.restore(self.previous.pop())

    cdef int restore(self, list replaced) except -1:
        cdef Py_ssize_t i
        for i in range(len(replaced) - 1, -1, -1):
            pop((<tuple> self.values[i])[0], replaced[i])
        return 0

    def __call__(self, fun):
        values = self.values

        @functools.wraps(fun)
        def overridden(*args, **kwargs):
            with Override(values):
                return fun(*args, **kwargs)

        return overridden
