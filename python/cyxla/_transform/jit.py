"""`jit`: the primitive that a jitted call is, and the Python side of a cache miss.

The hit path is in `_engine/dispatch`: nothing here runs when a signature has been seen before.
"""

import inspect
import time

from cyxla._engine import dispatch
from cyxla._engine.array import ArrayImpl, typeof
from cyxla._engine.aval import ShapedArray
from cyxla._engine.config import epoch as config_epoch
from cyxla._engine.core import Primitive, Tracer, Zero, is_undefined_primal
from cyxla._engine.dispatch import Entry, JitFunction
from cyxla._engine.pytree import tree_flatten
from cyxla._engine.staging import trace_flat
from cyxla._transform import caches, records, references, sameness, stages
from cyxla._transform.arguments import DebugInfo, argument_path, check_result, function_name
from cyxla._transform.compile import Program, log_compile
from cyxla._transform.jaxprs import (
    batch_arguments,
    batch_jaxpr,
    hoist,
    jvp_jaxpr,
    linearize_jaxpr,
    spread,
    transpose_jaxpr,
)

# -- the primitive


def _impl(*args, jaxpr, name, **params):
    device = None
    for array in args:
        if array.committed:
            device = array.device
    key = ("executable", config_epoch(), device)
    executable = jaxpr.derived.get(key)
    if executable is None:
        record = records.program("jit", jaxpr, tuple(jaxpr.in_avals), {}, device, name=name)
        executable = Program(jaxpr, name, device=device, record=record).compile(device, committed=device is not None)
        jaxpr.derived[key] = executable
    else:
        executable.tally.hits += 1
    return executable.call(args)


def _jvp(primals, tangents, *, jaxpr, **params):
    nonzeros = [type(t) is not Zero for t in tangents]
    jvp, out_nonzeros = jvp_jaxpr(jaxpr, nonzeros)
    active = [t for t in tangents if type(t) is not Zero]
    outs = jit_p.bind(*primals, *active, jaxpr=jvp, **_without_donation(params))
    n = len(jaxpr.jaxpr.outvars)
    return outs[:n], spread(outs[n:], out_nonzeros)


def _linearize(primals, tangents, *, jaxpr, **params):
    params = _without_donation(params)
    split = linearize_jaxpr(jaxpr, [type(t) is not Zero for t in tangents])
    outs = jit_p.bind(*primals, jaxpr=split.primal, **params)
    active = [t for t in tangents if type(t) is not Zero]
    out_tangents = []
    if any(split.out_nonzeros) or split.linear.effects:
        out_tangents = jit_p.bind(*split.residuals(primals, outs), *active, jaxpr=split.linear, **params)
    return outs[: split.num_outs], spread(out_tangents, split.out_nonzeros)


def _transpose(cotangents, *args, jaxpr, **params):
    linear = [is_undefined_primal(a) for a in args]
    transposed, nonzeros = transpose_jaxpr(jaxpr, linear, [type(ct) is not Zero for ct in cotangents])
    known = [a for a in args if not is_undefined_primal(a)]
    active = [ct for ct in cotangents if type(ct) is not Zero]
    transposed, outer = hoist(transposed)
    outs = iter(spread(jit_p.bind(*outer, *known, *active, jaxpr=transposed, **_without_donation(params)), nonzeros))
    return [next(outs) if is_linear else None for is_linear in linear]


def _batch(axis, args, dims, *, jaxpr, **params):
    if references.batches_elsewhere(args, dims):
        return references.batch_by_values(jit_p, axis, args, dims, {"jaxpr": jaxpr, **params})
    args, batched = batch_arguments(args, dims)
    batched_jaxpr, out_batched = batch_jaxpr(jaxpr, axis, batched)
    outs = jit_p.bind(*args, jaxpr=batched_jaxpr, **_without_donation(params))
    return outs, [0 if b else None for b in out_batched]


def _lower(ctx, *names, jaxpr, name, **params):
    return ctx.call(jaxpr, names, name)


def _without_donation(params):
    return {k: v for k, v in params.items() if k != "donated_invars"}


def _effects(*, jaxpr, **params):
    return jaxpr.effects


jit_p = Primitive(
    "jit",
    abstract=lambda *avals, jaxpr, **params: jaxpr.out_avals,
    impl=_impl,
    jvp=_jvp,
    linearize=_linearize,
    transpose=_transpose,
    batch=_batch,
    batch_needs_axis=True,
    lower=_lower,
    multiple_results=True,
    effects=_effects,
    skip_canonicalization=True,
)


