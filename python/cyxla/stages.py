"""The stages of compilation: what `jit(f).trace`, `.lower` and `.compile` return."""

from cyxla._transform.jit import JitFunction as Wrapped
from cyxla._transform.stages import ArgInfo, Compiled, CompilerParams, Lowered, OutInfo, Stage, Traced

CompilerOptions = dict[str, str | bool]

__all__ = [
    "ArgInfo",
    "Compiled",
    "CompilerOptions",
    "CompilerParams",
    "Lowered",
    "OutInfo",
    "Stage",
    "Traced",
    "Wrapped",
]
