"""Differentiation as users call it: jvp, vjp, linearize, grad, jacobians, linear_transpose."""

import functools
from operator import index

from cyxla._engine.array import Array, asarray, is_arraylike, literal, typeof
from cyxla._engine.autodiff import (
    backward_pass,
    differentiable,
    have_tangents,
    instantiate_zeros,
    jvp_flat,
    linearize_flat,
)
from cyxla._engine.boundary import api_boundary
from cyxla._engine.core import Tracer, UndefinedPrimal, Zero, aval_to_tangent, check_not_forbidden
from cyxla._engine.dtypes import dtype_code, dtype_kind, float0
from cyxla._engine.pytree import tree_flatten, tree_structure, tree_unflatten
from cyxla._engine.staging import trace_flat
from cyxla._transform import operations
from cyxla._transform.arguments import function_name
from cyxla._transform.jaxprs import with_weakness
from cyxla._transform.pullback import VJP, materialize
from cyxla._transform.references import is_reference
from cyxla._transform.shapes import abstract
from cyxla.tree_util import Partial, keystr, tree_flatten_with_path

KINDS = ("bool", "int", "int", "float", "complex", "float0", "extended")

# -- flat functions


class Flattened:
    """A function of pytrees as one of a list of arrays; keeps the structure of the last result."""

    __slots__ = ("aux", "aux_tree", "fun", "has_aux", "in_tree", "kwargs", "out_tree")

    def __init__(self, fun, in_tree, has_aux=False, kwargs=None):
        self.fun = fun
        self.in_tree = in_tree
        self.has_aux = has_aux
        self.kwargs = kwargs or {}

    def __call__(self, leaves):
        out = self.fun(*tree_unflatten(self.in_tree, leaves), **self.kwargs)
        if not self.has_aux:
            outs, self.out_tree = tree_flatten(out)
            return require_arrays(outs, self.fun)
        if not isinstance(out, (tuple, list)) or len(out) != 2:
            raise TypeError(
                f"with has_aux=True, {function_name(self.fun)} must return a pair (result, auxiliary data); it "
                f"returned {out!r:.200}"
            )
        outs, self.out_tree = tree_flatten(out[0])
        aux, self.aux_tree = tree_flatten(out[1])
        # Auxiliary tracers ride along as results, to be unwrapped; what is no tracer is kept aside.
        self.aux = [None if isinstance(leaf, Tracer) else (leaf,) for leaf in aux]
        return require_arrays(outs, self.fun) + [leaf for leaf in aux if isinstance(leaf, Tracer)]

    def split(self, results):
        """(flat results, auxiliary tree) from what the flat function gave."""
        n = self.out_tree.num_leaves
        if not self.has_aux:
            return results, None
        rest = iter(results[n:])
        return results[:n], tree_unflatten(self.aux_tree, [kept[0] if kept else next(rest) for kept in self.aux])


def require_arrays(leaves, fun):
    for leaf in leaves:
        if not is_arraylike(leaf):
            raise TypeError(
                f"{function_name(fun)} returned {leaf!r:.200} of type {type(leaf).__name__}, which cannot be "
                "differentiated: return arrays and numbers (other values can be returned with has_aux=True)"
            )
    return leaves


def _check_callable(fun, api):
    if not callable(fun):
        raise TypeError(f"{api} takes a function, got {fun!r:.200} of type {type(fun).__name__}")


def _to_arrays(leaves, api):
    for leaf in leaves:
        if not is_arraylike(leaf):
            raise TypeError(
                f"{api} takes arrays and numbers, in containers; got {leaf!r:.200} of type {type(leaf).__name__}"
            )
    return [asarray(leaf) for leaf in leaves]


def _dtype_kind(dtype):
    return KINDS[dtype_kind(dtype_code(dtype))]


# -- forward mode


