"""x[...] and x.at[...] against NumPy over random index expressions, against jax where NumPy has no word to say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cyxla
from cyxla import lax
from cyxla._engine.array import asarray
from cyxla.numpy.indexing import getitem, take

SHAPES = [(5,), (3, 4), (2, 3, 4)]


def array_of(shape, dtype=np.float32):
    return (np.arange(np.prod(shape)).reshape(shape) - 5).astype(dtype)


bound = st.one_of(st.none(), st.integers(-6, 6))
slices = st.builds(slice, bound, bound, st.one_of(st.none(), st.sampled_from([1, 2, -1, -2, 3])))


@st.composite
def indices(draw, shape, arrays=True, masks=True):
    """An index expression in bounds for a shape."""
    lookup = draw(st.sampled_from([(2,), (3,), (2, 1), (1, 3), (0,), (2, 3)]))
    lookups = {lookup, lookup[-1:], ()} if lookup != (2, 1) else {(2, 1), (1, 3), (3,)}
    lookups = sorted(lookups)
    entries, axis = [], 0
    used = draw(st.integers(0, len(shape)))
    masked = False
    while axis < used:
        kinds = ["int", "slice", "slice"]
        if arrays:
            kinds += ["array", "array"]
        if masks and arrays and not masked:
            kinds.append("mask")
        kind = draw(st.sampled_from(kinds))
        size = shape[axis]
        if draw(st.integers(0, 5)) == 0:
            entries.append(None)
        if kind == "int":
            entries.append(draw(st.integers(-size, size - 1)))
        elif kind == "slice":
            entries.append(draw(slices))
        elif kind == "mask":
            # Exactly three True entries, or one, so that it broadcasts with the other arrays.
            entries.append(np.arange(size) == draw(st.integers(0, size - 1)))
            masked = True
        else:
            own = draw(st.sampled_from(lookups))
            values = draw(
                st.lists(st.integers(-size, size - 1), min_size=int(np.prod(own)), max_size=int(np.prod(own)))
            )
            entries.append(np.array(values, np.int32).reshape(own))
        axis += 1
    if draw(st.booleans()):
        # The ellipsis stands for what follows the entries; in front it would need other bounds.
        entries.append(Ellipsis)
    if draw(st.integers(0, 4)) == 0:
        entries.append(None)
    return entries[0] if len(entries) == 1 and draw(st.booleans()) else tuple(entries)


cases = st.sampled_from(SHAPES).flatmap(lambda shape: st.tuples(st.just(shape), indices(shape)))


def broadcasts(x, index):
    try:
        return x[index]
    except IndexError:
        return None


@settings(max_examples=300, deadline=None)
@given(cases)
def test_eager_read(case):
    shape, index = case
    x = array_of(shape)
    expected = broadcasts(x, index)
    if expected is not None:
        actual = getitem(asarray(x), index)
        np.testing.assert_array_equal(actual, expected)
        assert actual.shape == expected.shape


def split(index):
    """The arrays of an index as arguments, and a function that puts them back."""
    parts = index if isinstance(index, tuple) else (index,)
    moved = [i for i, p in enumerate(parts) if isinstance(p, np.ndarray) and p.dtype != bool]
    scalars = [i for i, p in enumerate(parts) if type(p) is int]
    moved = sorted(moved + scalars[:1])

    def join(arguments):
        full = list(parts)
        for i, a in zip(moved, arguments):
            full[i] = a
        return tuple(full)

    return [np.asarray(parts[i], np.int32) for i in moved], join


@settings(max_examples=60, deadline=None)
@given(cases)
def test_traced_read(case):
    shape, index = case
    x = array_of(shape)
    expected = broadcasts(x, index)
    if expected is not None:
        arguments, join = split(index)
        actual = cyxla.jit(lambda x, *a: getitem(x, join(a)))(x, *arguments)
        np.testing.assert_array_equal(actual, expected)


UPDATES = {
    "set": lambda x, i, v: x.__setitem__(i, v),
    "add": np.add.at,
    "subtract": np.subtract.at,
    "multiply": np.multiply.at,
    "min": np.minimum.at,
    "max": np.maximum.at,
}


@settings(max_examples=60, deadline=None)
@given(cases, st.sampled_from(sorted(UPDATES)), st.booleans())
def test_update(case, method, scalar):
    shape, index = case
    x = array_of(shape)
    read = broadcasts(x, index)
    if read is None:
        return
    values = np.float32(2) if scalar else (np.arange(read.size).reshape(read.shape) % 4).astype(np.float32)
    if method == "set":
        flat = np.arange(x.size).reshape(x.shape)[index].ravel()
        if len(set(flat.tolist())) != flat.size and not scalar:
            return  # which of several values wins is not specified
    expected = x.copy()
    UPDATES[method](expected, index, values)
    arguments, join = split(index)
    actual = cyxla.jit(lambda x, v, *a: getattr(x.at[join(a)], method)(v))(x, values, *arguments)
    np.testing.assert_array_equal(actual, expected)
    eager = getattr(asarray(x).at[index], method)(values) if method == "set" else actual
    np.testing.assert_array_equal(eager, expected)


X = array_of((2, 3, 4))
FAR = np.array([0, 9, -9, -1], np.int32)


def both(function, *args):
    """The same expression on both: under jit, and eagerly."""
    theirs = jax.jit(function)(*args)
    for ours in (cyxla.jit(function)(*args), function(*map(asarray, args))):
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("mode", [None, "clip", "fill", "promise_in_bounds"])
def test_read_out_of_bounds(mode):
    both(lambda x, i: x.at[i].get(mode=mode), X, FAR)
    both(lambda x, i: x.at[:, i, 1].get(mode=mode), X, FAR)
    both(lambda x: x.at[7].get(mode=mode), X)
    both(lambda x: x.at[:, -7, ::2].get(mode=mode), X)
    both(lambda x, i: x.at[i].get(mode=mode), X, np.int32(-7))
    both(lambda x, i: x.at[i].get(mode=mode, wrap_negative_indices=False), X, np.int32(-1))
    both(lambda x: x.at[-1].get(mode=mode, wrap_negative_indices=False), X)


def test_fill_values():
    both(lambda x, i: x.at[i].get(mode="fill", fill_value=3), X, FAR)
    both(lambda x, i: x.at[i].get(mode="fill"), X.astype(np.int16), FAR)
    both(lambda x, i: x.at[i].get(mode="fill"), X.astype(np.uint8), FAR)
    both(lambda x, i: x.at[i].get(mode="fill"), X > 0, FAR)
    both(lambda x, i: x.at[i].get(mode="fill"), X.astype(np.complex64), FAR)


@pytest.mark.parametrize("mode", [None, "clip", "drop"])
def test_update_out_of_bounds(mode):
    both(lambda x, i: x.at[i].add(2.0, mode=mode), X, FAR)
    both(lambda x: x.at[7].set(2.0, mode=mode), X)
    both(lambda x: x.at[:, -7].set(2.0, mode=mode), X)
    both(lambda x, i: x.at[i, ..., 0].set(2.0, mode=mode), X, np.int32(-7))
    both(lambda x, i: x.at[i].set(2.0, mode=mode, wrap_negative_indices=False), X, np.int32(-1))


def test_read_by_small_and_unsigned_indices():
    both(lambda x, i: x[i], array_of((300,)), np.array([200, 255], np.uint8))
    x, i = array_of((300,)), np.array([-1, 100], np.int8)
    np.testing.assert_array_equal(cyxla.jit(lambda x, i: x[i])(x, i), x[i])
    i = np.array([1, 4_000_000_000], np.uint32)
    np.testing.assert_array_equal(cyxla.jit(lambda x, i: x[i])(X, i), X[[1, 1]])
    both(lambda x, i: x[i], X, np.uint8(1))


def test_scalar_booleans_and_masks():
    assert getitem(asarray(X), True).shape == (1, 2, 3, 4)
    assert getitem(asarray(X), False).shape == (0, 2, 3, 4)
    assert getitem(asarray(np.float32(3)), None).shape == (1,)
    assert getitem(asarray(np.float32(3)), ()).shape == ()
    np.testing.assert_array_equal(getitem(asarray(X), X > 3), X[X > 3])
    np.testing.assert_array_equal(getitem(asarray(X), (slice(None), X[0] > 0)), X[:, X[0] > 0])
    np.testing.assert_array_equal(asarray(X).at[X > 3].set(0.0), np.where(X > 3, 0, X))
    np.testing.assert_array_equal(asarray(X).at[True].add(1.0), X + 1)
    np.testing.assert_array_equal(cyxla.jit(lambda x: x.at[True, 0].add(1.0))(X), jnp.asarray(X).at[True, 0].add(1.0))


def test_other_updates():
    both(lambda x: x.at[0].divide(4), X)
    both(lambda x: x.at[0].divide(4), X.astype(np.int32))
    both(lambda x: x.at[0].power(2), X)
    both(lambda x: x.at[1, :2].mul(3), X)
    both(lambda x, i: x.at[i].apply(lambda v: v * 2 + 1), X, np.array([0, 0], np.int32))
    both(lambda x: x.at[0].set(True), X)
    both(lambda x: x.at[0].set(np.ones((3, 4), bool)), X)
    both(lambda x: x.at[0].set(300), X.astype(np.int8))
    both(lambda x: x.at[0].set([1, 2, 3, 4]), X)
    both(lambda x: x.at[:, None, 0].set(np.ones((2, 1, 4), np.float32)), X)


def test_update_of_a_wider_dtype_warns():
    for update in (lambda x: x.at[0].set(1.5), lambda x: x.at[0].add(1.5)):
        with pytest.warns(FutureWarning, match="will become an error"):
            ours = cyxla.jit(update)(X.astype(np.int32))
        with pytest.warns(FutureWarning):
            theirs = update(jnp.asarray(X.astype(np.int32)))
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_weak_types():
    weak = asarray(1.0)
    assert getitem(weak, None).weak_type
    assert cyxla.jit(lambda x: x[None])(1.0).weak_type
    assert weak.at[()].set(2).weak_type
    assert not getitem(asarray(X), 0).weak_type


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        ([0, 1], TypeError, "a list .* is no index"),
        ("a", TypeError, "string"),
        (1.0, TypeError, "integer or boolean type"),
        (1j, TypeError, "integer or boolean type"),
        (np.array([1.0]), TypeError, "integer or boolean type"),
        ((0, 0, 0, 0), IndexError, "4 were indexed"),
        ((Ellipsis, Ellipsis), IndexError, "once"),
        (object(), IndexError, "is no index"),
        (slice(None, None, 0), ValueError, "zero"),
        (slice(1.0, 2), TypeError, None),
        ((np.array([0, 1]), np.array([0, 1, 2])), ValueError, "do not broadcast"),
        (np.array([True, False, True]), IndexError, "boolean index"),
    ],
)
def test_errors(index, error, message):
    for run in (lambda f: f(asarray(X)), lambda f: cyxla.jit(f)(X)):
        with pytest.raises(error, match=message):
            run(lambda x: x[index])
        with pytest.raises(error, match=message):
            run(lambda x: x.at[index].set(0.0))


def test_errors_of_traced_indices():
    with pytest.raises(cyxla.errors.NonConcreteBooleanIndexError):
        cyxla.jit(lambda x: x[x > 0])(X)
    with pytest.raises(cyxla.errors.NonConcreteBooleanIndexError):
        cyxla.jit(lambda x: x.at[x > 0].set(0.0))(X)
    with pytest.raises(IndexError, match="static integers"):
        cyxla.jit(lambda x, i: x[i : i + 1])(X, 1)
    with pytest.raises(TypeError, match="integer or boolean type"):
        cyxla.jit(lambda x, i: x[i])(X, 1.0)


def test_errors_of_updates():
    x = asarray(X)
    for values in (np.ones((2, 3, 4)), np.ones(3)):
        for run in (lambda f: f(x), lambda f: cyxla.jit(f)(X)):
            with pytest.raises(ValueError, match="shape"):
                run(lambda x, v=values: x.at[0].set(v))
    with pytest.raises(ValueError, match="None"):
        x.at[0].set(None)
    with pytest.raises(ValueError, match="wrap"):
        x.at[0].get(mode="wrap")
    with pytest.raises(ValueError, match="wrap"):
        x.at[0].set(1.0, mode="wrap")
    with pytest.raises(IndexError, match="size 0"):
        getitem(asarray(np.zeros((0, 3))), 0)
    with pytest.raises(TypeError, match=r"\.at\[idx\]\.set"):
        x[0] = 1.0


def test_derivatives_of_reads_and_updates():
    i = np.array([1, 0, 1], np.int32)

    def f(np, x, v):
        y = x[i, :, 1] * v
        z = x.at[i, 0].add(v[:, :1] * x[0, 0]).at[1:, ::2].multiply(2.0).at[0].set(v[0][:, None] ** 2)
        return np.sum(y**2) + np.sum(np.sin(z))

    v = array_of((3, 3)) / 5
    ours = cyxla.jit(cyxla.grad(lambda x, v: f(cyxla.numpy, x, v), (0, 1)))(X / 9, v)
    theirs = jax.jit(jax.grad(lambda x, v: f(jnp, x, v), (0, 1)))(X / 9, v)
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_vmap_over_array_and_index():
    i = np.array([2, -1, 0], np.int32)
    xs = array_of((3, 4, 5))
    for function in (
        lambda x, i: x[i],
        lambda x, i: x[:, i],
        lambda x, i: x.at[i].set(7.0),
        lambda x, i: x.at[i, ::2].add(1.0),
    ):
        for axes in ((0, 0), (None, 0), (0, None)):
            args = (xs if axes[0] == 0 else xs[0], i if axes[1] == 0 else i[0])
            ours = cyxla.jit(cyxla.vmap(function, in_axes=axes))(*args)
            np.testing.assert_array_equal(ours, jax.jit(jax.vmap(function, in_axes=axes))(*args))


def test_programs_of_static_indices():
    """Basic indexing is a slice and a squeeze; a traced scalar makes it a dynamic_slice."""

    def names(function, *args):
        return [e.primitive.name for e in cyxla.make_jaxpr(function)(*args).jaxpr.eqns]

    assert names(lambda x: x[0], X) == ["slice", "squeeze"]
    assert names(lambda x: x[:, None, 1:], X) == ["slice", "broadcast_in_dim"]
    assert names(lambda x: x[::-1], X) == ["rev"]
    assert names(lambda x: x[...], X) == []
    assert "dynamic_slice" in names(lambda x, i: x[i], X, 1)
    assert names(lambda x: x.at[0].set(x[1]), X)[-1] == "dynamic_update_slice"
    assert names(lambda x: x.at[np.array([0, 1])].add(1.0), X)[-1] == "scatter-add"


def test_nothing_is_compiled_for_eager_reads():
    from cyxla._engine.dispatch import stats

    x = asarray(X)
    before = stats()["compilations"]
    for i in range(3):
        getitem(x, (slice(None), i))
        getitem(x, (np.array([0, 1]), i))
        take(x, i % 2)
        x.at[0, i].set(1.0)
    assert stats()["compilations"] == before


def test_large_index_expressions_are_planned_once():
    from cyxla.numpy import index_plans

    x = asarray(X)
    getitem(x, (0, slice(1, 2)))
    size = len(index_plans._static_plans)
    getitem(x, (0, slice(1, 2)))
    assert len(index_plans._static_plans) == size


def test_index_take():
    i = np.array([2, -1, 1], np.int32)
    np.testing.assert_array_equal(lax.index_take(X, (i, i), (1, 2)), jax.lax.index_take(X, (i, i), (1, 2)))
