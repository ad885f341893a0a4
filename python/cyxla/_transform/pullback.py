"""What `vjp` and `linearize` return: linear programs together with their residuals, which are pytrees of these.

So they pass through `jit` and other transformations: the residuals are arrays like any others.
"""

import numpy as np

from cyxla._engine.array import asarray, typeof
from cyxla._engine.autodiff import instantiate_zeros
from cyxla._engine.aval import AbstractRef, shaped_array
from cyxla._engine.boundary import api_boundary
from cyxla._engine.core import Zero, aval_to_tangent
from cyxla._engine.dtypes import dtype_code, float0
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._transform import operations
from cyxla._transform.references import is_reference
from cyxla.tree_util import Partial, register_pytree_node


class NotNeeded:
    """Stands among the residuals for an argument that the pullback does not use."""

    __slots__ = ()

    def __repr__(self):
        return "NotNeeded()"


class DontWant:
    """Given to `with_refs` for an argument whose gradient nobody wants."""

    def __repr__(self):
        return "DontWant()"


class DidntWant:
    """What a pullback returns for such an argument."""

    def __repr__(self):
        return "DidntWant()"


class GradValue:
    """Given to `with_refs` for an argument whose gradient is to be returned."""

    def __repr__(self):
        return "GradValue()"


class GradRef:
    """What a pullback returns for an argument whose gradient it added to a reference."""

    def __repr__(self):
        return "GradRef()"


class _Plan:
    """All of a pullback but its residuals: metadata of the pytree, equal only to itself."""

    __slots__ = ("active", "in_avals", "in_tree", "name", "out_avals", "out_tree", "places", "program")

    def __init__(self, program, places, active, in_tree, out_tree, in_avals, out_avals, name):
        self.program = program
        self.places = places  # of each residual: which argument it is, or None for one of its own
        self.active = active
        self.in_tree = in_tree
        self.out_tree = out_tree
        self.in_avals = in_avals
        self.out_avals = out_avals
        self.name = name


