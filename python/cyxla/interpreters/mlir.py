"""Lowering rules written with MLIR's builders.

    def rule(ctx, x, y):
        return [hlo.AddOp(x, y).result]       # hlo: jaxlib.mlir.dialects.stablehlo

    register_lowering(my_add_p, rule)

A rule gets a `LoweringRuleContext`, the operands as MLIR values, and the parameters of the primitive, and returns the
values of the results. It builds the body of a function of its own, which programs then call: Cyxla writes programs as
text, and takes the function's.
"""

import collections
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cyxla._core.equations import NameStack
from cyxla._engine.array import Array, asarray, is_arraylike, typeof
from cyxla._engine.aval import ShapedArray
from cyxla._engine.core import ClosedJaxpr, Jaxpr
from cyxla._engine.lowering import LoweringContext, RulesByPlatform
from cyxla._engine.staging import trace_flat
from cyxla._runtime import mlir as _mlir
from cyxla._transform.callbacks import io_callback, pure_callback
from cyxla._transform.effects import lowerable_effects as _lowerable_effects
from cyxla._transform.lower import lower_fun as _text_lower_fun
from cyxla._transform.shapes import ShapeDtypeStruct
from cyxla.interpreters._modules import LoweringResult as LoweringResult
from cyxla.interpreters._modules import ShapePolyLoweringState as ShapePolyLoweringState
from cyxla.interpreters._modules import lower_jaxpr_to_module as lower_jaxpr_to_module
from cyxla.interpreters._tables import checked_primitive

# Kinds of channels between programs and devices, as operations of StableHLO number them.
DEVICE_TO_DEVICE_TYPE, SEND_TO_HOST_TYPE, RECV_FROM_HOST_TYPE = 1, 2, 3

lowerable_effects = _lowerable_effects
ir_tree_registry = _mlir.ir_tree_registry
ir, func, hlo, chlo = _mlir.ir, _mlir.func, _mlir.stablehlo, _mlir.chlo
Value = ir.Value
Token = ir.Value
LoweringRule = Callable[..., Sequence[ir.Value | Sequence[ir.Value]]]


# contexts -------------------------------------------------------------------------------------------------------------


def make_ir_context():
    """A new MLIR context that knows the dialects used in lowering."""
    return _mlir.make_context()


class TokenSet:
    """Tokens that order effects, by effect."""

    def __init__(self, *args, **kwargs):
        self._tokens = collections.OrderedDict(*args, **kwargs)

    @classmethod
    def create(cls, effects):
        """A new token for each effect."""
        return cls((effect, [hlo.CreateTokenOp().result]) for effect in effects)

    def __len__(self):
        return len(self._tokens)

    def __iter__(self):
        return iter(self._tokens)

    def get(self, effect):
        return self._tokens[effect]

    def effects(self):
        return set(self._tokens)

    def items(self):
        return tuple(self._tokens.items())

    def subset(self, effects):
        return TokenSet((effect, self._tokens[effect]) for effect in effects)

    def update_tokens(self, tokens):
        return TokenSet({**self._tokens, **tokens._tokens})


@dataclass(frozen=True)
class LoweringParameters:
    """Choices that hold for a whole module."""

    override_lowering_rules: Any = None
    global_constant_computation: bool = False
    for_export: bool = False
    export_ignore_forward_compatibility: bool = False
    hoist_constants_as_args: bool = False


@dataclass(slots=True)
class ModuleContext:
    """The module that a rule builds in."""

    platforms: Sequence[str] = ("cpu",)
    backend: Any = None
    axis_context: Any = None
    keepalives: list = field(default_factory=list)
    channel_iterator: Any = field(default_factory=lambda: itertools.count(1))
    host_callbacks: list = field(default_factory=list)
    lowering_parameters: LoweringParameters = LoweringParameters()
    context: Any = None
    module: Any = None
    ip: Any = None
    symbol_table: Any = None
    lowering_cache: dict = field(default_factory=dict)
    cached_primitive_lowerings: dict = field(default_factory=dict)
    shape_poly_state: Any = field(default_factory=lambda: ShapePolyLoweringState((), None))
    all_default_mem_kind: bool = True

    def replace(self, **changes):
        """A copy with other fields."""
        return replace(self, **changes)

    def get_backend(self, optional=False):
        """The client of the platform that the module is for."""
        from cyxla._runtime import backend

        return self.backend or backend.get_client(self.platforms[0])

    def new_channel(self):
        """A number for a channel that no other operation of the module has."""
        return next(self.channel_iterator)

    def add_host_callback(self, host_callback):
        """Adds a Python function that operations of the module call by its position in `host_callbacks`."""
        self.host_callbacks.append(host_callback)

    def add_keepalive(self, keepalive):
        """Keeps an object alive as long as programs with this module."""
        self.keepalives.append(keepalive)