@api_boundary
def jvp(fun, primals, tangents, has_aux=False):
    """The value of `fun` at `primals` and its directional derivative along `tangents`.

    `primals` and `tangents` are tuples of the same structure; tangents have the primals' shapes and dtypes (`float0`
    for integers). With `has_aux`, `fun` returns a pair and the auxiliary data come third.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.jvp(jnp.sin, (0.0,), (2.0,))
    (Array(0., dtype=float32, weak_type=True), Array(2., dtype=float32, weak_type=True))
    """
    _check_callable(fun, "jvp")
    for what, value in (("primal", primals), ("tangent", tangents)):
        if not isinstance(value, (tuple, list)):
            raise TypeError(
                f"jvp takes its {what}s as a tuple or list, one per argument of the function; got "
                f"{type(value).__name__}"
            )
    leaves, in_tree = tree_flatten(tuple(primals))
    tangent_leaves, tangent_tree = tree_flatten(tuple(tangents))
    if in_tree != tangent_tree:
        raise TypeError(
            f"jvp needs one tangent for each primal, in the same tree structure: primals are {in_tree}, tangents are "
            f"{tangent_tree}"
        )
    leaves = _to_arrays(leaves, "jvp")
    flat_tangents = []
    for primal, tangent in zip(leaves, tangent_leaves):
        checked = _check_tangent(primal.aval, tangent, "jvp")
        # Tangents of Python scalars are as weak as those.
        weak = checked is not None and primal.weak_type and not checked.weak_type
        flat_tangents.append(with_weakness(checked, True) if weak else checked)
    flat = Flattened(fun, in_tree, has_aux)
    outs, out_tangents = jvp_flat(flat, leaves, flat_tangents)
    results, aux = flat.split(outs)
    for tangent in out_tangents:
        check_not_forbidden(tangent)
    out_tangents = [materialize(None, o.aval) if t is None else t for o, t in zip(results, out_tangents)]
    value = tree_unflatten(flat.out_tree, results), tree_unflatten(flat.out_tree, out_tangents)
    return (*value, aux) if has_aux else value


def _check_tangent(primal, tangent, api):
    """The tangent of a value of type `primal` as an array, or None where it is a zero of dtype float0."""
    wanted = aval_to_tangent(primal)
    if getattr(tangent, "dtype", None) == float0:
        if wanted.dtype != float0:
            raise TypeError(
                f"{api}: a primal of dtype {primal.dtype} needs a tangent of that dtype, got one of dtype float0"
            )
        return None
    if not is_arraylike(tangent):
        raise TypeError(f"{api} takes arrays and numbers as tangents; got {tangent!r:.200}")
    aval = typeof(tangent)
    if aval.dtype != wanted.dtype:
        raise TypeError(
            f"{api}: a primal of dtype {primal.dtype} needs a tangent of dtype {wanted.dtype}, got one of dtype "
            f"{aval.dtype} (tangents have their primal's dtype, and float0 where that is an integer or bool)"
        )
    if aval.shape != primal.shape:
        raise ValueError(
            f"{api}: a primal of shape {primal.shape} needs a tangent of that shape, got one of shape {aval.shape}"
        )
    return asarray(tangent)


@api_boundary
def linearize(fun, *primals, has_aux=False):
    """The value of `fun` at `primals`, and the function that maps tangents to tangents there.

    The linear function reuses what was computed for the value, and may be called many times.

    >>> import cyxla, cyxla.numpy as jnp
    >>> y, f_jvp = cyxla.linearize(lambda x: x ** 2, 3.0)
    >>> f_jvp(1.0)
    Array(6., dtype=float32, weak_type=True)
    """
    _check_callable(fun, "linearize")
    leaves, in_tree = tree_flatten(primals)
    leaves = _to_arrays(leaves, "linearize")
    flat = Flattened(fun, in_tree, has_aux)
    active = have_tangents(leaves)
    outs, program = linearize_flat(flat, leaves, active, True)
    results, aux = flat.split(outs)
    program.prune(len(results))
    bare = program.with_consts([])
    in_avals, out_avals = [x.aval for x in leaves], [r.aval for r in results]
    out_tree, name = flat.out_tree, function_name(fun)

    @api_boundary
    def linear(residuals, *tangents):
        tangent_leaves, tangent_tree = tree_flatten(tangents)
        if tangent_tree != in_tree:
            raise TypeError(
                f"the linearized function takes tangents of structure {in_tree}, as the primals; got {tangent_tree}"
            )
        checked = [_check_tangent(aval, t, "linearize") for aval, t in zip(in_avals, tangent_leaves)]
        linear_program = bare.with_consts([asarray(r) for r in residuals])
        out = linear_program.apply([t for t, a in zip(checked, active) if a])
        return tree_unflatten(out_tree, [materialize(None, a) if t is None else t for a, t in zip(out_avals, out)])

    linear.__name__ = f"linearized_{name}"
    value = tree_unflatten(out_tree, results), Partial(linear, program.consts)
    return (*value, aux) if has_aux else value


