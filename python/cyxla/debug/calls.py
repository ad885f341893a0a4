"""`debug.callback`, and the primitives behind it and `debug.print`."""

import functools
from typing import Any, NamedTuple

from cyxla._engine.array import asarray, is_arraylike
from cyxla._engine.boundary import api_boundary
from cyxla._engine.core import Primitive
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._runtime.callbacks import wait_for_ordered
from cyxla._transform.callbacks import each_member, in_program
from cyxla._transform.effects import DebugEffect, OrderedDebugEffect, only

_EFFECTS = {False: only(DebugEffect), True: only(OrderedDebugEffect)}


class Static(NamedTuple):
    """The arguments of a call that are no arrays, by their positions among the leaves."""

    leaves: tuple
    tree: Any

    def __repr__(self):
        return f"Static({dict(self.leaves)})" if self.leaves else "Static()"

    def merge(self, arrays):
        """The call's own `(args, kwargs)`."""
        leaves, arrays = dict(self.leaves), iter(arrays)
        return tree_unflatten(
            self.tree, [leaves[i] if i in leaves else next(arrays) for i in range(self.tree.num_leaves)]
        )


def split(args, kwargs, is_dynamic=is_arraylike):
    """The arrays among the leaves of a call's arguments, and the others."""
    leaves, tree = tree_flatten((args, kwargs))
    static = tuple((i, leaf) for i, leaf in enumerate(leaves) if not is_dynamic(leaf))
    return [asarray(leaf) for leaf in leaves if is_dynamic(leaf)], Static(static, tree)


def make_primitive(name, api, make):
    """A primitive that calls a function of its operands; `make(**params)` gives the function."""

    def call(operands, params, ordered):
        make(**params)(*operands)
        return []

    def impl(*operands, ordered, **params):
        if ordered:
            wait_for_ordered()
        return call(operands, params, ordered)

    def batch(axis, args, dims, **params):
        for member in each_member(axis, args, dims):
            primitive.bind(*member, **params)
        return [], []

    def lower(ctx, *names, ordered, **params):
        function = make(**params)

        def quiet(*operands):
            function(*operands)
            return []

        return in_program(ctx, api, quiet, names, ordered=ordered)

    primitive = Primitive(
        name,
        abstract=lambda *avals, **params: [],
        impl=impl,
        differentiable=False,
        batch=batch,
        batch_needs_axis=True,
        lower=lower,
        multiple_results=True,
        effects=lambda *, ordered, **params: _EFFECTS[ordered],
    )
    return primitive


def _callback(*, callback, static, partitioned):
    def call(*operands):
        args, kwargs = static.merge(operands)
        callback(*args, **kwargs)

    return call


debug_callback_p = make_primitive("debug_callback", "debug.callback", _callback)


@api_boundary
def callback(callback=None, *args, ordered=False, partitioned=False, **kwargs):
    """Calls a Python function with the values of arrays when a compiled program comes to it.

    Arguments that are no arrays are handed over as they are; the result is ignored. Transformations leave the call
    alone: `grad` calls it once, in the forward pass, and `vmap` once for each element. With `ordered` calls happen in
    the order of the program, and of the programs of one thread. With `partitioned` a program on several devices calls
    it on each of them with the part that is there. Without a callback, a function that takes it and the arguments is
    returned.

    What the callback raises is raised here outside of programs; from within one it arrives as a JaxRuntimeError when
    results are waited for.

    >>> import cyxla
    >>> seen = []
    >>> f = cyxla.jit(lambda x: cyxla.debug.callback(lambda v: seen.append(int(v)), x))
    >>> f(3), cyxla.effects_barrier()
    (None, None)
    >>> seen
    [3]
    """
    if callback is None:
        return functools.partial(_call, ordered=ordered, partitioned=partitioned)
    _call(callback, *args, ordered=ordered, partitioned=partitioned, **kwargs)


def _call(callback, *args, ordered, partitioned, **kwargs):
    if not callable(callback):
        raise TypeError(
            f"debug.callback takes a function first, got {callback!r:.200} of type {type(callback).__name__}"
        )
    arrays, static = split(args, kwargs)
    debug_callback_p.bind(
        *arrays, callback=callback, static=static, ordered=bool(ordered), partitioned=bool(partitioned)
    )
