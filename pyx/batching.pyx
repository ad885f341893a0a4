# cython: language_level=3
cimport cython
from cpython.ref cimport PyObject

from cyxla._engine.array cimport Array, to_array
from cyxla._engine.aval cimport ShapedArray, with_shape
from cyxla._engine.config cimport thread_flags
from cyxla._engine.core cimport (
    GENERAL, NamedAxisEffect, Primitive, Trace, Tracer, bind, bind_on, check_tracer, current_trace, report_leaks,
    restore_trace, swap_trace,
)

cdef Primitive transpose_p = None
cdef Primitive broadcast_in_dim_p = None


def install_movement(Primitive transpose, Primitive broadcast_in_dim):
    """The primitives with which elementwise operands are aligned."""
    global transpose_p, broadcast_in_dim_p
    transpose_p = transpose
    broadcast_in_dim_p = broadcast_in_dim


@cython.final
cdef class Axis:
    """The axis that a vmap maps over: its size, and its name if it has one."""

    def __init__(self, Py_ssize_t size, name=None, spmd_name=None):
        self.size = size
        self.name = name
        self.spmd_name = spmd_name
        self.effect = None if name is None else NamedAxisEffect(name)

    @property
    def explicit_mesh_axis(self):
        return None


@cython.final
cdef class BatchTracer(Tracer):
    """A value with a batch axis that the mapped function does not see."""

    def __init__(self, BatchTrace trace not None, val, batch_dim, source_info=None):
        self.value = to_array(val)
        self.aval = without_axis(self.value.aval, batch_dim)
        self.batch_dim = batch_dim
        self._trace = trace

    def _origin(self):
        return "the value is being vectorized by vmap"


@cython.final
cdef class BatchTrace(Trace):
    """Applies each primitive to whole batches, by its batching rule."""

    cdef object process(self, Primitive primitive, tuple args, dict params):
        cdef list values = [], dims = []
        cdef BatchTracer tracer = None
        cdef PyObject* previous
        for arg in args:
            if type(arg) is BatchTracer and (<BatchTracer>arg)._trace is self:
                tracer = <BatchTracer>arg
                values.append(tracer.value)
                dims.append(tracer.batch_dim)
            else:
                if isinstance(arg, Tracer):
                    check_tracer(arg)
                values.append(arg)
                dims.append(None)
        if tracer is None and not uses_axis(self.axis, primitive, params):
            return bind_on(self.parent, primitive, tuple(values), params)
        previous = swap_trace(self.parent)
        try:
            if primitive.kind != GENERAL:
                return batch_elementwise(self, primitive, values, dims, params, tracer)
            if primitive.batch is None:
                raise NotImplementedError(f"{primitive.name} has no batching rule; map over it with jax.lax.map, "
                                          "or give it a rule in interpreters.batching.primitive_batchers")
            if primitive.open:
                # Users' rules may compare with tuples.
                if primitive.batch_needs_axis:
                    out, dim = primitive.batch(self.axis, tuple(values), tuple(dims), **params)
                else:
                    out, dim = primitive.batch(tuple(values), tuple(dims), **params)
            elif primitive.batch_needs_axis:
                out, dim = primitive.batch(self.axis, values, dims, **params)
            else:
                out, dim = primitive.batch(values, dims, **params)
        finally:
            restore_trace(previous)
        if not primitive.multiple_results:
            return self.wrap(out, dim)
        if isinstance(dim, (list, tuple)):
            return [self.wrap(o, d) for o, d in zip(out, dim)]
        return [self.wrap(o, dim) for o in out]

    cdef object wrap(self, object value, object dim):
        cdef BatchTracer tracer
        if dim is None:
            return value
        tracer = BatchTracer.__new__(BatchTracer)
        tracer.value = to_array(value)
        tracer.batch_dim = dim
        tracer.aval = without_axis(tracer.value.aval, tracer.batch_dim)
        tracer._trace = self
        return tracer

    cdef BatchTracer wrap_like(self, Array value, BatchTracer like):
        """`value`, batched along the axis of `like`."""
        cdef BatchTracer tracer
        if value.aval is not like.value.aval:
            return self.wrap(value, like.batch_dim)
        tracer = BatchTracer.__new__(BatchTracer)
        tracer.value = value
        tracer.batch_dim = like.batch_dim
        tracer.aval = like.aval
        tracer._trace = self
        return tracer


