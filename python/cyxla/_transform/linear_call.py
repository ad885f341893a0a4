"""Linear functions whose transpose the user gives."""

from cyxla._engine.array import asarray
from cyxla._engine.autodiff import instantiate_zeros
from cyxla._engine.boundary import api_boundary
from cyxla._engine.core import ClosedJaxpr, Jaxpr, Primitive, Var, Zero, eval_jaxpr, is_undefined_primal
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._transform.arguments import function_name
from cyxla._transform.jaxprs import batch_arguments, batch_jaxpr, move_batch_axis
from cyxla._transform.tracing import trace_lifted


def _staged(fun, trees, avals, wanted, wanted_tree, what):
    """A function of (residuals, linear) as a jaxpr without constants of its own, and those constants."""
    closed, consts, out_tree = trace_lifted(fun, trees, avals, what)
    if wanted is not None:
        if out_tree != wanted_tree:
            raise TypeError(
                f"linear_call: {what} must return cotangents structured like the linear arguments, {wanted_tree}; it "
                f"returned {out_tree}"
            )
        for got, aval in zip(closed.out_avals, wanted):
            if (got.shape, got.dtype) != (aval.shape, aval.dtype):
                raise (TypeError if got.shape == aval.shape else ValueError)(
                    f"linear_call: {what} returned a cotangent {got.str_short()} for a linear argument "
                    f"{aval.str_short()}"
                )
    return closed, consts, out_tree


class _Transpose:
    """The transposed program, (constants, residuals, cotangents) -> cotangents, traced when first asked for."""

    def __init__(self, trace):
        self._trace = trace
        self._traced = None

    def __call__(self):
        if self._traced is None:
            self._traced = self._trace()
        return self._traced


def _jvp(primals, tangents, *, num_res, **params):
    if not all(type(t) is Zero for t in tangents[:num_res]):
        raise NotImplementedError(
            "linear_call has derivatives with respect to its linear arguments only, not to its residuals"
        )
    outs = linear_call_p.bind(*primals, num_res=num_res, **params)
    active = [instantiate_zeros(t) for t in tangents[num_res:]]
    return outs, linear_call_p.bind(*primals[:num_res], *active, num_res=num_res, **params)


def _transpose(cotangents, *args, callee, transpose, num_res):
    residuals, linear = args[:num_res], args[num_res:]
    transposed, consts = transpose()
    cts = [instantiate_zeros(ct) for ct in cotangents]
    outs = linear_call_p.bind(
        *consts,
        *residuals,
        *cts,
        callee=transposed,
        transpose=_Transpose(lambda: (_skip(callee, 0, [c.aval for c in consts]), [])),
        num_res=len(consts) + num_res,
    )
    return [None] * num_res + [ct if is_undefined_primal(x) else None for ct, x in zip(outs, linear)]


def _skip(closed, position, avals):
    """The program with more arguments at a position, which it does not use."""
    if not avals:
        return closed
    jaxpr = closed.jaxpr
    invars = [*jaxpr.invars[:position], *map(Var, avals), *jaxpr.invars[position:]]
    return ClosedJaxpr(Jaxpr([], invars, jaxpr.outvars, jaxpr.eqns), [])


def _batch(axis, args, dims, *, callee, transpose, num_res):
    args, batched = batch_arguments(args, dims)
    # Linear arguments are all batched, so that each has cotangents of its own: those of a repeated one add up.
    linear = [
        a if b else move_batch_axis(asarray(a), None, axis.size) for a, b in zip(args[num_res:], batched[num_res:])
    ]
    flags = [*batched[:num_res], *[True] * len(linear)]
    closed, _ = batch_jaxpr(callee, axis, flags, True)

    def transposed():
        program, consts = transpose()
        n_cts = len(program.in_avals) - len(consts) - num_res
        mine = [*[False] * len(consts), *batched[:num_res], *[True] * n_cts]
        return batch_jaxpr(program, axis, mine, True)[0], consts

    outs = linear_call_p.bind(
        *args[:num_res], *linear, callee=closed, transpose=_Transpose(transposed), num_res=num_res
    )
    return outs, [0] * len(outs)


linear_call_p = Primitive(
    "linear_call",
    abstract=lambda *avals, callee, **params: callee.out_avals,
    impl=lambda *args, callee, **params: eval_jaxpr(callee.jaxpr, callee.consts, args),
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    batch_needs_axis=True,
    lower=lambda ctx, *names, callee, **params: ctx.inline(callee, names),
    multiple_results=True,
    effects=lambda *, callee, **params: callee.effects,
)


@api_boundary
def linear_call(fun, fun_transpose, residual_args, linear_args):
    """`fun(residual_args, linear_args)`, a function linear in its second argument, with a transpose of the user's.

    Reverse mode calls `fun_transpose(residual_args, cotangents)`, with cotangents structured like the result, which
    returns cotangents structured like `linear_args`; the transpose of that is `fun` again.

    Raises TypeError where the cotangents have other dtypes or another structure than the linear arguments, ValueError
    where they have other shapes, NotImplementedError where a residual is differentiated.

    >>> import cyxla
    >>> from cyxla.custom_derivatives import linear_call
    >>> divide = lambda x: linear_call(lambda r, x: x / r, lambda r, ct: ct / r, 2.0, x)
    >>> cyxla.grad(divide)(3.0)
    Array(0.5, dtype=float32, weak_type=True)
    """
    residuals = tree_flatten(residual_args)[0]
    linear, linear_tree = tree_flatten(linear_args)
    residuals, linear = [asarray(x) for x in residuals], [asarray(x) for x in linear]
    in_tree = tree_flatten((residual_args, linear_args))[1]
    callee, consts, out_tree = _staged(
        fun, in_tree, [x.aval for x in residuals + linear], None, None, function_name(fun)
    )
    n = len(consts)

    def transposed():
        like_outs = tree_unflatten(out_tree, callee.out_avals)
        tree = tree_flatten((residual_args, like_outs))[1]
        avals = [x.aval for x in residuals] + callee.out_avals
        wanted = [x.aval for x in linear]
        closed, own, _ = _staged(fun_transpose, tree, avals, wanted, linear_tree, function_name(fun_transpose))
        return _skip(closed, len(own), [c.aval for c in consts]), own

    outs = linear_call_p.bind(
        *consts, *residuals, *linear, callee=callee, transpose=_Transpose(transposed), num_res=n + len(residuals)
    )
    return tree_unflatten(out_tree, outs)
