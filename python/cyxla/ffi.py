"""Calls of compiled functions of other libraries, by XLA's foreign function interface.

register_ffi_target("rms_norm", pycapsule(library.RmsNorm))
y = ffi_call("rms_norm", cyxla.ShapeDtypeStruct(x.shape, x.dtype))(x, eps=np.float32(1e-5))
"""

import ctypes
import json

import numpy as np

from cyxla import lax
from cyxla._engine.array import Array, asarray
from cyxla._engine.aval import ShapedArray
from cyxla._engine.core import Primitive
from cyxla._runtime import ffi as _runtime
from cyxla._transform.effects import Effect, lowerable_effects
from cyxla._transform.jaxprs import move_batch_axis

_METHODS = ("sequential", "sequential_unrolled", "expand_dims", "broadcast_all", "legacy_vectorized")


# targets --------------------------------------------------------------------------------------------------------------


def register_ffi_target(name, fn, platform="cpu", api_version=1, **kwargs):
    """Makes a compiled function callable by `ffi_call` under a name.

    Args:
      name: the name.
      fn: a capsule made by `pycapsule`, or a dict of capsules by stage: "instantiate", "prepare", "initialize",
        "execute".
      platform: where it runs, such as "cpu" or "CUDA".
      api_version: 1 for XLA's typed interface, 0 for what was before it.

    Raises JaxRuntimeError when the name is taken, or `fn` is nothing of that kind.
    """
    _runtime.register_target(name, fn, platform, api_version, **kwargs)


def register_ffi_type(name, type_registration, platform="cpu"):
    """Makes the type of a handler's state known under a name, given capsules of its type id and type info."""
    _runtime.register_type(name, type_registration, platform)


def register_ffi_type_id(name, obj, platform="cpu"):
    """Makes the type of a handler's state known under a name, given the capsule of its type id."""
    _runtime.register_type(name, obj, platform)


def register_ffi_target_as_batch_partitionable(name):
    """Says that a target works on each element of leading batch dimensions by itself, so that they may be sharded."""
    _runtime.register_batch_partitionable(name)


def pycapsule(funcptr):
    """The capsule of a function pointer, such as an attribute of a `ctypes` library, for `register_ffi_target`."""
    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return make(ctypes.cast(funcptr, ctypes.c_void_p).value, b"xla._CUSTOM_CALL_TARGET", None)


def include_dir():
    """The directory with `xla/ffi/api/ffi.h`, which handlers are compiled against."""
    return _runtime.include_dir()


# attributes -----------------------------------------------------------------------------------------------------------


def _element(dtype):
    return ShapedArray((), dtype).mlir[len("tensor<") : -1]


def _number(value, dtype):
    kind = _element(dtype)
    if np.issubdtype(dtype, np.integer):
        return f"{int(value)} : {kind}"
    if np.issubdtype(dtype, np.complexfloating):
        raise TypeError(f"the complex number {value!r} cannot be an attribute of a call; pass its parts, or an array")
    number = float(value)
    if not np.isfinite(number):
        bits = int.from_bytes(np.asarray(value, dtype).tobytes(), "little")
        return f"0x{bits:0{2 * dtype.itemsize}X} : {kind}"
    text = repr(number)
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return f"{text} : {kind}"


def _array(value):
    kind = ShapedArray(value.shape, value.dtype).mlir
    if value.size == 0:
        return f"dense<> : {kind}"
    if value.dtype == np.bool_:
        return f"dense<{json.dumps(value.tolist())}> : {kind}"
    return f'dense<"0x{np.ascontiguousarray(value).tobytes().hex().upper()}"> : {kind}'


def _string(value):
    data = value if isinstance(value, bytes) else value.encode()
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:02X}" for b in data) + '"'


