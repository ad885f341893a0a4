"""Names for parts of a program: `named_scope`, `named_call`."""

import functools
import threading
from contextlib import contextmanager

from cyxla._engine.staging import install_name_stack

_scopes = threading.local()


def current_scope():
    """The scopes of this thread as one path, or None outside of any."""
    return getattr(_scopes, "path", None)


def set_scope(path):
    """Replaces the scopes of this thread; returns those before."""
    outer = current_scope()
    if not hasattr(_scopes, "path"):
        install_name_stack(current_scope)
    _scopes.path = path
    return outer


@contextmanager
def named_scope(name):
    """Marks the operations of a block (or, as a decorator, of a function) with a name.

    >>> import cyxla, cyxla.numpy as jnp
    >>> with cyxla.named_scope("layer"):
    ...     y = jnp.ones(2) + 1
    """
    if not isinstance(name, str):
        raise TypeError(f"named_scope takes a string, got {name!r:.200} of type {type(name).__name__}")
    outer = current_scope()
    set_scope(name if outer is None else f"{outer}/{name}")
    try:
        yield
    finally:
        _scopes.path = outer


def named_call(fun=None, *, name=None):
    """A function whose operations are marked with a name, its own unless given."""
    if fun is None:
        return functools.partial(named_call, name=name)

    @functools.wraps(fun)
    def named(*args, **kwargs):
        with named_scope(name or getattr(fun, "__name__", "fn")):
            return fun(*args, **kwargs)

    return named
