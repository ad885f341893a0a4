"""`ensure_compile_time_eval`: computing with known values while a function is traced."""

import contextlib

from cyxla._engine.core import CompileTimeTrace, get_trace, using_trace


@contextlib.contextmanager
def ensure_compile_time_eval():
    """Under it, operations on known arrays are evaluated at once, also while a function is being traced.

    Within `jit` every operation becomes part of the program, even one on constants, and its result has no value yet.
    In this context such results are concrete arrays, so that Python can branch on them; operations that involve traced
    values are traced as ever.

    >>> import cyxla, cyxla.numpy as jnp
    >>> @cyxla.jit
    ... def f(x):
    ...     with cyxla.ensure_compile_time_eval():
    ...         n = jnp.sum(jnp.arange(3))
    ...         if n > 2:
    ...             return x * int(n)
    ...     return x
    >>> f(2.0)
    Array(6., dtype=float32, weak_type=True)
    """
    trace = get_trace()
    if trace is None:
        yield
        return
    with using_trace(CompileTimeTrace(trace)):
        yield