# -- reverse mode


@api_boundary
def vjp(fun, *primals, has_aux=False, reduce_axes=()):
    """The value of `fun` at `primals`, and the function that maps cotangents of the result to those of the primals.

    With `has_aux`, `fun` returns a pair and the auxiliary data come third.

    >>> import cyxla, cyxla.numpy as jnp
    >>> y, f_vjp = cyxla.vjp(lambda x, y: x * y, 2.0, 3.0)
    >>> f_vjp(1.0)
    (Array(3., dtype=float32, weak_type=True), Array(2., dtype=float32, weak_type=True))
    """
    _check_callable(fun, "vjp")
    leaves, in_tree = tree_flatten(primals)
    leaves = _to_arrays(leaves, "vjp")
    flat = Flattened(fun, in_tree, has_aux)
    active = have_tangents(leaves)
    results, program = linearize_flat(flat, leaves, active, True)
    results, aux = flat.split(results)
    out_avals = [r.aval for r in results]
    pullback = VJP.of(program, active, in_tree, flat.out_tree, leaves, out_avals, function_name(fun))
    value = tree_unflatten(flat.out_tree, results), pullback
    return (*value, aux) if has_aux else value


def _vjp_flat(flat, leaves):
    """The flat results, and the flat map from their cotangents to those of the leaves (None where zero)."""
    active = have_tangents(leaves)
    results, program = linearize_flat(flat, leaves, active)

    def pull(cotangents):
        cotangents = cotangents + [None] * (len(results) - len(cotangents))
        found = iter(program.transpose(cotangents))
        return [next(found) if a else None for a in active]

    return results, pull


@api_boundary
def linear_transpose(fun, *primals, reduce_axes=()):
    """The transpose of a function that is linear; `primals` are arrays or `ShapeDtypeStruct`s that give the types.

    >>> import cyxla
    >>> t = cyxla.linear_transpose(lambda x: 3.0 * x, 1.0)
    >>> t(2.0)
    (Array(6., dtype=float32, weak_type=True),)
    """
    if reduce_axes:
        raise NotImplementedError(f"linear_transpose: reduce_axes={reduce_axes!r} has no meaning here; leave it out")
    leaves, in_tree = tree_flatten(primals)
    avals = [abstract(leaf) for leaf in leaves]
    flat = Flattened(fun, in_tree)
    jaxpr, consts = trace_flat(flat, avals)
    out_tree = flat.out_tree
    out_avals = [v.aval for v in jaxpr.outvars]
    every = [*avals, *out_avals]
    if len({aval_to_tangent(a).dtype == float0 for a in every}) > 1 or any(a.dtype == bool for a in every):
        raise TypeError(
            "linear_transpose takes functions from floating or complex arrays to such, or from integers to integers; "
            f"got {', '.join(a.str_short() for a in avals)} -> {', '.join(a.str_short() for a in out_avals)}"
        )

    @api_boundary
    def transposed(cotangents):
        cts, tree = tree_flatten(cotangents)
        if tree != out_tree:
            raise TypeError(f"cotangents must be structured like the function's result, {out_tree}; got {tree}")
        for ct, aval in zip(cts, out_avals):
            if typeof(ct).shape != aval.shape or typeof(ct).dtype != aval.dtype:
                raise TypeError(
                    f"a cotangent must have the type of the result it belongs to, {aval.str_short()}; got "
                    f"{typeof(ct).str_short()}"
                )
        results = backward_pass(jaxpr, consts, [UndefinedPrimal(a) for a in avals], [asarray(ct) for ct in cts])
        return tree_unflatten(
            in_tree, [instantiate_zeros(Zero(a)) if ct is None else ct for ct, a in zip(results, avals)]
        )

    return transposed


