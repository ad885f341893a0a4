"""`custom_root`: roots of functions, differentiated by the implicit function theorem, not through the solver."""

import numpy as np

from cyxla._engine.array import typeof
from cyxla._engine.autodiff import jvp_flat
from cyxla._engine.boundary import api_boundary
from cyxla._engine.core import Zero, eval_jaxpr
from cyxla._engine.dtypes import float0
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._transform.custom import SymbolicZero, custom_jvp
from cyxla.lax.control_flow.common import to_arrays, trace_body


def _tangent(value):
    """A tangent as `jvp_flat` takes it: None for zeros."""
    return None if type(value) in (SymbolicZero, Zero) or value.dtype == float0 else value


@api_boundary
def custom_root(f, initial_guess, solve, tangent_solve, has_aux=False):
    """The root x of `f(x) = 0` that `solve(f, initial_guess)` finds, with derivatives that do not pass through `solve`.

    `initial_guess` is a pytree of arrays; x and `f(x)` have its structure. With `has_aux`, `solve` returns
    `(x, auxiliary data)`, which has no derivative. `tangent_solve(g, y)` returns the solution of `g(x) = y` for the
    linear function g, the derivative of f at the root; for scalars that is `y / g(1.0)`.

    From `f(x, c) = 0` follows `dx = -(df/dx)^-1 (df/dc) dc`, where c stands for what f closes over: the implicit
    function theorem (Christianson, "Reverse accumulation and attractive fixed points", 1994).

    Raises TypeError where f, a solver or the tangent solver returns another structure than that of the guess,
    ValueError where `solve` returns no pair with `has_aux`, or g is called on other types than those of the root.

    >>> import cyxla
    >>> from cyxla import lax
    >>> def bisect(f, x):
    ...     return lax.fori_loop(0, 30, lambda _, x: x - f(x) / (2 * x), x)
    >>> def square_root(c):
    ...     return lax.custom_root(lambda x: x * x - c, 1.0, bisect, lambda g, y: y / g(1.0))
    >>> cyxla.grad(square_root)(4.0)
    Array(0.25, dtype=float32, weak_type=True)
    """
    for function, what in ((f, "f"), (solve, "solve"), (tangent_solve, "tangent_solve")):
        if not callable(function):
            raise TypeError(f"custom_root: {what} must be a function, got {function!r:.200}")
    guess, tree = tree_flatten(initial_guess)
    guess = to_arrays(guess, "custom_root")
    avals = [x.aval for x in guess]
    in_tree = tree_flatten((initial_guess,))[1]
    f_closed, f_consts, f_tree = trace_body(f, in_tree, avals, "custom_root")
    _check("f", f_tree, tree)
    solve_closed, solve_consts, out_tree = trace_body(lambda x: solve(f, x), in_tree, avals, "custom_root")
    children = out_tree.children()
    if has_aux and len(children) != 2:
        raise ValueError(f"custom_root: with has_aux=True, solve must return (root, auxiliary data), got {out_tree}")
    _check("solve", children[0] if has_aux else out_tree, tree)
    n = len(guess)

    @custom_jvp
    def _custom_root(f_consts, solve_consts, guess):
        return tuple(eval_jaxpr(solve_closed.jaxpr, solve_closed.consts, [*solve_consts, *guess]))

    def rule(primals, tangents):
        f_consts, _, _ = primals
        outs = _custom_root(*primals)
        root = list(outs[:n])

        def at_root(consts):
            return eval_jaxpr(f_closed.jaxpr, f_closed.consts, [*consts, *root])

        def linearized(direction):
            leaves, direction_tree = tree_flatten(direction)
            _check("the argument of the linear function", direction_tree, tree)
            leaves = to_arrays(leaves, "custom_root")
            for leaf, y in zip(leaves, root):
                if leaf.shape != y.shape or leaf.dtype != y.dtype:
                    raise ValueError(
                        "custom_root: the linear function takes directions of the types of the root; for "
                        f"{typeof(y).str_short()} it was given {leaf.aval.str_short()}"
                    )
            _, dots = jvp_flat(lambda x: eval_jaxpr(f_closed.jaxpr, f_closed.consts, [*f_consts, *x]), root, leaves)
            return tree_unflatten(tree, [zeros(y) if d is None else d for d, y in zip(dots, root)])

        _, changes = jvp_flat(at_root, list(f_consts), [_tangent(t) for t in tangents[0]])
        right = tree_unflatten(tree, [zeros(y) if c is None else -c for c, y in zip(changes, root)])
        solution = tangent_solve(linearized, right)
        leaves, solution_tree = tree_flatten(solution)
        _check("tangent_solve", solution_tree, tree)
        return outs, (*leaves, *[_no_tangent(x) for x in outs[n:]])

    _custom_root.defjvp(rule)
    outs = _custom_root(list(f_consts), list(solve_consts), guess)
    return tree_unflatten(out_tree, list(outs))


def zeros(x):
    return x * 0


def _no_tangent(x):
    aval = typeof(x)
    if aval.dtype.kind in "fcV":
        return zeros(x)
    return np.zeros(aval.shape, float0)


def _check(what, got, tree):
    if got != tree:
        raise TypeError(f"custom_root: {what} must have the structure of initial_guess, {tree}; it has {got}")
