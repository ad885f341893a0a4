"""Calls made wrong on purpose, from the rows of the table of examples.

An operand gets another dtype, rank or size, or is no array; an option of the call, seen by a stand-in for `lax`, gets
another value. What each call must answer is jax's to say.
"""

import functools

import numpy as np

OTHER_KINDS = {"f": (bool, np.complex64, np.int32), "i": (np.float32, bool), "u": (np.float32,), "b": (np.float32,),
               "c": (np.float32, bool)}  # fmt: skip


def wrong_operands(x):
    """`(what is wrong, the operand)` for an operand."""
    for dtype in OTHER_KINDS.get(x.dtype.kind, ()):
        name = np.dtype(dtype).name
        yield f"dtype {name}", (x.real if x.dtype.kind == "c" else x).astype(dtype)
    if x.ndim:
        yield "rank less", x[0]
        yield "size more", np.concatenate([x, x[:1]])
    yield "rank more", x[None]
    yield "none", None


WRONG_NUMBERS = {"large": 99, "negative": -99, "fraction": 1.5, "traced": None}


class StandIn:
    """`lax`, whose calls get option number `which` with another number in place of its first one."""

    def __init__(self, lax, which=None, number=None):
        self.__dict__.update(lax=lax, which=which, number=number, seen=[], texts=set(), called=set())

    def __getattr__(self, name):
        attribute = getattr(self.lax, name)
        if name == "linalg":
            inner = StandIn(attribute, self.which, self.number)
            inner.__dict__.update(seen=self.seen, texts=self.texts, called=self.called)
            return inner
        if not callable(attribute) or isinstance(attribute, type):
            return attribute

        @functools.wraps(attribute, updated=())
        def call(*args, **options):
            self.called.add(name)
            args = [self.option(f"{name} {i}", v) for i, v in enumerate(args)]
            options = {key: self.option(f"{name} {key}", v) for key, v in options.items()}
            return attribute(*args, **options)

        return call

    def option(self, label, value):
        if not is_option(value):
            return value
        self.seen.append(label)
        if is_text(value):
            self.texts.add(label)
        if len(self.seen) - 1 != self.which:
            return value
        one = np.int32(1)
        return replaced(value, self.lax.add(self.lax.full((), one), one) if self.number is None else self.number)


def is_option(value):
    if type(value) is int or isinstance(value, str):
        return True
    return isinstance(value, (tuple, list)) and bool(value) and any(is_option(v) for v in value)


def is_text(value):
    """Whether the first option in a value is a string."""
    if isinstance(value, (tuple, list)):
        return is_text(next(v for v in value if is_option(v)))
    return isinstance(value, str)


def replaced(value, number):
    if not isinstance(value, (tuple, list)):
        return "FOO" if isinstance(value, str) else number
    position = next(i for i, v in enumerate(value) if is_option(v))
    items = [replaced(v, number) if i == position else v for i, v in enumerate(value)]
    return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