def _attribute(name, value):
    """The MLIR text of a value given to a call by keyword."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (str, bytes)):
        return _string(value)
    if isinstance(value, np.generic):
        return _number(value, value.dtype)
    if isinstance(value, int):
        return _number(value, np.dtype(np.int64))
    if isinstance(value, float):
        return _number(value, np.dtype(np.float64))
    if isinstance(value, (np.ndarray, Array)):
        return _array(np.asarray(value))
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return _element(np.dtype(value))
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(_attribute(name, x) for x in value)}]"
    if hasattr(value, "items"):
        return f"{{{', '.join(f'{_string(k)} = {_attribute(name, x)}' for k, x in value.items())}}}"
    raise TypeError(
        f"ffi_call: the attribute {name} is {value!r:.200} of type {type(value).__name__}; it must be a number, a "
        "string, a dtype, an array, or a tuple or dict of those"
    )


# the primitive --------------------------------------------------------------------------------------------------------


class FfiEffect(Effect):
    """The effect of calls that must be made though nobody uses their results."""


lowerable_effects.add_type(FfiEffect)
_EFFECT = frozenset({FfiEffect()})


def _layout_text(layout):
    return f"dense<[{', '.join(map(str, layout))}]> : tensor<{len(layout)}xindex>" if layout else _NO_LAYOUT


_NO_LAYOUT = "dense<> : tensor<0xindex>"


def _lower(
    ctx,
    *names,
    target_name,
    result_avals,
    attributes,
    has_side_effect,
    vmap_method,
    input_layouts,
    output_layouts,
    input_output_aliases,
    custom_call_api_version,
    legacy_backend_config,
):
    if custom_call_api_version >= 4:
        config = ", ".join(f"{_string(name)} = {text}" for name, text in attributes)
        fields = [f"api_version = {custom_call_api_version} : i32", f"backend_config = {{{config}}}"]
    else:
        fields = [f"api_version = {custom_call_api_version} : i32"]
        if legacy_backend_config is not None:
            fields.append(f"backend_config = {_string(legacy_backend_config)}")
    if has_side_effect:
        fields.append("has_side_effect = true")
    fields.append(f"operand_layouts = [{', '.join(map(_layout_text, input_layouts))}]")
    fields.append(f"result_layouts = [{', '.join(map(_layout_text, output_layouts))}]")
    if input_output_aliases:
        several = len(result_avals) > 1
        aliases = ", ".join(
            f"#stablehlo.output_operand_alias<output_tuple_indices = [{o if several else ''}], operand_index = {i}, "
            "operand_tuple_indices = []>"
            for i, o in input_output_aliases
        )
        fields.append(f"output_operand_aliases = [{aliases}]")
    types_in = ", ".join(a.mlir for a in ctx.avals_in)
    types_out = ", ".join(a.mlir for a in ctx.avals_out)
    types_out = types_out if len(ctx.avals_out) == 1 else f"({types_out})"
    out = ctx.op(
        f"stablehlo.custom_call @{_symbol(target_name)}({', '.join(names)}) {{{', '.join(fields)}}} : ({types_in}) -> "
        f"{types_out}",
        len(ctx.avals_out),
    )
    return [out] if len(ctx.avals_out) == 1 else out


def _symbol(name):
    plain = name.replace("_", "a").replace(".", "a").replace("$", "a")
    return name if plain.isascii() and plain.isalnum() and not name[0].isdigit() else _string(name)


def _batched_layouts(layouts, batched):
    return tuple((*(d + 1 for d in layout), 0) if b else layout for layout, b in zip(layouts, batched))


def _batch(axis, args, dims, *, vmap_method, input_layouts, output_layouts, result_avals, **params):
    params = {**params, "vmap_method": vmap_method}
    size = axis.size
    if vmap_method in ("sequential", "sequential_unrolled"):
        batched = [move_batch_axis(x, d, size) for x, d in zip(args, dims) if d is not None]

        def step(_, xs):
            rest = iter(xs)
            values = [x if d is None else next(rest) for x, d in zip(args, dims)]
            outs = ffi_call_p.bind(
                *values,
                result_avals=result_avals,
                input_layouts=input_layouts,
                output_layouts=output_layouts,
                **params,
            )
            return (), tuple(outs)

        _, outs = lax.scan(step, (), batched, unroll=1 if vmap_method == "sequential" else max(size, 1))
        return list(outs), [0] * len(outs)
    if vmap_method is None:
        raise NotImplementedError(
            f"ffi_call of {params['target_name']!r} has no vmap_method, so it cannot be vectorized; give ffi_call "
            f"one of {', '.join(map(repr, _METHODS))}"
        )
    moved = []
    for x, d in zip(args, dims):
        if d is not None:
            moved.append(move_batch_axis(x, d, size))
        elif vmap_method == "legacy_vectorized":
            moved.append(x)
        else:
            moved.append(move_batch_axis(x, None, 1 if vmap_method == "expand_dims" else size))
    has_axis = [d is not None or vmap_method != "legacy_vectorized" for d in dims]
    outs = ffi_call_p.bind(
        *moved,
        result_avals=tuple(aval.update(shape=(size, *aval.shape)) for aval in result_avals),
        input_layouts=_batched_layouts(input_layouts, has_axis),
        output_layouts=_batched_layouts(output_layouts, [True] * len(output_layouts)),
        **params,
    )
    return list(outs), [0] * len(outs)


def _no_derivative(primals, tangents, *, target_name, **params):
    raise ValueError(
        f"ffi_call of {target_name!r} has no derivative; wrap the call in a function with one, by jax.custom_jvp or "
        "jax.custom_vjp"
    )


def _no_transpose(cts, *operands, target_name, **params):
    raise ValueError(
        f"ffi_call of {target_name!r} has no transpose; wrap the call in a function with a derivative, by "
        "jax.custom_vjp"
    )


ffi_call_p = Primitive(
    "ffi_call",
    abstract=lambda *avals, result_avals, **params: list(result_avals),
    jvp=_no_derivative,
    transpose=_no_transpose,
    batch=_batch,
    batch_needs_axis=True,
    lower=_lower,
    multiple_results=True,
    effects=lambda *, has_side_effect, **params: _EFFECT if has_side_effect else frozenset(),
)


def _result_aval(result, position):
    if not hasattr(result, "shape") or not hasattr(result, "dtype"):
        raise ValueError(
            f"ffi_call: result_shape_dtypes has {result!r:.200} at position {position}; each result is described by an "
            "object with shape and dtype, such as jax.ShapeDtypeStruct"
        )
    return ShapedArray(tuple(result.shape), result.dtype)


def _minor_to_major(layout, aval, what, position):
    if layout is None:
        return tuple(range(aval.ndim))[::-1]
    order = getattr(layout, "major_to_minor", layout)
    order = tuple(int(i) for i in order)
    if sorted(order) != list(range(aval.ndim)):
        raise ValueError(
            f"ffi_call: {what}[{position}] is {layout!r}; for an array of rank {aval.ndim} it is a permutation of its "
            "dimensions, the major one first"
        )
    return order[::-1]


def _layouts(layouts, avals, what):
    if layouts is None:
        layouts = [None] * len(avals)
    if len(layouts) != len(avals):
        raise ValueError(f"ffi_call: {what} has {len(layouts)} entries for {len(avals)} arrays")
    return tuple(_minor_to_major(layout, aval, what, i) for i, (layout, aval) in enumerate(zip(layouts, avals)))


def ffi_call(
    target_name,
    result_shape_dtypes,
    *,
    has_side_effect=False,
    vmap_method=None,
    input_layouts=None,
    output_layouts=None,
    input_output_aliases=None,
    custom_call_api_version=4,
    legacy_backend_config=None,
):
    """A function of arrays that calls a compiled function registered by `register_ffi_target`.

    Args:
      target_name: the name it was registered under.
      result_shape_dtypes: an object with shape and dtype for the result, or a sequence of them for several.
      has_side_effect: whether it is to be called even if nobody uses the results.
      vmap_method: what `vmap` does: "sequential" calls it once an example, in a loop, "sequential_unrolled" without
        one; "expand_dims" and "broadcast_all" call it once on arrays with a leading batch dimension, which for operands
        without a batch has size 1 or that of the batch. None makes `vmap` an error.
      input_layouts, output_layouts: for each array, its dimensions in the order of memory, major first, or None.
      input_output_aliases: a dict of operands, by number, whose memory becomes that of a result, by number.
      custom_call_api_version: 4 for XLA's typed interface.
      legacy_backend_config: a string passed on, by the interfaces before.

    The function takes arrays, and by keyword attributes: numbers (Python integers are 64-bit, floats too), strings,
    dtypes, arrays, tuples and dicts of those. It returns an array, or a sequence like `result_shape_dtypes`.

    Raises ValueError for descriptions of results and layouts that do not fit, TypeError for other attributes.
    """
    if vmap_method is not None and vmap_method not in _METHODS:
        raise ValueError(
            f"ffi_call: vmap_method={vmap_method!r}; choose one of {', '.join(map(repr, _METHODS))}, or None"
        )
    if legacy_backend_config is not None and custom_call_api_version >= 4:
        raise ValueError(
            "ffi_call: legacy_backend_config is for custom_call_api_version below 4, which is "
            f"{custom_call_api_version}; pass attributes by keyword to the function that ffi_call returns"
        )
    several = isinstance(result_shape_dtypes, (list, tuple))
    results = list(result_shape_dtypes) if several else [result_shape_dtypes]
    avals = tuple(_result_aval(result, i) for i, result in enumerate(results))
    out_layouts = _layouts(
        output_layouts if several or output_layouts is None else [output_layouts], avals, "output_layouts"
    )

    def call(*args, **attributes):
        if attributes and custom_call_api_version < 4:
            raise ValueError(
                f"ffi_call: attributes ({', '.join(attributes)}) need custom_call_api_version 4 or more, it is "
                f"{custom_call_api_version}"
            )
        args = [asarray(x) for x in args]
        outs = ffi_call_p.bind(
            *args,
            target_name=target_name,
            result_avals=avals,
            attributes=tuple(sorted((name, _attribute(name, value)) for name, value in attributes.items())),
            has_side_effect=bool(has_side_effect),
            vmap_method=vmap_method,
            input_layouts=_layouts(input_layouts, [x.aval for x in args], "input_layouts"),
            output_layouts=out_layouts,
            input_output_aliases=_aliases(input_output_aliases, args, avals),
            custom_call_api_version=custom_call_api_version,
            legacy_backend_config=legacy_backend_config,
        )
        return type(result_shape_dtypes)(outs) if several else outs[0]

    return call


def _aliases(aliases, args, avals):
    pairs = tuple(sorted((aliases or {}).items()))
    for i, o in pairs:
        if not 0 <= i < len(args) or not 0 <= o < len(avals):
            raise ValueError(
                f"ffi_call: input_output_aliases has {i}: {o}, for {len(args)} operands and {len(avals)} results"
            )
        given, wanted = args[i].aval, avals[o]
        if (given.shape, given.dtype) != (wanted.shape, wanted.dtype):
            raise ValueError(
                f"ffi_call: input_output_aliases has {i}: {o}, but operand {i} is {given.str_short()} and result {o} "
                f"is {wanted.str_short()}; they must be of one type"
            )
    return pairs


# lowering rules -------------------------------------------------------------------------------------------------------


def build_ffi_lowering_function(
    call_target_name,
    *,
    operand_layouts=None,
    result_layouts=None,
    backend_config=None,
    skip_ffi_layout_processing=False,
    **lowering_args,
):
    """A function `(ctx, *operands, **attributes)` that builds the operation of a call, for use in lowering rules.

    Args:
      call_target_name: the name it was registered under.
      operand_layouts, result_layouts: as `input_layouts` and `output_layouts` of `ffi_call`.
      backend_config: attributes besides those of the call.
      skip_ffi_layout_processing: leaves the layouts out.
      lowering_args: further arguments of the operation: `has_side_effect`, `api_version`, `result_types`,
        `operand_output_aliases`, `extra_attributes`.
    """
    from cyxla.interpreters import mlir

    ir = mlir.ir

    def layouts(given, avals, what):
        return ir.ArrayAttr.get(
            [ir.Attribute.parse(_layout_text(layout)) for layout in _layouts(given, list(avals), what)]
        )

    def build(ctx, *operands, **attributes):
        options = dict(lowering_args)
        api_version = options.pop("api_version", 4)
        kinds = options.pop("result_types", None) or [mlir.aval_to_ir_type(None, aval) for aval in ctx.avals_out]
        fields = {
            "call_target_name": ir.StringAttr.get(call_target_name),
            "api_version": mlir.i32_attr(api_version),
            "has_side_effect": ir.BoolAttr.get(bool(options.pop("has_side_effect", False))),
        }
        if api_version >= 4:
            config = {**(backend_config or {}), **attributes}
            fields["backend_config"] = ir.DictAttr.get({k: mlir.ir_attribute(v) for k, v in config.items()})
        elif backend_config is not None:
            fields["backend_config"] = ir.StringAttr.get(backend_config)
        if not skip_ffi_layout_processing:
            fields["operand_layouts"] = layouts(operand_layouts, ctx.avals_in, "operand_layouts")
            fields["result_layouts"] = layouts(result_layouts, ctx.avals_out, "result_layouts")
        aliases = options.pop("operand_output_aliases", None)
        if aliases:
            several = len(kinds) > 1
            fields["output_operand_aliases"] = ir.ArrayAttr.get(
                [
                    ir.Attribute.parse(
                        f"#stablehlo.output_operand_alias<output_tuple_indices = [{o if several else ''}], "
                        f"operand_index = {i}, operand_tuple_indices = []>"
                    )
                    for i, o in aliases.items()
                ]
            )
        fields.update(options.pop("extra_attributes", None) or {})
        if options:
            raise TypeError(f"ffi_lowering has no options {', '.join(options)}")
        return ir.Operation.create(
            "stablehlo.custom_call",
            results=mlir.flatten_ir_types(kinds),
            operands=mlir.flatten_ir_values(operands),
            attributes=fields,
        )

    return build


def ffi_lowering(
    call_target_name,
    *,
    operand_layouts=None,
    result_layouts=None,
    backend_config=None,
    skip_ffi_layout_processing=False,
    **lowering_args,
):
    """A lowering rule, for `cyxla.interpreters.mlir.register_lowering`, that calls a compiled function.

    The parameters of the primitive become attributes of the call. Arguments as of `build_ffi_lowering_function`.
    """
    build = build_ffi_lowering_function(
        call_target_name,
        operand_layouts=operand_layouts,
        result_layouts=result_layouts,
        backend_config=backend_config,
        skip_ffi_layout_processing=skip_ffi_layout_processing,
        **lowering_args,
    )

    def rule(ctx, *operands, **params):
        return list(build(ctx, *operands, **params).results)

    return rule
