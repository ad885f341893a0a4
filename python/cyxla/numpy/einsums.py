"""``einsum``: subscripts are parsed and ordered once for each combination of shapes, then each pair of operands is one
dot_general."""

from typing import NamedTuple

from cyxla import lax
from cyxla._engine.caches import cached
from cyxla._engine.ufunc import promote_operands

from . import reductions
from .contraction import dot_general
from .promotion import convert, no_out, requested_dtype
from .triangles import diagonal

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Step(NamedTuple):
    """One contraction: which operands (positions in the list, removed from it) and the labels of the result."""

    positions: tuple
    labels: tuple  # of each operand
    result: str
    pair: tuple | None  # of two operands that only need one dot_general: see _plan_pair


def einsum(
    subscripts,
    /,
    *operands,
    out=None,
    optimize="auto",
    precision=None,
    preferred_element_type=None,
    _dot_general=lax.dot_general,
    out_sharding=None,
):
    """Sums of products of operands, in Einstein's notation: repeated labels that are not in the output are summed over.

    ``subscripts`` is a string such as "ij,jk->ik" (without "->" the output has the labels that occur once, sorted), or
    operands alternate with lists of integer labels. The order of contractions is found by opt_einsum.

    >>> import cyxla.numpy as jnp
    >>> jnp.einsum("ij,j->i", jnp.array([[1, 2], [3, 4]]), jnp.array([1, 1]))
    Array([3, 7], dtype=int32)
    """
    no_out(out, "einsum")
    if isinstance(subscripts, str):
        subscripts = subscripts.replace(" ", "")
    else:
        subscripts, operands = _from_lists((subscripts, *operands))
    if not operands:
        raise TypeError("einsum: operands are missing")
    xs = promote_operands(tuple(operands))
    weak = all(x.weak_type for x in xs)
    preferred = requested_dtype(preferred_element_type)
    if optimize is True:
        optimize = "optimal"
    elif isinstance(optimize, list):
        optimize = tuple(map(tuple, (step for step in optimize if not isinstance(step, str))))
    steps = contraction_plan(subscripts, tuple([x.shape for x in xs]), optimize)
    for step in steps:
        picked = [xs.pop(i) for i in sorted(step.positions, reverse=True)][::-1]
        if step.pair is not None:
            xs.append(_apply_pair(*picked, step.pair, precision, preferred, _dot_general))
        elif len(picked) == 1:
            xs.append(_reduce_one(picked[0], step.labels[0], step.result))
        else:
            xs.append(_contract_pair(picked, step.labels, step.result, precision, preferred, _dot_general))
    (result,) = xs
    if preferred is not None:
        return convert(result, preferred)
    if weak and not result.weak_type:
        return lax.convert_element_type_p.bind(result, new_dtype=result.dtype, weak_type=True, sharding=None)
    return result


def einsum_path(subscripts, /, *operands, optimize="auto"):
    """(path, description) of the order in which ``einsum`` contracts its operands."""
    import opt_einsum

    if isinstance(optimize, bool):
        optimize = "optimal" if optimize else [tuple(range(len(operands)))]
    return opt_einsum.contract_path(subscripts, *operands, optimize=optimize)


