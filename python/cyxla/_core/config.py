"""Configuration: `config`, and the context managers that override one option in the current thread.

The values live in the engine (cyxla._engine.config), which reads the hot ones as C integers.

    >>> from cyxla._core.config import config, enable_x64
    >>> config.jax_enable_x64
    False
    >>> with enable_x64(True):
    ...     config.jax_enable_x64
    True
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cyxla._core.options import ROWS, Row
from cyxla._engine import config as engine
from cyxla._engine.config import Override
from cyxla._runtime.options import options as runtime_options

TRUE_WORDS = ("y", "yes", "t", "true", "on", "1")
FALSE_WORDS = ("n", "no", "f", "false", "off", "0")
NO_VALUE = object()


def parse_bool(word: str, what: str) -> bool:
    lowered = word.lower()
    if lowered in TRUE_WORDS:
        return True
    if lowered in FALSE_WORDS:
        return False
    raise ValueError(f"{what} must be a truth value such as 'true' or '0', but is {word!r}")


class Option:
    """One option. Calling it gives a context manager, also usable as a decorator, that overrides it in this thread.

    Without an argument, options that are on or off are switched on.
    """

    def __init__(self, row: Row) -> None:
        self.name = row.name
        self.row = row
        self.__doc__ = row.doc
        self._hooks: list[Callable[[Any], None]] = []
        self.number = engine.define(row.name, self._initial(), row.key)

    def _initial(self) -> Any:
        variable = self.name.upper()
        word = os.environ.get(variable)
        if word is None:
            return self.row.default
        kind = self.row.type
        if kind is bool:
            return parse_bool(word, f"the environment variable {variable}")
        try:
            return self.check(kind(word) if kind in (int, float) else word)
        except ValueError as error:
            raise ValueError(f"The environment variable {variable} has an invalid value: {error}") from None

    def check(self, value: Any) -> Any:
        """The value as it is stored; ValueError if the option cannot have it."""
        kind = self.row.type
        if value is None and self.row.optional:
            return None
        if kind is bool:
            return parse_bool(value, self.name) if isinstance(value, str) else bool(value)
        if kind is float and isinstance(value, int):
            return float(value)
        if kind in (int, float, str):
            if isinstance(value, kind):
                return value
            expected = f"of type {kind.__name__}"
        elif kind == "device":
            if isinstance(value, str) or hasattr(value, "platform"):
                return value
            expected = "a device (such as devices('cpu')[0]) or the name of a platform (such as 'cpu')"
        elif isinstance(kind[0], type):
            if isinstance(value, kind):
                return value
            expected = f"of type {' or '.join(t.__name__ for t in kind)}"
        else:
            word = getattr(value, "value", value)  # enumerations whose members are such words
            if isinstance(word, str) and word in kind:
                return word
            expected = f"one of {', '.join(map(repr, kind))}"
        or_none = " or None" if self.row.optional else ""
        raise ValueError(f"{self.name} must be {expected}{or_none}, but got {value!r} of type {type(value).__name__}")

    @property
    def value(self) -> Any:
        """The value that holds in this thread."""
        return engine.get(self.number)

    def get_global(self) -> Any:
        """The value that holds in threads that do not override the option."""
        return engine.get_global(self.number)

    def set_global(self, value: Any) -> None:
        """Sets the value for all threads that do not override it."""
        value = self.check(value)
        engine.set_global(self.number, freeze(value))
        for hook in self._hooks:
            hook(value)

    def on_update(self, hook: Callable[[Any], None]) -> None:
        """Calls `hook(value)` now and whenever the global value is set."""
        self._hooks.append(hook)
        hook(self.get_global())

    def __call__(self, new_val: Any = NO_VALUE) -> Override:
        if new_val is NO_VALUE:
            if self.row.type is not bool:
                raise TypeError(f"the context manager of {self.name} needs the new value as its argument")
            new_val = True
        return Override(((self.number, freeze(self.check(new_val))),))

    def __bool__(self) -> bool:
        raise TypeError(f"{self.name} is an option, which is neither true nor false: its value is `.value`")

    def __repr__(self) -> str:
        return f"<option {self.name}={self.value!r}>"


class FrozenOptions(dict):  # type: ignore[type-arg]
    """A dictionary as the value of an option: never changed, therefore hashable."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(sorted(map(repr, self.items()))))


def freeze(value: Any) -> Any:
    return FrozenOptions(value) if type(value) is dict else value