@dataclass(slots=True)
class LoweringRuleContext:
    """What a rule is told of the equation to lower."""

    module_context: ModuleContext
    name_stack: Any
    traceback: Any
    primitive: Any
    avals_in: Sequence[ShapedArray]
    avals_out: Sequence[ShapedArray]
    tokens_in: TokenSet
    tokens_out: Any
    const_lowering: dict
    axis_size_env: Any = None
    dim_var_values: Sequence[Any] = ()
    jaxpr_eqn_ctx: Any = None
    platforms: Any = None

    def replace(self, **changes):
        """A copy with other fields."""
        return replace(self, **changes)

    def set_tokens_out(self, tokens_out):
        """Says which tokens come after the operations of the rule."""
        self.tokens_out = tokens_out

    def is_forward_compat(self):
        """Whether the module is for older consumers; here it never is."""
        return False


def _new_module_context(platform, callbacks):
    module = ir.Module.create()
    return ModuleContext(
        platforms=(platform,),
        context=ir.Context.current,
        module=module,
        ip=ir.InsertionPoint(module.body),
        symbol_table=ir.SymbolTable(module.operation),
        host_callbacks=callbacks,
    )


def _rule_context(module_context, primitive, avals_in, avals_out):
    return LoweringRuleContext(
        module_context=module_context,
        name_stack=NameStack(),
        traceback=None,
        primitive=primitive,
        avals_in=tuple(avals_in),
        avals_out=tuple(avals_out),
        tokens_in=TokenSet(),
        tokens_out=None,
        const_lowering={},
    )


# types and attributes -------------------------------------------------------------------------------------------------


def dtype_to_ir_type(dtype):
    """The MLIR type of elements of a dtype."""
    text = typeof(ShapedArray((), dtype)).mlir
    return ir.Type.parse(text[len("tensor<") : -1])


def _array_types(aval):
    return ir.Type.parse(aval.mlir)


ir_type_handlers = {ShapedArray: _array_types}


def aval_to_ir_type(ctx, aval):
    """The MLIR type of values of an aval. `ctx`, a module's or a rule's context, may be None."""
    for kind in type(aval).__mro__:
        handler = ir_type_handlers.get(kind)
        if handler is not None:
            return handler(aval)
    raise TypeError(
        f"{aval!r:.200} of type {type(aval).__name__} has no MLIR type; give its class one in ir_type_handlers"
    )


def aval_to_ir_types(ctx, aval):
    """As `aval_to_ir_type`, for the values that stand for one value of the language together."""
    return aval_to_ir_type(ctx, aval)


def token_type():
    """The MLIR type of tokens."""
    return ir.Type.parse("!stablehlo.token")


def i32_attr(i):
    """A 32-bit integer as an attribute."""
    return ir.IntegerAttr.get(ir.IntegerType.get_signless(32), i)


def i64_attr(i):
    """A 64-bit integer as an attribute."""
    return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), i)


def dense_int_array(xs):
    """Integers as an array attribute of 64-bit integers."""
    return ir.DenseI64ArrayAttr.get([int(x) for x in xs])


def dense_int_elements(xs):
    """Integers as the elements of a tensor of 64-bit integers."""
    return ir.DenseIntElementsAttr.get(np.asarray(xs, np.int64))


def dense_bool_array(xs):
    """Booleans as an array attribute."""
    return ir.DenseBoolArrayAttr.get([bool(x) for x in xs])


def _dense(value):
    """A NumPy array as elements of a tensor."""
    kind = dtype_to_ir_type(value.dtype)
    if value.size == 0 or value.dtype == np.bool_:
        # Releases of jaxlib differ in how they take bits.
        text = json.dumps(value.tolist()) if value.size else ""
        return ir.Attribute.parse(f"dense<{text}> : {ShapedArray(value.shape, value.dtype).mlir}")
    value = np.ascontiguousarray(value).reshape(value.shape)
    if value.dtype.kind == "V":
        # Dtypes that the buffer protocol has no letter for.
        value = value.view(f"u{value.dtype.itemsize}")
    return ir.DenseElementsAttr.get(value, type=kind, shape=value.shape)


