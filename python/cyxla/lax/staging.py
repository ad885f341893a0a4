"""Operations that concern programs rather than values: tokens, values to be kept, values to be staged."""

import numpy as np

from cyxla._core.extended import ExtendedDType, extended
from cyxla._engine.aval import shaped_array
from cyxla._engine.core import Primitive
from cyxla._engine.dtypes import dtype_code, register_extended
from cyxla._engine.pytree import tree_leaves
from cyxla._transform.effects import Effect, lowerable_effects
from cyxla.lax._util import as_operand, batch_unary, check_arrays

# ---- tokens


class token(extended):
    """The scalar type of tokens."""


class TokenType(ExtendedDType):
    """The dtype of tokens: values without content, that computations depend on for the sake of their order."""

    type = token
    name = "token"
    physical_shape = (0,)
    physical_dtype = np.dtype(np.bool_)
    itemsize = 0


TOKEN = TokenType()
register_extended(TOKEN, TOKEN.name)
_TOKEN_AVAL = shaped_array((), dtype_code(TOKEN), False)


def _new_token(ctx, aval):
    return ctx.op(f"stablehlo.constant dense<> : {aval.mlir}")


create_token_p = Primitive(
    "create_token",
    abstract=lambda: _TOKEN_AVAL,
    lower=lambda ctx: _new_token(ctx, ctx.avals_out[0]),
    differentiable=False,
)


def create_token(_=None):
    """A token on which nothing depends yet; the argument is ignored.

    >>> from cyxla import lax
    >>> lax.create_token().dtype
    token
    """
    return create_token_p.bind()


def _after_all_abstract(*avals):
    for aval in avals:
        if aval.code != _TOKEN_AVAL.code:
            raise TypeError(f"after_all: arguments must be tokens, as create_token makes them; got {aval.str_short()}")
    return _TOKEN_AVAL if not avals else max(avals, key=lambda aval: aval.ndim)


def _after_all_lower(ctx, *names):
    if not names:
        return _new_token(ctx, ctx.avals_out[0])
    outs = ctx.op(
        f"stablehlo.optimization_barrier {', '.join(names)} : {', '.join(a.mlir for a in ctx.avals_in)}", len(names)
    )
    return outs if len(names) == 1 else outs[ctx.avals_in.index(ctx.avals_out[0])]


def _after_all_batch(args, dims):
    return after_all_p.bind(*args), next(d for d in dims if d is not None)


after_all_p = Primitive(
    "after_all",
    abstract=_after_all_abstract,
    lower=_after_all_lower,
    batch=_after_all_batch,
    differentiable=False,
)


def after_all(*operands):
    """A token that depends on all of several tokens. TypeError for other arguments.

    >>> from cyxla import lax
    >>> lax.after_all(lax.create_token(), lax.create_token()).shape
    ()
    """
    check_arrays("after_all", *operands)
    return after_all_p.bind(*map(as_operand, operands))


# ---- values that are to be kept


def _sink_lower(ctx, x, *, prevent_mlir_dce):
    if prevent_mlir_dce:
        aval = ctx.avals_in[0]
        layout = f"dense<[{', '.join(map(str, reversed(range(aval.ndim))))}]>" if aval.ndim else "dense<>"
        ctx.op(
            f"stablehlo.custom_call @dce_sink({x}) {{has_side_effect = true, mhlo.backend_config = {{}}, "
            f"operand_layouts = [{layout} : tensor<{aval.ndim}xindex>], result_layouts = []}} : ({aval.mlir}) -> ()",
            0,
        )
    return []


def _sink_jvp(primals, tangents, **params):
    dce_sink_p.bind(*primals, **params)
    return [], []


def _sink_batch(args, dims, **params):
    dce_sink_p.bind(*args, **params)
    return [], []


class SinkEffect(Effect):
    """A value is used up, so that what computes it stays."""

    observable = False


lowerable_effects.add_type(SinkEffect)
_SINK_EFFECTS = frozenset({SinkEffect()})

dce_sink_p = Primitive(
    "dce_sink",
    multiple_results=True,
    abstract=lambda aval, **params: [],
    impl=lambda x, **params: [],
    lower=_sink_lower,
    jvp=_sink_jvp,
    batch=_sink_batch,
    effects=lambda **params: _SINK_EFFECTS,
)


def dce_sink(val, *, prevent_mlir_dce=False):
    """Keeps the computation of a tree of arrays in the jaxpr although nothing uses the values.

    With `prevent_mlir_dce` it stays in the compiled program too.
    """
    for leaf in tree_leaves(val):
        check_arrays("dce_sink", leaf)
        dce_sink_p.bind(as_operand(leaf), prevent_mlir_dce=bool(prevent_mlir_dce))


# ---- values that are to be staged

stage_p = Primitive(
    "stage",
    abstract=lambda aval: aval,
    impl=lambda x: x,
    lower=lambda ctx, x: x,
    linear=True,
    transpose=lambda ct, x: [ct],
)
stage_p.batch = batch_unary(stage_p)


def stage(x, /):
    """x as a value of the program that is being traced, such as that of a jitted function; x itself outside of one.

    What is computed from a constant in a traced function is computed in the program anyway; `stage` makes its value
    unknown to Python code too.

    >>> from cyxla import lax
    >>> lax.stage(2.0)
    Array(2., dtype=float32, weak_type=True)
    """
    check_arrays("stage", x)
    return stage_p.bind(as_operand(x))
