# cython: language_level=3
cimport cython
from cpython.ref cimport PyObject

from cyxla._engine.array cimport Array, ArrayImpl, Value, is_operand, to_array
from cyxla._engine.aval cimport AbstractRef, ShapedArray
from cyxla._engine.config cimport thread_flags
from cyxla._engine.core cimport (
    NO_PARAMS, Eqn, ForbiddenTracer, Jaxpr, Literal, Primitive, Trace, Tracer, UndefinedPrimal, Var, Zero, bind,
    bind_on,
    check_tracer, current_trace, eval_eqns, forbidden, report_leaks, restore_trace, swap_trace, tangent_aval,
)
from cyxla._engine.dtypes cimport FLOAT0, KIND_COMPLEX, KIND_FLOAT, info
from cyxla._engine.staging cimport LinearTrace, StagingTracer, live_equations, new_linear_trace

cdef Primitive add_any = None
cdef Primitive multiply = None
cdef Primitive negate = None
cdef object zeros = None          # (aval) -> Array of zeros under the current trace
cdef object broadcast = None      # (tangent, result) -> the tangent in the result's shape
cdef object with_weakness = None  # (array, bool) -> the array, weakly typed or not
cdef object unbroadcast = None    # (cotangent, aval) -> its sum over the axes along which the operand was broadcast


def install_arithmetic(Primitive add, Primitive mul, Primitive neg, make_zeros, set_weakness, like_output,
                       sum_over_broadcast):
    """What the rules of this module compute with.

    `make_zeros(aval)` makes an array of zeros under the current trace, `set_weakness(array, bool)` one that is weakly
    typed or not; `like_output(tangent, result)` broadcasts a tangent, and `sum_over_broadcast(cotangent, aval)` is the
    transpose of that.
    """
    global add_any, multiply, negate, zeros, with_weakness, broadcast, unbroadcast
    add_any = add
    multiply = mul
    negate = neg
    zeros = make_zeros
    with_weakness = set_weakness
    broadcast = like_output
    unbroadcast = sum_over_broadcast


cdef object discharge_linear = None
cdef Primitive new_reference = None


def install_new_reference(Primitive primitive):
    """The primitive that makes a reference: its derivative rule applies to constants too, as others may follow."""
    global new_reference
    new_reference = primitive


def install_discharge(function):
    """`function(jaxpr, consts)` gives `(jaxpr, consts, values)`, as `trace_unknown`, without references to tangents."""
    global discharge_linear
    discharge_linear = function


cdef bint has_references(list eqns) except -1:
    """Whether some equation makes or uses references that the program itself makes."""
    cdef Eqn eqn
    for eqn in eqns:
        if eqn.primitive.effects is not None:
            for effect in eqn.effects:
                if getattr(effect, "of_references", False):
                    return True
    return False


def add_tangents(x, y):
    """The sum of two tangents or cotangents, either of which may be a `Zero`."""
    if type(x) is Zero:
        return y
    if type(y) is Zero:
        return x
    return bind(add_any, (to_array(x), to_array(y)), NO_PARAMS)


def instantiate_zeros(x):
    """A `Zero` as an array of zeros; anything else unchanged."""
    return zeros((<Zero>x).aval) if type(x) is Zero else x


# -- the rules of sums and products, of which most linear programs consist


cdef object in_shape(Array tangent, Array out):
    return tangent if tangent.aval.shape == out.aval.shape else broadcast(tangent, out)


cdef object summed(Array cotangent, operand):
    if type(operand) is not UndefinedPrimal:
        return None
    aval = (<UndefinedPrimal>operand).aval
    return cotangent if cotangent.aval.shape == (<ShapedArray>aval).shape else unbroadcast(cotangent, aval)


def sum_jvp(tangent, out, x, y):
    return in_shape(to_array(tangent), to_array(out))


def difference_jvp(tangent, out, x, y):
    return in_shape(bind(negate, (to_array(tangent),), NO_PARAMS), to_array(out))


