# cython: language_level=3
cimport cython
from cpython.ref cimport PyObject

from cyxla._engine.array cimport Array, ArrayImpl, MutableArray, to_array
from cyxla._engine.aval cimport ShapedArray
from cyxla._engine.config cimport thread_flags
from cyxla._engine.core cimport (
    GENERAL, Eqn, Jaxpr, Literal, NamedAxisEffect, Primitive, Trace, Tracer, Var, abstract_eval, bind_on, check_tracer,
    elementwise_aval, report_leaks, restore_trace, settle, swap_trace, COMPARE, current_trace,
)
from cyxla._engine.source cimport Location, user_location

cdef object name_stack = None    # callable: the current named_scope of this thread


cdef Primitive broadcast_in_dim_p = None
cdef Primitive transpose_p = None
cdef object cheap = frozenset()


def install_movement(Primitive broadcast_in_dim, Primitive transpose, primitives):
    """Primitives whose results are no residuals, their operands are; others that may be evaluated again."""
    global broadcast_in_dim_p, transpose_p, cheap
    broadcast_in_dim_p = broadcast_in_dim
    transpose_p = transpose
    cheap = frozenset(primitives)


def install_name_stack(function):
    """`function()` gives the name scope that equations are marked with."""
    global name_stack
    name_stack = function


@cython.final
cdef class StagingTracer(Tracer):
    """A variable of the program that is being written down."""

    def _origin(self):
        trace = <StagingTrace>self._trace
        info = trace.debug_info
        return "" if info is None else info.describe(self, trace.argument_index(self.var))


cdef class StagingTrace(Trace):
    """Writes every primitive down as an equation."""

    cdef StagingTracer argument(self, ShapedArray aval):
        cdef StagingTracer tracer = new_tracer(self, aval)
        self.invars.append(tracer.var)
        return tracer

    def argument_index(self, Var var):
        for i, invar in enumerate(self.invars):
            if invar is var:
                return i
        return None

    cdef object atom(self, object value):
        """The Var or Literal that stands for a value in the program."""
        cdef Var var
        cdef Literal literal
        if type(value) is StagingTracer and (<StagingTracer>value)._trace is self:
            return (<StagingTracer>value).var
        if isinstance(value, ArrayImpl):
            if (<ArrayImpl>value).literal_:
                literal = Literal.__new__(Literal)
                literal.val = value
                literal.aval = (<ArrayImpl>value).aval
                return literal
        elif not isinstance(value, MutableArray):
            check_tracer(value)
        found = self.const_vars.get(<Py_ssize_t><void*>value)
        if found is not None:
            return found
        var = Var.__new__(Var)
        var.aval = (<Array>value).aval
        self.const_vars[<Py_ssize_t><void*>value] = var
        self.constvars.append(var)
        self.consts.append(value)
        return var

    cdef object process(self, Primitive primitive, tuple args, dict params):
        return self.stage(primitive, args, params)

    cdef object stage(self, Primitive primitive, tuple args, dict params):
        cdef Eqn eqn = Eqn.__new__(Eqn)
        cdef Location location
        cdef StagingTracer tracer
        cdef list invars = [], outvars, outs
        for arg in args:
            if type(arg) is StagingTracer and (<StagingTracer>arg)._trace is self:
                invars.append((<StagingTracer>arg).var)
            else:
                invars.append(self.atom(arg))
        if primitive.kind != GENERAL:
            result = elementwise_aval(primitive, args, primitive.kind == COMPARE)
        else:
            result = abstract_eval(primitive, args, params)
        eqn.primitive = primitive
        eqn.invars = invars
        eqn.params = params
        location = user_location()
        eqn.code = location.code
        eqn.lasti = location.lasti
        if name_stack is not None:
            eqn.name_stack = name_stack()
        self.eqns.append(eqn)
        if not primitive.multiple_results:
            tracer = new_tracer(self, <ShapedArray>result)
            eqn.outvars = [tracer.var]
            settle(eqn)
            return tracer
        outs = []
        outvars = []
        for aval in result:
            tracer = new_tracer(self, <ShapedArray>aval)
            outvars.append(tracer.var)
            outs.append(tracer)
        eqn.outvars = outvars
        settle(eqn)
        return outs

    cdef tuple finish(self, list outs):
        """`(jaxpr, consts)` of the program with the given results; ends the trace."""
        outvars = [self.atom(out) for out in outs]
        jaxpr = Jaxpr(self.constvars, self.invars, outvars, self.eqns, debug_info=self.debug_info)
        consts = self.consts
        self.close()
        return jaxpr, consts

    cdef void close(self) noexcept:
        # A leaked tracer keeps its trace, but not the program and its constants.
        self.alive = False
        self.eqns = []
        self.consts = []
        self.const_vars = {}