class Values(Mapping[str, Any]):
    """Read-only view of all options' values."""

    def __getitem__(self, name: str) -> Any:
        return OPTIONS[name].value

    def __iter__(self) -> Iterator[str]:
        return iter(OPTIONS)

    def __len__(self) -> int:
        return len(OPTIONS)


class Config:
    """All options as attributes, read-only: `update` sets them.

    >>> config.jax_numpy_rank_promotion
    'allow'
    """

    def __init__(self) -> None:
        object.__setattr__(self, "values", Values())
        object.__setattr__(self, "use_absl", False)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"there is no configuration option {name!r}{suggestion(name)}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in OPTIONS:
            raise AttributeError(f"options are set by update: config.update({name!r}, {value!r})")
        raise AttributeError(f"there is no configuration option {name!r}{suggestion(name)}")

    def __repr__(self) -> str:
        changed = [f"{o.name}={o.value!r}" for o in OPTIONS.values() if o.value != o.row.default]
        return f"<configuration: {', '.join(changed) or 'all defaults'}>"

    def update(self, name: str, val: Any) -> None:
        """Sets an option for all threads.

        Args:
          name: the option's name, such as 'jax_enable_x64'.
          val: the new value.

        Raises:
          AttributeError: there is no such option.
          ValueError: the option cannot have that value.
        """
        find(name).set_global(val)

    def read(self, name: str) -> Any:
        """The value of an option; AttributeError if there is none of that name."""
        return find(name).value

    @property
    def x64_enabled(self) -> bool:
        """Whether 64-bit dtypes are enabled in this thread."""
        return OPTIONS["jax_enable_x64"].value

    @property
    def meta(self) -> dict[str, Row]:
        """The rows of the table of options by name."""
        return {name: option.row for name, option in OPTIONS.items()}

    def add_option(self, name: str, holder: Any, opt_type: Any, meta_args: Any = (), meta_kwargs: Any = None) -> None:
        """Adds an option with the type and the present value of `holder`."""
        if name in OPTIONS:
            raise ValueError(f"there is an option {name!r} already")
        doc = f"Option {name}, added at run time."
        add(Option(Row(name, holder.value, opt_type, optional=True, doc=doc)))

    def config_with_absl(self) -> None:
        """Defines an absl flag for every option; values given on the command line are taken over when it is parsed."""
        from absl import app, flags

        object.__setattr__(self, "use_absl", True)
        for option in OPTIONS.values():
            kind, doc = option.row.type, option.row.doc
            if option.name in flags.FLAGS:
                continue
            if kind is bool:
                flags.DEFINE_bool(option.name, option.value, doc)
            elif kind is int:
                flags.DEFINE_integer(option.name, option.value, doc)
            elif kind is float:
                flags.DEFINE_float(option.name, option.value, doc)
            elif isinstance(kind, tuple) and isinstance(kind[0], str):
                flags.DEFINE_enum(option.name, option.value, list(kind), doc)
            else:
                flags.DEFINE_string(option.name, option.value, doc)
        app.call_after_init(lambda: self.complete_absl_config(flags))

    def complete_absl_config(self, absl_flags: Any) -> None:
        """Takes over the flags that the command line set."""
        for name in OPTIONS:
            if name in absl_flags.FLAGS and absl_flags.FLAGS[name].present:
                self.update(name, absl_flags.FLAGS[name].value)

    def parse_flags_with_absl(self) -> None:
        """Reads options from the command line, leaving what absl does not know of to the program."""
        from absl import flags

        if not self.use_absl:
            self.config_with_absl()
            flags.FLAGS(sys.argv, known_only=True)
            self.complete_absl_config(flags)


OPTIONS: dict[str, Option] = {}


def add(option: Option) -> None:
    OPTIONS[option.name] = option
    setattr(Config, option.name, property(lambda _: engine.get(option.number), doc=option.__doc__))


for row in ROWS:
    add(Option(row))
del row
config = Config()


