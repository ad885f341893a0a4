"""`debug.callback`, and the primitives behind it and `debug.print`."""

import functools
from typing import Any, NamedTuple

from cyxla._engine.array import asarray, is_arraylike
from cyxla._engine.boundary import api_boundary
from cyxla._engine.core import Primitive
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._runtime.callbacks import wait_for_ordered
from cyxla._transform.arguments import function_name
from cyxla._transform.callbacks import each_member, in_program
from cyxla._transform.effects import DebugEffect, OrderedDebugEffect

DEBUG, ORDERED_DEBUG = DebugEffect(), OrderedDebugEffect()
_SETS = {effect: frozenset({effect}) for effect in (DEBUG, ORDERED_DEBUG)}


def split(args, kwargs):
    """The arrays among the leaves of a call's arguments, the others with their positions, and the structure."""
    leaves, tree = tree_flatten((args, kwargs))
    static = tuple((i, leaf) for i, leaf in enumerate(leaves) if not is_arraylike(leaf))
    return [asarray(leaf) for leaf in leaves if is_arraylike(leaf)], static, tree


def merge(arrays, static, tree):
    """The call's own `(args, kwargs)`."""
    static, arrays = dict(static), iter(arrays)
    return tree_unflatten(tree, [static[i] if i in static else next(arrays) for i in range(tree.num_leaves)])


class Call(NamedTuple):
    """A callback as a function of the arrays among its arguments."""

    callback_func: Any
    static_args: tuple
    in_tree: Any

    def __call__(self, *arrays):
        args, kwargs = merge(arrays, self.static_args, self.in_tree)
        self.callback_func(*args, **kwargs)

    def __repr__(self):
        return f"Call({function_name(self.callback_func)})"


def make_primitive(name, api, make, effect):
    """A primitive that calls a function of its operands: `make(**params)`, which has the effect `effect(**params)`."""

    def impl(*operands, **params):
        if effect(**params).ordered:
            wait_for_ordered()
        make(**params)(*operands)
        return []

    def batch(axis, args, dims, **params):
        for member in each_member(axis, args, dims):
            primitive.bind(*member, **params)
        return [], []

    def lower(ctx, *names, **params):
        function = make(**params)

        def call(*operands):
            function(*operands)
            return []

        return in_program(ctx, api, call, names, ordered=effect(**params).ordered)

    primitive = Primitive(
        name,
        abstract=lambda *avals, **params: [],
        impl=impl,
        differentiable=False,
        batch=batch,
        batch_needs_axis=True,
        lower=lower,
        multiple_results=True,
        effects=lambda **params: _SETS[effect(**params)],
    )
    return primitive


debug_callback_p = make_primitive(
    "debug_callback",
    "debug.callback",
    lambda *, callback, effect, partitioned: callback,
    lambda *, callback, effect, partitioned: effect,
)


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
    arrays, static, tree = split(args, kwargs)
    bind(arrays, Call(callback, static, tree), ordered, partitioned)


def bind(arrays, call, ordered, partitioned=False):
    effect = ORDERED_DEBUG if ordered else DEBUG
    debug_callback_p.bind(*arrays, callback=call, effect=effect, partitioned=bool(partitioned))