@cython.final
cdef class LinearTrace(StagingTrace):
    """Writes down what depends on its arguments, hands the rest to its parent: the linear part of a linearization."""

    cdef object process(self, Primitive primitive, tuple args, dict params):
        for arg in args:
            if type(arg) is StagingTracer and (<StagingTracer>arg)._trace is self:
                return self.stage(primitive, args, params)
        if self.origins is None:
            return bind_on(self.parent, primitive, args, params)
        if primitive.kind != GENERAL:
            found = self.small_result(primitive, args, params)
            if found is not None:
                args, params = found
                primitive = broadcast_in_dim_p
        out = bind_on(self.parent, primitive, args, params)
        self.note(primitive, args, params, out)
        return out

    cdef int note(self, Primitive primitive, tuple args, dict params, object out) except -1:
        """Notes how a value was computed, if it need not be kept for the linear program.

        It need not where it is a broadcast or transpose of what may be kept instead, or was made cheaply from no data.
        """
        cdef bint free = True
        if primitive.multiple_results or primitive.effects is not None:
            return 0
        for arg in args:
            if arg is out:
                return 0
            free = free and self.is_free(arg)
        if primitive is not broadcast_in_dim_p and primitive is not transpose_p:
            if not free or (args and primitive.kind == GENERAL and primitive not in cheap):
                return 0
        self.origins[<Py_ssize_t><void*>out] = (out, primitive, args, params, free)
        return 0

    cdef bint is_free(self, object value):
        if isinstance(value, ArrayImpl) and (<ArrayImpl>value).literal_:
            return True
        found = self.origins.get(<Py_ssize_t><void*>value)
        return found is not None and <bint>(<tuple>found)[4]

    cdef tuple small_result(self, Primitive primitive, tuple args, dict params):
        """An elementwise operation on arrays that are broadcast alike, of the arrays before that.

        Returns its result, in a tuple, and the parameters of the broadcasting, or None where the arrays are others.
        """
        cdef tuple source = None, found
        cdef list small = []
        for arg in args:
            if not (<Array>arg).aval.shape:
                small.append(arg)
                continue
            found = self.origins.get(<Py_ssize_t><void*>arg)
            if found is None or found[1] is not broadcast_in_dim_p:
                return None
            operand = (<tuple>found[2])[0]
            if source is not None and (
                found[3] != source[3] or (<Array>operand).aval.shape != (<Array>(<tuple>source[2])[0]).aval.shape
            ):
                return None
            source = found
            small.append(operand)
        if source is None:
            return None
        args = tuple(small)
        out = bind_on(self.parent, primitive, args, params)
        self.note(primitive, args, params, out)
        return (out,), source[3]


def stage_here(Primitive primitive, *args, **params):
    """Binds a primitive; a linearization under way writes it down even if no operand depends on a tangent.

    For references that will hold tangents: zeros at first, but not for ever.
    """
    cdef Trace trace = current_trace()
    args = tuple([to_array(a) for a in args])
    if type(trace) is LinearTrace:
        return (<LinearTrace>trace).stage(primitive, args, params)
    return bind_on(trace, primitive, args, params)


cdef inline StagingTracer new_tracer(StagingTrace trace, ShapedArray aval):
    cdef StagingTracer tracer = StagingTracer.__new__(StagingTracer)
    cdef Var var = Var.__new__(Var)
    var.aval = aval
    tracer.aval = aval
    tracer._trace = trace
    tracer.var = var
    return tracer