# -- the function that users call


def _as_tuple(value, kind, what):
    if value is None:
        return ()
    values = (value,) if isinstance(value, kind) else tuple(value)
    for item in values:
        if not isinstance(item, kind):
            raise TypeError(f"{what} must be {kind.__name__}s, got {item!r} of type {type(item).__name__}")
    return values


def resolve_names(fun, argnums, argnames):
    """Positional parameters may also be passed by name: completes each of the two lists from the other."""
    try:
        parameters = list(inspect.signature(fun).parameters.values())
    except (ValueError, TypeError):
        return argnums, argnames
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    variadic = any(p.kind == p.VAR_POSITIONAL for p in parameters)
    keywords = any(p.kind == p.VAR_KEYWORD for p in parameters)
    for number in argnums:
        if not variadic and not -len(positional) <= number < len(positional):
            raise ValueError(
                f"argument number {number} of {argnums} does not exist: the function takes {len(positional)} "
                "positional arguments"
            )
    names = {p.name for p in parameters}
    for name in argnames:
        if not keywords and name not in names:
            raise ValueError(f"the function has no argument {name!r}: it has {', '.join(sorted(names)) or 'none'}")
    from_names = [positional.index(n) for n in argnames if n in positional]
    by_name = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    from_numbers = [positional[i] for i in argnums if -len(positional) <= i < len(positional)]
    return (
        tuple(dict.fromkeys(argnums + tuple(from_names))),
        tuple(dict.fromkeys(argnames + tuple(n for n in from_numbers if n in by_name))),
    )


