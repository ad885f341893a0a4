"""What the transformations do about references (mutable arrays): who may pass and return them, and jitted calls."""

from cyxla._engine.array import MutableArray
from cyxla._engine.aval import AbstractRef
from cyxla._engine.core import Tracer
from cyxla._engine.dispatch import call_with_references

_program = None  # (closed jaxpr) -> its program of values, by the layer that knows the operations
_batched = None  # (primitive, axis, args, dims, params) -> results and their dims, likewise
_linearized = None  # (primitive, primals, tangents, params) -> results and their tangents, likewise
_read = None  # (closed jaxpr, operands, which of them) -> both with values for references that are only read, likewise
_have_rules = None  # (closed jaxpr, operands) -> whether custom rules of the program take references, likewise


def install(program, batched, linearized, read, have_rules):
    """What turns operations on references into such on values."""
    global _program, _batched, _linearized, _read, _have_rules
    _program, _batched, _linearized, _read, _have_rules = program, batched, linearized, read, have_rules


def is_reference(x):
    """Whether an operand is a reference, or a tracer of one."""
    return isinstance(x, MutableArray) or (isinstance(x, Tracer) and type(x.aval) is AbstractRef)


def check_no_reference(leaf, name, path):
    """Raises for a result that is a reference."""
    if is_reference(leaf):
        raise ValueError(
            f"{name} returned a reference of type {leaf.aval.str_short()}{path()}; a program cannot return references: "
            "return what it holds, ref[...] or freeze(ref)"
        )


def check_distinct(operands, closed_over, name, api, path):
    """Raises where one reference is passed to a function twice, or passed and also closed over.

    `path(i)` says which argument operand i is.
    """
    seen = {}
    for i, x in enumerate(operands):
        if is_reference(x):
            if id(x) in seen:
                raise ValueError(
                    f"{name}, called by {api}, was given one reference of type {x.aval.str_short()} twice, as "
                    f"{path(seen[id(x)])} and {path(i)}: a write to one would change the other; pass it once"
                )
            seen[id(x)] = i
    for x in closed_over:
        if id(x) in seen:
            raise ValueError(
                f"{name}, called by {api}, was given a reference of type {x.aval.str_short()} as {path(seen[id(x)])} "
                "that it also closes over: pass it, or close over it"
            )


def batches_elsewhere(args, dims):
    """Whether a reference has its batch axis elsewhere than in front, where batched jaxprs have it."""
    return any(dim and is_reference(x) for x, dim in zip(args, dims))


def batch_by_values(primitive, axis, args, dims, params):
    """The batching rule, for any batch axes of references: of the operation on their contents."""
    return _batched(primitive, axis, args, dims, params)


def linearize_by_values(primitive, primals, tangents, params):
    """The derivative rule of the operation on the contents of references."""
    return _linearized(primitive, primals, tangents, params)


def read_first(closed, operands, which):
    """A program and its operands with contents in the place of those references that it only reads.

    `which` marks the operands that are looked at.
    """
    which = tuple(marked and is_reference(x) for marked, x in zip(which, operands))
    return _read(closed, operands, which) if any(which) else (closed, operands)


def have_rules(closed, operands):
    """Whether a program passes references among its operands to functions with derivative rules of their own.

    Raises where it writes to others of them: its values cannot be told from its references then.
    """
    return _have_rules(closed, operands)


class JitReferences:
    """The calls of one signature of a jitted function that takes references or closes over some."""

    __slots__ = ("executables", "program")

    def __init__(self):
        self.executables = {}
        self.program = None

    def check_distinct(self, jitted, entry, leaves, in_tree, static):
        """Raises where two operands are one reference."""
        from cyxla._transform.arguments import argument_path

        spec = jitted.spec
        check_distinct(
            leaves, entry.closed.consts, spec.name, "jit", lambda i: argument_path(spec.fun, in_tree, static, i)
        )

    def call(self, jitted, entry, leaves):
        """The flat results of an eager call."""
        spec = jitted.spec
        if self.program is None:
            self.program = _program(entry.closed)
        device = spec.device or next((x.device for x in (*self.program.references, *leaves) if x.committed), None)
        executable = self.executables.get(device)
        if executable is None:
            executable = self.executables[device] = self.lower(spec, entry, device=device).compile(
                device, compiler_options=spec.compiler_options, committed=device is not None
            )
        return self.run(executable, leaves)

    def lower(self, spec, entry, **options):
        """The lowered program, on the contents of references."""
        if self.program is None:
            self.program = _program(entry.closed)
        return self.program.program(spec.name, entry.donated or (), spec.keep_unused, entry.record, **options)

    def run(self, executable, leaves):
        """The flat results of the compiled program."""
        return call_with_references(executable, [*self.program.references, *leaves], self.program.written)


def of_entry(closed):
    """The `JitReferences` of a traced function, None where it neither takes nor closes over references."""
    jaxpr = closed.jaxpr
    if any(type(v.aval) is AbstractRef for v in (*jaxpr.constvars, *jaxpr.invars)):
        return JitReferences()
    return None