def ir_attribute(val):
    """A Python or NumPy value as an attribute: numbers, strings, dtypes, arrays, and lists and dicts of those."""
    if isinstance(val, (bool, np.bool_)):
        return ir.BoolAttr.get(bool(val))
    if isinstance(val, str):
        return ir.StringAttr.get(val)
    if isinstance(val, bytes):
        return ir.StringAttr.get(val)
    if isinstance(val, ir.Attribute):
        return val
    if isinstance(val, np.generic):
        return _scalar_attribute(val)
    if isinstance(val, int):
        return i64_attr(val)
    if isinstance(val, float):
        return ir.FloatAttr.get(ir.F64Type.get(), val)
    if isinstance(val, (np.ndarray, Array)):
        return _dense(np.asarray(val))
    if isinstance(val, np.dtype) or (isinstance(val, type) and issubclass(val, np.generic)):
        return ir.TypeAttr.get(dtype_to_ir_type(np.dtype(val)))
    if isinstance(val, (list, tuple)):
        return ir.ArrayAttr.get([ir_attribute(x) for x in val])
    if isinstance(val, dict):
        return ir.DictAttr.get({name: ir_attribute(x) for name, x in val.items()})
    raise TypeError(
        f"{val!r:.200} of type {type(val).__name__} cannot be an attribute; numbers, strings, dtypes, arrays, and "
        "lists and dicts of those can"
    )


def _scalar_attribute(val):
    kind = dtype_to_ir_type(val.dtype)
    if np.issubdtype(val.dtype, np.integer):
        return ir.IntegerAttr.get(kind, int(val))
    if np.issubdtype(val.dtype, np.complexfloating):
        raise TypeError(f"the complex number {val!r} cannot be an attribute; pass its parts, or an array of it")
    return ir.FloatAttr.get(kind, float(val))


# constants ------------------------------------------------------------------------------------------------------------

_constant_handlers: dict = {}


class ConstantHandler:
    """The type of functions `(value, aval) -> MLIR value` for `register_constant_handler`."""

    def __call__(self, val, aval):
        """The constant as an MLIR value."""
        raise TypeError("ConstantHandler is a type to annotate with; write a function")


def register_constant_handler(type_, handler_fun):
    """Makes objects of a class constants of programs: `handler_fun(value, aval)` builds an MLIR value."""
    _constant_handlers[type_] = handler_fun


def ir_constant(val, *, const_lowering=None, aval=None):
    """A constant as an MLIR value, built at the current insertion point; arrays keep their dtype."""
    if const_lowering:
        known = const_lowering.get(id(val))
        if known is not None:
            return known
    for kind in type(val).__mro__:
        handler = _constant_handlers.get(kind)
        if handler is not None:
            return handler(val, aval)
    if not is_arraylike(val):
        raise TypeError(
            f"{val!r:.200} of type {type(val).__name__} cannot be a constant; see register_constant_handler"
        )
    array = np.asarray(val if isinstance(val, (np.ndarray, np.generic)) else asarray(val))
    if aval is not None and aval.dtype != array.dtype and isinstance(aval.dtype, np.dtype):
        array = array.astype(aval.dtype)
    repeated = [size == 1 or stride == 0 for size, stride in zip(array.shape, array.strides)]
    if array.size > 1 and array.ndim and all(repeated):
        scalar = hlo.constant(_dense(array.reshape(-1)[0].reshape(())))
        kind = ir.RankedTensorType.get(array.shape, dtype_to_ir_type(array.dtype))
        return hlo.broadcast_in_dim(kind, scalar, dense_int_array([]))
    return hlo.constant(_dense(array))


def ir_constants(val, *, const_lowering=None, aval=None):
    """As `ir_constant`, a tuple of the values that stand for one value of the language."""
    out = ir_constant(val, const_lowering=const_lowering, aval=aval)
    return tuple(out) if isinstance(out, (list, tuple)) else (out,)


def shape_tensor(ctx, sizes):
    """Sizes of dimensions as a tensor of 32-bit integers."""
    return ir_constant(np.asarray([int(size) for size in sizes], np.int32))


def flatten_ir_values(xs):
    """Values, and sequences of values, as one list."""
    return [v for x in xs for v in ([x] if isinstance(x, ir.Value) else x)]