# -- grad


def _argnums(argnums, args, api):
    if type(argnums) is int and 0 <= argnums < len(args):
        return (argnums,)
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for number in numbers:
        if not isinstance(number, int):
            raise TypeError(f"argnums of {api} must be an int or a tuple of ints, got {argnums!r}")
        if not -len(args) <= number < len(args):
            raise TypeError(
                f"{api} is to differentiate argument {number} (argnums={argnums}), but the call has {len(args)} "
                "positional arguments; arguments passed by keyword are not counted"
            )
    return tuple(n % len(args) for n in numbers)


def _check_input(leaf, holomorphic, allow_int, api, path):
    aval = typeof(leaf)
    kind = _dtype_kind(aval.dtype)
    if holomorphic:
        if kind != "complex":
            raise TypeError(f"{api} with holomorphic=True takes complex arguments, got dtype {aval.dtype} at {path}")
    elif kind == "complex" and api == "jacfwd":
        raise TypeError(
            f"jacfwd differentiates with respect to real arguments, got dtype {aval.dtype} at {path}; for the "
            "derivative of a holomorphic function pass holomorphic=True"
        )
    elif kind not in ("float", "complex") and not (allow_int and kind != "extended"):
        raise TypeError(
            f"{api} differentiates with respect to floating or complex arguments, got dtype {aval.dtype} at {path}. "
            "Convert the argument to a floating dtype, differentiate with respect to other arguments by argnums, or "
            "pass allow_int=True for gradients of dtype float0."
        )


def value_and_grad(fun, argnums=0, has_aux=False, holomorphic=False, allow_int=False, reduce_axes=()):
    """A function that returns the value of a scalar function and its gradient with respect to `argnums`.

    With `has_aux`, `fun` returns `(value, auxiliary data)` and the value becomes that pair. `holomorphic`
    differentiates a complex function of complex arguments; `allow_int` gives gradients of dtype float0 for integers.

    Raises TypeError where the value is not a real scalar, or an argument is an integer.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.value_and_grad(lambda x: jnp.sum(x ** 2))(jnp.array([1.0, 2.0]))
    (Array(5., dtype=float32), Array([2., 4.], dtype=float32))
    """
    _check_callable(fun, "value_and_grad" if has_aux else "grad")

    @api_boundary
    @functools.wraps(fun, updated=())
    def value_and_grad_of(*args, **kwargs):
        numbers = _argnums(argnums, args, "grad")
        leaves, tree = tree_flatten(tuple([args[n] for n in numbers]))
        arrays = None if holomorphic else differentiable(leaves)
        if arrays is None:
            _check_grad_leaves(args, numbers, leaves, holomorphic, allow_int, argnums)
            arrays = [asarray(leaf) for leaf in leaves]
        chosen = fun if len(args) == len(numbers) == 1 else _with_others(fun, args, numbers)
        flat = Flattened(chosen, tree, has_aux, kwargs)
        flat_results, pull = _vjp_flat(flat, arrays)
        results, aux = flat.split(flat_results)
        _check_scalar(results, flat.out_tree, holomorphic, fun)
        value = results[0]
        one = literal(1, dtype_code(value.dtype), value.weak_type)
        grads = [materialize(ct, x.aval) for ct, x in zip(pull([one]), arrays)]
        grads = tree_unflatten(tree, grads)
        grads = grads[0] if isinstance(argnums, int) else grads
        value = tree_unflatten(flat.out_tree, results)
        return ((value, aux), grads) if has_aux else (value, grads)

    return value_and_grad_of


