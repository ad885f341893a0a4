"""What may happen besides results: the effects of equations, by which they are kept, ordered and waited for."""


class Effect:
    """Something that an equation does besides computing its results. Ordered ones happen in the program's order."""

    ordered = False
    observable = True  # when the program runs, so that somebody may want to wait for it

    def __eq__(self, other):
        return type(other) is type(self)

    def __hash__(self):
        return hash(type(self))

    def __repr__(self):
        return type(self).__name__


class DebugEffect(Effect):
    """A debugging callback is called."""


class OrderedDebugEffect(Effect):
    """A debugging callback is called in its turn."""

    ordered = True


class IOEffect(Effect):
    """A callback that may do anything is called."""


class OrderedIOEffect(Effect):
    """A callback that may do anything is called in its turn."""

    ordered = True


def is_ordered(effect):
    """Whether an effect, which may be of another kind than these, is ordered."""
    return getattr(effect, "ordered", False)


def only(effect_type):
    """The set of effects of an equation that has one."""
    return frozenset({effect_type()})