def product_jvp_x(tangent, out, x, y):
    return bind(multiply, (to_array(tangent), to_array(y)), NO_PARAMS)


def product_jvp_y(tangent, out, x, y):
    return bind(multiply, (to_array(x), to_array(tangent)), NO_PARAMS)


def sum_transpose(cotangent, x, y):
    cotangent = to_array(cotangent)
    return [summed(cotangent, x), summed(cotangent, y)]


def difference_transpose(cotangent, x, y):
    cotangent = to_array(cotangent)
    cdef object of_y = None
    if type(y) is UndefinedPrimal:
        of_y = summed(bind(negate, (cotangent,), NO_PARAMS), y)
    return [summed(cotangent, x), of_y]


def product_transpose(cotangent, x, y):
    cotangent = to_array(cotangent)
    if type(x) is UndefinedPrimal and type(y) is UndefinedPrimal:
        raise TypeError("a product of two values that both depend on what is transposed is not linear: one factor has "
                        "to be a constant")
    if type(x) is UndefinedPrimal:
        return [summed(bind(multiply, (cotangent, to_array(y)), NO_PARAMS), x), None]
    return [None, summed(bind(multiply, (to_array(x), cotangent), NO_PARAMS), y)]


# -- what is differentiated


def differentiable(list leaves):
    """The leaves as arrays, or None where not all of them are arrays or numbers of a floating or complex dtype."""
    cdef list arrays = []
    cdef Array array
    cdef int kind
    for leaf in leaves:
        if not is_operand(leaf):
            return None
        array = to_array(leaf)
        kind = info[array.aval.code].kind
        if kind != KIND_FLOAT and kind != KIND_COMPLEX:
            return None
        arrays.append(array)
    return arrays


def have_tangents(list arrays):
    """For each array, or reference to one, whether it has tangents: those of integers are all zero."""
    return [aval_has_tangents((<Value>a).aval) for a in arrays]


cdef bint aval_has_tangents(ShapedArray aval) noexcept:
    if type(aval) is AbstractRef:
        return aval_has_tangents((<AbstractRef>aval).inner_aval)
    return info[aval.code].tangent != FLOAT0


@cython.final
cdef class JVPTracer(Tracer):
    """A primal value together with its tangent."""

    def _origin(self):
        return "the value is being differentiated"