def _with_others(fun, args, numbers):
    """`fun` as a function of the arguments at `numbers`, the other positional ones being those of `args`."""

    def call(*chosen, **kwargs):
        full = list(args)
        for n, value in zip(numbers, chosen):
            full[n] = value
        return fun(*full, **kwargs)

    call.__name__ = function_name(fun)
    return call


def _check_grad_leaves(args, numbers, leaves, holomorphic, allow_int, argnums):
    paths = tree_flatten_with_path(tuple(args[n] for n in numbers))[0]
    for (path, _), leaf in zip(paths, leaves):
        _check_grad_leaf(keystr(path[1:]), leaf, holomorphic, allow_int, argnums)


def _check_grad_leaf(path, leaf, holomorphic, allow_int, argnums):
    if is_reference(leaf):
        raise TypeError(
            f"grad differentiates with respect to arrays, not with respect to the reference at argument{path} "
            f"(argnums={argnums}): pass what it holds, ref[...]"
        )
    where = f"argument{path} (argnums={argnums})"
    if not is_arraylike(leaf):
        raise TypeError(
            f"grad takes arrays and numbers, got {leaf!r:.200} of type {type(leaf)} at {where}: pass it in another "
            "argument than those differentiated, or close over it"
        )
    _check_input(leaf, holomorphic, allow_int, "grad", where)


def _check_scalar(results, out_tree, holomorphic, fun):
    if out_tree == LEAF and results[0].shape == () and not holomorphic and _dtype_kind(results[0].dtype) == "float":
        return
    name = function_name(fun)
    if out_tree != LEAF:
        raise TypeError(
            f"grad needs a function that returns one scalar; {name} returned a tree of structure {out_tree}. Return "
            "the scalar alone, or anything else beside it with has_aux=True."
        )
    aval = results[0].aval
    if aval.shape != ():
        raise TypeError(
            f"grad needs a function that returns one scalar; {name} returned an array of shape {aval.shape}. Reduce "
            "it, for example with .sum() or .mean(), or use jacrev or vjp."
        )
    kind = _dtype_kind(aval.dtype)
    if holomorphic:
        if kind != "complex":
            raise TypeError(f"grad with holomorphic=True needs a complex result, {name} returned dtype {aval.dtype}")
    elif kind != "float":
        more = "pass holomorphic=True if it is holomorphic" if kind == "complex" else "convert the result to a float"
        raise TypeError(f"grad needs a real floating result, {name} returned dtype {aval.dtype}: {more}")


