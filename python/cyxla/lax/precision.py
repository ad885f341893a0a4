"""How precisely matrix products and convolutions are computed."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple, Union

import ml_dtypes
import numpy as np

from cyxla._core.config import default_matmul_precision
from cyxla._engine.config import get as get_option
from cyxla._engine.dtypes import code_mlir, dtype_code
from cyxla.lax._util import called

__all__ = ["DotAlgorithm", "DotAlgorithmPreset", "Precision", "PrecisionLike"]


class Precision(enum.Enum):
    """How much precision an operation on float32 operands keeps on hardware that can trade it for speed.

    On CPU all three mean full precision.
    """

    DEFAULT = 0
    HIGH = 1
    HIGHEST = 2

    __hash__ = object.__hash__  # members are single objects, and parameters of equations: their hash must be quick

    @classmethod
    def _missing_(cls, value):
        return cls[_ALIASES[value]] if value in _ALIASES else None

    def __repr__(self):
        return f"Precision.{self.name}"

    def __str__(self):
        return self.name


_ALIASES = {
    "highest": "HIGHEST",
    "float32": "HIGHEST",
    "high": "HIGH",
    "bfloat16_3x": "HIGH",
    "tensorfloat32": "HIGH",
    "default": "DEFAULT",
    "bfloat16": "DEFAULT",
    "fastest": "DEFAULT",
    None: "DEFAULT",
}


class DotAlgorithm(NamedTuple):
    """The algorithm of a matrix product: the types in which factors and sums are kept, and into how many parts the
    factors are split."""

    lhs_precision_type: Any
    rhs_precision_type: Any
    accumulation_type: Any
    lhs_component_count: int = 1
    rhs_component_count: int = 1
    num_primitive_operations: int = 1
    allow_imprecise_accumulation: bool = False


_BF16 = ml_dtypes.bfloat16
_FLOAT8 = (
    ml_dtypes.float8_e4m3fn,
    ml_dtypes.float8_e5m2,
    ml_dtypes.float8_e5m2fnuz,
    ml_dtypes.float8_e4m3fnuz,
    ml_dtypes.float8_e4m3b11fnuz,
)

# For each preset: operand type, accumulation type, operand types taken as they are, number of primitive operations.
_F16, _F32, _F64 = np.float16, np.float32, np.float64
_PRESETS: dict[str, tuple] = {
    "F16_F16_F16": (_F16, _F16, (_F16,), 1),
    "F16_F16_F32": (_F16, _F32, (_F16,), 1),
    "BF16_BF16_BF16": (_BF16, _BF16, (_BF16, _F32), 1),
    "BF16_BF16_F32": (_BF16, _F32, (_BF16, _F32), 1),
    "BF16_BF16_F32_X3": (_BF16, _F32, (_F32,), 3),
    "BF16_BF16_F32_X6": (_BF16, _F32, (_F32,), 6),
    "BF16_BF16_F32_X9": (_BF16, _F32, (_F32,), 9),
    "TF32_TF32_F32": ("tf32", _F32, (_F32,), 1),
    "TF32_TF32_F32_X3": ("tf32", _F32, (_F32,), 3),
    "F32_F32_F32": (_F32, _F32, (_F32,), 1),
    "F64_F64_F64": (_F64, _F64, (_F64,), 1),
}

# What XLA's CPU backend can do.
CPU_PRESETS = frozenset(
    ["DEFAULT", "F16_F16_F16", "F32_F32_F32", "F64_F64_F64", "BF16_BF16_F32", "BF16_BF16_F32_X3", "BF16_BF16_F32_X6"]
)


class DotAlgorithmPreset(enum.Enum):
    """Named algorithms for matrix products: the types of the left factor, the right factor and the sums.

    ``X3``, ``X6`` and ``X9`` split each factor into parts of lower precision. Which of them exist depends on the
    backend.
    """

    DEFAULT = 1
    ANY_F8_ANY_F8_F32 = 2
    ANY_F8_ANY_F8_F32_FAST_ACCUM = 3
    ANY_F8_ANY_F8_ANY = 4
    ANY_F8_ANY_F8_ANY_FAST_ACCUM = 5
    F16_F16_F16 = 6
    F16_F16_F32 = 7
    BF16_BF16_BF16 = 8
    BF16_BF16_F32 = 9
    BF16_BF16_F32_X3 = 10
    BF16_BF16_F32_X6 = 11
    BF16_BF16_F32_X9 = 12
    TF32_TF32_F32 = 13
    TF32_TF32_F32_X3 = 14
    F32_F32_F32 = 15
    F64_F64_F64 = 16

    __hash__ = object.__hash__

    def __repr__(self):
        return f"DotAlgorithmPreset.{self.name}"

    def __str__(self):
        return self.name

    @property
    def supported_lhs_types(self):
        """The dtypes of a left factor that need no conversion; None for all."""
        return _PRESETS[self.name][2] if self.name in _PRESETS else None

    @property
    def supported_rhs_types(self):
        """The dtypes of a right factor that need no conversion; None for all."""
        return self.supported_lhs_types

    @property
    def accumulation_type(self):
        """The dtype in which sums are kept; None where it follows the operands."""
        if self.name in _PRESETS:
            return _PRESETS[self.name][1]
        return np.float32 if "F8_F32" in self.name else None

    def supported_output_types(self, lhs_dtype, rhs_dtype):
        """The dtypes that a product of factors of these dtypes may have; None for all."""
        if self.name in _PRESETS:
            return (self.accumulation_type,)
        if self.accumulation_type is not None:
            return (np.float32, np.float16, _BF16, *_FLOAT8)
        return None

    def attribute(self, lhs_dtype, rhs_dtype, out_dtype) -> str | None:
        """The algorithm as a StableHLO attribute; None for the default."""
        if self is DotAlgorithmPreset.DEFAULT:
            return None
        if self.name in _PRESETS:
            operand, accumulation, _, operations = _PRESETS[self.name]
            return _attribute(operand, operand, accumulation, 1, 1, operations, False)
        accumulation = np.float32 if self.accumulation_type is not None else out_dtype
        return _attribute(lhs_dtype, rhs_dtype, accumulation, 1, 1, 1, self.name.endswith("FAST_ACCUM"))


# Union rather than |, for the objects of the two are not of one kind, and users inspect it.
PrecisionLike = Union[  # noqa: UP007
    str, Precision, tuple[str, str], tuple[Precision, Precision], DotAlgorithm, DotAlgorithmPreset, None
]


def _attribute(lhs, rhs, accumulation, lhs_parts, rhs_parts, operations, imprecise) -> str:
    lhs, rhs, accumulation = (t if t == "tf32" else code_mlir(dtype_code(t)) for t in (lhs, rhs, accumulation))
    return (
        f"<lhs_precision_type = {lhs}, rhs_precision_type = {rhs}, accumulation_type = {accumulation}, "
        f"lhs_component_count = {lhs_parts}, rhs_component_count = {rhs_parts}, num_primitive_operations = "
        f"{operations}, "
        f"allow_imprecise_accumulation = {'true' if imprecise else 'false'}>"
    )


def algorithm_attribute(precision, lhs_dtype, rhs_dtype, out_dtype) -> str | None:
    """The StableHLO attribute of the algorithm that a canonical precision asks for, None if it asks for none."""
    if isinstance(precision, DotAlgorithmPreset):
        return precision.attribute(lhs_dtype, rhs_dtype, out_dtype)
    if isinstance(precision, DotAlgorithm):
        return _attribute(*precision)
    return None


def precision_config(precision) -> str:
    """The two precisions of an operation's operands as StableHLO text: ``DEFAULT, HIGH``."""
    if precision is None or isinstance(precision, (DotAlgorithm, DotAlgorithmPreset)):
        return "DEFAULT, DEFAULT"
    return f"{precision[0].name}, {precision[1].name}"