@cython.final
cdef class JVPTrace(Trace):
    """Carries tangents along with primal values, by each primitive's rule."""

    cdef object process(self, Primitive primitive, tuple args, dict params):
        cdef Py_ssize_t i, n = len(args)
        cdef list primals = [], tangents = []
        cdef bint active = False
        cdef JVPTracer tracer
        cdef ForbiddenTracer poison = None
        cdef PyObject* previous
        cdef tuple primal_args
        for arg in args:
            if type(arg) is JVPTracer and (<JVPTracer>arg)._trace is self:
                tracer = <JVPTracer>arg
                primals.append(tracer.primal)
                tangents.append(tracer.tangent)
                active = True
                if type(tracer.tangent) is ForbiddenTracer:
                    poison = <ForbiddenTracer>tracer.tangent
            else:
                if isinstance(arg, Tracer):
                    check_tracer(arg)
                primals.append(arg)
                tangents.append(None)
        primal_args = tuple(primals)
        if (not active and primitive is not new_reference) or not primitive.differentiable:
            return self.evaluate(primitive, primal_args, params)
        if poison is not None:
            out = bind_on(self.parent, primitive, primal_args, params)
            if not primitive.multiple_results:
                return self.wrap(out, forbidden(tangent_aval((<Array>out).aval), poison.error))
            return [self.wrap(o, forbidden(tangent_aval((<Array>o).aval), poison.error)) for o in out]
        previous = swap_trace(self.rule_trace)
        try:
            if self.linearizing and primitive.linearize is not None:
                out, tangent_out = primitive.linearize(list(primals), symbolic(primals, tangents), **params)
            elif primitive.jvps is not None:
                out, tangent_out = self.per_operand(primitive, primal_args, tangents, params)
            elif primitive.linear:
                out = self.evaluate(primitive, primal_args, params)
                for i in range(n):
                    if tangents[i] is None:
                        tangents[i] = zeros(tangent_aval((<Array>primals[i]).aval))
                tangent_out = bind(primitive, tuple(tangents), params)
            elif primitive.jvp is not None:
                out, tangent_out = primitive.jvp(list(primals), symbolic(primals, tangents), **params)
            else:
                raise NotImplementedError(f"{primitive.name} has no derivative rule; give its function one by "
                                          "jax.custom_jvp or jax.custom_vjp, or the primitive one by "
                                          "interpreters.ad.defjvp")
        finally:
            restore_trace(previous)
        if not primitive.multiple_results:
            return self.wrap(out, tangent_out)
        return [self.wrap(o, t) for o, t in zip(out, tangent_out)]

    cdef object evaluate(self, Primitive primitive, tuple args, dict params):
        cdef object out = bind_on(self.parent, primitive, args, params)
        cdef LinearTrace linear
        if self.linearizing:
            linear = <LinearTrace>self.rule_trace
            if linear.origins is not None:
                linear.note(primitive, args, params, out)
        return out

    cdef tuple per_operand(self, Primitive primitive, tuple primals, list tangents, dict params):
        cdef Py_ssize_t i
        cdef PyObject* previous
        cdef Array total = None
        previous = swap_trace(self.parent)
        try:
            out = bind(primitive, primals, params)
        finally:
            restore_trace(previous)
        for i in range(len(tangents)):
            tangent = tangents[i]
            if tangent is None:
                continue
            rule = primitive.jvps[i]
            if rule is None:
                continue
            if params:
                term = rule(tangent, out, *primals, **params)
            else:
                term = rule(tangent, out, *primals)
            if type(term) is Zero:
                continue
            total = to_array(term) if total is None else <Array>bind(add_any, (total, to_array(term)), NO_PARAMS)
        return out, total

    cdef object wrap(self, object out, object tangent):
        cdef JVPTracer tracer
        if tangent is None or type(tangent) is Zero:
            return out
        tracer = JVPTracer.__new__(JVPTracer)
        tracer.primal = to_array(out)
        tracer.tangent = to_array(tangent)
        if tracer.tangent.aval.code == FLOAT0:
            return out
        if tracer.tangent.aval.weak_type and not tracer.primal.aval.weak_type:
            tracer.tangent = self.strengthen(tracer.tangent)
        tracer.aval = tracer.primal.aval
        tracer._trace = self
        return tracer

    cdef Array strengthen(self, Array tangent):
        cdef PyObject* previous = swap_trace(self.rule_trace)
        try:
            return with_weakness(tangent, False)
        finally:
            restore_trace(previous)


cdef list symbolic(list primals, list tangents):
    cdef Py_ssize_t i
    return [Zero(tangent_aval((<Array>primals[i]).aval)) if tangents[i] is None else tangents[i]
            for i in range(len(primals))]


cdef JVPTrace new_jvp_trace(Trace parent, Trace rule_trace, bint linearizing):
    cdef JVPTrace trace = JVPTrace.__new__(JVPTrace)
    trace.alive = True
    trace.parent = parent
    trace.rule_trace = rule_trace
    trace.linearizing = linearizing
    return trace


cdef list run(JVPTrace trace, object fun, list primals, list tangents):
    cdef PyObject* previous
    cdef Py_ssize_t i
    args = [trace.wrap(primals[i], tangents[i]) for i in range(len(primals))]
    previous = swap_trace(trace)
    try:
        return list(fun(args))
    finally:
        restore_trace(previous)
        trace.alive = False


