"""Calls of jaxlib's LAPACK kernels, as StableHLO text.

The kernels take matrices in column-major order, with any number of leading batch dimensions, and return LAPACK's `info`
for each matrix: 0 where all went well.
"""

from __future__ import annotations

from cyxla._engine.aval import shaped_array
from cyxla._engine.dtypes import dtype_code
from cyxla.lax._util import BOOL, compare_type, short, with_shape

INT32 = dtype_code("int32")
PREFIXES = {dtype_code(t): p for t, p in (("float32", "s"), ("float64", "d"), ("complex64", "c"), ("complex128", "z"))}


def check_matrix(name: str, aval, square: bool = False) -> None:
    """TypeError or ValueError for what is not a (square) matrix of a dtype that LAPACK has, or a batch of them."""
    if aval.ndim < 2:
        raise TypeError(f"{name}: a matrix or a batch of matrices is needed, got {short(aval)}")
    if square and aval.shape[-1] != aval.shape[-2]:
        raise ValueError(f"{name}: a square matrix is needed, got {short(aval)}")
    if aval.code not in PREFIXES:
        raise TypeError(
            f"{name}: only float32, float64, complex64 and complex128 matrices are supported, got {short(aval)}; "
            "convert it "
            "with .astype('float32')"
        )


def info_aval(aval):
    """The aval of `info` for a batch of matrices."""
    return shaped_array(aval.shape[:-2], INT32, False)


def _layout(rank: int, matrix: bool) -> str:
    order = list(range(rank - 1, -1, -1))
    if matrix:
        order[0], order[1] = order[1], order[0]
    return f"dense<{order}> : tensor<{rank}xindex>" if rank else "dense<> : tensor<0xindex>"


def lapack_call(ctx, routine: str, operands, results, *, overwrites=(), **attributes):
    """Writes a call of ``lapack_<type><routine>_ffi`` and returns the names of its results; see `kernel_call`."""
    return kernel_call(
        ctx, f"lapack_{PREFIXES[operands[0][1].code]}{routine}_ffi", operands, results, overwrites, **attributes
    )


def kernel_call(ctx, target: str, operands, results, overwrites=(), **attributes):
    """Writes a call of one of jaxlib's kernels and returns the names of its results.

    Operands are (name, aval) and results avals; a string ``m`` or ``v`` after each says whether it is a matrix or not,
    as that decides on its memory layout. ``overwrites`` lists the operands in whose places the first results are
    written.
    """
    names = ", ".join(name for name, _, _ in operands)
    in_types = ", ".join(aval.mlir for _, aval, _ in operands)
    out_types = ", ".join(aval.mlir for aval, _ in results)
    config = ", ".join(f"{key} = {value}" for key, value in attributes.items())
    fields = [
        "api_version = 4 : i32",
        f"backend_config = {{{config}}}",
        f"operand_layouts = [{', '.join(_layout(aval.ndim, kind == 'm') for _, aval, kind in operands)}]",
        f"result_layouts = [{', '.join(_layout(aval.ndim, kind == 'm') for aval, kind in results)}]",
    ]
    aliases = ", ".join(
        f"#stablehlo.output_operand_alias<output_tuple_indices = {[result] if len(results) > 1 else []}, "
        f"operand_index = {operand}, operand_tuple_indices = []>"
        for result, operand in enumerate(overwrites)
    )
    if aliases:
        fields.append(f"output_operand_aliases = [{aliases}]")
    text = f"stablehlo.custom_call @{target}({names}) {{{', '.join(fields)}}} : ({in_types}) -> "
    if len(results) == 1:
        return [ctx.op(text + out_types)]
    return ctx.op(f"{text}({out_types})", len(results))


def letter(character: str) -> str:
    """A character argument of LAPACK as an attribute."""
    return f"{ord(character)} : ui8"


def nan_where_failed(ctx, info: str, aval_of_info, values, comparison: str = "EQ"):
    """The values (name, aval) with NaN in the place of matrices for which LAPACK reports a failure."""
    zero = ctx.constant(0, aval_of_info)
    flags = shaped_array(aval_of_info.shape, BOOL, False)
    good = ctx.op(
        f"stablehlo.compare {comparison}, {info}, {zero}, {compare_type(aval_of_info)} : "
        f"({aval_of_info.mlir}, {aval_of_info.mlir}) -> {flags.mlir}"
    )
    out = []
    for name, aval in values:
        wide = shaped_array(aval.shape, BOOL, False)
        mask = ctx.broadcast(good, flags, wide, tuple(range(flags.ndim)))
        nan = ctx.constant(float("nan"), with_shape(aval, aval.shape))
        out.append(ctx.op(f"stablehlo.select {mask}, {name}, {nan} : {wide.mlir}, {aval.mlir}"))
    return out