class JitSpec:
    """The options of one `jit`, and what is done with them when a signature is new."""

    __slots__ = (
        "compiler_options",
        "device",
        "donate_argnames",
        "donate_argnums",
        "fun",
        "inline",
        "keep_unused",
        "name",
        "static_argnames",
        "static_argnums",
    )

    def __init__(
        self,
        fun,
        static_argnums,
        static_argnames,
        donate_argnums,
        donate_argnames,
        keep_unused,
        device,
        inline,
        options,
    ):
        static_argnums = _as_tuple(static_argnums, int, "static_argnums")
        static_argnames = _as_tuple(static_argnames, str, "static_argnames")
        donate_argnums = _as_tuple(donate_argnums, int, "donate_argnums")
        donate_argnames = _as_tuple(donate_argnames, str, "donate_argnames")
        self.fun = fun
        self.name = function_name(fun)
        self.static_argnums, self.static_argnames = resolve_names(fun, static_argnums, static_argnames)
        self.donate_argnums, self.donate_argnames = resolve_names(fun, donate_argnums, donate_argnames)
        both = set(self.static_argnums) & set(self.donate_argnums) | set(self.static_argnames) & set(
            self.donate_argnames
        )
        if both:
            raise ValueError(
                f"static_argnums and donate_argnums cannot intersect: {sorted(map(str, both))} are in both"
            )
        self.keep_unused = keep_unused
        self.device = device
        self.inline = inline
        self.compiler_options = options

    def key(self):
        return (
            self.static_argnums,
            self.static_argnames,
            self.donate_argnums,
            self.donate_argnames,
            self.keep_unused,
            self.device,
            self.inline,
            None if self.compiler_options is None else tuple(sorted(self.compiler_options.items())),
        )

    # static arguments

    def split(self, args, kwargs):
        """`(args, kwargs, static)`: the arguments to trace, and a hashable value that stands for the others."""
        n = len(args)
        numbers = sorted({i % n for i in self.static_argnums if -n <= i < n}) if n else []
        static = [(i, type(args[i]), args[i]) for i in numbers]
        if numbers:
            args = tuple(a for i, a in enumerate(args) if i not in numbers)
        named = []
        if kwargs and self.static_argnames:
            named = [(k, type(kwargs[k]), kwargs[k]) for k in sorted(kwargs) if k in self.static_argnames]
            if named:
                kwargs = {k: v for k, v in kwargs.items() if k not in self.static_argnames}
        for where, kind, value in (*static, *named):
            try:
                hash(value)
            except TypeError as error:
                raise ValueError(
                    f"{self.name}, a jitted function, was called with static argument {where!r} of type "
                    f"{kind.__name__}, which is not hashable: {value!r:.200}. Static arguments are part of a cache "
                    "key: use a tuple for a list, a frozen dataclass for a dict, or make it an ordinary argument."
                ) from error
        return args, kwargs, (tuple(static), tuple(named))

    def merge(self, args, kwargs, static):
        """The call's own arguments again, from the traced ones and the static ones."""
        if static is None:
            return args, kwargs
        args = list(args)
        for i, _, value in static[0]:
            args.insert(i, value)
        return args, {**kwargs, **{k: v for k, _, v in static[1]}}

    # a new signature

    def trace_entry(self, in_tree, static, avals):
        out_tree = None

        def flat(tracers):
            nonlocal out_tree
            args, kwargs = self.merge(*in_tree.unflatten(tracers), static)
            out = self.fun(*args, **kwargs)
            leaves, out_tree = tree_flatten(out)
            for leaf in leaves:
                check_result(leaf, out, self.name)
            return leaves

        start = time.perf_counter()
        info = DebugInfo("jit", self.name, self.fun, in_tree, static)
        jaxpr, consts = trace_flat(flat, avals, info)
        seconds = time.perf_counter() - start
        dispatch.count("traces", 1)
        dispatch.count("trace_s", seconds)
        log_compile("Traced %s for jit in %.6f s", self.name, seconds)
        entry = Entry(stages.ClosedJaxpr(jaxpr, consts), out_tree, self.name)
        entry.references = references.of_entry(entry.closed)
        return entry

    def donated(self, in_tree, static):
        """Indices of the leaves of donated arguments."""
        if not self.donate_argnums and not self.donate_argnames:
            return frozenset()
        args_tree, kwargs_tree = in_tree.children()
        static_numbers = [i for i, _, _ in static[0]] if static else []
        donated, leaf = set(), 0
        total = args_tree.num_children if hasattr(args_tree, "num_children") else len(args_tree.children())
        total += len(static_numbers)
        wanted = {i % total for i in self.donate_argnums if total and -total <= i < total}
        numbers = [i for i in range(total) if i not in static_numbers]
        for number, child in zip(numbers, args_tree.children()):
            if number in wanted:
                donated.update(range(leaf, leaf + child.num_leaves))
            leaf += child.num_leaves
        names = kwargs_tree.node_data()[1] if kwargs_tree.node_data() else []
        for name, child in zip(names, kwargs_tree.children()):
            if name in self.donate_argnames:
                donated.update(range(leaf, leaf + child.num_leaves))
            leaf += child.num_leaves
        return frozenset(donated)

    def compile(self, entry, device):
        """The executable of an entry, for arguments on a device (None: the default)."""
        device = self.device if self.device is not None else device
        return self.program(entry, device).compile(
            device,
            compiler_options=self.compiler_options,
            committed=device is not None,
        )

    def program(self, entry, device=None, platforms=None):
        """The lowered program of an entry, for a device (None: the default) or for platforms."""
        options = {"device": device if self.device is None else self.device, "platforms": platforms}
        if entry.references is not None:
            return entry.references.lower(self, entry, **options)
        return Program(
            entry.closed,
            self.name,
            donated=entry.donated,
            keep_unused=self.keep_unused,
            record=entry.record,
            **options,
        )

    def bind(self, primitive, args, jaxpr, name, n_consts):
        """The call under a trace: an equation, or with `inline` the equations themselves."""
        if self.inline:
            from cyxla._engine.core import eval_jaxpr

            return eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, args)
        return primitive.bind(*args, jaxpr=jaxpr, name=name)

    def reject(self, jitted, in_tree, leaves, leaf, static):
        """Raises the TypeError that names an argument that is not an array."""
        index = next(i for i, x in enumerate(leaves) if x is leaf)
        path = argument_path(self.fun, in_tree, static, index)
        raise TypeError(
            f"{self.name}, a jitted function, was called with {leaf!r:.200} of type {type(leaf)} at {path}. jit takes "
            "arrays, NumPy arrays and numbers, in any nesting of containers; name an argument of another kind in "
            "static_argnums or static_argnames."
        ) from None

    # staged use

    def trace(self, jitted, args, kwargs):
        _, avals, in_tree, static = self.flatten(jitted, args, kwargs)
        entry = jitted.entry_for(avals, in_tree, static)
        return stages.Traced(self, entry, in_tree, tuple(avals), static)

    def flatten(self, jitted, args, kwargs):
        """`(leaves, avals, in_tree, static)` of a call whose arguments may be `ShapeDtypeStruct`s."""
        static = None
        if self.static_argnums or self.static_argnames:
            args, kwargs, static = self.split(args, kwargs)
        leaves, in_tree = tree_flatten((tuple(args), dict(kwargs)))
        avals = []
        for leaf in leaves:
            if hasattr(leaf, "shape") and hasattr(leaf, "dtype") and not isinstance(leaf, ShapedArray):
                try:
                    avals.append(typeof(leaf))
                except TypeError:
                    avals.append(ShapedArray(tuple(leaf.shape), leaf.dtype, bool(getattr(leaf, "weak_type", False))))
            else:
                try:
                    avals.append(typeof(leaf))
                except TypeError:
                    self.reject(jitted, in_tree, leaves, leaf, static)
        return leaves, avals, in_tree, static