cpdef tuple jvp_flat(object fun, list primals, list tangents):
    """Forward mode on a function of a list of arrays.

    A tangent of None is zero. Returns the primal results and their tangents (None where zero).
    """
    cdef Trace parent = current_trace()
    cdef JVPTrace trace = new_jvp_trace(parent, parent, False)
    outs, tangents_out = [], []
    for out in run(trace, fun, primals, tangents):
        if type(out) is JVPTracer and (<JVPTracer>out)._trace is trace:
            outs.append((<JVPTracer>out).primal)
            tangents_out.append((<JVPTracer>out).tangent)
        else:
            outs.append(to_array(out))
            tangents_out.append(None)
    if thread_flags().check_tracer_leaks:
        out = None
        report_leaks(trace)
    return outs, tangents_out


@cython.final
cdef class LinearProgram:
    """The linear part of a linearized function: from tangents of its active arguments to tangents of its results."""

    cdef dict environment(self):
        cdef dict env = dict(zip(self.constvars, self.consts))
        if self.prelude:
            eval_eqns(self.prelude, env, [])
        return env

    def transpose(self, list cotangents):
        """Cotangents of the arguments (None where zero), from those of the results (None or Zero where zero)."""
        self.discharge()
        return backward(self.eqns, self.environment(), self.outvars, cotangents, self.invars)

    cdef int discharge(self) except -1:
        """Replaces references that hold tangents by their values, one after the other."""
        cdef Jaxpr jaxpr
        cdef dict env
        if not has_references(self.eqns):
            return 0
        env = self.environment()
        # A reference that is a result, of the auxiliary ones, has no cotangent.
        outvars = [None if v is None or type((<Var>v).aval) is AbstractRef else v for v in self.outvars]
        jaxpr, consts, values = discharge_linear(
            Jaxpr(list(env), self.invars, [v for v in outvars if v is not None], self.eqns), list(env.values()))
        # A result with a value does not depend on the tangents: a zero that somebody wrote out.
        left, known = iter(jaxpr.outvars), iter(values)
        self.outvars = [None if v is None or next(known) is not None else next(left) for v in outvars]
        self.invars, self.eqns, self.constvars, self.consts = jaxpr.invars, jaxpr.eqns, jaxpr.constvars, consts
        self.prelude = []
        return 0

    def apply(self, list tangents):
        """Tangents of the results (None where zero) from those of the arguments."""
        cdef dict env = self.environment()
        for var, tangent in zip(self.invars, tangents):
            env[var] = to_array(tangent)
        outs = [v for v in self.outvars if v is not None]
        values = iter(eval_eqns(self.eqns, env, outs))
        return [None if v is None else next(values) for v in self.outvars]

    def prune(self, Py_ssize_t n):
        """Drops the results after the first n, and the equations and residuals that the others do not need.

        In a program written with `compact`, residuals that were broadcast or transposed are kept as they were before
        that, and those that were made from no data are made again.
        """
        cdef set live
        cdef list consts
        cdef dict atoms
        cdef tuple found
        self.outvars = self.outvars[:n]
        live = {v for v in self.outvars if v is not None}
        self.eqns = live_equations(self.eqns, live)
        consts = [(v, c) for v, c in zip(self.constvars, self.consts) if v in live]
        self.constvars, self.consts = [v for v, _ in consts], [c for _, c in consts]
        if self.origins:
            self.constvars, self.consts = [], []
            atoms = {}
            for var, value in consts:
                if <Py_ssize_t><void*>value not in self.origins:
                    atoms[<Py_ssize_t><void*>value] = var
                    self.constvars.append(var)
                    self.consts.append(value)
            for var, value in consts:
                found = self.origins.get(<Py_ssize_t><void*>value)
                if found is not None:
                    self.remake(<Var>var, found, atoms)
        self.origins = None

    cdef object remake(self, Var var, tuple origin, dict atoms):
        _, primitive, args, params, _ = origin
        self.prelude.append(Eqn(primitive, [self.residual(arg, atoms) for arg in args], [var], params))
        return var

    cdef object residual(self, object value, dict atoms):
        """The atom of an array in the prelude. `atoms` has those there are, by the id of the array."""
        cdef Var var
        atom = atoms.get(<Py_ssize_t><void*>value)
        if atom is not None:
            return atom
        if isinstance(value, ArrayImpl) and (<ArrayImpl>value).literal_:
            return Literal(value)
        var = Var((<Array>value).aval)
        found = self.origins.get(<Py_ssize_t><void*>value)
        if found is None:
            self.constvars.append(var)
            self.consts.append(value)
        else:
            self.remake(var, found, atoms)
        atoms[<Py_ssize_t><void*>value] = var
        return var

    def with_consts(self, list consts):
        """The same program with other residuals."""
        cdef LinearProgram program = LinearProgram.__new__(LinearProgram)
        program.invars = self.invars
        program.prelude = self.prelude
        program.eqns = self.eqns
        program.constvars = self.constvars
        program.consts = consts
        program.outvars = self.outvars
        return program

    def jaxpr(self):
        """The program as a jaxpr whose constvars are the residuals; its results are those not zero."""
        return Jaxpr(self.constvars, self.invars, [v for v in self.outvars if v is not None],
                     self.prelude + self.eqns)


