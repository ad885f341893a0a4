"""Rules of all primitives seen as one mapping, though each primitive keeps its own."""

import weakref
from collections.abc import MutableMapping

from cyxla._engine.caches import snapshot
from cyxla._engine.core import Primitive, all_primitives

# Users' primitives that got a rule here; the library's are known to the engine.
_open = weakref.WeakSet()


def checked_primitive(primitive):
    """The primitive, remembered; TypeError for anything else."""
    if not isinstance(primitive, Primitive):
        raise TypeError(f"rules belong to primitives; got {primitive!r:.200} of type {type(primitive).__name__}")
    _open.add(primitive)
    return primitive


class RuleTable(MutableMapping):
    """A mapping from primitives to one kind of rule: `read(primitive)` (None where there is none), `write`."""

    def __init__(self, name, read, write):
        self._name, self._read, self._write = name, read, write

    def __getitem__(self, primitive):
        rule = self._read(primitive) if isinstance(primitive, Primitive) else None
        if rule is None:
            raise KeyError(primitive)
        return rule

    def __setitem__(self, primitive, rule):
        self._write(checked_primitive(primitive), rule)

    def __delitem__(self, primitive):
        self[primitive]
        self._write(primitive, None)

    def __iter__(self):
        seen = {*all_primitives().values(), *snapshot(_open.copy)}
        return iter([p for p in seen if self._read(p) is not None])

    def __len__(self):
        return sum(1 for _ in self)

    def __repr__(self):
        return f"<{self._name}: rules of {len(self)} primitives>"
