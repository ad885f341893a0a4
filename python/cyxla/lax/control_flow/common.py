"""What the control-flow primitives share: traced bodies, their cache, matching of types, eager evaluation."""

import time

from cyxla._engine.array import asarray, is_arraylike, literal
from cyxla._engine.aval import AbstractRef
from cyxla._engine.config import epoch
from cyxla._engine.core import ClosedJaxpr, Eqn, Jaxpr, Var, Zero
from cyxla._engine.dtypes import dtype_code
from cyxla._engine.pytree import tree_structure, tree_unflatten
from cyxla._transform import records
from cyxla._transform.arguments import DebugInfo, function_name
from cyxla._transform.compile import Program
from cyxla._transform.references import check_distinct
from cyxla._transform.remembered import remembered
from cyxla._transform.tracing import trace_lifted


def trace_body(fun, in_tree, avals, api):
    """Traces a function of a pytree (unflattened to positional arguments).

    Returns the jaxpr with its constants as leading arguments, those constants, and the structure of the result.
    """
    identity = None

    def observe(found):
        nonlocal identity
        identity = found

    def trace():
        start = time.perf_counter()
        found = _trace(fun, in_tree, avals, api)
        info = found[0].jaxpr.debug_info
        info.seconds = time.perf_counter() - start
        info.identity = identity
        return found

    return remembered(fun, in_tree, (tuple(avals), api), trace, observe=observe)


def _trace(fun, in_tree, avals, api):
    name = function_name(fun)
    call_tree = tree_structure((tree_unflatten(in_tree, avals), {}))
    return trace_lifted(fun, in_tree, avals, f"{name}, called by {api},", DebugInfo(api, name, fun, call_tree))


def eager_impl(get_primitive, owner):
    """An eager implementation that compiles the primitive once per operand avals and parameters.

    The program is kept with the jaxpr `owner(params)`, and dies with it.
    """

    def impl(*args, **params):
        primitive = get_primitive()
        device = next((a.device for a in args if a.committed), None)
        avals = tuple(a.aval for a in args)
        derived = owner(params).derived
        key = ("eager", primitive.name, avals, tuple(params.items()), device, epoch())
        executable = derived.get(key)
        if executable is None:
            invars = [Var(a) for a in avals]
            out = primitive.abstract(*avals, **params)
            outvars = [Var(a) for a in out]
            program = ClosedJaxpr(Jaxpr([], invars, outvars, [Eqn(primitive, invars, outvars, params)]), [])
            record = records.program(primitive.name, owner(params), avals, params, device)
            executable = Program(program, primitive.name, device=device, record=record).compile(
                device, committed=device is not None
            )
            derived[key] = executable
        else:
            executable.tally.hits += 1
        return executable.call(args)

    return impl


def scalar(value, dtype, weak=False):
    """A rank-0 constant, which jaxprs show as a literal."""
    return literal(value, dtype_code(dtype), weak)


def is_zero(tangent):
    return type(tangent) is Zero


def check_references(leaves, consts, fun, api):
    """Raises where one reference is an operand twice, or is also closed over."""
    if any(type(x.aval) is AbstractRef for x in leaves):
        check_distinct(leaves, consts, function_name(fun), api, lambda i: f"operand {i}")


def to_arrays(leaves, api):
    for leaf in leaves:
        if not is_arraylike(leaf):
            raise TypeError(
                f"{api} takes arrays and numbers, in containers; got {leaf!r:.200} of type {type(leaf).__name__}"
            )
    return [asarray(leaf) for leaf in leaves]


def widened(avals_in, avals_out):
    """Which carried values enter with a weak type and leave with another dtype: they must enter with that one.

    Where only the weak type differs, the loop goes on with what the body gave for weak inputs.
    """
    return [i.weak_type and i.shape == o.shape and i.dtype != o.dtype for i, o in zip(avals_in, avals_out)]


def same_type(a, b):
    """Equal up to weak types."""
    return a.shape == b.shape and a.dtype == b.dtype


def describe_mismatch(api, what, tree_in, avals_in, tree_out, avals_out):
    """The message about a carry that changes its type, leaf by leaf."""
    from cyxla.tree_util import keystr, tree_flatten_with_path

    if tree_in != tree_out:
        return (
            f"{api}: the {what} must have the same structure on the way in and out of the loop body; it goes in as "
            f"{tree_in} and comes out as {tree_out}"
        )
    paths = [path for path, _ in tree_flatten_with_path(tree_unflatten(tree_in, list(range(tree_in.num_leaves))))[0]]
    differing = [
        f"  {what}{keystr(path)} goes in as {a.str_short()} and comes out as {b.str_short()}"
        for path, a, b in zip(paths, avals_in, avals_out)
        if not same_type(a, b)
    ]
    return (
        f"{api}: the {what} must have the same shapes and dtypes on the way in and out of the loop body:\n"
        + "\n".join(differing)
        + "\nConvert the initial value or the body's result (for example with .astype or jnp.reshape) so that they "
        "agree."
    )


def strengthen(array, aval):
    """The array with the dtype of `aval`, as the loop's result has it."""
    from cyxla import lax

    return lax.convert_element_type(array, aval.dtype)


def union_effects(*jaxprs):
    effects = frozenset()
    for jaxpr in jaxprs:
        effects = effects | jaxpr.effects
    return effects


def split_list(items, *sizes):
    """Splits a list into parts of the given sizes and the rest."""
    parts, start = [], 0
    for size in sizes:
        parts.append(list(items[start : start + size]))
        start += size
    parts.append(list(items[start:]))
    return parts
