"""Derivatives that the user gives: `custom_jvp`, `custom_vjp`, `custom_gradient`.

A call becomes one equation that holds the traced function, for evaluation and batching, and the user's rules, which
take over when the call is differentiated.
"""

import functools
import inspect
import threading
from contextlib import nullcontext

from cyxla._engine.array import asarray, is_arraylike, typeof
from cyxla._engine.autodiff import instantiate_zeros
from cyxla._engine.aval import AbstractRef
from cyxla._engine.batching import batch_flat
from cyxla._engine.boundary import api_boundary
from cyxla._engine.config import NamedAxis
from cyxla._engine.core import (
    ClosedJaxpr,
    Jaxpr,
    Primitive,
    UndefinedPrimal,
    Zero,
    aval_to_tangent,
    eval_jaxpr,
    forbidden,
    get_trace,
)
from cyxla._engine.dtypes import float0
from cyxla._engine.pytree import tree_flatten, tree_map, tree_unflatten
from cyxla._engine.staging import trace_flat
from cyxla._transform import operations
from cyxla._transform.arguments import DebugInfo, function_name
from cyxla._transform.jaxprs import batch_arguments, batch_jaxpr, move_batch_axis, spread
from cyxla._transform.references import is_reference


def bind_arguments(fun, args, kwargs):
    """Positional arguments for a call, with defaults and keywords resolved by the function's signature."""
    if not kwargs:
        try:
            signature = inspect.signature(fun)
        except (ValueError, TypeError):
            return args
        if all(p.default is p.empty for p in signature.parameters.values()):
            return args
    try:
        bound = inspect.signature(fun).bind(*args, **kwargs)
    except ValueError:
        return args
    bound.apply_defaults()
    if bound.kwargs:
        raise TypeError(
            f"{function_name(fun)} has custom derivatives: keyword-only arguments {sorted(bound.kwargs)} cannot be "
            "passed; make them positional"
        )
    return bound.args


def _without(args, argnums):
    return [a for i, a in enumerate(args) if i not in argnums]


def _merge(static, dynamic, n):
    dynamic = iter(dynamic)
    return [static[i] if i in static else next(dynamic) for i in range(n)]


def _split(fun, args, nondiff_argnums):
    """Nondifferentiable arguments by position, and the others as arrays and the structure they are in."""
    numbers = {i % len(args) for i in nondiff_argnums} if args else set()
    static = {i: args[i] for i in sorted(numbers)}
    leaves, in_tree = tree_flatten(tuple(_without(args, numbers)))
    for leaf in leaves:
        if not is_arraylike(leaf):
            raise TypeError(
                f"{function_name(fun)} has custom derivatives and was called with {leaf!r:.200} of type "
                f"{type(leaf).__name__}: name arguments that are not arrays in nondiff_argnums"
            )
    return static, [asarray(leaf) for leaf in leaves], in_tree


def evaluated(fun, args, nondiff_argnums):
    """The value of a function on concrete arrays, as arrays."""
    static, leaves, in_tree = _split(fun, args, nondiff_argnums)
    return tree_map(asarray, fun(*_merge(static, tree_unflatten(in_tree, leaves), len(args))))


class Staged:
    """A call split into nondifferentiable arguments and flat arrays, and its function traced."""

    __slots__ = ("closed", "consts", "dynamic_fun", "in_tree", "leaves", "n_args", "out_tree", "static")

    def __init__(self, fun, args, nondiff_argnums, api):
        self.n_args = len(args)
        self.static, self.leaves, self.in_tree = _split(fun, args, nondiff_argnums)

        def flat(tracers):
            out = fun(*_merge(self.static, tree_unflatten(self.in_tree, tracers), self.n_args))
            outs, self.out_tree = tree_flatten(out)
            return outs

        jaxpr, self.consts = trace_flat(flat, [x.aval for x in self.leaves], DebugInfo(api, function_name(fun)))
        self.closed = ClosedJaxpr(Jaxpr([], jaxpr.constvars + jaxpr.invars, jaxpr.outvars, jaxpr.eqns), [])


