"""Solutions of ordinary differential equations, differentiable with respect to the start, the times and parameters.

`odeint` takes Dormand-Prince steps of order 5 with an error estimate of order 4 and as long as the tolerances allow,
and interpolates between them to the times asked for. Reverse mode solves the adjoint equation backwards in time.
"""

import functools
import operator

import numpy as np

import cyxla.numpy as jnp
from cyxla import lax
from cyxla._engine.array import is_arraylike
from cyxla._transform.closure import closure_convert
from cyxla._transform.custom import custom_vjp
from cyxla._transform.grad import vjp
from cyxla._transform.jit import jit
from cyxla._transform.vmap import vmap
from cyxla.flatten_util import ravel_pytree
from cyxla.tree_util import tree_leaves, tree_map

# Dormand and Prince, "A family of embedded Runge-Kutta formulae", J. Comp. Appl. Math. 6 (1980).
_NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES = (
    np.array([1 / 5]),
    np.array([3 / 40, 9 / 40]),
    np.array([44 / 45, -56 / 15, 32 / 9]),
    np.array([19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729]),
    np.array([9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656]),
    np.array([35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84]),
)
_SOLUTION = np.array([35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0])
# Two thirds of the way to their formula of order 4 there is another one, with 1/60 as the last weight; it is the one
# that jax takes, so that both choose the same steps.
_FOURTH = np.array([5179 / 57600, 0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40])
_ERROR = 2 / 3 * (_SOLUTION - _FOURTH)
# The solution in the middle of a step; Shampine, "Some practical Runge-Kutta formulas", Math. Comp. 46 (1986).
_MIDDLE = (
    np.array(
        [
            6025192743 / 30085553152,
            0,
            51252292925 / 65400821598,
            -2691868925 / 45128329728,
            187940372067 / 1594534317056,
            -1776094331 / 19743644256,
            11237099 / 235043384,
        ]
    )
    / 2
)


def _combine(weights, slopes):
    """The weighted sum of slopes, a list."""
    return functools.reduce(operator.add, [k * float(w) for w, k in zip(weights, slopes) if w])


def _step(func, y, slope, t, h):
    """One step: the solution at its end, the slope there, the error estimate and all slopes."""
    slopes = [slope]
    for node, weights in zip(_NODES, _STAGES):
        slopes.append(func(y + h * _combine(weights, slopes), t + h * node))
    return y + h * _combine(_SOLUTION, slopes), slopes[-1], h * _combine(_ERROR, slopes), slopes


def _quartic(y0, y1, middle, slope0, slope1, h):
    """Coefficients, the highest first, of the quartic on [0, 1] with these values and slopes at its ends and middle."""
    d0, d1 = h * slope0, h * slope1
    a = -2 * d0 + 2 * d1 - 8 * y0 - 8 * y1 + 16 * middle
    b = 5 * d0 - 3 * d1 + 18 * y0 + 14 * y1 - 32 * middle
    c = -4 * d0 + d1 - 11 * y0 - 5 * y1 + 16 * middle
    return jnp.stack([a, b, c, d0, y0])


def _squared(x):
    return x.real**2 + x.imag**2 if jnp.iscomplexobj(x) else x**2


def _norm(x):
    return jnp.sqrt(jnp.mean(_squared(x)))


def _length(x):
    return jnp.sqrt(jnp.sum(_squared(x)))


def _first_step(func, t, y, rtol, atol, slope):
    """Hairer, Norsett and Wanner, "Solving Ordinary Differential Equations I", II.4."""
    scale = atol + jnp.abs(y) * rtol
    d0, d1 = _length(y / scale), _length(slope / scale)
    h0 = jnp.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / d1)
    d2 = _length((func(y + h0 * slope, t + h0) - slope) / scale) / h0
    largest = jnp.maximum(d1, d2)
    h1 = jnp.where(largest <= 1e-15, jnp.maximum(1e-6, h0 * 1e-3), (0.01 / largest) ** (1 / 5))
    return jnp.minimum(100 * h0, h1)


def _next_step(h, ratio, safety=0.9, smallest=0.2, largest=10.0):
    """The step that the error asks for: no shorter after a step that was accepted, never much longer."""
    factor = jnp.maximum(jnp.where(ratio < 1, 1.0, smallest), ratio ** (-1 / 5) * safety)
    return jnp.where(ratio == 0, h * largest, h * jnp.minimum(factor, largest))