class VJP:
    """The function from cotangents of results to those of arguments that `vjp` returns.

    A pytree, whose leaves are the residuals. `args_res` has, for each array among the arguments, the array itself where
    the pullback uses it, or `NotNeeded()`; `opaque_residuals` has what else it uses. Either may be replaced.
    """

    __slots__ = ("_plan", "args_res", "opaque_residuals")

    def __init__(self, plan, args_res, opaque_residuals):
        self._plan = plan
        self.args_res = args_res
        self.opaque_residuals = opaque_residuals

    @classmethod
    def of(cls, program, active, in_tree, out_tree, args, out_avals, name):
        """The pullback of a linear program at flat arguments; `active` says which of these it has tangents of."""
        program.prune(len(out_avals))
        positions = {id(x): i for i, x in enumerate(args)}
        places = [positions.get(id(c)) for c in program.consts]
        args_res = [NotNeeded()] * len(args)
        for place, const in zip(places, program.consts):
            if place is not None:
                args_res[place] = const
        opaque = [c for place, c in zip(places, program.consts) if place is None]
        in_avals = [x.aval for x in args]
        plan = _Plan(program.with_consts([]), places, active, in_tree, out_tree, in_avals, out_avals, name)
        return cls(plan, args_res, opaque)

    @property
    def __name__(self):
        return f"vjp_of_{self._plan.name}"

    @property
    def in_tree(self):
        return self._plan.in_tree

    @property
    def out_tree(self):
        return self._plan.out_tree

    @property
    def jaxpr(self):
        """The linear program, from tangents of the arguments to those of the results; constvars are the residuals."""
        return self._plan.program.jaxpr()

    def __repr__(self):
        return f"VJP({self._plan.name}, args_res={self.args_res}, opaque_residuals={self.opaque_residuals})"

    @api_boundary
    def __call__(self, cotangents):
        plan = self._plan
        found = self._gradients(cotangents)
        return tree_unflatten(plan.in_tree, [materialize(ct, aval) for ct, aval in zip(found, plan.in_avals)])

    def with_refs(self, *refs):
        """The same function, which adds gradients to references instead of returning them.

        For each array of the differentiated arguments there is a reference of its shape and dtype, `ad.DontWant()`, or
        anything else where the gradient is to be returned. Raises TypeError where the structures differ.

        >>> import cyxla
        >>> y, pullback = cyxla.vjp(lambda x: x * 3.0, 2.0)
        >>> total = cyxla.new_ref(0.5)
        >>> pullback.with_refs(total)(1.0)
        (GradRef(),)
        >>> total
        Ref(3.5, dtype=float32, weak_type=True)
        """
        plan = self._plan
        leaves, tree = tree_flatten(refs)
        if tree != plan.in_tree:
            raise TypeError(
                f"with_refs takes one reference for each differentiated array, in the structure {plan.in_tree} of "
                f"the arguments; got {tree}. cyxla.ad.GradValue() stands for a gradient to return"
            )

        def accumulate(cotangents):
            found = self._gradients(cotangents)
            return tree_unflatten(plan.in_tree, [_deliver(*each) for each in zip(leaves, found, plan.in_avals)])

        return Partial(accumulate)

    def _gradients(self, cotangents):
        """The flat gradients, None where zero."""
        plan = self._plan
        leaves, tree = tree_flatten(cotangents)
        if tree != plan.out_tree:
            raise ValueError(
                f"the pullback of {plan.name} takes cotangents structured like its result, {plan.out_tree}; got {tree}"
            )
        flat = [self._cotangent(leaf, aval) for leaf, aval in zip(leaves, plan.out_avals)]
        found = iter(plan.program.with_consts(self._residuals()).transpose(flat))
        return [next(found) if active else None for active in plan.active]

    def _cotangent(self, leaf, aval):
        if type(leaf) is Zero:
            return None
        wanted = aval_to_tangent(aval)
        is_zero = getattr(leaf, "dtype", None) == float0
        got = leaf if is_zero else typeof(leaf)
        # Whatever multiplies the zero derivative of a result of integers is accepted.
        if got.shape != wanted.shape or not (is_zero or got.dtype == wanted.dtype or wanted.dtype == float0):
            got = shaped_array(got.shape, dtype_code(float0), False) if is_zero else got
            raise ValueError(
                f"the pullback of {self._plan.name} got a cotangent of type {got.str_short()} where its result is "
                f"{aval.str_short()}: the cotangent must be {wanted.str_short()}"
            )
        return None if is_zero or wanted.dtype == float0 else asarray(leaf)

    def _residuals(self):
        opaque = iter(self.opaque_residuals)
        residuals = []
        for place in self._plan.places:
            value = next(opaque) if place is None else self.args_res[place]
            if type(value) is NotNeeded:
                raise ValueError(
                    f"the pullback of {self._plan.name} needs argument {place}, which was removed from args_res: put "
                    "it back before the call"
                )
            residuals.append(asarray(value))
        return residuals


register_pytree_node(
    VJP,
    lambda vjp: ((vjp.args_res, vjp.opaque_residuals), vjp._plan),
    lambda plan, children: VJP(plan, *children),
)

# Without leaves, so that transformed functions can return them.
for _mark in (NotNeeded, GradRef, DidntWant):
    register_pytree_node(_mark, lambda _: ((), None), lambda _, children, mark=_mark: mark())


def _deliver(place, gradient, aval):
    """Puts a gradient where the user wants it; what is returned instead."""
    if is_reference(place):
        if gradient is not None:
            operations.lax.refs.reference.add(place, None, gradient, "with_refs")
        return GradRef()
    return DidntWant() if isinstance(place, DontWant) else materialize(gradient, aval)


def materialize(ct, aval):
    """A cotangent as the user sees it: zeros where there is none, of dtype float0 for integers."""
    if type(aval) is AbstractRef:
        aval = aval.inner_aval
    if ct is not None:
        return ct
    tangent = aval_to_tangent(aval)
    if tangent.dtype == float0:
        return np.zeros(aval.shape, float0)
    return instantiate_zeros(Zero(tangent))


__all__ = ["VJP", "DidntWant", "DontWant", "GradRef", "GradValue", "NotNeeded", "materialize"]
