"""Indices of references: their shapes and how jaxprs show them.

An index is a tuple of levels, one for the reference itself and one for each view of it (`ref.at[...]`). A level has an
entry for each axis: an integer, a `Slice`, or None for an operand, an integer scalar or array. Which axes the result
has is NumPy's rule.
"""

from typing import NamedTuple

import numpy as np


class Slice(NamedTuple):
    """A slice with static bounds: `size` elements from `start` on, `stride` apart."""

    start: int
    size: int
    stride: int = 1

    def is_all(self, size):
        return self == (0, size, 1)

    def as_slice(self):
        return slice(self.start, self.start + self.size * self.stride, self.stride)


def split_arrays(index, arrays):
    """The operands of each level."""
    parts, start = [], 0
    for level in index:
        n = sum(entry is None for entry in level)
        parts.append(arrays[start : start + n])
        start += n
    return parts


def level_shape(shape, level, array_shapes):
    sliced = [(axis, entry.size) for axis, entry in enumerate(level) if isinstance(entry, Slice)]
    advanced = [axis for axis, entry in enumerate(level) if not isinstance(entry, Slice)]
    spread = np.broadcast_shapes(*array_shapes)
    adjacent = not advanced or advanced[-1] - advanced[0] + 1 == len(advanced)
    first = advanced[0] if advanced and adjacent else 0
    before = tuple(size for axis, size in sliced if axis < first)
    return before + spread + tuple(size for axis, size in sliced if axis >= first)


def result_shape(shape, index, array_shapes):
    """The shape of what an index points at."""
    for level, shapes in zip(index, split_arrays(index, array_shapes)):
        shape = level_shape(shape, level, shapes)
    return tuple(shape)


def text(shape, index, array_shapes, names):
    """An index as jaxprs show it, e.g. `[0,1:3][a]`; `names` are those of its operands."""
    if not index:
        return "[...]"
    names = iter(names)
    shown = []
    for level, shapes in zip(index, split_arrays(index, array_shapes)):
        entries = [
            next(names) if e is None else _slice_text(e, size) if isinstance(e, Slice) else str(e)
            for e, size in zip(level, shape)
        ]
        shown.append(f"[{','.join(entries)}]")
        shape = level_shape(shape, level, shapes)
    return "".join(shown)


def _slice_text(entry, size):
    start, step = entry.start or "", f":{entry.stride}" if entry.stride != 1 else ""
    last = entry.start + entry.size * entry.stride
    return f"{start}:{'' if last >= size else last}{step}"
