"""Products that contract axes: dot, matmul, tensordot and their relatives, all one dot_general each."""

import operator

from cyxla import lax
from cyxla._engine.array import asarray
from cyxla.lax._util import broadcast_error, check_rank
from cyxla.lax.precision import canonicalize_precision

from . import ufuncs
from .axes import broadcast, broadcast_shapes, canonical_axis
from .promotion import common_dtype, convert, kind, no_out, promote, requested_dtype
from .shape import moveaxis, ravel

_bind_dot = lax.dot_general_p.bind


def dot_general(a, b, contracting, batch, precision, preferred_element_type, weak=False, out_sharding=None):
    """dot_general on operands of one dtype; a weak type is put back on the result."""
    dtype = preferred_element_type
    if dtype is None:
        dtype = a.dtype
    result = _bind_dot(
        a,
        b,
        dimension_numbers=(contracting, batch),
        precision=canonicalize_precision(precision),
        preferred_element_type=dtype,
        out_sharding=out_sharding,
    )
    if weak and not result.weak_type:
        return lax.convert_element_type_p.bind(result, new_dtype=result.dtype, weak_type=True, sharding=None)
    return result


def _operands(a, b, preferred_element_type):
    """Both operands in their common dtype, that dtype's weakness, and the dtype of the result."""
    a, b = asarray(a), asarray(b)
    if a.dtype is b.dtype and not a.weak_type:
        weak = False
    else:
        dtype, weak = common_dtype(a, b)
        a, b = convert(a, dtype, weak), convert(b, dtype, weak)
    if preferred_element_type is not None:
        preferred_element_type = requested_dtype(preferred_element_type)
        weak = False
    return a, b, weak, preferred_element_type


def dot(a, b, *, precision=None, preferred_element_type=None, out_sharding=None):
    """The sum of products over the last axis of ``a`` and the second-last (or only) axis of ``b``.

    Scalars multiply. Raises TypeError where the sizes of these axes differ.

    >>> import cyxla.numpy as jnp
    >>> jnp.dot(jnp.array([1, 2]), jnp.array([3, 4]))
    Array(11, dtype=int32)
    """
    a, b, weak, preferred = _operands(a, b, preferred_element_type)
    na, nb = a.ndim, b.ndim
    if na == 0 or nb == 0:
        contracting = ((), ())
        if preferred is None and na + nb:
            return ufuncs.multiply(a, b)
    else:
        contracting = ((na - 1,), (nb - 2 if nb > 1 else 0,))
    return dot_general(a, b, contracting, ((), ()), precision, preferred, weak, out_sharding)


def matmul(a, b, *, precision=None, preferred_element_type=None, out_sharding=None):
    """The product of matrices, or of the stacks of matrices in the last two axes, whose other axes broadcast.

    A vector on the left counts as a row, one on the right as a column. Raises ValueError for scalars or stacks that do
    not broadcast, TypeError where the inner sizes differ.

    >>> import cyxla.numpy as jnp
    >>> jnp.matmul(jnp.array([[1, 2], [3, 4]]), jnp.array([1, 1]))
    Array([3, 7], dtype=int32)
    """
    a, b, weak, preferred = _operands(a, b, preferred_element_type)
    na, nb = a.ndim, b.ndim
    if na == 2 and nb == 2:
        return dot_general(a, b, ((1,), (0,)), ((), ()), precision, preferred, weak, out_sharding)
    check_rank("matmul", "an operand", min(a, b, key=lambda x: x.ndim), 1)
    if na == 1 or nb == 1:
        return dot_general(
            a, b, ((na - 1,), (nb - 2 if nb > 1 else 0,)), ((), ()), precision, preferred, weak, out_sharding
        )
    return _stacked(a, b, precision, preferred, weak, out_sharding)


