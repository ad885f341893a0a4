"""The stages of a compilation, for those who take them one at a time: `Traced`, `Lowered`, `Compiled`."""

from cyxla._engine.array import asarray, typeof
from cyxla._engine.boundary import api_boundary
from cyxla._engine.core import ClosedJaxpr, Tracer
from cyxla._engine.pytree import tree_flatten, tree_unflatten
from cyxla._transform.shapes import ShapeDtypeStruct

__all__ = ["ArgInfo", "ClosedJaxpr", "Compiled", "CompilerParams", "Lowered", "OutInfo", "Stage", "Traced"]


class ArgInfo:
    """Abstract value of one argument, and whether it is donated."""

    __slots__ = ("_aval", "donated")

    def __init__(self, aval, donated=False):
        self._aval = aval
        self.donated = donated

    @property
    def shape(self):
        return self._aval.shape

    @property
    def dtype(self):
        return self._aval.dtype

    def __eq__(self, other):
        return isinstance(other, ArgInfo) and self._aval is other._aval and self.donated == other.donated

    def __hash__(self):
        return hash((self._aval, self.donated))

    def __repr__(self):
        return f"ArgInfo(_aval={self._aval!r}, donated={self.donated})"


OutInfo = ShapeDtypeStruct
CompilerParams = dict


class Stage:
    """What the stages have in common: the structure of arguments and results."""

    @property
    def in_tree(self):
        return self._in_tree

    @property
    def out_tree(self):
        return self._entry.out_tree

    @property
    def args_info(self):
        donated = self._entry.donated or ()
        infos = [ArgInfo(aval, i in donated) for i, aval in enumerate(self._avals)]
        return tree_unflatten(self._in_tree, infos)

    @property
    def in_avals(self):
        return tree_unflatten(self._in_tree, list(self._avals))

    @property
    def donate_argnums(self):
        return tuple(sorted(self._entry.donated or ()))

    @property
    def out_info(self):
        """The results as `ShapeDtypeStruct`s."""
        outs = [ShapeDtypeStruct.of(aval) for aval in self._entry.closed.out_avals]
        return tree_unflatten(self._entry.out_tree, outs)

    @property
    def out_avals(self):
        return tree_unflatten(self._entry.out_tree, list(self._entry.closed.out_avals))


class Traced(Stage):
    """A function traced for given arguments: `.jaxpr`, and `.lower()` to go on."""

    def __init__(self, spec, entry, in_tree, avals, static):
        self._spec = spec
        self._entry = entry
        self._in_tree = in_tree
        self._avals = avals
        self._static = static

    @property
    def jaxpr(self):
        return self._entry.closed

    @property
    def fun_name(self):
        return self._spec.name

    def lower(self, *, lowering_platforms=None, _private_parameters=None):
        """Lowers to StableHLO, for the platform that the function runs on or for others, such as `("tpu",)`.

        A program for several platforms takes one more argument, ahead of all: the position in `lowering_platforms` of
        the platform that it runs on. It can be looked at, but not compiled here. Raises NotImplementedError where an
        operation has no lowering rule for one of the platforms.
        """
        return Lowered(self, self._spec.program(self._entry, platforms=_checked_platforms(lowering_platforms)))


def _checked_platforms(platforms):
    """A tuple of platforms, None for none."""
    if platforms is None:
        return None
    if isinstance(platforms, str) or not all(isinstance(name, str) for name in platforms):
        raise TypeError(
            "lower: lowering_platforms is a tuple of names of platforms, such as ('cpu', 'tpu'); "
            f"got {platforms!r:.200}"
        )
    from cyxla._runtime import backend

    # Programs differ by maker: "gpu" is the one that is present.
    return tuple(backend.get_client(name).platform if name == "gpu" else name for name in platforms) or None