def grad(fun, argnums=0, has_aux=False, holomorphic=False, allow_int=False, reduce_axes=()):
    """A function that returns the gradient of a scalar function with respect to `argnums`.

    Arguments as for `value_and_grad`; with `has_aux`, the result is `(gradient, auxiliary data)`.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.grad(jnp.tanh)(0.0)
    Array(1., dtype=float32, weak_type=True)
    """
    with_value = value_and_grad(fun, argnums, has_aux, holomorphic, allow_int, reduce_axes)

    @api_boundary
    @functools.wraps(fun, updated=())
    def grad_of(*args, **kwargs):
        value, grads = with_value(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return grad_of


def fwd_and_bwd(fun, argnums, has_aux=False, jitted=True):
    """Two functions: forward, giving the result and its pullback, and backward, applying a pullback to cotangents.

    The pullback is with respect to the arguments `argnums`, and a pytree of residuals; `backward` returns one cotangent
    for an integer, else a tuple. Both are compiled unless `jitted` is False. With `has_aux`, `fun` returns a pair and
    the auxiliary data come third.

    Raises TypeError where `fun` is no function, ValueError for arguments that do not exist.

    >>> import cyxla, cyxla.numpy as jnp
    >>> forward, backward = cyxla.fwd_and_bwd(lambda x, y: jnp.sin(x) * y, argnums=0)
    >>> value, pullback = forward(0.0, 3.0)
    >>> backward(pullback, 1.0)
    Array(3., dtype=float32, weak_type=True)
    """
    from cyxla._transform.jit import jit

    _check_callable(fun, "fwd_and_bwd")
    numbers = (index(argnums),) if hasattr(argnums, "__index__") else tuple(map(index, argnums))

    def forward(*args, **kwargs):
        for number in numbers:
            if not -len(args) <= number < len(args):
                raise ValueError(
                    f"fwd_and_bwd is to differentiate argument {number} of {function_name(fun)} (argnums={argnums}), "
                    f"but the call has {len(args)} positional arguments"
                )
        places = [n % len(args) for n in numbers]

        def call(*chosen):
            full = list(args)
            for n, value in zip(places, chosen):
                full[n] = value
            return fun(*full, **kwargs)

        return vjp(call, *[args[n] for n in places], has_aux=has_aux)

    def backward(pullback, cotangents):
        grads = pullback(cotangents)
        return grads[0] if hasattr(argnums, "__index__") else grads

    return (jit(forward), jit(backward)) if jitted else (forward, backward)


# -- jacobians


def jacfwd(fun, argnums=0, has_aux=False, holomorphic=False):
    """A function that returns the Jacobian of `fun`, column by column in forward mode (best for few inputs).

    The result has the structure of `fun`'s result, with the arguments' axes appended to each array.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.jacfwd(lambda x: x ** 2)(jnp.array([1.0, 2.0]))
    Array([[2., 0.],
           [0., 4.]], dtype=float32)
    """
    _check_callable(fun, "jacfwd")

    @api_boundary
    @functools.wraps(fun, updated=())
    def jacobian(*args, **kwargs):
        from cyxla._transform.vmap import vmap

        selected, call = _select(fun, argnums, args, kwargs)
        leaves, tree = tree_flatten(selected)
        for leaf in leaves:
            _check_input(leaf, holomorphic, False, "jacfwd", "an argument")
        arrays = [asarray(leaf) for leaf in leaves]
        flat = Flattened(call, tree, has_aux)
        aux = None

        def push(*tangents):
            nonlocal aux
            outs, out_tangents = jvp_flat(flat, arrays, [asarray(t) for t in tangents])
            results, aux_now = flat.split(outs)
            out_tangents = [
                instantiate_zeros(Zero(aval_to_tangent(r.aval))) if t is None else t
                for r, t in zip(results, out_tangents)
            ]
            return results, out_tangents, aux_now

        columns = vmap(push, out_axes=(None, -1, None))(*_basis(arrays))
        results, tangents, aux = columns
        jac = [_split_last(t, r.shape, arrays) for r, t in zip(results, tangents)]
        jac = tree_unflatten(flat.out_tree, [_restore(parts, tree, argnums) for parts in jac])
        return (jac, aux) if has_aux else jac

    return jacobian


def jacrev(fun, argnums=0, has_aux=False, holomorphic=False, allow_int=False):
    """A function that returns the Jacobian of `fun`, row by row in reverse mode (best for few outputs).

    The result has the structure of `fun`'s result, with the arguments' axes appended to each array.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.jacrev(lambda x: x ** 2)(jnp.array([1.0, 2.0]))
    Array([[2., 0.],
           [0., 4.]], dtype=float32)
    """
    _check_callable(fun, "jacrev")

    @api_boundary
    @functools.wraps(fun, updated=())
    def jacobian(*args, **kwargs):
        lax = operations.lax
        from cyxla._transform.vmap import vmap

        selected, call = _select(fun, argnums, args, kwargs)
        leaves, tree = tree_flatten(selected)
        for leaf in leaves:
            _check_input(leaf, holomorphic, allow_int, "jacrev", "an argument")
        arrays = [asarray(leaf) for leaf in leaves]
        flat = Flattened(call, tree, has_aux)
        flat_results, pull = _vjp_flat(flat, arrays)
        results, aux = flat.split(flat_results)
        for r in results:
            kind = _dtype_kind(r.dtype)
            if kind not in (("complex",) if holomorphic else ("float",)):
                raise TypeError(
                    f"jacrev needs {'complex' if holomorphic else 'real floating'} results, {function_name(fun)} "
                    f"returned dtype {r.dtype}; holomorphic=True is for holomorphic functions of complex arguments"
                )
        rows = vmap(lambda *cts: _inexact_only(pull(list(cts)), arrays))(*_basis(results))
        parts = [[] for _ in results]
        for row, x in zip(rows, arrays):
            start = 0
            for out_parts, r in zip(parts, results):
                if row is None:
                    out_parts.append(lax.full(r.shape + x.shape, 0, x.dtype))
                else:
                    piece = lax.slice_in_dim(row, start, start + r.size)
                    out_parts.append(lax.reshape(piece, r.shape + x.shape))
                start += r.size
        jac = tree_unflatten(flat.out_tree, [_restore(p, tree, argnums) for p in parts])
        return (jac, aux) if has_aux else jac

    return jacobian


jacobian = jacrev


def _inexact_only(cotangents, arrays):
    return [
        None if aval_to_tangent(x.aval).dtype == float0 else materialize(ct, x.aval)
        for ct, x in zip(cotangents, arrays)
    ]


def _select(fun, argnums, args, kwargs):
    """The arguments to differentiate, and `fun` as a function of them alone."""
    numbers = _argnums(argnums, args, "jacobian")

    def call(*chosen):
        full = list(args)
        for n, value in zip(numbers, chosen):
            full[n] = value
        return fun(*full, **kwargs)

    return tuple(args[n] for n in numbers), call


def _basis(arrays):
    """The standard basis of the space of a list of arrays: one array each, with the basis as leading axis."""
    lax = operations.lax

    total = sum(x.size for x in arrays)
    basis, start = [], 0
    for x in arrays:
        aval = aval_to_tangent(x.aval)
        if x.size == 0:
            basis.append(lax.full((total, *x.shape), 0, aval.dtype))
            continue
        rows = lax.broadcasted_iota("int32", (total, x.size), 0)
        columns = lax.broadcasted_iota("int32", (total, x.size), 1)
        one_hot = lax.eq(rows, lax.add(columns, literal(start, dtype_code("int32"))))
        vectors = lax.convert_element_type_p.bind(one_hot, new_dtype=aval.dtype, weak_type=x.weak_type, sharding=None)
        basis.append(lax.reshape(vectors, (total, *x.shape)))
        start += x.size
    return basis


def _split_last(array, shape, arrays):
    """Splits the last axis by the sizes of `arrays` and gives each part their shapes."""
    lax = operations.lax

    parts, start = [], 0
    for x in arrays:
        piece = lax.slice_in_dim(array, start, start + x.size, axis=-1)
        parts.append(lax.reshape(piece, shape + x.shape))
        start += x.size
    return parts


def _restore(parts, tree, argnums):
    jac = tree_unflatten(tree, parts)
    return jac[0] if isinstance(argnums, int) else jac


def hessian(fun, argnums=0, has_aux=False, holomorphic=False):
    """A function that returns the Hessian of `fun`: `jacfwd` of `jacrev`.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.hessian(lambda x: jnp.sum(x ** 3))(jnp.array([1.0, 2.0]))
    Array([[ 6.,  0.],
           [ 0., 12.]], dtype=float32)
    """
    return jacfwd(
        jacrev(fun, argnums, has_aux=has_aux, holomorphic=holomorphic),
        argnums,
        has_aux=has_aux,
        holomorphic=holomorphic,
    )


LEAF = tree_structure(0)

__all__ = [
    "Array",
    "fwd_and_bwd",
    "grad",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linear_transpose",
    "linearize",
    "value_and_grad",
    "vjp",
]
