"""Lowering rules written as Python functions of arrays, and functions that operations refer to."""

import re

from cyxla._engine.core import ClosedJaxpr, Eqn, Jaxpr, Var
from cyxla._engine.lowering import trace_table
from cyxla._transform.jit import jit_p


def lower_fun(function, multiple_results=False):
    """A lowering rule that traces `function(*operands, **params)` and writes its equations in place.

    The trace is cached by operand avals and params, so the function must be pure.
    """
    cache = trace_table()

    def rule(ctx, *names, **params):
        try:
            key = (ctx.avals_in, tuple(params.items()))
            hash(key)
        except TypeError:
            key = None

        def flat(args):
            out = function(*args, **params)
            return list(out) if multiple_results else [out]

        return ctx.inline_function(
            flat, names, ctx.avals_in, multiple_results=multiple_results, cache=None if key is None else cache, key=key
        )

    return rule


_CALLED = re.compile(r"func\.call @([\w.$]+)")


def private_function(ctx, closed, hint):
    """The name of a function of the module that computes a jaxpr, for operations that refer to one.

    It is written once per jaxpr. A call is written aside, for the name in it.
    """
    invars = [Var(aval) for aval in closed.in_avals]
    outvars = [Var(aval) for aval in closed.out_avals]
    call = Eqn(jit_p, invars, outvars, {"jaxpr": closed, "name": hint})
    text = ctx.body(ClosedJaxpr(Jaxpr([], invars, outvars, [call]), []), [f"%{i}" for i in range(len(invars))])
    return _CALLED.search(text).group(1)