class Lowered(Stage):
    """A function lowered to StableHLO: `.as_text()`, and `.compile()` to go on."""

    def __init__(self, traced, program):
        self._traced = traced
        self._spec = traced._spec
        self._entry = traced._entry
        self._in_tree = traced._in_tree
        self._avals = traced._avals
        self._program = program

    def as_text(self, dialect=None, *, debug_info=False):
        """The program as StableHLO text; `dialect="hlo"` gives unoptimized HLO.

        With `debug_info`, StableHLO operations say which call, in which file and line, they come from.
        """
        if dialect in (None, "stablehlo", "mlir"):
            return self._program.located_text() if debug_info else self._program.text
        if dialect == "hlo":
            from cyxla._runtime import compiler

            return compiler.unoptimized_hlo_text(self._program.text)
        raise ValueError(f"unknown dialect {dialect!r}: choose 'stablehlo' or 'hlo'")

    def compiler_ir(self, dialect=None):
        """The program in a dialect, as text."""
        return self.as_text(dialect)

    def cost_analysis(self):
        """XLA's estimate of the cost of the unoptimized program, by name; None where XLA gives none."""
        from cyxla._runtime import backend, compiler

        device = self._spec.device or backend.default_device()
        return compiler.unoptimized_cost_analysis(self._program.text, device.client)

    def compile(self, compiler_options=None, *, device_assignment=None):
        """Compiles for the default device."""
        options = {**(self._spec.compiler_options or {}), **(compiler_options or {})}
        executable = self._program.compile(self._spec.device, compiler_options=options or None)
        return Compiled(self, executable)


class Compiled(Stage):
    """A compiled function, called with arguments of the structure and types it was compiled for."""

    def __init__(self, lowered, executable):
        self._lowered = lowered
        self._spec = lowered._spec
        self._entry = lowered._entry
        self._in_tree = lowered._in_tree
        self._avals = lowered._avals
        self._executable = executable

    def as_text(self):
        """The optimized HLO."""
        from cyxla._runtime import compiler

        return compiler.hlo_text(self._executable.loaded)

    def cost_analysis(self):
        """XLA's estimate of the cost (flops, bytes accessed...), by name."""
        from cyxla._runtime import compiler

        return compiler.cost_analysis(self._executable.loaded)

    def memory_analysis(self):
        """Sizes in bytes of arguments, results, temporaries and code."""
        from cyxla._runtime import compiler

        return compiler.memory_analysis(self._executable.loaded)

    def runtime_executable(self):
        return self._executable.loaded

    @property
    def execution_path(self):
        """'native' if calls run in the calling thread without PJRT; otherwise 'pjrt: ' and the reason."""
        return self._executable.execution_path

    @property
    def input_shardings(self):
        shardings = [asarray(0).sharding for _ in self._avals]
        return tree_unflatten(self._in_tree, shardings)

    @property
    def output_shardings(self):
        return tree_unflatten(self._entry.out_tree, [asarray(0).sharding for _ in self._entry.closed.out_avals])

    @api_boundary
    def __call__(self, *args, **kwargs):
        leaves, in_tree = tree_flatten((args, kwargs))
        if in_tree != self._in_tree:
            raise TypeError(
                f"{self._spec.name} was compiled for arguments of structure {self._in_tree} and called with {in_tree}; "
                "a compiled function takes no static arguments, they are part of it"
            )
        for i, (leaf, aval) in enumerate(zip(leaves, self._avals)):
            if isinstance(leaf, Tracer):
                raise TypeError(
                    f"{self._spec.name} is compiled and cannot be transformed: it was called with a traced value of "
                    f"type {leaf.aval.str_short()} as argument {i}. Transform the jitted function instead."
                )
            got = typeof(leaf)
            if type(got) is not type(aval) or got.shape != aval.shape or got.dtype != aval.dtype:
                raise TypeError(
                    f"{self._spec.name} was compiled for {aval.str_short()} as argument {i}, and called with "
                    f"{got.str_short()}: convert the argument, or lower and compile again for the new type"
                )
        if self._entry.references is not None:
            outs = self._entry.references.run(self._executable, [asarray(leaf) for leaf in leaves])
        else:
            outs = self._executable.call(leaves)
        return tree_unflatten(self._entry.out_tree, outs)

    call = __call__
