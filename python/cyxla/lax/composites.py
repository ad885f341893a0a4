"""Operations that have a name and a decomposition, for compilers that know the name."""

import functools
import re
from typing import NamedTuple

import numpy as np

from cyxla._core.errors import UnexpectedTracerError
from cyxla._engine.autodiff import jvp_flat
from cyxla._engine.aval import integer, shaped_array
from cyxla._engine.caches import keep
from cyxla._engine.config import epoch
from cyxla._engine.core import ClosedJaxpr, Primitive, Tracer, Zero, aval_to_tangent, eval_jaxpr
from cyxla._engine.dtypes import dtype_code
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._engine.staging import trace_flat
from cyxla._transform.arguments import DebugInfo, function_name
from cyxla._transform.jaxprs import batch_arguments, batch_jaxpr
from cyxla.lax.control_flow.common import to_arrays

# ---- attributes: the keyword arguments, as the compiler sees them


class DenseAttribute(NamedTuple):
    """An array as an attribute; unlike an array it has a hash."""

    dtype: np.dtype
    shape: tuple[int, ...]
    data: bytes


def _hashable(value):
    if isinstance(value, dict):
        return frozenset((k, _hashable(v)) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(_hashable, value))
    if isinstance(value, np.ndarray):
        return DenseAttribute(value.dtype, value.shape, value.tobytes())
    return value


def _quoted(text):
    escaped = "".join(c if c.isprintable() and c.isascii() and c not in '"\\' else _escape(c) for c in text)
    return f'"{escaped}"'


def _escape(character):
    return "".join(f"\\{byte:02X}" for byte in character.encode())


def _element_type(dtype):
    return shaped_array((), dtype_code(dtype), False).mlir.removeprefix("tensor<").removesuffix(">")


def _number(value):
    """A NumPy or Python number, as MLIR writes it."""
    if value.dtype.kind == "b":
        return "true" if value else "false"
    if value.dtype.kind in "iu":
        return str(int(value))
    if np.isfinite(value):
        return f"{float(value):.17e}"
    return f"0x{value.view(f'u{value.dtype.itemsize}').item():0{2 * value.dtype.itemsize}X}"