def _from_lists(args):
    """(subscripts, operands) from the form einsum(x, [0, 1], y, [1, 2], [0, 2])."""
    operands = list(args[: len(args) // 2 * 2 : 2])
    lists = list(args[1::2])
    output = args[-1] if len(args) % 2 else None
    try:
        flat = {
            label
            for labels in [*lists, *([output] if output is not None else [])]
            for label in labels
            if label is not Ellipsis
        }
        names = {label: _LETTERS[i] for i, label in enumerate(sorted(flat))}
    except TypeError:
        raise TypeError(
            "einsum: give a string of subscripts and the operands, or operands and lists of labels by turns"
        ) from None

    def text(labels):
        return "".join(["..." if label is Ellipsis else names[label] for label in labels])

    subscripts = ",".join(map(text, lists))
    return subscripts + ("" if output is None else "->" + text(output)), operands


@cached("plans of einsum", 1024)
def contraction_plan(subscripts, shapes, optimize):
    """The list of Steps that compute an einsum of operands of the given shapes."""
    labels, output = _parse(subscripts, shapes)
    sizes = {}
    broadcasts = False
    for operand, shape in zip(labels, shapes):
        for label, n in zip(operand, shape):
            known = sizes.setdefault(label, n)
            if known != n:
                broadcasts = True
                if known == 1:
                    sizes[label] = n
                elif n != 1:
                    raise ValueError(
                        f"einsum: the label {label!r} stands for {known}, but for {n} in operand {operand}"
                    )
    if len(shapes) == 1:
        path = [(0,)]
    elif len(shapes) == 2 or optimize is False:
        # Left to right: the result of each step is last in the list of what is left.
        path = [(0, 1)] + [(0, n) for n in range(len(shapes) - 2, 0, -1)]
    elif isinstance(optimize, tuple):
        path = optimize
    else:
        import opt_einsum

        text = ",".join(labels) + "->" + output
        path, _ = opt_einsum.contract_path(
            text, *[_Shaped(tuple([sizes[label] for label in operand])) for operand in labels], optimize=optimize
        )
    steps = []
    terms = list(labels)
    for i, positions in enumerate(path):
        positions = tuple(sorted(positions))
        picked = tuple([terms[p] for p in positions])
        if len(picked) > 2:
            raise ValueError(f"einsum path {path} contracts more than two operands at once")
        terms = [t for p, t in enumerate(terms) if p not in positions]
        if i == len(path) - 1 and not terms:
            result = output
        else:
            needed = set(output).union(*terms)
            result = "".join(dict.fromkeys([label for term in picked for label in term if label in needed]))
        pair = _plan_pair(picked, result) if len(picked) == 2 and not broadcasts else None
        steps.append(Step(positions, picked, result, pair))
        terms.append(result)
    return steps


class _Shaped:
    """What opt_einsum looks at in an operand."""

    def __init__(self, shape):
        self.shape = shape


def _parse(subscripts, shapes):
    """The labels of each operand and of the result; an ellipsis becomes letters that are not in use."""
    text, arrow, output = subscripts.partition("->")
    operands = text.split(",")
    if len(operands) != len(shapes):
        raise ValueError(f"einsum: {subscripts!r} describes {len(operands)} operands, {len(shapes)} were given")
    for letter in subscripts.replace("...", "").replace("->", "").replace(",", ""):
        if not letter.isalpha():
            raise ValueError(f"einsum: {letter!r} in {subscripts!r} is no letter to label an axis with")
    if "." in subscripts:
        free = [letter for letter in _LETTERS if letter not in subscripts]
        extra = [len(s) - len(o.replace("...", "")) if "..." in o else 0 for o, s in zip(operands, shapes)]
        if min(extra, default=0) < 0:
            raise ValueError(f"einsum subscripts {subscripts!r} have more labels than the operands have axes: {shapes}")
        names = "".join(free[: max(extra)])
        operands = [o.replace("...", names[len(names) - n :] if n else "") for o, n in zip(operands, extra)]
        if arrow:
            output = output.replace("...", names)
        else:
            output = names
    for operand, shape in zip(operands, shapes):
        if len(operand) != len(shape):
            raise ValueError(
                f"einsum: the labels {operand!r} do not fit an operand of shape {shape}; each axis needs one"
            )
    if not arrow:
        joined = "".join(operands)
        output += "".join(sorted([label for label in set(joined) if joined.count(label) == 1 and label not in output]))
    for label in output:
        if output.count(label) > 1:
            raise ValueError(f"einsum: the label {label!r} occurs twice in the output {output!r}")
        if not any(label in operand for operand in operands):
            raise ValueError(f"einsum: the label {label!r} of the output {output!r} occurs in no operand")
    return tuple(operands), output


def _without_repeats(x, labels):
    """Diagonals taken where a label stands for several axes of one operand."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            if x.shape[i] != x.shape[j]:
                raise ValueError(f"einsum label '{label}' stands for axes of sizes {x.shape[i]} and {x.shape[j]}")
            x = diagonal(x, 0, i, j)
            labels = labels[:i] + labels[i + 1 : j] + labels[j + 1 :] + label
    return x, labels


def _summed(x, labels, keep):
    """Axes summed over whose label is not in ``keep``."""
    axes = tuple([i for i, label in enumerate(labels) if label not in keep])
    if axes:
        x = reductions.sum(x, axes, x.dtype)
        labels = "".join([label for label in labels if label in keep])
    return x, labels


def _arranged(x, labels, result):
    if labels == result:
        return x
    return lax.transpose(x, tuple([labels.index(label) for label in result]))


def _reduce_one(x, labels, result):
    x, labels = _without_repeats(x, labels)
    x, labels = _summed(x, labels, result)
    return _arranged(x, labels, result)


def _plan_pair(labels, result):
    """(swapped, contracting, batching, permutation) of the dot_general of two operands; None where they must be
    prepared first: diagonals taken, axes summed or broadcast."""
    la, lb = labels
    if len(set(la)) != len(la) or len(set(lb)) != len(lb):
        return None
    if not set(la) <= set(result) | set(lb) or not set(lb) <= set(result) | set(la):
        return None
    batch = [label for label in la if label in lb and label in result]
    contracted = [label for label in la if label in lb and label not in result]
    free_a = [label for label in la if label not in lb]
    free_b = [label for label in lb if label not in la]
    # If the free labels of b come first in the result, the operands are swapped to save the transposition.
    order = "".join([*batch, *free_a, *free_b])
    swapped = order != result and "".join([*batch, *free_b, *free_a]) == result
    if swapped:
        la, lb = lb, la
        order = result
    contracting = (tuple([la.index(label) for label in contracted]), tuple([lb.index(label) for label in contracted]))
    batching = (tuple([la.index(label) for label in batch]), tuple([lb.index(label) for label in batch]))
    permutation = None if order == result else tuple([order.index(label) for label in result])
    return swapped, contracting, batching, permutation


def _apply_pair(a, b, plan, precision, preferred, dot):
    swapped, contracting, batching, permutation = plan
    if swapped:
        a, b = b, a
    if dot is not lax.dot_general:
        x = dot(a, b, (contracting, batching), precision, preferred_element_type=preferred)
    else:
        x = dot_general(a, b, contracting, batching, precision, preferred)
    return x if permutation is None else lax.transpose(x, permutation)


def _contract_pair(operands, labels, result, precision, preferred, dot):
    a, la = _without_repeats(operands[0], labels[0])
    b, lb = _without_repeats(operands[1], labels[1])
    # An axis of size 1 that meets a larger one broadcasts: it is dropped and the other one stays free.
    for label in set(la) & set(lb):
        m, n = a.shape[la.index(label)], b.shape[lb.index(label)]
        if m != n and m == 1:
            a, la = lax.squeeze(a, (la.index(label),)), la.replace(label, "")
        elif m != n and n == 1:
            b, lb = lax.squeeze(b, (lb.index(label),)), lb.replace(label, "")
    a, la = _summed(a, la, set(result) | set(lb))
    b, lb = _summed(b, lb, set(result) | set(la))
    return _apply_pair(a, b, _plan_pair((la, lb), result), precision, preferred, dot)
