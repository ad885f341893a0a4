"""The option types of elementwise operations."""

import enum


class RoundingMethod(enum.IntEnum):
    """What `round` does with values half way between two integers."""

    AWAY_FROM_ZERO = 0
    TO_NEAREST_EVEN = 1


class AccuracyMode(enum.Enum):
    """How accurate a transcendental function is to be: the compiler's default, or as accurate as it can."""

    DEFAULT = 1
    HIGHEST = 2


class Tolerance:
    """The error that a transcendental function may have: absolute, relative, and in units in the last place."""

    __slots__ = ("atol", "rtol", "ulps")

    def __init__(self, atol: float = 0.0, rtol: float = 0.0, ulps: int = 0):
        if atol < 0.0 or rtol < 0.0 or ulps < 0:
            raise ValueError(f"Tolerance: atol={atol}, rtol={rtol} and ulps={ulps} must not be negative")
        self.atol = atol
        self.rtol = rtol
        self.ulps = ulps

    def _key(self):
        return self.atol, self.rtol, self.ulps

    def __eq__(self, other):
        return isinstance(other, Tolerance) and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def __repr__(self):
        return f"Tolerance(atol={self.atol}, rtol={self.rtol}, ulps={self.ulps})"


def accuracy_attribute(accuracy):
    """The StableHLO attribute that asks for an accuracy; empty for the default."""
    if accuracy is None:
        return ""
    if isinstance(accuracy, Tolerance):
        fields = [
            f"{name} = {value:.17e}" for name, value in (("atol", accuracy.atol), ("rtol", accuracy.rtol)) if value
        ]
        if accuracy.ulps:
            fields.append(f"ulps = {accuracy.ulps}")
        mode = "TOLERANCE"
    elif isinstance(accuracy, AccuracyMode):
        fields, mode = [], accuracy.name
    else:
        raise TypeError(f"accuracy={accuracy!r} is neither an AccuracyMode nor a Tolerance")
    fields.append(f"mode = #stablehlo.result_accuracy_mode<{mode}>")
    return f" {{result_accuracy = #stablehlo.result_accuracy<{', '.join(fields)}>}}"