cdef int initialize(StagingTrace trace) except -1:
    trace.alive = True
    trace.invars = []
    trace.eqns = []
    trace.constvars = []
    trace.consts = []
    trace.const_vars = {}
    return 0


cdef StagingTrace new_staging_trace(object debug_info):
    cdef StagingTrace trace = StagingTrace.__new__(StagingTrace)
    initialize(trace)
    trace.parent = current_trace()
    trace.debug_info = debug_info
    return trace


cdef LinearTrace new_linear_trace(Trace parent, bint compact):
    cdef LinearTrace trace = LinearTrace.__new__(LinearTrace)
    initialize(trace)
    trace.parent = parent
    if compact:
        trace.origins = {}
    return trace


cpdef tuple trace_flat(object fun, avals, debug_info=None):
    """Runs `fun(list of tracers) -> list of arrays`; returns `(jaxpr, consts)`.

    The constants are the concrete arrays, and the tracers of outer transformations, that `fun` closes over.
    """
    cdef StagingTrace trace = new_staging_trace(debug_info)
    cdef PyObject* previous
    cdef list tracers = [trace.argument(aval) for aval in avals]
    previous = swap_trace(trace)
    try:
        outs = fun(tracers)
        result = trace.finish([to_array(out) for out in outs])
    finally:
        restore_trace(previous)
        trace.close()
    # Without a description it is a jaxpr that is evaluated, and no function of the user's.
    if debug_info is not None and thread_flags().check_tracer_leaks:
        tracers = outs = None
        report_leaks(trace)
    return result


def trace_unknown(fun, avals):
    """Runs `fun(list of tracers) -> list of arrays`, evaluating what does not depend on the tracers.

    Returns the jaxpr of the results that depend on them, its constants, and for each result its value, or None.
    """
    cdef LinearTrace trace = new_linear_trace(current_trace(), False)
    cdef PyObject* previous
    cdef list tracers = [trace.argument(aval) for aval in avals]
    cdef list values = [], unknown = []
    previous = swap_trace(trace)
    try:
        for out in fun(tracers):
            if type(out) is StagingTracer and (<StagingTracer>out)._trace is trace:
                unknown.append(out)
                values.append(None)
            else:
                values.append(to_array(out))
        jaxpr, consts = trace.finish(unknown)
    finally:
        restore_trace(previous)
        trace.close()
    return jaxpr, consts, values


cdef bint has_side_effect(Eqn eqn) except -1:
    """Whether an equation must stay though nobody uses its results; that it refers to a named axis is no reason."""
    for effect in eqn.effects:
        if type(effect) is not NamedAxisEffect:
            return True
    return False


cdef list live_equations(list eqns, set live):
    """The equations that the variables in `live` need, and those that must stay; adds to `live` what these read."""
    cdef Eqn eqn
    cdef bint needed
    cdef list kept = []
    for eqn in reversed(eqns):
        needed = eqn.primitive.effects is not None and has_side_effect(eqn)
        if not needed:
            for var in eqn.outvars:
                if var in live:
                    needed = True
                    break
        if needed:
            kept.append(eqn)
            for atom in eqn.invars:
                if type(atom) is Var:
                    live.add(atom)
    kept.reverse()
    return kept


def dce_jaxpr(Jaxpr jaxpr, used_outputs, instantiate=False):
    """Drops the equations that the wanted outputs do not need.

    Returns the jaxpr with those outputs and the inputs they need, and a list of booleans saying which inputs those are
    (`instantiate=True`, or a list of booleans, keeps inputs regardless). Equations with effects are kept.
    """
    cdef set live = set()
    outvars = [v for v, used in zip(jaxpr.outvars, used_outputs) if used]
    for v in outvars:
        if type(v) is Var:
            live.add(v)
    kept = live_equations(jaxpr.eqns, live)
    if isinstance(instantiate, bool):
        instantiate = [instantiate] * len(jaxpr.invars)
    used_inputs = [keep or v in live for v, keep in zip(jaxpr.invars, instantiate)]
    invars = [v for v, used in zip(jaxpr.invars, used_inputs) if used]
    # Constants stay: their values are listed beside the jaxpr, by position.
    return Jaxpr(jaxpr.constvars, invars, outvars, kept, debug_info=None), used_inputs