cdef inline ShapedArray without_axis(ShapedArray aval, Py_ssize_t axis):
    return with_shape(aval, aval.shape[:axis] + aval.shape[axis + 1:])


cdef bint uses_axis(Axis axis, Primitive primitive, dict params) except -1:
    """Whether a primitive's rule applies even without batched operands: it refers to the axis by its name, or makes or
    writes to a reference, which means another thing for a batch than for one.
    """
    if primitive.effects is None:
        return False
    for effect in primitive.effects(**params):
        if type(effect) is NamedAxisEffect:
            if effect == axis.effect:
                return True
        elif getattr(effect, "mutates", False):
            return True
    return False


cdef Array move_to_front(Array value, Py_ssize_t dim):
    if dim == 0:
        return value
    order = (dim,) + tuple([i for i in range(value.aval.ndim) if i != dim])
    return bind(transpose_p, (value,), {"permutation": order})


cdef Array broadcast(Array value, tuple shape, tuple dims):
    return bind(broadcast_in_dim_p, (value,), {"shape": shape, "broadcast_dimensions": dims, "sharding": None})


cdef object batch_elementwise(BatchTrace trace, Primitive primitive, list values, list dims, dict params,
                              BatchTracer some):
    cdef Py_ssize_t i, rank = -1, logical
    cdef Array value
    cdef bint aligned = True
    cdef object dim = None
    for i in range(len(values)):
        value = <Array>values[i]
        if dims[i] is None:
            logical = value.aval.ndim
            if logical:
                aligned = False
        else:
            logical = value.aval.ndim - 1
            if dim is None:
                dim = dims[i]
            elif dim != dims[i]:
                aligned = False
        if logical > rank:
            rank = logical
    # Unbatched scalars broadcast by themselves.
    if aligned and all_of_rank(values, dims, rank):
        return trace.wrap_like(bind(primitive, tuple(values), params), some)
    shape = None
    for i in range(len(values)):
        value = <Array>values[i]
        if dims[i] is None:
            if value.aval.ndim:
                shape = value.aval.shape
        elif value.aval.ndim - 1 == rank and rank > 0:
            shape = value.aval.shape[:dims[i]] + value.aval.shape[dims[i] + 1:]
    if shape is None:
        shape = ()
    full = (trace.axis.size,) + shape
    for i in range(len(values)):
        value = <Array>values[i]
        if dims[i] is None:
            if value.aval.ndim:
                values[i] = broadcast(value, full, tuple(range(1, len(full))))
        elif value.aval.ndim == 1 and len(full) > 1:
            values[i] = broadcast(value, full, (0,))
        else:
            values[i] = move_to_front(value, dims[i])
    return trace.wrap(bind(primitive, tuple(values), params), 0)


cdef bint all_of_rank(list values, list dims, Py_ssize_t rank):
    cdef Py_ssize_t i
    for i in range(len(values)):
        if dims[i] is not None and (<Array>values[i]).aval.ndim - 1 != rank:
            return False
    return True


cpdef tuple batch_flat(object fun, Axis axis, list values, list dims):
    """Runs `fun(list of arrays)` on whole batches; `dims[i]` is the batch axis of argument i, or None.

    Returns the results and their batch axes (None where a result does not depend on a batched argument).
    """
    cdef BatchTrace trace = BatchTrace.__new__(BatchTrace)
    cdef PyObject* previous
    trace.alive = True
    trace.parent = current_trace()
    trace.axis = axis
    args = [trace.wrap(value, dim) for value, dim in zip(values, dims)]
    previous = swap_trace(trace)
    try:
        results = list(fun(args))
    finally:
        restore_trace(previous)
        trace.alive = False
    outs, dims_out = [], []
    for out in results:
        if type(out) is BatchTracer and (<BatchTracer>out)._trace is trace:
            outs.append((<BatchTracer>out).value)
            dims_out.append((<BatchTracer>out).batch_dim)
        else:
            outs.append(to_array(out))
            dims_out.append(None)
    if thread_flags().check_tracer_leaks:
        args = results = out = None
        report_leaks(trace)
    return outs, dims_out