def _stacked(a, b, precision, preferred, weak, out_sharding):
    # An axis of size 1 that broadcasts against a larger one is no batch axis: it is squeezed out, and the larger one is
    # a free axis of the other operand.
    la, lb = a.shape[:-2], b.shape[:-2]
    rank = max(len(la), len(lb))
    pa, pb = (1,) * (rank - len(la)) + la, (1,) * (rank - len(lb)) + lb
    squeeze_a, squeeze_b, batch_a, batch_b, order = [], [], [], [], []
    ia, ib = len(la) - rank, len(lb) - rank
    kept_a = kept_b = 0
    free = []
    for i, (m, n) in enumerate(zip(pa, pb)):
        if m == n and i + ia >= 0 and i + ib >= 0:
            batch_a.append(kept_a)
            batch_b.append(kept_b)
            kept_a += 1
            kept_b += 1
            order.append(i)
        elif n == 1:
            if i + ib >= 0:
                squeeze_b.append(i + ib)
            if i + ia >= 0:
                kept_a += 1
                free.append(("a", i))
        elif m == 1:
            if i + ia >= 0:
                squeeze_a.append(i + ia)
            kept_b += 1
            free.append(("b", i))
        else:
            raise broadcast_error((la, lb))
    if squeeze_a:
        a = lax.squeeze(a, tuple(squeeze_a))
    if squeeze_b:
        b = lax.squeeze(b, tuple(squeeze_b))
    result = dot_general(
        a, b, ((a.ndim - 1,), (b.ndim - 2,)), (tuple(batch_a), tuple(batch_b)), precision, preferred, weak, out_sharding
    )
    # The result has the batch axes, the free axes of a, its rows, the free axes of b, its columns.
    position = {i: j for j, i in enumerate(order)}
    at = len(order)
    for side, i in free:
        if side == "a":
            position[i] = at
            at += 1
    rows = at
    at += 1
    for side, i in free:
        if side == "b":
            position[i] = at
            at += 1
    permutation = (*[position[i] for i in range(rank)], rows, at)
    return result if permutation == tuple(range(rank + 2)) else lax.transpose(result, permutation)


def matvec(x1, x2, /):
    """The product of (stacks of) matrices and vectors; the stacks broadcast."""
    return _with_vectors("matvec", x1, x2, False)


def vecmat(x1, x2, /):
    """The product of (stacks of) conjugated vectors and matrices; the stacks broadcast."""
    return _with_vectors("vecmat", x1, x2, True)


def _with_vectors(name, x1, x2, vector_first):
    x1, x2 = promote(x1, x2)
    vector, matrix = (x1, x2) if vector_first else (x2, x1)
    if vector.ndim < 1 or matrix.ndim < 2:
        raise ValueError(
            f"{name}: a vector and a matrix (or batches of them) are needed, got shapes {x1.shape} and {x2.shape}"
        )
    if vector_first:
        vector = lax.conj(vector) if kind(vector.dtype) == "c" else vector
        product = matmul(lax.expand_dims(vector, (vector.ndim - 1,)), matrix)
        return lax.squeeze(product, (product.ndim - 2,))
    product = matmul(matrix, lax.expand_dims(vector, (vector.ndim,)))
    return lax.squeeze(product, (product.ndim - 1,))


def vdot(a, b, *, precision=None, preferred_element_type=None):
    """The sum of products of all elements, the first ones conjugated."""
    a, b = ravel(a), ravel(b)
    if kind(a.dtype) == "c":
        a = lax.conj(a)
    return dot(a, b, precision=precision, preferred_element_type=preferred_element_type)


def vecdot(x1, x2, /, *, axis=-1, precision=None, preferred_element_type=None):
    """The sum of products over one axis, the first factors conjugated; the other axes broadcast.

    Raises ValueError where the sizes of that axis differ.
    """
    x1, x2 = asarray(x1), asarray(x2)
    if x1.ndim == 0 or x2.ndim == 0:
        raise ValueError(f"vecdot: scalars have no axis to sum over, got shapes {x1.shape} and {x2.shape}")
    x1, x2 = moveaxis(x1, axis, -1), moveaxis(x2, axis, -1)
    if x1.shape[-1] != x2.shape[-1]:
        raise ValueError(
            f"vecdot: the vectors on axis {axis} must be equally long, got shapes {x1.shape} and {x2.shape}"
        )
    if kind(x1.dtype) == "c":
        x1 = lax.conj(x1)
    x1, x2, weak, preferred = _operands(x1, x2, preferred_element_type)
    shape = broadcast_shapes(x1.shape, x2.shape)
    x1, x2 = broadcast(x1, shape), broadcast(x2, shape)
    lead = tuple(range(len(shape) - 1))
    last = (len(shape) - 1,)
    return dot_general(x1, x2, (last, last), (lead, lead), precision, preferred, weak)