@functools.partial(custom_vjp, nondiff_argnums=(0, 1, 2, 3, 4))
def _solve(converted, rtol, atol, mxstep, hmax, y0, ts, *args):
    def func(y, t):
        return converted(y, t, *args)

    slope = func(y0, ts[0])
    h = jnp.clip(_first_step(func, ts[0], y0, rtol, atol, slope), 0.0, hmax).astype(ts.dtype)

    def reach(carry, target):
        def is_before(state):
            count, (_, _, t, h, _, _) = state
            return (t < target) & (count < mxstep) & (h > 0)

        def advance(state):
            count, (y, slope, t, h, start, polynomial) = state
            y1, slope1, error, slopes = _step(func, y, slope, t, h)
            scale = atol + rtol * jnp.maximum(jnp.abs(y), jnp.abs(y1))
            ratio = _norm(error / scale)
            middle = y + h * _combine(_MIDDLE, slopes)
            accepted = (y1, slope1, t + h, t, _quartic(y, y1, middle, slope, slope1, h))
            rejected = (y, slope, t, start, polynomial)
            h = jnp.clip(_next_step(h, ratio), 0.0, hmax)
            # The times may be more precise than the solution.
            y, slope, t, start, polynomial = [
                jnp.where(ratio <= 1, a.astype(b.dtype), b) for a, b in zip(accepted, rejected)
            ]
            return count + 1, (y, slope, t, h.astype(t.dtype), start, polynomial)

        _, carry = lax.while_loop(is_before, advance, (0, carry))
        _, _, t, _, start, polynomial = carry
        return carry, jnp.polyval(polynomial, (target - start) / (t - start))

    carry = (y0, slope, ts[0], h, ts[0], jnp.stack([y0] * 5))
    _, ys = lax.scan(reach, carry, ts[1:])
    return jnp.concatenate([y0[None], ys])


def _solve_forward(converted, rtol, atol, mxstep, hmax, y0, ts, *args):
    ys = _solve(converted, rtol, atol, mxstep, hmax, y0, ts, *args)
    return ys, (ys, ts, args)


def _solve_backward(converted, rtol, atol, mxstep, hmax, residuals, ct):
    ys, ts, args = residuals

    def adjoint(state, t, *args):
        # Time runs backwards: t is minus the time.
        y, y_bar = state[:2]
        slope, pullback = vjp(converted, y, -t, *args)
        y_bar, t_bar, *args_bar = pullback(y_bar)
        return -slope, y_bar, t_bar, tuple(args_bar)

    def interval(carry, i):
        y_bar, t0_bar, args_bar = carry
        t_bar = jnp.sum(converted(ys[i], ts[i], *args) * ct[i]).real
        state = (ys[i], y_bar, t0_bar - t_bar, args_bar)
        _, y_bar, t0_bar, args_bar = tree_map(
            lambda x: x[1],
            odeint(
                adjoint, state, jnp.stack([-ts[i], -ts[i - 1]]), *args, rtol=rtol, atol=atol, mxstep=mxstep, hmax=hmax
            ),
        )
        return (y_bar + ct[i - 1], t0_bar, args_bar), t_bar

    start = (ct[-1], jnp.zeros((), ts.dtype), tree_map(jnp.zeros_like, args))
    (y_bar, t0_bar, args_bar), t_bars = lax.scan(interval, start, jnp.arange(len(ts) - 1, 0, -1))
    return y_bar, jnp.concatenate([t0_bar[None], t_bars[::-1]]), *args_bar


_solve.defvjp(_solve_forward, _solve_backward)


def odeint(func, y0, t, *args, rtol=1.4e-8, atol=1.4e-8, mxstep=np.inf, hmax=np.inf):
    """The solution of dy/dt = func(y, t, *args) with y = y0 at t[0], at the times t.

    `y0` is a pytree of arrays and `func` returns one of the same structure; `t` is a vector of ascending times; `args`
    are pytrees of arrays. A step's error stays below `atol + rtol * |y|`; no step is longer than `hmax`; at most
    `mxstep` steps are taken from one time to the next. The result has the structure of `y0` with the times as leading
    axis. Derivatives in reverse mode exist with respect to y0, t, args and what `func` closes over.

    Raises TypeError for arguments that are not arrays.

    >>> import cyxla.numpy as jnp
    >>> from cyxla.experimental.ode import odeint
    >>> ys = odeint(lambda y, t, k: -k * y, 1.0, jnp.array([0.0, 1.0, 2.0]), 1.0, rtol=1e-6, atol=1e-6)
    >>> [f"{y:.4f}" for y in ys]
    ['1.0000', '0.3679', '0.1353']
    """
    for leaf in tree_leaves((y0, t, args)):
        if not is_arraylike(leaf):
            raise TypeError(f"odeint takes arrays and numbers, in containers; got {leaf!r:.200} of type {type(leaf)}")
    t = jnp.asarray(t)
    if not jnp.issubdtype(t.dtype, jnp.floating):
        raise TypeError(f"odeint: the times t must be floating-point numbers, got dtype {t.dtype}")
    if t.ndim != 1:
        raise ValueError(f"odeint: the times t must be a vector, got shape {t.shape}")
    flat, unravel = ravel_pytree(y0)
    if not jnp.issubdtype(flat.dtype, jnp.inexact):
        flat = flat.astype(jnp.result_type(float))

    def flat_func(y, t, *args):
        return ravel_pytree(func(unravel(y), t, *args))[0]

    converted, consts = closure_convert(flat_func, flat, t[0], *args)
    ys = _run(converted, rtol, atol, mxstep, hmax, flat, t, *args, *consts)
    return vmap(unravel)(ys)


_run = jit(_solve, static_argnums=(0, 1, 2, 3, 4))