# -- custom_jvp


def _custom_jvp_jvp(primals, tangents, *, call_jaxpr, jvp_jaxpr_fun, num_consts, symbolic_zeros):
    for t in tangents[:num_consts]:
        if type(t) is not Zero:
            raise TypeError(
                "a function with custom_jvp closes over a value that is being differentiated; its rule cannot see it: "
                "pass the value as an argument"
            )
    primals, tangents = primals[num_consts:], tangents[num_consts:]
    if not symbolic_zeros:
        tangents = [_instantiate(t) for t in tangents]
    return jvp_jaxpr_fun(primals, tangents)


def _instantiate(tangent):
    """Zeros as an array, but those of dtype float0, which has no arrays."""
    return tangent if type(tangent) is Zero and tangent.aval.dtype == float0 else instantiate_zeros(tangent)


def _arrays(tangents):
    """The tangents that have arrays, as such."""
    return [instantiate_zeros(t) for t in tangents if not (type(t) is Zero and t.aval.dtype == float0)]


def _with_float0(arrays, avals):
    """One tangent for each aval, of which those of dtype float0 are not among the arrays."""
    arrays = iter(arrays)
    return [Zero(a) if a.dtype == float0 else next(arrays) for a in avals]


def _batch_rule(flat, axis, values, dims):
    """Batches a user's rule, which may run when the vmap has ended and still finds the name of its axis."""
    with nullcontext() if axis.name is None else NamedAxis(axis.name, axis.size):
        return batch_flat(flat, axis, values, dims)


class _Asking(threading.local):
    """Whether this thread is finding out what of a rule's results depends on a batch."""

    now = False


_asking = _Asking()


def _batched_results(rule, axis, avals, dims):
    """Which results of a user's rule depend on the batch, given types and batch axes of its arguments.

    Empty inside of another question: rules call the function that they belong to, for its value.
    """
    found = []
    if _asking.now:
        return found

    def traced(tracers):
        outs, out_dims = _batch_rule(rule, axis, tracers, dims)
        found[:] = [d is not None for d in out_dims]
        return outs

    _asking.now = True
    try:
        trace_flat(traced, avals)
    finally:
        _asking.now = False
    return found


def _custom_jvp_batch(axis, args, dims, *, call_jaxpr, jvp_jaxpr_fun, num_consts, symbolic_zeros):
    args, batched = batch_arguments(args, dims)
    closed, out_batched = batch_jaxpr(call_jaxpr, axis, batched)
    in_dims = [0 if b else None for b in batched[num_consts:]]

    tangent_avals = [aval_to_tangent(a) for a in call_jaxpr.in_avals[num_consts:]]
    out_tangent_avals = [aval_to_tangent(a) for a in call_jaxpr.out_avals]
    tangent_dims = [d for d, a in zip(in_dims, tangent_avals) if a.dtype != float0]
    with_tangents = [i for i, a in enumerate(out_tangent_avals) if a.dtype != float0]
    n, n_outs = len(tangent_avals), len(out_tangent_avals)

    def both(values):
        outs, out_tangents = jvp_jaxpr_fun(values[:n], _with_float0(values[n:], tangent_avals))
        return [*outs, *_arrays(out_tangents)]

    if not all(out_batched):
        # What does not depend on the batch may have a tangent that does.
        avals = [x.aval for x in args[num_consts:]]
        tangents = [a for a in map(aval_to_tangent, avals) if a.dtype != float0]
        found = _batched_results(both, axis, avals + tangents, in_dims + tangent_dims)
        wanted = list(out_batched)
        for i, b in zip([*range(n_outs), *with_tangents], found):
            wanted[i] |= b
        closed, out_batched = batch_jaxpr(call_jaxpr, axis, batched, wanted)

    def batched_rule(primals, tangents):
        outs, out_dims = _batch_rule(both, axis, [*primals, *_arrays(tangents)], in_dims + tangent_dims)
        wanted = [*out_batched, *[out_batched[i] for i in with_tangents]]
        outs = [move_batch_axis(o, d, axis.size) if b else o for o, d, b in zip(outs, out_dims, wanted)]
        return outs[:n_outs], _with_float0(outs[n_outs:], out_tangent_avals)

    outs = custom_jvp_call_p.bind(
        *args, call_jaxpr=closed, jvp_jaxpr_fun=batched_rule, num_consts=num_consts, symbolic_zeros=False
    )
    return outs, [0 if b else None for b in out_batched]


