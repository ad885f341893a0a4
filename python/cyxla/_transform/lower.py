"""Lowering rules written as Python functions of arrays."""

from cyxla._engine.lowering import trace_table


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
