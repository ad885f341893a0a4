# Jaxprs: their variables, literals and equations, and how they are evaluated.

@cython.final
@cython.no_gc
@cython.freelist(256)
cdef class Var:
    """A variable of a jaxpr."""

    def __init__(self, ShapedArray aval):
        self.aval = aval

    def __repr__(self):
        return f"Var({self.aval.str_short()})"

    def pretty_print(self, context, *, print_dtype=True):
        """The variable as it is printed, by its name in `context.var_names`, with its type or without."""
        name = context.var_names[self]
        return f"{name}:{self.aval.str_short(True)}" if print_dtype else name


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Literal:
    """A constant scalar written into a jaxpr."""

    def __init__(self, val, aval=None):
        self.val = to_array(val)
        self.aval = (<Array>self.val).aval if aval is None else aval

    def __repr__(self):
        return f"{self.val}:{self.aval.str_short()}"

    @property
    def hash(self):
        """The hash of the value where it is a scalar, otherwise None."""
        return None if (<Array>self.val).aval.ndim else hash(self.val.item())

    def pretty_print(self, context, *, print_dtype=True):
        """The constant as it is printed, with its type or without."""
        return f"{self.val}:{self.aval.str_short(True)}" if print_dtype else str(self.val)


@cython.final
@cython.freelist(256)
cdef class Eqn:
    """One equation of a jaxpr: `outvars = primitive[params] invars`."""

    def __init__(self, Primitive primitive, invars, outvars, dict params, effects=None, source_info=None):
        self.primitive = primitive
        self.invars = list(invars)
        self.outvars = list(outvars)
        self.params = params
        self.lasti = -1

    def __dealloc__(self):
        Py_XDECREF(<PyObject*>self.code)

    @property
    def effects(self):
        return eqn_effects(self)

    @property
    def source(self):
        """`(file, line, function name)` of the user's line that wrote the equation, or None."""
        if self.code == NULL:
            return None
        code = <object><PyObject*>self.code
        return code.co_filename, line_of(code, self.lasti), code.co_qualname

    @property
    def source_info(self):
        """Where the equation was written: `traceback`, as `source`, and `name_stack`."""
        return load_module("equations").SourceInfo.of(self.source, self.name_stack)

    @property
    def ctx(self):
        """What else to make current, by its attribute `manager`, when the equation is evaluated."""
        return load_module("equations").CONTEXT

    def replace(self, **changes):
        """A copy of the equation with other `primitive`, `invars`, `outvars` or `params`."""
        cdef Eqn eqn = Eqn(changes.pop("primitive", self.primitive), changes.pop("invars", self.invars),
                           changes.pop("outvars", self.outvars), changes.pop("params", self.params))
        if changes:
            raise TypeError(f"an equation has no {', '.join(changes)}")
        copy_source(self, eqn)
        return eqn

    def __repr__(self):
        return load_module("printing").format_eqn(self)


cdef void copy_source(Eqn source, Eqn target) noexcept:
    target.code = source.code
    target.lasti = source.lasti
    if target.code != NULL:
        Py_INCREF(<object><PyObject*>target.code)


cdef bint holds_values_only(PyObject* x) noexcept:
    """Whether nothing can be reached from an object that could lead back to it."""
    cdef Py_ssize_t i
    if not PyObject_IS_GC(x):
        return True
    if not is_tuple(x):
        return False
    for i in range(tuple_size(x)):
        if not holds_values_only(tuple_item(x, i)):
            return False
    if tuple_size(x):   # the collector would find out by itself, but one level at a time
        PyObject_GC_UnTrack(x)
    return True


cdef void settle(Eqn eqn) noexcept:
    # Programs have many equations, which the collector would look through again and again while one is traced: time
    # would grow faster than programs. Lists of variables lead nowhere, and most parameters are numbers.
    cdef Py_ssize_t position = 0
    cdef PyObject* key
    cdef PyObject* value
    PyObject_GC_UnTrack(<PyObject*>eqn.invars)
    PyObject_GC_UnTrack(<PyObject*>eqn.outvars)
    while PyDict_Next(eqn.params, &position, &key, &value):
        if not holds_values_only(value):
            return
    if <PyObject*>eqn.params != <PyObject*>NO_PARAMS:
        PyObject_GC_UnTrack(<PyObject*>eqn.params)
    PyObject_GC_UnTrack(<PyObject*>eqn)


cdef object EMPTY = frozenset()


@cython.final
cdef class NamedAxisEffect:
    """The effect of an equation that refers to a mapped axis by its name: it has a meaning only under that mapping."""

    def __init__(self, name):
        self.name = name

    def __eq__(self, other):
        return type(other) is NamedAxisEffect and (<NamedAxisEffect>other).name == self.name

    def __hash__(self):
        return hash((NamedAxisEffect, self.name))

    def __repr__(self):
        return f"NamedAxisEffect(name={self.name!r})"


cdef object eqn_effects(Eqn eqn):
    if eqn.primitive.effects is None:
        return EMPTY
    if eqn.primitive.effectful_abstract is not None:
        return frozenset(eqn.primitive.effectful_abstract(*[v.aval for v in eqn.invars], **eqn.params)[1])
    return eqn.primitive.effects(**eqn.params)