def canonicalize_precision(precision):
    """What a user may write for a precision, as None, a pair of Precision, a DotAlgorithm or a preset.

    None stands for the option ``jax_default_matmul_precision``. ValueError for anything else.
    """
    if precision is None:
        precision = _default_matmul_precision()
        if precision is None:
            return None
    if isinstance(precision, Precision):
        return (precision, precision)
    if isinstance(precision, str):
        if precision in _ALIASES:
            one = Precision(precision)
            return (one, one)
        if precision in DotAlgorithmPreset.__members__:
            return DotAlgorithmPreset[precision]
    elif isinstance(precision, (DotAlgorithm, DotAlgorithmPreset)):
        return precision
    elif isinstance(precision, (tuple, list)) and len(precision) == 2:
        if all(isinstance(p, Precision) for p in precision):
            return tuple(precision)
        if all(isinstance(p, str) and p in _ALIASES for p in precision):
            return tuple(Precision(p) for p in precision)
    names = [name for name in _ALIASES if name is not None]
    raise ValueError(
        f"{called()}precision must be None, one of the names {names}, a lax.Precision, a pair of these, a "
        "lax.DotAlgorithmPreset or "
        f"the name of one, or a lax.DotAlgorithm; got {precision}"
    )


def _default_matmul_precision():
    return get_option(default_matmul_precision.number)
