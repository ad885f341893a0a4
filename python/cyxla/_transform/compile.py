"""From a closed jaxpr to an `Executable`: dead code removed, lowered to StableHLO, compiled by XLA."""

import logging
import time

from cyxla._core.config import config
from cyxla._engine import dispatch
from cyxla._engine.core import ClosedJaxpr, Jaxpr, Var
from cyxla._engine.dtypes import float0
from cyxla._engine.lowering import lower_module
from cyxla._engine.staging import dce_jaxpr
from cyxla._transform import records
from cyxla._transform.effects import check_lowerable, is_ordered

logger = logging.getLogger("cyxla")


# Given by the layer that knows the operations on references, which is loaded with the first of them.
_has_references = None  # whether effects are of references
_without_references = None  # (closed jaxpr) -> the same without the references that it makes


def install_discharge(has_references, without_references):
    """What replaces references by values before a program is lowered."""
    global _has_references, _without_references
    _has_references, _without_references = has_references, without_references


class Program:
    """A lowered program: its StableHLO text and what is needed to compile and call it."""

    __slots__ = (
        "_closed",
        "_options",
        "avals_in",
        "avals_out",
        "callbacks",
        "constants",
        "donated",
        "effects",
        "kept",
        "name",
        "record",
        "text",
    )

    def __init__(self, closed, name, *, donated=(), keep_unused=False, device=None, platforms=None, record=None):
        """A program for `platforms`, by default that of the device (None: of the default device).

        `record` is where it is noted what the program costs.
        """
        from cyxla._runtime import backend

        start = time.perf_counter()
        closed = ready_to_lower(closed, name)
        jaxpr = closed.jaxpr
        jaxpr, used = dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars), keep_unused)
        self.kept = None if all(used) else tuple(i for i, u in enumerate(used) if u)
        pairs = []
        if jaxpr.constvars:
            live = {v for eqn in jaxpr.eqns for v in eqn.invars if type(v) is Var}
            live.update(v for v in jaxpr.outvars if type(v) is Var)
            pairs = [(v, c) for v, c in zip(jaxpr.constvars, closed.consts) if v in live]
            jaxpr = Jaxpr([v for v, _ in pairs], jaxpr.invars, jaxpr.outvars, jaxpr.eqns)
        self.donated, attributes = plan_donation(jaxpr, used, donated)
        self.name = name
        self.record = record
        self.avals_in = tuple(v.aval for v in jaxpr.invars)
        self.avals_out = tuple(v.aval for v in jaxpr.outvars)
        # That an equation refers to a named axis, for one, is nothing that happens when the program runs.
        self.effects = [effect for effect in jaxpr.effects if getattr(effect, "observable", False)]
        self._closed = ClosedJaxpr(jaxpr, [c for _, c in pairs])
        self._options = {"platforms": platforms or (backend.lowering_platform(device),), "arg_attributes": attributes}
        self.text, self.constants, self.callbacks = lower_module(
            self._closed, f"jit_{module_name(name)}", **self._options
        )
        seconds = time.perf_counter() - start
        dispatch.count("lower_s", seconds)
        if record is not None:
            record.lower_s += seconds
        log_compile("Lowered %s to StableHLO in %.6f s", name, seconds)

    @property
    def platforms(self):
        """The platforms that the program is for."""
        return self._options["platforms"]

    def located_text(self):
        """The StableHLO text in which operations say which call, in which file and line, they come from."""
        text, _, _ = lower_module(
            self._closed, f"jit_{module_name(self.name)}", **self._options, scope=f"jit({self.name})"
        )
        return text

    def compile(self, device, *, committed=False, small=None, compiler_options=None, run_natively=None):
        """The program as an `Executable` on a device (None: the default device).

        `small=False` keeps it from being compiled by the options that halve XLA's fixed cost for small programs.
        `run_natively` overrides the option `cyxla_native`: options are those of a thread, compilation may be another's.
        """
        from cyxla._runtime import backend, callbacks, compiler, execute, native

        if len(self.platforms) > 1:
            raise ValueError(
                f"{self.name} was lowered for the platforms {', '.join(self.platforms)}, of which one is chosen where "
                "the program is loaded: lower it for one of them to compile it here"
            )
        start = time.perf_counter()
        if run_natively is None:
            run_natively = config.cyxla_native
        types = ", ".join(aval.str_short() for aval in self.avals_in)
        log_compile("Compiling %s for arguments of types (%s)", self.name, types)
        target = device if device is not None else backend.default_device()
        loaded = compiler.compile(self.text, [target], compiler_options, small=small, host_callbacks=self.callbacks)
        runner = execute.prepare(loaded, [aval.physical() for aval in self.avals_out], target)
        if self.effects:
            runner.execute = callbacks.tracked(runner.execute, any(map(is_ordered, self.effects)))
        program = native.prepare(
            loaded,
            target,
            [aval.physical() for aval in (*(c.aval for c in self.constants), *self.avals_in)],
            [aval.physical() for aval in self.avals_out],
            # float0 results are made by the caller, from nothing.
            enabled=run_natively and all(aval.dtype != float0 for aval in self.avals_out),
            calls_python=bool(self.callbacks),
        )
        dispatch.count("compilations", 1)
        dispatch.count("native", int(not isinstance(program, str)))
        seconds = time.perf_counter() - start
        dispatch.count("compile_s", seconds)
        log_compile("Compiled %s by XLA in %.6f s", self.name, seconds)
        executable = dispatch.Executable(
            runner,
            loaded,
            self.avals_out,
            target,
            committed=committed,
            constants=self.constants,
            kept=self.kept,
            donated=self.donated,
            native=program,
        )
        if self.record is not None:
            executable.tally = self.record.tally
            self.record.compiled(seconds, executable.execution_path)
        return executable