def _attribute(name, value):
    """The text of an attribute."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, DenseAttribute):
        aval = shaped_array(value.shape, dtype_code(value.dtype), False)
        flat = np.frombuffer(value.data, value.dtype)
        if not flat.size:
            return f"dense<> : {aval.mlir}"
        listed = np.array([_number(v) for v in flat], object).reshape(value.shape).tolist()
        return f"dense<{str(listed).replace(chr(39), '')}> : {aval.mlir}"
    if isinstance(value, tuple):
        return f"[{', '.join(_attribute(name, v) for v in value)}]"
    if isinstance(value, frozenset):
        return f"{{{', '.join(f'{k} = {_attribute(name, v)}' for k, v in sorted(value))}}}"
    if isinstance(value, np.dtype):
        return _element_type(value)
    if isinstance(value, (bool, int, float)):
        value = np.asarray(value)[()]
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        kind = "" if value.dtype.kind == "b" else f" : {_element_type(value.dtype)}"
        return _number(value) + kind
    raise TypeError(
        f"composite: the keyword argument {name}={value!r:.80} of type {type(value).__name__} cannot be an attribute; "
        "give a number, a string, a dtype, a NumPy array, or a list, tuple or dict of those"
    )


# ---- the primitive


_NAME = re.compile(r"[a-zA-Z]\w*([.][\w$]+)+", re.ASCII)


def _lower(ctx, *names, jaxpr, name, version, attributes):
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"composite: the name {name!r} must consist of a namespace and a name in it: 'my_library.my_op'"
        )
    function = ctx.private_function(jaxpr, name)
    options = [f"decomposition = @{function}"]
    listed = [f"{key} = {_attribute(key, value)}" for key, value in attributes if value is not None]
    if listed:
        options.append(f"composite_attributes = {{{', '.join(listed)}}}")
    if version:
        options.append(f"version = {version} : i32")
    types = ", ".join(a.mlir for a in ctx.avals_in)
    results = ", ".join(a.mlir for a in ctx.avals_out)
    n = len(ctx.avals_out)
    out = ctx.op(
        f"stablehlo.composite {_quoted(name)} {', '.join(names)} {{{', '.join(options)}}} : ({types}) -> ({results})", n
    )
    return [out] if n == 1 else out


def _jvp(primals, tangents, *, jaxpr, **params):
    outs = composite_p.bind(*primals, jaxpr=jaxpr, **params)
    _, dots = jvp_flat(
        lambda args: eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, args),
        list(primals),
        [None if type(t) is Zero else t for t in tangents],
    )
    return outs, [Zero(aval_to_tangent(o.aval)) if t is None else t for o, t in zip(outs, dots)]


def _batch(axis, args, dims, *, jaxpr, **params):
    args, batched = batch_arguments(args, dims)
    closed, out_batched = batch_jaxpr(jaxpr, axis, batched)
    outs = eval_jaxpr(closed.jaxpr, closed.consts, args)
    return outs, [0 if b else None for b in out_batched]


composite_p = Primitive(
    "composite",
    multiple_results=True,
    abstract=lambda *avals, jaxpr, **params: jaxpr.out_avals,
    impl=lambda *args, jaxpr, **params: eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, args),
    lower=_lower,
    # Derivatives and batches are those of the decomposition: a compiler that knows the name does not know them.
    jvp=_jvp,
    batch=_batch,
    batch_needs_axis=True,
    effects=lambda *, jaxpr, **params: jaxpr.effects,
)


def composite(decomposition, name, version=0):
    """A function that calls an operation of a name, for which the compiler may put one of its own.

    Where it knows none of that name, `decomposition` runs, a function of arrays and containers of them. Its keyword
    arguments become attributes of the operation: numbers, strings, dtypes, NumPy arrays, and lists, tuples and dicts of
    those (else TypeError); those that are None are left out. `version` goes along with the name.

    Outside of `jit` the decomposition runs. Under it ValueError for a name without a namespace.

    Derivatives and `vmap` are those of the decomposition.

    >>> from cyxla import lax
    >>> import cyxla.numpy as jnp
    >>> triple = lax.composite(lambda x, *, factor: x * factor, "my.scale")
    >>> triple(jnp.arange(3.0), factor=3.0)
    Array([0., 3., 6.], dtype=float32)
    """

    version = integer(version)
    traces = {}

    def trace(in_tree, avals, attributes):
        out_tree = None

        def flat(tracers):
            nonlocal out_tree
            outs, out_tree = tree_flatten(decomposition(*tree_unflatten(in_tree, tracers), **attributes))
            return to_arrays(outs, f"composite {name!r}: the result of {function_name(decomposition)}")

        info = DebugInfo("composite", function_name(decomposition), decomposition, None)
        jaxpr, consts = trace_flat(flat, avals, info)
        for const in consts:
            if isinstance(const, Tracer):
                raise UnexpectedTracerError(
                    f"composite {name!r}: the decomposition uses a traced value of the function around it, "
                    f"{const.aval.str_short()}; pass it in as an argument"
                )
        return ClosedJaxpr(jaxpr, consts), out_tree

    @functools.wraps(decomposition)
    def operation(*args, **attributes):
        leaves, in_tree = tree_flatten(args)
        leaves = to_arrays(leaves, f"composite {name!r}")
        avals = tuple(x.aval for x in leaves)
        listed = tuple((key, _hashable(value)) for key, value in attributes.items())
        # As values 2, 2.0 and True are equal, as text they are not.
        key = (in_tree, avals, listed, repr(listed), epoch())
        try:
            found = traces.get(key)
        except TypeError:  # an attribute without a hash
            found = trace(in_tree, avals, attributes)
        else:
            if found is None:
                found = trace(in_tree, avals, attributes)
                keep(traces, key, found, 1024, "composites")
        closed, out_tree = found
        outs = composite_p.bind(*leaves, jaxpr=closed, name=str(name), version=version, attributes=listed)
        return tree_unflatten(out_tree, outs)

    return operation
