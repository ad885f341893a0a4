"""Where in the user's program operations come from, and under which names."""

import os
from contextlib import ContextDecorator

from cyxla._core.equations import NameStack, SourceInfo
from cyxla._engine.source import exclude_directory, user_frame
from cyxla._transform.names import current_scope, named_scope, set_scope


def new_name_stack(name=""):
    """A stack of one name, or none."""
    return NameStack((name,)) if name else NameStack()


def current_name_stack():
    """The names that operations of this thread are marked with now."""
    return NameStack.of(current_scope())


def current():
    """Where the caller's operations come from."""
    return SourceInfo(user_frame(), current_name_stack())


def new_source_info():
    """A source that says nothing."""
    return SourceInfo(None, NameStack())


def summarize(source_info, num_frames=1):
    """A source as `file:line (function)`."""
    if source_info.traceback is None:
        return "unknown"
    file, line, function = source_info.traceback
    return f"{file}:{line} ({function})"


def register_exclusion(path):
    """Takes the files below a path for library code, which operations are not attributed to."""
    exclude_directory(path if os.path.isdir(path) else os.path.dirname(os.path.abspath(path)))


class extend_name_stack(ContextDecorator):
    """Context manager: marks operations with one more name."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.prev = SourceInfo(None, current_name_stack())
        self._scope = named_scope(self._mark())
        self._scope.__enter__()
        return current_name_stack()

    def __exit__(self, *exc):
        return self._scope.__exit__(*exc)

    def _mark(self):
        return self.name


class transform_name_stack(extend_name_stack):
    """Context manager: marks operations with the name of a transformation."""

    def _mark(self):
        return f"{self.name}()"


class set_name_stack(ContextDecorator):
    """Context manager: marks operations with the names of a stack instead of the current ones."""

    def __init__(self, name_stack):
        self.name_stack = name_stack

    def __enter__(self):
        self.prev = SourceInfo(None, current_name_stack())
        self._previous = set_scope(str(self.name_stack) or None)

    def __exit__(self, *exc):
        set_scope(self._previous)


class reset_name_stack(set_name_stack):
    """Context manager: marks operations with no names."""

    def __init__(self):
        super().__init__(NameStack())


class user_context(ContextDecorator):
    """Context manager for the evaluation of an equation: takes over the names of its source."""

    def __init__(self, traceback, *, name_stack=None):
        self.traceback, self.name_stack = traceback, name_stack

    def __enter__(self):
        self.prev = SourceInfo(None, current_name_stack())
        self._names = None if self.name_stack is None else set_name_stack(self.name_stack)
        if self._names is not None:
            self._names.__enter__()

    def __exit__(self, *exc):
        if self._names is not None:
            self._names.__exit__(*exc)
