"""Wrong operands and options, made from the rows of the table of examples: the exceptions are jax's, in their types.

The messages name the function and the wrong value. Rows call `lax` by a stand-in, which changes one option at a time.
"""

import warnings

import jax
import numpy as np
import pytest
from table import EXAMPLES, as_tuple
from wrong import WRONG_NUMBERS, StandIn, wrong_operands

import cyxla

ROWS = 2  # of a primitive
GROUP = 20

# Where jax accepts what cannot be right, or leaves it to the compiler, we raise.
STRICTER = {
    "argmax", "argmin", "conv_general_dilated", "cumlogsumexp", "empty", "reduce", "reshape", "rng_bit_generator",
    "random_seed", "tile", "triangular_solve",
}  # fmt: skip
# Rows that call jax by functions of other names, with checks of their own; those of references are in test_refs.py.
INDIRECT = {
    "addupdate", "free_ref", "freeze", "geqp3", "geqrf", "get", "new_ref", "random_gamma_grad", "select_and_scatter",
    "swap", "threefry2x32-vmap",
}  # fmt: skip
# jax gets here by an accident of NumPy's broadcasting.
OTHER_ERROR = {f"{name}-same: operand 0 rank more" for name in (
    "reduce_window", "reduce_window_sum", "reduce_window_max", "reduce_window_min")}  # fmt: skip
# Of these other functions complain: those of `random`, products that they are made of, what a row hands to them.
OTHER_NAME = (
    "random_", "check", "cond", "custom_linear_solve", "geqp3", "iota_2x32", "jit", "ragged_dot", "scaled_dot", "scan",
    "threefry", "while",
)  # fmt: skip


def outcome(module, function, lax, operands):
    """Shapes and dtypes of the results, or the exception."""

    def call(*arrays):
        arrays = iter(arrays)
        return as_tuple(function(lax, *[None if x is None else next(arrays) for x in operands]))

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            out = module.eval_shape(call, *[x for x in operands if x is not None])
    except Exception as error:
        return error
    return [None if x is None else (x.shape, str(x.dtype)) for x in out]


def wrong_calls(example):
    """`(what is wrong, operands, arguments of the stand-in, what a message must contain)`"""
    for i, x in enumerate(example.operands):
        for what, wrong in wrong_operands(np.asarray(x)):
            operands = [*example.operands[:i], wrong, *example.operands[i + 1 :]]
            yield f"operand {i} {what}", operands, (), what.removeprefix("dtype ") if "dtype" in what else ""
    probe = StandIn(cyxla.lax)
    outcome(cyxla, example.function, probe, example.operands)
    for which, option in enumerate(list(probe.seen)):
        for what, number in WRONG_NUMBERS.items():
            text = option in probe.texts
            yield f"{option} {what}", example.operands, (which, number), "FOO" if text else str(number or "")


def complaint(example, what, ours, theirs):
    """What is wrong with an outcome, given jax's; None for nothing."""
    if example.primitive in INDIRECT or example.label in INDIRECT:
        return None if not isinstance(ours, AssertionError) else repr(ours)
    if isinstance(ours, Exception) and isinstance(theirs, Exception):
        if type(ours) is type(theirs) or f"{example.label}: {what}" in OTHER_ERROR:
            return None
        # jax raises some exceptions by accident; and for what is no array or no integer, a TypeError is right.
        if type(theirs) not in (TypeError, ValueError) or what.endswith(("none", "fraction", "traced")):
            return None if isinstance(ours, (TypeError, ValueError, AttributeError)) else repr(ours)
        return f"{ours!r} for {theirs!r}"
    if isinstance(ours, Exception):
        strict = example.primitive in STRICTER or what.endswith("fraction")
        return None if strict and isinstance(ours, (TypeError, ValueError)) else f"{ours!r} for {theirs}"
    if isinstance(theirs, Exception):
        return f"{ours} for {theirs!r}"
    return None if ours == theirs else f"{ours} for {theirs}"


def groups():
    rows = {}
    for example in EXAMPLES:
        if len(rows.setdefault(example.primitive, [])) < ROWS:
            rows[example.primitive].append(example)
    examples = [example for some in rows.values() for example in some]
    for i in range(0, len(examples), GROUP):
        group = examples[i : i + GROUP]
        yield pytest.param(group, id=f"{group[0].primitive} to {group[-1].primitive}")


@pytest.mark.parametrize("examples", list(groups()))
def test_wrong_calls(examples):
    failures = []
    for example in examples:
        for what, operands, change, value in wrong_calls(example):
            theirs = outcome(jax, example.function, StandIn(jax.lax, *change) if change else jax.lax, operands)
            stand_in = StandIn(cyxla.lax, *change)
            ours = outcome(cyxla, example.function, stand_in, operands)
            found = complaint(example, what, ours, theirs)
            elsewhere = example.primitive in INDIRECT or example.primitive.startswith(OTHER_NAME)
            if not found and type(ours) in (TypeError, ValueError) and not elsewhere:
                names = {*stand_in.called, example.primitive.replace("-", "_")}
                if value not in str(ours) or not any(name in str(ours) for name in names):
                    found = f"{ours!r} does not name {value} and one of {names}"
            if found:
                failures.append(f"{example.label}: {what}: {found}")
    assert not failures, "\n\n".join(failures)