def suggestion(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, OPTIONS, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def find(name: str) -> Option:
    option = OPTIONS.get(name)
    if option is None:
        raise AttributeError(f"there is no configuration option {name!r}{suggestion(name)}")
    return option


# ---- The context managers of the public module ----

allow_f16_reductions = OPTIONS["jax_allow_f16_reductions"]
array_garbage_collection_guard = OPTIONS["jax_array_garbage_collection_guard"]
auto_pcast = OPTIONS["jax_auto_pcast"]
check_tracer_leaks = OPTIONS["jax_check_tracer_leaks"]
debug_infs = OPTIONS["jax_debug_infs"]
debug_key_reuse = OPTIONS["jax_debug_key_reuse"]
debug_nans = OPTIONS["jax_debug_nans"]
default_device = OPTIONS["jax_default_device"]
default_matmul_precision = OPTIONS["jax_default_matmul_precision"]
default_prng_impl = OPTIONS["jax_default_prng_impl"]
enable_checks = OPTIONS["jax_enable_checks"]
enable_custom_prng = OPTIONS["jax_enable_custom_prng"]
enable_x64 = OPTIONS["jax_enable_x64"]
explain_cache_misses = OPTIONS["jax_explain_cache_misses"]
jax2tf_associative_scan_reductions = OPTIONS["jax2tf_associative_scan_reductions"]
legacy_prng_key = OPTIONS["jax_legacy_prng_key"]
log_compiles = OPTIONS["jax_log_compiles"]
no_execution = OPTIONS["jax_no_execution"]
no_tracing = OPTIONS["jax_no_tracing"]
numpy_dtype_promotion = OPTIONS["jax_numpy_dtype_promotion"]
numpy_rank_promotion = OPTIONS["jax_numpy_rank_promotion"]
remove_size_one_mesh_axis_from_type = OPTIONS["jax_remove_size_one_mesh_axis_from_type"]
softmax_custom_jvp = OPTIONS["jax_softmax_custom_jvp"]
thread_guard = OPTIONS["jax_thread_guard"]
threefry_partitionable = OPTIONS["jax_threefry_partitionable"]
transfer_guard_device_to_device = OPTIONS["jax_transfer_guard_device_to_device"]
transfer_guard_device_to_host = OPTIONS["jax_transfer_guard_device_to_host"]
transfer_guard_host_to_device = OPTIONS["jax_transfer_guard_host_to_device"]

TRANSFER_GUARDS = (
    OPTIONS["jax_transfer_guard"],
    transfer_guard_host_to_device,
    transfer_guard_device_to_device,
    transfer_guard_device_to_host,
)


def checking_leaks() -> Override:
    """Context manager under which a tracer that outlives its transformation is an error."""
    return check_tracer_leaks(True)


def disable_jit(disable: bool = True) -> Override:
    """Context manager under which jit calls its functions without compiling them.

    Args:
      disable: False enables jit again inside an outer `disable_jit`.
    """
    return OPTIONS["jax_disable_jit"](disable)


def transfer_guard(new_val: str) -> Override:
    """Context manager that sets the guard of implicit transfers in all three directions.

    Args:
      new_val: 'allow', 'log', 'disallow', 'log_explicit' or 'disallow_explicit'.
    """
    return Override(tuple((guard.number, guard.check(new_val)) for guard in TRANSFER_GUARDS))


def _spread_transfer_guard(value: str | None) -> None:
    if value is not None:
        for guard in TRANSFER_GUARDS[1:]:
            guard.set_global(value)


TRANSFER_GUARDS[0].on_update(_spread_transfer_guard)


# ---- The runtime, which depends on nothing here, has its own copy of what it must know ----


def _tell_runtime(attribute: str) -> Callable[[Any], None]:
    def tell(value: Any) -> None:
        setattr(runtime_options, attribute, (value or "").lower() or None if attribute == "platforms" else value)

    return tell


for attribute in runtime_options.__slots__:
    OPTIONS[f"jax_{attribute}"].on_update(_tell_runtime(attribute))
del attribute


USER_CONTEXTS = itertools.count()


class UserContext:
    """A value of the user's that functions read while they are traced; a change of it means another trace.

    Calling it gives a context manager under which it has another value in this thread.
    """

    def __init__(self, default_value: Any) -> None:
        self.number = engine.define(f"user context {next(USER_CONTEXTS)}", default_value, True)

    @property
    def value(self) -> Any:
        """The value that holds in this thread."""
        return engine.get(self.number)

    def __call__(self, new_value: Any) -> Override:
        return Override(((self.number, new_value),))


def make_user_context(default_value: Any = None) -> UserContext:
    """Makes a context value that is part of every trace's key.

    Args:
      default_value: the (hashable) value outside of its context manager.

    >>> mode = make_user_context("train")
    >>> with mode("eval"):
    ...     mode.value
    'eval'
    """
    return UserContext(default_value)