cpdef tuple linearize_flat(object fun, list primals, list active, bint compact=False):
    """Evaluates `fun(list of arrays)` and records, in the same pass, its derivative at `primals`.

    `active` says which arguments have tangents. Returns the results and the `LinearProgram`. With `compact` it notes
    what is broadcast from what, so that pruning the program can keep the smaller arrays; all of these live until then.
    """
    cdef Trace parent = current_trace()
    cdef LinearTrace linear = new_linear_trace(parent, compact)
    cdef JVPTrace trace = new_jvp_trace(parent, linear, True)
    cdef LinearProgram program = LinearProgram.__new__(LinearProgram)
    cdef JVPTracer tracer
    cdef Py_ssize_t i
    cdef list tangents = []
    for i in range(len(primals)):
        tangents.append(linear.argument(tangent_aval((<Array>primals[i]).aval)) if active[i] else None)
    outs, outvars = [], []
    try:
        for out in run(trace, fun, primals, tangents):
            outvar = None
            if type(out) is JVPTracer and (<JVPTracer>out)._trace is trace:
                tracer = <JVPTracer>out
                outs.append(tracer.primal)
                # A tangent that does not depend on the arguments' is a zero that somebody wrote out.
                if type(tracer.tangent) is StagingTracer and tracer.tangent._trace is linear:
                    outvar = (<StagingTracer>tracer.tangent).var
            else:
                outs.append(to_array(out))
            outvars.append(outvar)
        program.invars = linear.invars
        program.prelude = []
        program.eqns = linear.eqns
        program.origins = linear.origins
        program.constvars = linear.constvars
        program.consts = linear.consts
        program.outvars = outvars
    finally:
        linear.close()
    if thread_flags().check_tracer_leaks:
        out = tracer = None
        report_leaks(trace)
    return outs, program


cdef inline object accumulate(dict cotangents, Var var, object value):
    cdef object found
    if value is None or type(value) is Zero:
        return
    found = cotangents.get(var)
    cotangents[var] = to_array(value) if found is None else bind(add_any, (<Array>found, to_array(value)), NO_PARAMS)


cdef object as_weak_as(object cotangent, Var operand, Var result):
    """The cotangent of a weakly typed operand: weakly typed if the operation made a strong value of that."""
    cdef Array array
    if type(cotangent) is Zero or result.aval.weak_type:
        return cotangent
    array = to_array(cotangent)
    return array if array.aval.weak_type else with_weakness(array, True)