def _evaluate(*args, call_jaxpr, **params):
    return eval_jaxpr(call_jaxpr.jaxpr, call_jaxpr.consts, args)


def _lower(ctx, *names, call_jaxpr, **params):
    return ctx.inline(call_jaxpr, names)


custom_jvp_call_p = Primitive(
    "custom_jvp_call",
    abstract=lambda *avals, call_jaxpr, **params: call_jaxpr.out_avals,
    impl=_evaluate,
    jvp=_custom_jvp_jvp,
    batch=_custom_jvp_batch,
    batch_needs_axis=True,
    lower=_lower,
    multiple_results=True,
    effects=lambda *, call_jaxpr, **params: call_jaxpr.effects,
    skip_canonicalization=True,
)


class _CustomFunction:
    """What the two kinds of functions with custom derivatives share: they look like the function they wrap."""

    def __init__(self, fun, nondiff_argnums=(), nondiff_argnames=()):
        functools.update_wrapper(self, fun)
        self.fun = fun
        numbers = tuple(nondiff_argnums)
        if nondiff_argnames:
            names = list(inspect.signature(fun).parameters)
            numbers += tuple(names.index(n) for n in nondiff_argnames)
        self.nondiff_argnums = tuple(dict.fromkeys(numbers))

    def __get__(self, instance, owner):
        return self if instance is None else functools.partial(self, instance)

    def __getattr__(self, name):
        if name == "__wrapped__" or "fun" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.fun, name)


