"""`debug.print` and `debug.log`: values in compiled programs, formatted as `str.format` does."""

import builtins
import functools
import logging
import string
import sys
from _string import formatter_field_name_split

import numpy as np

from cyxla._engine.boundary import api_boundary
from cyxla.debug.calls import DEBUG, ORDERED_DEBUG, make_primitive, merge, split

logger = logging.getLogger("cyxla.debug")


class _Check(string.Formatter):
    """Goes through a format with the arguments at hand, without looking at their values."""

    def __init__(self, api):
        self.api = api

    def get_field(self, field_name, args, kwargs):
        first, _ = formatter_field_name_split(field_name)
        try:
            return self.get_value(first, args, kwargs), first
        except IndexError:
            raise IndexError(
                f"{self.api}: the format asks for positional argument {first}, and there are {len(args)}"
            ) from None
        except KeyError:
            raise KeyError(
                f"{self.api}: the format asks for an argument {first!r}; those passed are {', '.join(kwargs) or 'none'}"
            ) from None

    def convert_field(self, value, conversion):
        return value

    def format_field(self, value, format_spec):
        return ""

    def check_unused_args(self, used_args, args, kwargs):
        unused = [f"number {i}" for i in range(len(args)) if i not in used_args]
        unused += [repr(name) for name in kwargs if name not in used_args]
        if unused:
            raise ValueError(
                f"{self.api}: the format does not use the arguments {', '.join(unused)}. Write {{}} or {{name}} for "
                "them, in an ordinary string: an f-string would be formatted while the program is traced."
            )


def _print(*, fmt, static_args, in_tree, np_printoptions, logging_record, **params):
    def call(*operands):
        args, kwargs = merge(operands, static_args, in_tree)
        with np.printoptions(**dict(np_printoptions)):
            text = fmt.format(*args, **kwargs)
        if logging_record is None:
            builtins.print(text, flush=True)
        else:
            logging_record.msg = text
            logger.handle(logging_record)

    return call


debug_print_p = make_primitive(
    "debug_print", "debug.print", _print, lambda *, ordered, **params: ORDERED_DEBUG if ordered else DEBUG
)


def _bind(api, fmt, args, kwargs, ordered, partitioned, skip_format_check, record):
    if not isinstance(fmt, str):
        raise TypeError(f"{api} takes a format string first, got {fmt!r:.200} of type {type(fmt).__name__}")
    if not skip_format_check:
        _Check(api).format(fmt, *args, **kwargs)
    arrays, static, tree = split(args, kwargs)
    options = tuple((k, v) for k, v in np.get_printoptions().items() if not isinstance(v, dict))
    debug_print_p.bind(
        *arrays, fmt=fmt, has_placeholders="{" in fmt, in_tree=tree, static_args=static, np_printoptions=options,
        logging_record=record, ordered=bool(ordered), partitioned=bool(partitioned),
    )  # fmt: skip


@api_boundary
def print(fmt=None, *args, ordered=False, partitioned=False, skip_format_check=False, _use_logging=False, **kwargs):
    """Prints values of a program when it runs: `fmt.format(*args, **kwargs)`.

    Works under every transformation: `vmap` prints once for each element, `grad` once in the forward pass. Calls may
    come in another order than in the program unless they are `ordered`; `partitioned` prints the part of each device.
    `cyxla.effects_barrier()` waits for all of them. Without a format, a function that takes it is returned.

    Raises ValueError for arguments that the format does not use, IndexError or KeyError for arguments that it misses,
    unless `skip_format_check` is set.

    >>> import cyxla, cyxla.numpy as jnp
    >>> cyxla.jit(lambda x: cyxla.debug.print("x is {} and y {y:.2f}", x, y=x[0] / 3))(jnp.arange(1.0, 3.0))
    x is [1. 2.] and y 0.33
    """
    if fmt is None:
        return functools.partial(
            print, ordered=ordered, partitioned=partitioned, skip_format_check=skip_format_check,
            _use_logging=_use_logging,
        )  # fmt: skip
    record = _record() if _use_logging else None
    _bind("debug.print", fmt, args, kwargs, ordered, partitioned, skip_format_check, record)


@api_boundary
def log(fmt=None, *args, ordered=False, partitioned=False, skip_format_check=False, _use_logging=True, **kwargs):
    """As `debug.print`, but the text goes to the logger `cyxla.debug`, at level INFO, as from the line of the call."""
    if fmt is None:
        return functools.partial(
            log, ordered=ordered, partitioned=partitioned, skip_format_check=skip_format_check,
            _use_logging=_use_logging,
        )  # fmt: skip
    record = _record() if _use_logging else None
    _bind("debug.log", fmt, args, kwargs, ordered, partitioned, skip_format_check, record)


def _record():
    """A log record of the caller's line; None where nobody would see it."""
    if not logger.isEnabledFor(logging.INFO):
        return _SILENT
    frame = sys._getframe(2)
    code = frame.f_code
    return logger.makeRecord(
        logger.name, logging.INFO, code.co_filename, frame.f_lineno, "", (), None, func=code.co_name
    )


_SILENT = logging.LogRecord(logger.name, logging.NOTSET, "", 0, "", (), None)