def inner(a, b, *, precision=None, preferred_element_type=None):
    """The sum of products over the last axes of both."""
    a, b = asarray(a), asarray(b)
    if a.ndim == 0 or b.ndim == 0:
        a, b, _, preferred = _operands(a, b, preferred_element_type)
        product = ufuncs.multiply(a, b)
        return product if preferred is None else convert(product, preferred)
    return tensordot(a, b, (-1, -1), precision=precision, preferred_element_type=preferred_element_type)


def outer(a, b, out=None):
    """The matrix of products of every element of ``a`` with every element of ``b``."""
    no_out(out, "outer")
    a, b = promote(a, b)
    return ufuncs.multiply(lax.reshape(a, (a.size, 1)), lax.reshape(b, (1, b.size)))


def tensordot(a, b, axes=2, *, precision=None, preferred_element_type=None, out_sharding=None):
    """The sum of products over several axes: the last and first ``axes`` ones, or those named in a pair of sequences.

    Raises TypeError or ValueError where the axes do not fit.
    """
    a, b, weak, preferred = _operands(a, b, preferred_element_type)
    if not hasattr(axes, "__iter__"):
        n = operator.index(axes)
        if n > min(a.ndim, b.ndim) or n < 0:
            raise TypeError(
                f"tensordot: axes={n} is not a number of axes that both operands have, their shapes are {a.shape} and "
                f"{b.shape}"
            )
        contracting = (tuple(range(a.ndim - n, a.ndim)), tuple(range(n)))
    else:
        axes = tuple(axes)
        if len(axes) != 2:
            raise TypeError(f"tensordot: axes={axes} must be an int, or a pair of ints or of sequences of ints")
        left = tuple(axes[0]) if hasattr(axes[0], "__iter__") else (axes[0],)
        right = tuple(axes[1]) if hasattr(axes[1], "__iter__") else (axes[1],)
        if len(left) != len(right):
            raise TypeError(
                f"tensordot: axes must name as many axes of one operand as of the other, got {left} and {right}"
            )
        contracting = (
            tuple([canonical_axis(i, a.ndim) for i in left]),
            tuple([canonical_axis(i, b.ndim) for i in right]),
        )
    return dot_general(a, b, contracting, ((), ()), precision, preferred, weak, out_sharding)


def kron(a, b):
    """The Kronecker product: every element of ``a`` replaced by its product with ``b``."""
    a, b = promote(a, b)
    rank = max(a.ndim, b.ndim)
    sa, sb = (1,) * (rank - a.ndim) + a.shape, (1,) * (rank - b.ndim) + b.shape
    left = lax.reshape(a, tuple([n for m in sa for n in (m, 1)]))
    right = lax.reshape(b, tuple([n for m in sb for n in (1, m)]))
    return lax.reshape(ufuncs.multiply(left, right), tuple([m * n for m, n in zip(sa, sb)]))


def cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """The vector product of vectors of 2 or 3 components, which lie along the given axes; the others broadcast.

    For two 2-vectors only the third component is returned. Raises ValueError for other sizes.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = promote(a, b)
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if a.shape[-1] not in (2, 3) or b.shape[-1] not in (2, 3):
        raise ValueError(f"cross: vectors of 2 or 3 components are needed, got shapes {a.shape} and {b.shape}")
    planar = a.shape[-1] == 2 and b.shape[-1] == 2
    x, y = _components(a), _components(b)
    if planar:
        return x[0] * y[1] - x[1] * y[0]
    parts = [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]]
    shape = parts[0].shape
    result = lax.concatenate([lax.expand_dims(p, (len(shape),)) for p in parts], len(shape))
    return moveaxis(result, -1, axisc)


def _components(x):
    n = x.shape[-1]
    parts = [lax.squeeze(part, (x.ndim - 1,)) for part in lax.split(x, (1,) * n, x.ndim - 1)]
    return parts if n == 3 else [*parts, lax.full_like(parts[0], 0)]