class custom_jvp(_CustomFunction):
    """A function whose forward derivative is given by the user (its transpose gives the reverse one).

    `nondiff_argnums` are arguments passed to the rule as they are. See `defjvp` and `defjvps`.

    >>> import cyxla, cyxla.numpy as jnp
    >>> @cyxla.custom_jvp
    ... def f(x):
    ...     return jnp.sin(x)
    >>> f.defjvps(lambda t, ans, x: 2.0 * t)
    >>> cyxla.grad(f)(1.0)
    Array(2., dtype=float32, weak_type=True)
    """

    jvp = None
    symbolic_zeros = False

    def defjvp(self, jvp, symbolic_zeros=False):
        """Sets the rule `jvp(*nondiff, primals, tangents) -> (primal result, tangent result)`; returns it."""
        self.jvp = jvp
        self.symbolic_zeros = symbolic_zeros
        return jvp

    def defjvps(self, *jvps):
        """Sets one rule per argument, `jvp(tangent, result, *primals) -> tangent of the result`; None for none."""
        if self.nondiff_argnums:
            raise TypeError("defjvps cannot be used with nondiff_argnums: define one rule with defjvp")

        def jvp(primals, tangents):
            zeros = _instantiated(tangents)
            out = self(*primals)
            terms = [rule(t, out, *primals) for rule, t in zip(jvps, zeros) if rule is not None]
            if not terms:
                return out, tree_map(lambda o: instantiate_zeros(Zero(aval_to_tangent(typeof(o)))), out)
            total = terms[0]
            for term in terms[1:]:
                total = tree_map(lambda a, b: a + b, total, term)
            return out, total

        self.defjvp(jvp)

    @api_boundary
    def __call__(self, *args, **kwargs):
        if self.jvp is None:
            raise AttributeError(f"no JVP defined for {function_name(self.fun)}: call its defjvp first")
        args = bind_arguments(self.fun, args, kwargs)
        if get_trace() is None:
            return evaluated(self.fun, args, self.nondiff_argnums)
        staged = Staged(self.fun, args, self.nondiff_argnums, "custom_jvp")

        def rule(primals, tangents):
            return self._flat_rule(staged, primals, tangents)

        outs = custom_jvp_call_p.bind(
            *staged.consts, *staged.leaves, call_jaxpr=staged.closed, jvp_jaxpr_fun=rule, num_consts=len(staged.consts),
            symbolic_zeros=self.symbolic_zeros,
        )  # fmt: skip
        # The rules live as long as the jaxpr that holds them; the tracers of this call must not.
        staged.leaves = staged.consts = ()
        return tree_unflatten(staged.out_tree, outs)

    def _flat_rule(self, staged, primals, tangents):
        primal_args = tree_unflatten(staged.in_tree, list(primals))
        given = (
            [SymbolicZero(t.aval) if type(t) is Zero else t for t in tangents]
            if self.symbolic_zeros
            else list(tangents)
        )
        if self.symbolic_zeros:
            tangent_args = tree_unflatten(staged.in_tree, given)
        else:
            given = [_as_float0(t) if p.aval is not t.aval and aval_to_tangent(p.aval).dtype == float0 else t
                     for p, t in zip(primals, given)]  # fmt: skip
            tangent_args = tree_unflatten(staged.in_tree, given)
        result = self.jvp(*staged.static.values(), tuple(primal_args), tuple(tangent_args))
        name = function_name(self.fun)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise TypeError(
                f"the custom JVP rule of {name} must return a pair (primal result, tangent result), it returned "
                f"{result!r:.200}"
            )
        outs, out_tree = tree_flatten(result[0])
        out_tangents, tangent_tree = tree_flatten(result[1], is_leaf=lambda x: isinstance(x, (SymbolicZero, Zero)))
        if out_tree != staged.out_tree:
            raise TypeError(
                f"the custom JVP rule of {name} returned a primal result of structure {out_tree}, the function itself "
                f"returns {staged.out_tree}"
            )
        if tangent_tree != out_tree:
            raise TypeError(
                f"the custom JVP rule of {name} returned a tangent of structure {tangent_tree} for a result of "
                f"structure {out_tree}: they must be equal"
            )
        outs = [asarray(o) for o in outs]
        checked = []
        for o, t in zip(outs, out_tangents):
            wanted = aval_to_tangent(o.aval)
            if isinstance(t, (SymbolicZero, Zero)) or wanted.dtype == float0 or getattr(t, "dtype", None) == float0:
                checked.append(Zero(wanted))
                continue
            t = asarray(t)
            if t.shape != wanted.shape or t.dtype != wanted.dtype:
                if t.shape == wanted.shape and t.weak_type:
                    lax = operations.lax

                    t = lax.convert_element_type(t, wanted.dtype)
                else:
                    raise TypeError(
                        f"the custom JVP rule of {name} returned a tangent of type {t.aval.str_short()} for a result "
                        f"of type {o.aval.str_short()}: it must be {wanted.str_short()}"
                    )
            checked.append(t)
        return outs, checked


def _as_float0(tangent):
    import numpy as np

    return np.zeros(tangent.aval.shape, float0)


def _instantiated(tangents):
    return [
        tree_map(lambda t: instantiate_zeros(Zero(t.aval)) if isinstance(t, SymbolicZero) else t, t) for t in tangents
    ]


