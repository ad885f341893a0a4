"""What may happen besides results: the effects of equations, by which they are kept, ordered and waited for."""

from cyxla._engine.core import NamedAxisEffect


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


class EffectTypes:
    """Classes of effects; an effect counts where it is an instance of one."""

    def __init__(self):
        self._types = ()

    def __repr__(self):
        return f"EffectTypes({', '.join(sorted(kind.__name__ for kind in self._types))})"

    def add_type(self, effect_type):
        """Adds a class, and those derived from it."""
        if not isinstance(effect_type, type):
            raise TypeError(f"add_type takes a class of effects, got {effect_type!r:.200}; give type(effect)")
        if effect_type not in self._types:
            self._types += (effect_type,)

    def contains(self, effect):
        """Whether an effect is of one of the classes."""
        return isinstance(effect, self._types)

    def filter_in(self, effects):
        """The list of the effects that are of one of the classes."""
        return [effect for effect in effects if self.contains(effect)]

    def filter_not_in(self, effects):
        """The list of the effects that are of none of the classes."""
        return [effect for effect in effects if not self.contains(effect)]


# Which effects programs may have that are compiled.
lowerable_effects = EffectTypes()
for _kind in (DebugEffect, OrderedDebugEffect, IOEffect, OrderedIOEffect, NamedAxisEffect):
    lowerable_effects.add_type(_kind)


def check_lowerable(effects, name):
    """ValueError where a program has effects that nobody has said how to lower."""
    unknown = lowerable_effects.filter_not_in(effects)
    if unknown:
        raise ValueError(
            f"{name} has effects that are not known to survive compilation: {', '.join(sorted(map(str, unknown)))}. If "
            "its primitives have lowering rules that see to them, say so: "
            "interpreters.mlir.lowerable_effects.add_type(type(effect))"
        )


def is_ordered(effect):
    """Whether an effect, which may be of another kind than these, is ordered."""
    return getattr(effect, "ordered", False)


def only(effect_type):
    """The set of effects of an equation that has one."""
    return frozenset({effect_type()})