cdef list backward(list eqns, dict consts, list outvars, list cotangents_out, list invars):
    """Propagates cotangents through linear equations; `consts` are the values of the variables that are not linear."""
    cdef dict cotangents = {}
    cdef Eqn eqn
    cdef Primitive primitive
    cdef Py_ssize_t i, j
    cdef list operands, results
    for var, cotangent in zip(outvars, cotangents_out):
        if type(var) is Var:
            accumulate(cotangents, var, cotangent)
    for i in range(len(eqns) - 1, -1, -1):
        eqn = <Eqn>eqns[i]
        primitive = eqn.primitive
        if primitive.multiple_results:
            some = False
            arriving = []
            for var in eqn.outvars:
                cotangent = cotangents.pop(var, None)
                if cotangent is None:
                    cotangent = Zero(tangent_aval((<Var>var).aval))
                else:
                    some = True
                arriving.append(cotangent)
            if not some:
                continue
        else:
            arriving = cotangents.pop(eqn.outvars[0], None)
            if arriving is None:
                continue
        if primitive.transpose is None:
            raise NotImplementedError(
                f"{primitive.name} has no transpose rule, which reverse mode needs of linear operations; "
                "a primitive of yours gets one in interpreters.ad.primitive_transposes")
        operands = []
        for atom in eqn.invars:
            if type(atom) is Literal:
                operands.append((<Literal>atom).val)
            else:
                value = consts.get(atom)
                operands.append(UndefinedPrimal((<Var>atom).aval) if value is None else value)
        if eqn.params:
            transposed = primitive.transpose(arriving, *operands, **eqn.params)
        else:
            transposed = primitive.transpose(arriving, *operands)
        results = <list>transposed if type(transposed) is list else list(transposed)
        if len(results) != len(operands):
            raise ValueError(f"the transpose rule of {primitive.name} returned {len(results)} cotangents for "
                             f"{len(operands)} operands")
        for j in range(len(results)):
            value = results[j]
            atom = eqn.invars[j]
            if value is not None and type(atom) is Var and atom not in consts:
                if (<Var>atom).aval.weak_type and not primitive.multiple_results:
                    value = as_weak_as(value, <Var>atom, <Var>eqn.outvars[0])
                accumulate(cotangents, <Var>atom, value)
    return [cotangents.get(v) for v in invars]


def backward_pass(Jaxpr jaxpr, consts, args, cotangents):
    """The transpose of a jaxpr that is linear in those of `args` that are `UndefinedPrimal`.

    Equations that touch no linear argument are evaluated first. `cotangents` are those of the results (None or `Zero`
    where zero). Returns one cotangent an argument, None where it is zero or the argument is not linear.
    """
    cdef dict known = {}
    cdef Eqn eqn
    cdef list linear_eqns = []
    if jaxpr.effects and has_references(jaxpr.eqns):
        return backward_without_references(jaxpr, list(consts), list(args), cotangents)
    for var, value in zip(jaxpr.constvars, consts):
        known[var] = to_array(value)
    for var, value in zip(jaxpr.invars, args):
        if type(value) is not UndefinedPrimal:
            known[var] = to_array(value)
    for eqn in jaxpr.eqns:
        for atom in eqn.invars:
            if type(atom) is Var and atom not in known:
                linear_eqns.append(eqn)
                break
        else:
            eval_eqns([eqn], known, [])
    results = backward(linear_eqns, known, jaxpr.outvars, list(cotangents), jaxpr.invars)
    return [None if var in known else ct for var, ct in zip(jaxpr.invars, results)]


cdef list backward_without_references(Jaxpr jaxpr, list consts, list args, cotangents):
    """`backward_pass` of a jaxpr with references that hold what is linear."""
    cdef list linear = [type(a) is UndefinedPrimal for a in args]
    known = [a for a in args if type(a) is not UndefinedPrimal]
    known_vars = [v for v, is_linear in zip(jaxpr.invars, linear) if not is_linear]
    linear_vars = [v for v, is_linear in zip(jaxpr.invars, linear) if is_linear]
    pure, pure_consts, values = discharge_linear(
        Jaxpr(jaxpr.constvars + known_vars, linear_vars, jaxpr.outvars, jaxpr.eqns), consts + known)
    arriving = [ct for ct, value in zip(cotangents, values) if value is None]
    found = iter(backward(pure.eqns, dict(zip(pure.constvars, pure_consts)), pure.outvars, arriving, pure.invars))
    return [next(found) if is_linear else None for is_linear in linear]