class SymbolicZero:
    """A tangent or cotangent that is zero, for rules that asked for symbolic zeros."""

    __slots__ = ("aval",)

    def __init__(self, aval):
        self.aval = aval

    @staticmethod
    def from_primal_value(value):
        """The zero that is a tangent of an array or number."""
        return SymbolicZero(aval_to_tangent(typeof(value)))

    @property
    def shape(self):
        return self.aval.shape

    @property
    def dtype(self):
        return self.aval.dtype

    @property
    def ndim(self):
        return self.aval.ndim

    @property
    def size(self):
        return self.aval.size

    def __repr__(self):
        return f"SymbolicZero({self.aval.str_short()})"


# -- custom_vjp


def _no_forward_mode():
    return TypeError(
        "forward-mode differentiation (jvp) reached a custom_vjp function, which has a rule for reverse mode only: "
        "give it a forward rule with custom_jvp, or differentiate it with grad or vjp"
    )


def _custom_vjp_jvp(primals, tangents, *, call_jaxpr, **params):
    # The tangents may be of no interest, as where a rule calls the function for its value.
    outs = custom_vjp_call_p.bind(*primals, call_jaxpr=call_jaxpr, **params)
    return outs, [forbidden(aval_to_tangent(o.aval), _no_forward_mode) for o in outs]


def _custom_vjp_linearize(primals, tangents, *, call_jaxpr, fwd, bwd, num_consts, symbolic_zeros):
    for t in tangents[:num_consts]:
        if type(t) is not Zero:
            raise TypeError(
                "a function with custom_vjp closes over a value that is being differentiated; its rule cannot see it: "
                "pass the value as an argument"
            )
    primals, tangents = primals[num_consts:], tangents[num_consts:]
    # References are passed along, for the rules to read and write; they have no cotangents.
    tangents = [Zero(t.aval) if is_reference(p) else t for p, t in zip(primals, tangents)]
    active = [type(t) is not Zero for t in tangents]
    outs, residuals, bwd_of = fwd(primals, active)
    out_avals = tuple(aval_to_tangent(o.aval) for o in outs)
    out_tangents = custom_lin_p.bind(
        *residuals, *[t for t in tangents if type(t) is not Zero], num_res=len(residuals), bwd=bwd_of,
        active=tuple(active), out_avals=out_avals,
    )  # fmt: skip
    return outs, out_tangents


def _custom_lin_transpose(cotangents, *operands, num_res, bwd, active, out_avals):
    residuals = operands[:num_res]
    cts = bwd(list(residuals), list(cotangents))
    return [None] * num_res + [ct for ct, a in zip(cts, active) if a]


def _custom_lin_jvp(primals, tangents, *, out_avals, **params):
    outs = custom_lin_p.bind(*primals, out_avals=out_avals, **params)
    return outs, [forbidden(aval, _no_forward_mode) for aval in out_avals]


def _custom_lin_lower(ctx, *names, **params):
    raise _no_forward_mode()


def _custom_lin_batch(axis, args, dims, *, num_res, bwd, active, out_avals):
    args = [move_batch_axis(a, d, axis.size) for a, d in zip(args, dims)]
    avals = tuple(a.update(shape=(axis.size, *a.shape)) for a in out_avals)

    def batched_bwd(residuals, cotangents):
        n = len(residuals)

        def flat(values):
            cts = bwd(values[:n], _with_float0(values[n:], out_avals))
            return [instantiate_zeros(ct) if ct is not None else ct for ct in cts]

        values = [*residuals, *_arrays(cotangents)]
        cts, dims = _batch_with_none(flat, axis, values, [0] * len(values))
        return [None if ct is None else move_batch_axis(ct, d, axis.size) for ct, d in zip(cts, dims)]

    outs = custom_lin_p.bind(*args, num_res=num_res, bwd=batched_bwd, active=active, out_avals=avals)
    return outs, [0] * len(outs)


def _batch_with_none(flat, axis, values, dims):
    """Batches a function whose results may be None; returns these and their batch axes."""
    present = []

    def some(args):
        outs = flat(args)
        present[:] = [o is not None for o in outs]
        return [o for o in outs if o is not None]

    outs, out_dims = _batch_rule(some, axis, values, dims)
    return spread(outs, present), spread(out_dims, present)