def flatten_ir_types(xs):
    """Types, and sequences of types, as one list."""
    return [t for x in xs for t in ([x] if isinstance(x, ir.Type) else x)]


def unflatten_ir_values_like_types(xs, ys):
    """A list of values, grouped as types and sequences of types are."""
    values = iter(xs)
    out = [next(values) if isinstance(y, ir.Type) else tuple(next(values) for _ in y) for y in ys]
    if next(values, None) is not None:
        raise ValueError("more values than types")
    return out


# modules --------------------------------------------------------------------------------------------------------------


def module_to_string(module, enable_debug_info=None):
    """A module as text."""
    return _mlir.operation_text(module.operation, bool(enable_debug_info))


def module_to_bytecode(module):
    """A module as MLIR bytecode."""
    return _mlir.bytecode(module)


def merge_mlir_modules(dst_module, sym_name, src_module, dst_symtab=None):
    """Moves the functions of a module of the same context into another; its `main` is then called `sym_name`.

    Names that are taken are changed. Returns the new name of `main`.
    """
    ir.SymbolTable.set_symbol_name(ir.SymbolTable(src_module.operation)["main"], sym_name)
    ir.SymbolTable.replace_all_symbol_uses("main", sym_name, src_module.operation)
    return _mlir.merge(dst_module, src_module)[sym_name]


def _add_jaxpr(module_context, closed, name):
    """The name of a new function of the module that computes a jaxpr."""
    writer = LoweringContext(module_context.platforms[0])
    # Calls of Python refer to their functions by number.
    writer.callbacks = module_context.host_callbacks
    main = writer.function(closed, writer.function_name(name), "private")
    source = ir.Module.parse(f"module {{\n{main}{''.join(writer.functions)}}}")
    main = _mlir.symbol(_mlir.functions(source)[0])
    return _mlir.merge(module_context.module, source)[main]


def _call(module_context, closed, name, args):
    function = _add_jaxpr(module_context, closed, name)
    kinds = [ir.Type.parse(aval.mlir) for aval in closed.out_avals]
    return list(func.CallOp(kinds, ir.FlatSymbolRefAttr.get(function), flatten_ir_values(args)).results)


def lower_jaxpr_to_fun(ctx, name, jaxpr, effects, **options):
    """Adds a function that computes a `ClosedJaxpr` to the module of a `ModuleContext`; returns the function."""
    function = _add_jaxpr(ctx, jaxpr, name)
    return ir.SymbolTable(ctx.module.operation)[function]


def jaxpr_subcomp(
    ctx,
    jaxpr,
    name_stack,
    tokens,
    consts_for_constvars,
    *args,
    dim_var_values=(),
    const_lowering=None,
    outer_traceback=None,
):
    """Computes a `Jaxpr` of values at the current insertion point; returns the values of its results, and tokens."""
    lifted = jaxpr.replace(constvars=[], invars=[*jaxpr.constvars, *jaxpr.invars])
    return _call(ctx, ClosedJaxpr(lifted, []), "jaxpr", [*consts_for_constvars, *args]), tokens


def core_call_lowering(ctx, *args, name, backend=None, call_jaxpr):
    """The rule of a primitive with a parameter `call_jaxpr`: calls it as a function of its own."""
    closed = ClosedJaxpr(call_jaxpr, []) if isinstance(call_jaxpr, Jaxpr) else call_jaxpr
    return _call(ctx.module_context, closed, name, args)


def emit_python_callback(
    ctx,
    callback,
    token,
    operands,
    operand_avals,
    result_avals,
    *,
    has_side_effect,
    returns_token=True,
    partitioned=False,
    sharding=None,
):
    """Builds a call of a Python function, `callback(*arrays) -> sequence of arrays`, when the program runs.

    Returns the values of the results, the token, and None, there being nothing to keep alive.
    """

    def call(*values):
        return tuple(callback(*values))

    call_python = io_callback if has_side_effect else pure_callback
    results = tuple(ShapeDtypeStruct(aval.shape, aval.dtype) for aval in result_avals)
    closed = ClosedJaxpr(*trace_flat(lambda args: list(call_python(call, results, *args)), list(operand_avals)))
    return _call(ctx.module_context, closed, "callback", operands), token, None


# rules ----------------------------------------------------------------------------------------------------------------


