"""Programs that call Python functions: how they are compiled, and in which order they run.

XLA knows the functions by their index. A program whose effects somebody may wait for leaves a token behind; one with
ordered effects starts when the last such program of its thread has finished.
"""

import atexit
import collections
import contextlib
import threading

# A custom call to a Python function, as the lowering writes it, and what it is called elsewhere than on CPU.
TARGET = "xla_ffi_python_cpu_callback"
_TARGETS = {"cuda": "xla_ffi_python_gpu_callback", "rocm": "xla_ffi_python_gpu_callback"}
# Tokens that are kept before the oldest is waited for.
_MOST_TOKENS = 64

_lock = threading.Lock()
_tokens: collections.deque = collections.deque()
_failures: list = []
_thread = threading.local()


def module(text, platform):
    """A StableHLO text as an MLIR module: the only form in which jaxlib takes programs with callbacks."""
    from . import xla

    if platform in _TARGETS:
        text = text.replace(f"@{TARGET}(".encode(), f"@{_TARGETS[platform]}(".encode())
    return xla.parse_module(text)


def tracked(execute, ordered):
    """The first step of a call, for a program with effects: it keeps the token of each run."""

    def run(buffers):
        if ordered:
            wait_for_ordered()
        results = execute(buffers, True)
        _keep(results.consume_token(), ordered)
        return results

    return run


def _keep(token, ordered):
    if ordered:
        _thread.last = token
    with _lock:
        _tokens.append(token)
        oldest = _tokens.popleft() if len(_tokens) > _MOST_TOKENS else None
    if oldest is not None:
        _wait(oldest)


def _wait(token):
    from . import xla

    try:
        token.block_until_ready()
    except xla.JaxRuntimeError as error:
        _failures.append(error)


def wait_for_ordered():
    """Waits for the last program with ordered effects that this thread has started."""
    token = getattr(_thread, "last", None)
    if token is None:
        return
    _thread.last = None
    from . import xla

    # Whoever reads the results, or waits for all effects, is told of errors.
    with contextlib.suppress(xla.JaxRuntimeError):
        token.block_until_ready()


def effects_barrier():
    """Waits until the effects of all programs that were started have happened: prints, callbacks.

    Raises JaxRuntimeError where one of them failed.

    >>> import cyxla
    >>> cyxla.jit(lambda x: cyxla.debug.print("x is {}", x))(1.0)
    x is 1.0
    >>> cyxla.effects_barrier()
    """
    while True:
        with _lock:
            token = _tokens.popleft() if _tokens else None
        if token is None:
            break
        _wait(token)
    if _failures:
        failure = _failures[0]
        _failures.clear()
        raise failure


# Otherwise what programs still have to print would be lost with the interpreter.
atexit.register(effects_barrier)