custom_lin_p = Primitive(
    "custom_lin",
    abstract=lambda *avals, out_avals, **params: list(out_avals),
    jvp=_custom_lin_jvp,
    transpose=_custom_lin_transpose,
    batch=_custom_lin_batch,
    batch_needs_axis=True,
    lower=_custom_lin_lower,
    multiple_results=True,
    # None; that it has a rule for them lets it take references.
    effects=lambda **params: frozenset(),
)


def _custom_vjp_batch(axis, args, dims, *, call_jaxpr, fwd, bwd, num_consts, symbolic_zeros):
    args, batched = batch_arguments(args, dims)
    closed, out_batched = batch_jaxpr(call_jaxpr, axis, batched)
    in_dims = [0 if b else None for b in batched[num_consts:]]
    n_outs = len(out_batched)
    if not all(out_batched):
        avals = [x.aval for x in args[num_consts:]]
        found = _batched_results(lambda values: fwd(values, [True] * len(values))[0], axis, avals, in_dims)
        wanted = [a or b for a, b in zip(out_batched, found or out_batched)]
        closed, out_batched = batch_jaxpr(call_jaxpr, axis, batched, wanted)
    out_tangent_avals = [aval_to_tangent(a) for a in call_jaxpr.out_avals]
    ct_dims = [0 if b else None for b, a in zip(out_batched, out_tangent_avals) if a.dtype != float0]

    def batched_fwd(primals, active):
        inner = None

        def flat(values):
            nonlocal inner
            outs, residuals, inner = fwd(values, active)
            return [*outs, *residuals]

        values, out_dims = _batch_rule(flat, axis, primals, in_dims)
        # Residuals that do not depend on the batch stay so: what the backward rule makes of them alone is not summed.
        depend = [*out_batched, *[d is not None for d in out_dims[n_outs:]]]
        values = [move_batch_axis(v, d, axis.size) if b else v for v, d, b in zip(values, out_dims, depend)]
        residual_dims = [0 if b else None for b in depend[n_outs:]]

        def batched_bwd(residuals, cotangents):
            n = len(residuals)

            def flat(values):
                cts = inner(values[:n], _with_float0(values[n:], out_tangent_avals))
                return [None if ct is None else instantiate_zeros(ct) for ct in cts]

            cts, dims = _batch_with_none(flat, axis, [*residuals, *_arrays(cotangents)], residual_dims + ct_dims)
            return [_of_argument(ct, d, wanted, axis) for ct, d, wanted in zip(cts, dims, in_dims)]

        return values[:n_outs], values[n_outs:], batched_bwd

    outs = custom_vjp_call_p.bind(
        *args, call_jaxpr=closed, fwd=batched_fwd, bwd=None, num_consts=num_consts, symbolic_zeros=False
    )
    return outs, [0 if b else None for b in out_batched]


def _of_argument(ct, dim, wanted, axis):
    """A cotangent with the batch axis of its argument; an argument shared by the batch receives the sum over it."""
    if ct is None or (dim is None and wanted is None):
        return ct
    return operations.lax.reduce_sum(ct, (dim,)) if wanted is None else move_batch_axis(ct, dim, axis.size)


custom_vjp_call_p = Primitive(
    "custom_vjp_call",
    abstract=lambda *avals, call_jaxpr, **params: call_jaxpr.out_avals,
    impl=_evaluate,
    jvp=_custom_vjp_jvp,
    linearize=_custom_vjp_linearize,
    batch=_custom_vjp_batch,
    batch_needs_axis=True,
    lower=_lower,
    multiple_results=True,
    effects=lambda *, call_jaxpr, **params: call_jaxpr.effects,
    skip_canonicalization=True,
)


class CustomVJPPrimal:
    """What a forward rule gets for each argument when it asked for symbolic zeros."""

    __slots__ = ("perturbed", "value")

    def __init__(self, value, perturbed):
        self.value = value
        self.perturbed = perturbed