@cython.final
cdef class Jaxpr:
    """A program of primitives: `{ lambda constvars ; invars. let eqns in outvars }`."""

    def __init__(self, constvars, invars, outvars, eqns, effects=None, debug_info=None, is_high=False):
        cdef Eqn eqn
        self.constvars = list(constvars)
        self.invars = list(invars)
        self.outvars = list(outvars)
        self.eqns = list(eqns)
        self.derived = {}
        if effects is None:
            effects = EMPTY
            for eqn in self.eqns:
                if eqn.primitive.effects is not None:
                    effects = effects | eqn_effects(eqn)
        self.effects = effects
        self.debug_info = debug_info

    @property
    def in_avals(self):
        return [v.aval for v in self.invars]

    @property
    def out_avals(self):
        return [v.aval for v in self.outvars]

    @property
    def is_high(self):
        return False

    @property
    def in_aval_qdds(self):
        return self.in_avals

    @property
    def final_aval_qdds(self):
        return self.in_avals

    def replace(self, **changes):
        """A copy with other `constvars`, `invars`, `outvars`, `eqns` or `debug_info`."""
        fields = {name: changes.pop(name, getattr(self, name))
                  for name in ("constvars", "invars", "outvars", "eqns", "debug_info")}
        changes.pop("effects", None)
        if changes:
            raise TypeError(f"a jaxpr has no {', '.join(changes)}")
        return Jaxpr(**fields)

    def pretty_print(self, **options):
        return load_module("printing").format_jaxpr(self)

    def __repr__(self):
        return self.pretty_print()


@cython.final
cdef class ClosedJaxpr:
    """A jaxpr with the values of its constants."""

    def __init__(self, Jaxpr jaxpr, consts):
        self.jaxpr = jaxpr
        self.consts = list(consts)
        if len(self.consts) != len(jaxpr.constvars):
            raise ValueError(f"{len(self.consts)} constants for {len(jaxpr.constvars)} constvars")
        self.derived = {}

    @property
    def literals(self):
        return self.consts

    @property
    def in_avals(self):
        return [v.aval for v in self.jaxpr.invars]

    @property
    def out_avals(self):
        return [v.aval for v in self.jaxpr.outvars]

    @property
    def eqns(self):
        return self.jaxpr.eqns

    @property
    def constvars(self):
        return self.jaxpr.constvars

    @property
    def invars(self):
        return self.jaxpr.invars

    @property
    def outvars(self):
        return self.jaxpr.outvars

    @property
    def debug_info(self):
        return self.jaxpr.debug_info

    @property
    def effects(self):
        return self.jaxpr.effects

    @property
    def is_high(self):
        return False

    @property
    def in_aval_qdds(self):
        return self.in_avals

    @property
    def final_aval_qdds(self):
        return self.in_avals

    def replace(self, *, jaxpr=None, consts=None):
        return ClosedJaxpr(self.jaxpr if jaxpr is None else jaxpr, self.consts if consts is None else consts)

    def map_jaxpr(self, f):
        return ClosedJaxpr(f(self.jaxpr), self.consts)

    def pretty_print(self, **options):
        return load_module("printing").format_jaxpr(self.jaxpr)

    def __repr__(self):
        return self.pretty_print()


cdef inline object read(dict env, object atom):
    if type(atom) is Literal:
        return (<Literal>atom).val
    return env[atom]


cdef list eval_eqns(list eqns, dict env, list outvars):
    cdef Eqn eqn
    cdef Py_ssize_t i
    for eqn in eqns:
        args = tuple([read(env, v) for v in eqn.invars])
        result = bind(eqn.primitive, args, eqn.params)
        if eqn.primitive.multiple_results:
            for i in range(len(eqn.outvars)):
                env[eqn.outvars[i]] = result[i]
        else:
            env[eqn.outvars[0]] = result
    return [read(env, v) for v in outvars]


cpdef list eval_jaxpr(Jaxpr jaxpr, consts, args):
    """Evaluates a jaxpr, equation by equation, under the current trace.

    >>> import cyxla, cyxla.numpy as jnp
    >>> closed = cyxla.make_jaxpr(lambda x: x * 2)(3.0)
    >>> eval_jaxpr(closed.jaxpr, closed.consts, [jnp.float32(4.0)])
    [Array(8., dtype=float32)]
    """
    cdef dict env = {}
    consts = list(consts)
    args = list(args)
    if len(consts) != len(jaxpr.constvars) or len(args) != len(jaxpr.invars):
        raise TypeError(f"the jaxpr takes {len(jaxpr.constvars)} constants and {len(jaxpr.invars)} arguments, got "
                        f"{len(consts)} and {len(args)}")
    for var, value in zip(jaxpr.constvars, consts):
        env[var] = to_array(value)
    for var, value in zip(jaxpr.invars, args):
        env[var] = to_array(value)
    return eval_eqns(jaxpr.eqns, env, jaxpr.outvars)