class _LowerFun:
    """A rule that traces a Python function."""

    def __init__(self, fun, multiple_results):
        self.fun, self.multiple_results = fun, multiple_results
        self.as_text = _text_lower_fun(fun, multiple_results=multiple_results)

    def __call__(self, ctx, *args, **params):
        def flat(tracers):
            out = self.fun(*tracers, **params)
            return list(out) if self.multiple_results else [out]

        closed = ClosedJaxpr(*trace_flat(flat, ctx.avals_in))
        return tuple(_call(ctx.module_context, closed, getattr(self.fun, "__name__", "fun"), args))


def lower_fun(fun, multiple_results=True):
    """A lowering rule made of a function of arrays, `fun(*operands, **params)`; for use in other rules, too."""
    return _LowerFun(fun, multiple_results)


def _build(primitive, rule, platform, avals_in, avals_out, params, name_of, callbacks):
    """Runs a rule in a module of its own; returns the texts of its functions and the name of the main one."""
    with _mlir.shared_context() as context, ir.Location.unknown(context):
        module_context = _new_module_context(platform, callbacks)
        kind = _mlir.function_type([a.mlir for a in avals_in], [a.mlir for a in avals_out])
        with module_context.ip:
            main = func.FuncOp(str(primitive), kind, visibility="private")
        entry = main.add_entry_block()
        with ir.InsertionPoint(entry):
            ctx = _rule_context(module_context, primitive, avals_in, avals_out)
            results = rule(ctx, *entry.arguments, **params)
            func.ReturnOp(_checked_results(primitive, results, avals_out))
        module_context.module.operation.verify()
        names = _mlir.rename_functions(module_context.module, name_of)
        texts = [_mlir.operation_text(f) for f in _mlir.functions(module_context.module)]
        return texts, names[str(primitive)]


def _checked_results(primitive, results, avals_out):
    if isinstance(results, ir.Value):
        results = [results]
    elif isinstance(results, ir.Operation | ir.OpView):
        results = list(results.results)
    try:
        results = flatten_ir_values(list(results))
    except TypeError:
        raise TypeError(
            f"the lowering rule of {primitive} returned {results!r:.200}; return a sequence of MLIR values"
        ) from None
    for value in results:
        if not isinstance(value, ir.Value):
            raise TypeError(f"the lowering rule of {primitive} returned {value!r:.200} among its MLIR values")
    given, wanted = [str(v.type) for v in results], [str(ir.Type.parse(a.mlir)) for a in avals_out]
    if given != wanted:
        raise TypeError(
            f"the lowering rule of {primitive} returned values of types {', '.join(given) or 'none'}; abstract "
            f"evaluation says {', '.join(wanted) or 'none'}"
        )
    return results


def text_rule(primitive, rule):
    """A rule for Cyxla's own lowering that calls what a rule for MLIR built, once per signature and module."""
    if isinstance(rule, _LowerFun):
        return rule.as_text

    def lower(ctx, *names, **params):
        avals_in, avals_out = ctx.avals_in, ctx.avals_out
        try:
            key = (rule, avals_in, avals_out, tuple(params.items()))
            function = ctx.called.get(key)
        except TypeError:
            key = function = None
        if function is None:
            texts, function = _build(
                primitive, rule, ctx.platform, avals_in, avals_out, params, ctx.function_name, ctx.callbacks
            )
            ctx.functions.extend(f"{text}\n" for text in texts)
            if key is not None:
                ctx.called[key] = function
        types_in, types_out = (", ".join(a.mlir for a in avals) for avals in (avals_in, avals_out))
        out = ctx.op(f"func.call @{function}({', '.join(names)}) : ({types_in}) -> ({types_out})", len(avals_out))
        return [out] if len(avals_out) == 1 else out

    return lower


def register_lowering(prim, rule, platform=None, inline=True, cacheable=True):
    """Sets how a primitive is lowered, on one platform (`"cpu"`, `"gpu"`, `"cuda"`...) or on all without a rule.

    `rule(ctx, *operands, **params)` returns a sequence of MLIR values, or is made by `lower_fun`.
    """
    checked_primitive(prim)
    lower = text_rule(prim, rule)
    if isinstance(prim.lower, RulesByPlatform):
        prim.lower.rules[platform] = lower
    elif platform is None:
        prim.lower = lower
    else:
        by_platform = RulesByPlatform(prim, prim.lower)
        by_platform.rules[platform] = lower
        prim.lower = by_platform
    # A kernel of the engine would not know of the rule.
    prim.host = False
    prim.forget_programs()