def custom_vjp_primal_tree_values(tree):
    """The values in a pytree of what a forward rule with symbolic zeros gets."""
    return tree_map(lambda leaf: leaf.value if isinstance(leaf, CustomVJPPrimal) else leaf, tree)


def zero_from_primal(val, symbolic_zeros=False):
    """The zero tangent or cotangent of a value: an array, or a `SymbolicZero`."""
    aval = aval_to_tangent(typeof(val))
    if symbolic_zeros:
        return SymbolicZero(aval)
    return _float0_zeros(aval) if aval.dtype == float0 else instantiate_zeros(Zero(aval))


class custom_vjp(_CustomFunction):
    """A function whose reverse derivative is given by the user, with `defvjp(fwd, bwd)`.

    >>> import cyxla, cyxla.numpy as jnp
    >>> @cyxla.custom_vjp
    ... def f(x):
    ...     return jnp.sin(x)
    >>> f.defvjp(lambda x: (f(x), x), lambda x, ct: (2.0 * ct,))
    >>> cyxla.grad(f)(1.0)
    Array(2., dtype=float32, weak_type=True)
    """

    def __init__(self, fun, nondiff_argnums=(), nondiff_argnames=()):
        super().__init__(fun, nondiff_argnums, nondiff_argnames)
        self.fwd = None
        self.bwd = None
        self.symbolic_zeros = False
        self.optimize_remat = False

    def defvjp(self, fwd, bwd, symbolic_zeros=False, optimize_remat=False):
        """Sets `fwd(*args) -> (result, residuals)` and `bwd(*nondiff, residuals, cotangent) -> arguments' cotangents`.

        A cotangent of None is zero. `optimize_remat` changes nothing: what `fwd` computes for residuals that nobody
        needs is removed as dead code.
        """
        self.fwd, self.bwd = fwd, bwd
        self.symbolic_zeros = symbolic_zeros
        self.optimize_remat = optimize_remat

    @api_boundary
    def __call__(self, *args, **kwargs):
        if self.fwd is None:
            raise AttributeError(f"no VJP defined for {function_name(self.fun)}: call its defvjp first")
        args = bind_arguments(self.fun, args, kwargs)
        if get_trace() is None:
            return evaluated(self.fun, args, self.nondiff_argnums)
        staged = Staged(self.fun, args, self.nondiff_argnums, "custom_vjp")

        def forward(primals, active):
            return self._flat_forward(staged, primals, active)

        outs = custom_vjp_call_p.bind(
            *staged.consts, *staged.leaves, call_jaxpr=staged.closed, fwd=forward, bwd=self.bwd,
            num_consts=len(staged.consts),
            symbolic_zeros=self.symbolic_zeros,
        )  # fmt: skip
        # The rules live as long as the jaxpr that holds them; the tracers of this call must not.
        staged.leaves = staged.consts = ()
        return tree_unflatten(staged.out_tree, outs)

    def _flat_forward(self, staged, primals, active):
        name = function_name(self.fun)
        values = list(primals)
        if self.symbolic_zeros:
            values = [CustomVJPPrimal(p, a) for p, a in zip(primals, active)]
        args = _merge(staged.static, tree_unflatten(staged.in_tree, values), staged.n_args)
        result = self.fwd(*args)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise TypeError(
                f"the custom VJP forward rule of {name} must return a pair (result, residuals), it returned "
                f"{result!r:.200}"
            )
        outs, out_tree = tree_flatten(result[0])
        if out_tree != staged.out_tree:
            raise TypeError(
                f"the custom VJP forward rule of {name} returned a result of structure {out_tree}, the function itself "
                f"returns {staged.out_tree}"
            )
        residuals, residual_tree = tree_flatten(result[1])
        kept = [None if is_arraylike(r) else (r,) for r in residuals]
        arrays = [asarray(r) for r in residuals if is_arraylike(r)]
        outs = [asarray(o) for o in outs]
        in_avals = [p.aval for p in primals]
        out_avals = [o.aval for o in outs]

        def backward(values, cotangents):
            values = iter(values)
            residual = tree_unflatten(residual_tree, [next(values) if k is None else k[0] for k in kept])
            if self.symbolic_zeros:
                cts = [SymbolicZero(ct.aval) if type(ct) is Zero else ct for ct in cotangents]
            else:
                cts = [
                    _float0_zeros(a) if aval_to_tangent(a).dtype == float0 else instantiate_zeros(ct)
                    for ct, a in zip(cotangents, out_avals)
                ]
            result = self.bwd(*staged.static.values(), residual, tree_unflatten(out_tree, cts))
            return self._flat_cotangents(result, staged, in_avals, name)

        return outs, arrays, backward

    def _flat_cotangents(self, result, staged, in_avals, name):
        if isinstance(result, list):
            result = tuple(result)
        if not isinstance(result, tuple) or len(result) != len(staged.in_tree.children()):
            got = f"{len(result)}" if isinstance(result, tuple) else repr(result)[:200]
            raise TypeError(
                f"the custom VJP backward rule of {name} must return a tuple of {len(staged.in_tree.children())} "
                f"cotangents, one per differentiable argument; it returned {got}"
            )
        flat = []
        for ct, child in zip(result, staged.in_tree.children()):
            if ct is None:
                flat += [None] * child.num_leaves
                continue
            leaves, tree = tree_flatten(ct, is_leaf=lambda x: x is None or isinstance(x, (SymbolicZero, Zero)))
            if tree != child and len(leaves) != child.num_leaves:
                raise TypeError(
                    f"the custom VJP backward rule of {name} returned a cotangent of structure {tree} for an argument "
                    f"of structure {child}"
                )
            flat += leaves
        checked = []
        for ct, aval in zip(flat, in_avals):
            wanted = aval_to_tangent(aval)
            if (
                type(aval) is AbstractRef
                or ct is None
                or isinstance(ct, (SymbolicZero, Zero))
                or wanted.dtype == float0
            ):
                checked.append(None)
                continue
            if getattr(ct, "dtype", None) == float0:
                checked.append(None)
                continue
            ct = asarray(ct)
            if ct.shape != wanted.shape:
                raise ValueError(
                    f"the custom VJP backward rule of {name} returned a cotangent of type {ct.aval.str_short()} for an "
                    f"argument of type {aval.str_short()}: shapes must agree"
                )
            if ct.dtype != wanted.dtype:
                lax = operations.lax

                ct = lax.convert_element_type(ct, wanted.dtype)
            checked.append(ct)
        return checked


def _float0_zeros(aval):
    import numpy as np

    return np.zeros(aval.shape, float0)


def custom_gradient(fun):
    """A function from one that returns its value and a function from cotangents to gradients.

    >>> import cyxla
    >>> @cyxla.custom_gradient
    ... def f(x):
    ...     return x ** 2, lambda ct: 3.0 * ct
    >>> cyxla.grad(f)(1.0)
    Array(3., dtype=float32, weak_type=True)
    """

    @functools.wraps(fun)
    def value(*args, **kwargs):
        return fun(*args, **kwargs)[0]

    wrapped = custom_vjp(value)

    def fwd(*args, **kwargs):
        out, rule = fun(*args, **kwargs)
        return out, _Rule(rule)

    def bwd(rule, ct):
        grads = rule.function(ct)
        return grads if isinstance(grads, tuple) else (grads,)

    wrapped.defvjp(fwd, bwd)
    return wrapped


class _Rule:
    """A function among the residuals: a leaf that is no array."""

    __slots__ = ("function",)

    def __init__(self, function):
        self.function = function


__all__ = ["CustomVJPPrimal", "SymbolicZero", "UndefinedPrimal", "custom_gradient", "custom_jvp", "custom_vjp"]