def ready_to_lower(closed, name):
    """The program without the references that it makes; ValueError where it has effects that cannot be lowered."""
    if closed.jaxpr.effects:
        if _has_references is not None and _has_references(closed.jaxpr.effects):
            closed = _without_references(closed)
        check_lowerable(closed.jaxpr.effects, name)
    return closed


def log_compile(message, *args):
    """Logs a step of a compilation: as a warning with `jax_log_compiles`, otherwise for debugging."""
    logger.log(logging.WARNING if config.jax_log_compiles else logging.DEBUG, message, *args)


def module_name(name):
    return "".join(c if (c.isalnum() and c.isascii()) or c == "_" else "_" for c in name) or "fn"


def plan_donation(jaxpr, used, donated):
    """Which donated inputs can give their buffer to which output; the attributes that say so in the module.

    Returns the indices of all donated inputs among the original arguments (their arrays are dead after the call) and
    one attribute text per input of the jaxpr.
    """
    if not donated:
        return (), None
    kept = [i for i, u in enumerate(used) if u]
    free = {}
    for position, var in enumerate(jaxpr.outvars):
        free.setdefault((var.aval.shape, var.aval.code), []).append(position)
    attributes = []
    unusable = []
    for index, var in zip(kept, jaxpr.invars):
        text = ""
        if index in donated:
            outputs = free.get((var.aval.shape, var.aval.code))
            if outputs:
                text = f"tf.aliasing_output = {outputs.pop(0)} : i32"
            else:
                unusable.append(var.aval)
        attributes.append(text)
    if unusable:
        import warnings

        listed = ", ".join(aval.str_short() for aval in unusable)
        warnings.warn(
            f"the donation of {listed} has no effect: no result of that shape and dtype is left to reuse the memory",
            stacklevel=2,
        )
    return tuple(sorted(donated)), attributes


def compile_closed(closed, name, device, **options):
    """Lowers and compiles a jaxpr of one operation."""
    small = options.pop("small", None)
    committed = options.pop("committed", device is not None)
    compiler_options = options.pop("compiler_options", None)
    program = Program(closed, name, device=device, record=records.operation(closed.jaxpr, device), **options)
    return program.compile(device, committed=committed, small=small, compiler_options=compiler_options)


dispatch.install_compiler(compile_closed)
