"""Running a compiled program on buffers.

A call is two steps of jaxlib: `execute_sharded`, which starts the program (3 to 4 us on CPU), and
`consume_with_handlers`, which wraps each result (0.5 us) by a handler that `prepare` makes once for each output.
`disassemble_into_single_device_arrays` would do without handlers, but imports jax at every call.
"""


class Runner:
    """One executable on one device, ready to run.

    `execute(buffers) -> results` and `consume(results, handlers, False) -> list of buffers` are jaxlib's own
    functions, for callers that make the two calls themselves; `run(buffers)` makes both. `target` is what such callers
    put arguments on the device with (`buffers.Target`).
    """

    __slots__ = ("consume", "executable", "execute", "handlers", "run", "target")

    def __init__(self, executable, handlers, consume, target):
        self.executable = executable
        self.target = target
        self.execute = execute = executable.execute_sharded
        self.handlers = handlers
        self.consume = consume
        self.run = lambda arguments: consume(execute(arguments), handlers, False)


def prepare(executable, out_avals, device):
    """A Runner of an executable whose results have the given avals (anything with `shape` and `dtype`)."""
    from . import buffers, xla

    handlers = [xla.result_handler(aval, device) for aval in out_avals]
    return Runner(executable, handlers, xla.jaxlib.ExecuteResults.consume_with_handlers, buffers.target(device))


def run(executable, arguments, out_avals, device):
    """Runs an executable once. For repeated calls keep the Runner that `prepare` returns."""
    return prepare(executable, out_avals, device).run(arguments)