def _trace_entry(jitted, leaves, in_tree, static):
    spec = jitted.spec
    avals = tuple(typeof(leaf) for leaf in leaves)

    seconds = identity = None

    def trace():
        nonlocal seconds
        start = time.perf_counter()
        entry = spec.trace_entry(in_tree, static, avals)
        entry.donated = spec.donated(in_tree, static)
        seconds = time.perf_counter() - start
        return entry

    def observe(found):
        nonlocal identity
        identity = found

    # Programs depend on where committed arguments are; those have entries of their own.
    device = next((leaf.device for leaf in leaves if type(leaf) is ArrayImpl and leaf.committed), None)
    options = spec.key()
    key = ("jit", options, in_tree, static, avals, device, config_epoch())
    values = [value for group in static for *_, value in group] if static else ()
    entry = sameness.shared(spec.fun, in_tree, key, trace, _closes_over_no_tracer, values, observe)
    if seconds is None:
        entry.tally.hits += 1
        return entry
    entry.record = records.traced(
        spec, in_tree, avals, static, device, options, identity, seconds, _closes_over_no_tracer(entry)
    )
    entry.tally = entry.record.tally
    return entry


def _closes_over_no_tracer(entry):
    return not any(isinstance(c, Tracer) for c in entry.closed.consts)


dispatch.install_jit(jit_p, _trace_entry)


def jit(
    fun=None,
    /,
    *,
    in_shardings=None,
    out_shardings=None,
    static_argnums=None,
    static_argnames=None,
    donate_argnums=None,
    donate_argnames=None,
    keep_unused=False,
    device=None,
    backend=None,
    inline=False,
    compiler_options=None,
):
    """Compiles a function with XLA; it is traced once for each signature of its arguments.

    Arguments are pytrees of arrays; those named in `static_argnums` or `static_argnames` are hashable Python values,
    one compilation for each value. Arrays passed in `donate_argnums`/`donate_argnames` give their memory to the results
    and cannot be used afterwards. `keep_unused` keeps arguments that the program does not use, `inline` puts the
    function's equations into the caller's program. Without `fun`, returns a decorator.

    Raises TypeError for arguments that are not arrays, ValueError for static arguments that are not hashable.

    >>> import cyxla, cyxla.numpy as jnp
    >>> f = cyxla.jit(lambda x, n: x ** n, static_argnums=1)
    >>> f(3.0, 2)
    Array(9., dtype=float32, weak_type=True)
    """
    if fun is None:
        options = {k: v for k, v in locals().items() if k != "fun"}
        return lambda fun: jit(fun, **options)
    if not callable(fun):
        raise TypeError(f"jit takes a function, got {fun!r:.200} of type {type(fun).__name__}")
    if inspect.isgeneratorfunction(fun):
        raise TypeError(
            f"jit cannot compile the generator function {function_name(fun)}: return a list instead of yielding"
        )
    if device is None and backend is not None:
        from cyxla._runtime.backend import local_devices

        device = local_devices(backend=backend)[0]
    spec = JitSpec(
        fun,
        static_argnums,
        static_argnames,
        donate_argnums,
        donate_argnames,
        keep_unused,
        device,
        inline,
        compiler_options,
    )
    simple = not (spec.static_argnums or spec.static_argnames)
    entries = caches.shared_entries(fun, spec.key())
    jitted = JitFunction(fun, spec, {} if entries is None else entries, simple)
    if entries is None:
        caches.own_entries(jitted)
    return jitted
