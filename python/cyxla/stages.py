"""The stages of compilation: what `jit(f).trace`, `.lower` and `.compile` return."""

from cyxla._transform.stages import ArgInfo, Compiled, CompilerParams, Lowered, OutInfo, Stage, Traced
from cyxla._transform.jit import JitFunction as Wrapped

__all__ = ["ArgInfo", "Compiled", "CompilerParams", "Lowered", "OutInfo", "Stage", "Traced", "Wrapped"]
