"""MLIR's Python bindings, as jaxlib brings them: contexts, and modules made into text and back.

Lowering in Cyxla writes text; this is for lowering rules of users, which build operations.
"""

import threading

from . import xla  # isort: skip  before anything else of jaxlib

from jaxlib.mlir import ir as ir
from jaxlib.mlir._mlir_libs import _jax_mlir_ext
from jaxlib.mlir.dialects import chlo as chlo
from jaxlib.mlir.dialects import func as func
from jaxlib.mlir.dialects import stablehlo as stablehlo

# A context takes milliseconds to make, and keeps every type and attribute that was ever made in it.
USES_OF_A_CONTEXT = 500
_shared = threading.local()


# Values and types of operations in nested tuples and lists.
ir_tree_registry = xla.jaxlib.pytree.PyTreeRegistry(enable_none=False, enable_dict=False)


def make_context():
    """A new MLIR context that knows the dialects of jaxlib."""
    context = ir.Context()
    context.enable_multithreading(False)
    registry = ir.DialectRegistry()
    _jax_mlir_ext.register_dialects(registry)
    context.append_dialect_registry(registry)
    context.load_all_available_dialects()
    stablehlo.register_dialect(context)
    chlo.register_dialect(context)
    return context


def shared_context():
    """A context of this thread, for a while."""
    uses = getattr(_shared, "uses", USES_OF_A_CONTEXT)
    if uses >= USES_OF_A_CONTEXT:
        _shared.context, uses = make_context(), 0
    _shared.uses = uses + 1
    return _shared.context


def operation_text(operation, debug_info=False):
    """An operation (a function, a module) as text that stands for itself."""
    return operation.get_asm(enable_debug_info=debug_info, use_local_scope=True)


def bytecode(module):
    """A module as MLIR bytecode."""
    import io

    out = io.BytesIO()
    module.operation.write_bytecode(out)
    return out.getvalue()


def parse(text, context):
    """A module, from its text."""
    return ir.Module.parse(text, context)


def name_arguments(function, names):
    """Gives the arguments of a function locations that are names."""
    for argument, name in zip(function.entry_block.arguments, names):
        argument.set_location(ir.Location.name(name, context=function.context))


def functions(module):
    """The functions of a module, as a list."""
    return list(module.body.operations)


def symbol(operation):
    """The name of a function."""
    return ir.StringAttr(operation.attributes["sym_name"]).value


def rename_functions(module, name_of):
    """Renames each function `f` of a module to `name_of(f)`, with the calls of it; returns the new names by the old."""
    names = {}
    taken = {symbol(operation) for operation in functions(module)}
    for operation in functions(module):
        old = symbol(operation)
        new = name_of(old)
        while new in taken and new != old:
            new = name_of(old)
        names[old] = new
        if new != old:
            ir.SymbolTable.set_symbol_name(operation, new)
            ir.SymbolTable.replace_all_symbol_uses(old, new, module.operation)
    return names


def merge(destination, source):
    """Moves the functions of one module into another of the same context; returns their new names by the old."""
    taken = {symbol(operation) for operation in functions(destination)}

    def unused(name):
        new, n = name, 0
        while new in taken:
            n += 1
            new = f"{name}_{n}"
        taken.add(new)
        return new

    names = rename_functions(source, unused)
    for operation in functions(source):
        destination.body.append(operation)
    return names


def function_type(inputs, outputs):
    """The type of a function, from the texts of the types of its arguments and results."""
    return ir.FunctionType.get([ir.Type.parse(t) for t in inputs], [ir.Type.parse(t) for t in outputs])


deserialize_portable_artifact = xla.jaxlib.mlir.deserialize_portable_artifact
hlo_to_stablehlo = xla.jaxlib.mlir.hlo_to_stablehlo
refine_polymorphic_shapes = xla.jaxlib.mlir.refine_polymorphic_shapes
serialize_portable_artifact = xla.jaxlib.mlir.serialize_portable_artifact
