"""`precompile`: many programs compiled at once, over threads, before they are first called."""

import os

from cyxla._core.config import config
from cyxla._engine.array import Array
from cyxla._engine.dispatch import JitFunction
from cyxla._transform.stages import Lowered, Traced


class _Job:
    """One program to compile, and the entries of jitted functions that wait for it."""

    def __init__(self, name, program, target, committed, options):
        self.name = name
        self.entries = []
        self.program = program
        self.target = target
        self.committed = committed
        self.options = options
        self.run_natively = config.cyxla_native

    def key(self):
        """What equal programs have in common; None where they cannot be told to be equal."""
        program = self.program
        if program.constants:
            return None
        options = tuple(sorted(self.options.items())) if self.options else ()
        return (program.text, program.avals_out, program.kept, program.donated, self.target, self.committed, options)

    def run(self):
        executable = self.program.compile(
            self.target, committed=self.committed, compiler_options=self.options, run_natively=self.run_natively
        )
        for entry in self.entries:
            # A call in another thread may have been faster; what it compiled may be running.
            if entry.references is not None:
                entry.references.executables.setdefault(self.target if self.committed else None, executable)
            elif entry.executable is None:
                entry.executable = executable


def _resolve(item):
    """`(entry, spec, device)` of an item of the list; traces what is new. The device is that of committed arguments."""
    if isinstance(item, Lowered):
        item = item._traced
    if isinstance(item, Traced):
        return item._entry, item._spec, None
    jitted, *args = item
    leaves, avals, in_tree, static = jitted.spec.flatten(jitted, args, {})
    device = None
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, Array):
            avals[i] = leaf
            if leaf.committed:
                device = leaf.device
    return jitted.entry_for(avals, in_tree, static), jitted.spec, device


def _check(item):
    if isinstance(item, (Traced, Lowered)):
        return item._spec.name
    if not isinstance(item, (tuple, list)) or not item:
        raise TypeError(
            f"precompile takes a list of tuples (function, *arguments) or of what a jitted function's trace or lower "
            f"returned; one item is {item!r:.200}"
        )
    if not isinstance(item[0], JitFunction):
        raise TypeError(
            f"precompile takes jitted functions, as their programs are kept with them; got {item[0]!r:.200}: wrap it "
            "by cyxla.jit, and call what that returns"
        )
    return item[0].spec.name


def precompile(programs, *, threads=None):
    """Compiles jitted functions for given arguments, several at once, so that their first calls need not.

    Tracing and lowering happen here, compilation over `threads` threads (as many as there are CPUs to run on, unless
    told); equal programs are compiled once, and those compiled already not again. Afterwards a call with arguments of
    these shapes and dtypes runs at once.

    Args:
      programs: a list of `(function, *arguments)`: a function returned by `jit`, and arrays or `ShapeDtypeStruct`s, in
        any containers, static arguments as they are. For keyword arguments, `function.trace(*args, **kwargs)` takes
        the tuple's place.
      threads: how many programs are compiled at the same time.

    Raises TypeError for what is no jitted function. An error in one program keeps no other from being compiled: it is
    raised at the end with a note that names the function; several as an ExceptionGroup.

    >>> import cyxla, cyxla.numpy as jnp
    >>> f = cyxla.jit(lambda x: jnp.sum(x * x))
    >>> g = cyxla.jit(lambda x, n: x * n, static_argnames="n")
    >>> x = cyxla.ShapeDtypeStruct((3,), jnp.float32)
    >>> cyxla.precompile([(f, x), g.trace(x, n=2)])
    >>> print(f(jnp.ones(3)), g(jnp.ones(3), n=2))
    3.0 [2. 2. 2.]
    """
    # Takes as long to load as a tenth of the package.
    from concurrent.futures import ThreadPoolExecutor

    from cyxla._runtime import backend

    programs = list(programs)
    names = [_check(item) for item in programs]
    errors = []
    jobs, by_entry, by_key = [], {}, {}
    for item, name in zip(programs, names):
        try:
            entry, spec, device = _resolve(item)
            if entry.executable is not None or entry in by_entry:
                continue
            chosen = spec.device if spec.device is not None else device
            target = chosen if chosen is not None else backend.default_device()
            job = _Job(name, spec.program(entry, target), target, chosen is not None, spec.compiler_options)
        except Exception as error:
            errors.append(_named(error, name))
            continue
        key = job.key()
        if key is not None:
            job = by_key.setdefault(key, job)
        if not job.entries:
            jobs.append(job)
        job.entries.append(entry)
        by_entry[entry] = job
    if threads is None:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads < 1:
        raise ValueError(f"precompile: threads={threads} is less than one")
    with ThreadPoolExecutor(min(threads, len(jobs)) or 1, "precompile") as pool:
        futures = [pool.submit(job.run) for job in jobs]
    errors += [_named(future.exception(), job.name) for job, future in zip(jobs, futures) if future.exception()]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup(f"precompile: {len(errors)} of {len(programs)} programs failed", errors)


def _named(error, name):
    error.add_note(f"This happened in precompile, for the jitted function {name}.")
    return error
