"""Whole modules, for those who compile or store them themselves."""

import json
from typing import Any, NamedTuple

from cyxla._engine.core import ClosedJaxpr, Jaxpr
from cyxla._engine.lowering import LoweringContext, is_ordered
from cyxla._runtime import mlir as _mlir
from cyxla._transform import effects
from cyxla._transform.compile import module_name as valid_name
from cyxla._transform.compile import plan_donation, ready_to_lower


class ShapePolyLoweringState:
    """Which arguments of a module are numbers that its shapes depend on: `dim_vars`, their names.

    With several platforms the first of them is the position of the one that the module runs on.
    """

    def __init__(self, dim_vars, lowering_platforms):
        self.has_platform_index_argument = lowering_platforms is not None and len(lowering_platforms) > 1
        self.dim_vars = ("_platform_index",) * self.has_platform_index_argument + tuple(dim_vars)
        self.uses_dim_vars = bool(self.dim_vars)


class LoweringResult(NamedTuple):
    """A lowered module and what must live as long as its programs."""

    module: Any
    keepalive: Any
    host_callbacks: list
    shape_poly_state: Any


def lower_jaxpr_to_module(
    module_name,
    jaxpr,
    *,
    num_const_args,
    in_avals,
    ordered_effects,
    platforms,
    backend,
    axis_context,
    donated_args,
    replicated_args=None,
    arg_shardings=None,
    result_shardings=None,
    in_layouts=None,
    out_layouts=None,
    arg_names=None,
    result_names=None,
    num_partitions=1,
    all_default_mem_kind=True,
    input_output_aliases=None,
    propagated_out_mem_kinds=None,
    lowering_parameters,
):
    """The module of a `ClosedJaxpr`, whose public function `main` computes it, as a `LoweringResult`.

    `in_avals` has the types of the arguments: first those of `num_const_args` constants of the jaxpr (all of them, or
    0: then the module contains them), then those of the jaxpr. For several `platforms` a further argument, the first,
    says on which of them the module runs. `ordered_effects` are those for which it takes and returns a token, ahead of
    all. `donated_args` marks arguments whose memory results may take, `input_output_aliases` has the number of the
    result for each argument. `arg_names` become locations, `result_names` attributes.

    Programs run on one device: `axis_context`, shardings and kinds of memory say nothing about them, and `backend`
    neither. Raises ValueError for counts that do not fit, layouts other than the default, and effects that are not
    lowerable; NotImplementedError where a primitive has no lowering rule for one of the platforms.
    """
    platforms = tuple(platforms)
    if not platforms:
        raise ValueError("lower_jaxpr_to_module: platforms is empty, name at least one, such as ('cpu',)")
    for name, layouts in (("in_layouts", in_layouts), ("out_layouts", out_layouts)):
        if layouts is not None and any(layout is not None for layout in layouts):
            raise ValueError(f"lower_jaxpr_to_module: {name} other than None are not possible, arrays have the default")
    closed = _with_constants_as_arguments(ready_to_lower(jaxpr, module_name), num_const_args)
    n_in, n_out = len(closed.jaxpr.invars), len(closed.jaxpr.outvars)
    in_avals = list(in_avals)
    lists = {"in_avals": in_avals, "donated_args": donated_args, "replicated_args": replicated_args}
    for name, values in {**lists, "arg_names": arg_names, "input_output_aliases": input_output_aliases}.items():
        if values is not None and len(values) != n_in:
            raise ValueError(
                f"lower_jaxpr_to_module: {name} has {len(values)} elements, and the module {n_in} arguments"
            )
    for i, (aval, var) in enumerate(zip(in_avals, closed.jaxpr.invars)):
        if aval.shape != var.aval.shape or aval.dtype != var.aval.dtype:
            raise ValueError(
                f"lower_jaxpr_to_module: in_avals[{i}] is {aval.str_short()}, the jaxpr takes {var.aval.str_short()}"
            )
    _check_ordered(closed, ordered_effects, platforms)
    attributes = _argument_attributes(closed.jaxpr, donated_args, replicated_args, input_output_aliases)
    results = None
    if result_names is not None and len(result_names) == n_out:
        results = [f"jax.result_info = {json.dumps(name)}" for name in result_names]
    text, writer = _text(module_name, closed, platforms, attributes, results, lowering_parameters)
    module = _mlir.parse(text, _mlir.make_context())
    _finish(module, num_partitions, arg_names, n_in)
    return LoweringResult(module, [], writer.callbacks, ShapePolyLoweringState((), platforms))


def _with_constants_as_arguments(closed, num_const_args):
    if not num_const_args:
        return closed
    if num_const_args != len(closed.consts):
        raise ValueError(
            f"lower_jaxpr_to_module: num_const_args is {num_const_args} and the jaxpr has {len(closed.consts)} "
            "constants; pass all of them as arguments, or none"
        )
    jaxpr = closed.jaxpr
    return ClosedJaxpr(Jaxpr([], [*jaxpr.constvars, *jaxpr.invars], jaxpr.outvars, jaxpr.eqns), [])


def _check_ordered(closed, ordered_effects, platforms):
    ordered = [effect for effect in closed.effects if effects.is_ordered(effect)]
    missing = [effect for effect in ordered if effect not in ordered_effects]
    if missing:
        raise ValueError(
            f"lower_jaxpr_to_module: the jaxpr has ordered effects that ordered_effects lacks: "
            f"{', '.join(map(str, missing))}"
        )
    if ordered and len(platforms) > 1:
        raise ValueError("lower_jaxpr_to_module: a jaxpr with ordered effects is lowered for one platform at a time")


def _argument_attributes(jaxpr, donated, replicated, aliases):
    """The text of the attributes of each argument."""
    n = len(jaxpr.invars)
    chosen = frozenset(i for i, given in enumerate(donated) if given)
    texts = [[] for _ in range(n)]
    _, donations = plan_donation(jaxpr, [True] * n, chosen)
    for text, donation in zip(texts, donations or ()):
        if donation:
            text.append(donation)
    for text, result in zip(texts, aliases or ()):
        if result is not None:
            text.append(f"tf.aliasing_output = {int(result)} : i32")
    for text, same in zip(texts, replicated or ()):
        if same:
            text.append("mhlo.is_same_data_across_replicas = true")
    return [", ".join(text) for text in texts]


def _text(name, closed, platforms, attributes, result_attributes, parameters):
    writer = LoweringContext(platforms[0])
    from cyxla.interpreters.mlir import text_rule

    for primitive, rule in getattr(parameters, "override_lowering_rules", None) or ():
        writer.overrides[primitive] = text_rule(primitive, rule)
    if len(platforms) > 1:
        main = writer.function_by_platform(closed, platforms, attributes, result_attributes)
    else:
        # Private functions are those that take the token of ordered effects.
        visibility = "private" if is_ordered(closed) else "public"
        main = writer.function(closed, "main", visibility, attributes, result_attributes)
    return f"module @{valid_name(name)} {{\n{main}{''.join(writer.functions)}}}\n", writer


def _finish(module, num_partitions, arg_names, n_in):
    ir = _mlir.ir
    with module.context:
        attribute = ir.Attribute.parse
        module.operation.attributes["mhlo.num_partitions"] = attribute(f"{int(num_partitions)} : i32")
        module.operation.attributes["mhlo.num_replicas"] = attribute("1 : i32")
        main = _mlir.functions(module)[0]
        main.attributes["sym_visibility"] = ir.StringAttr.get("public")
        if arg_names is not None:
            extra = len(main.entry_block.arguments) - n_in
            _mlir.name_arguments(main, [*[""] * extra, *arg_names])
    module.operation.verify()
