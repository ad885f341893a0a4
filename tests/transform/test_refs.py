"""Mutable arrays: references under every transformation, against jax."""

import importlib

import jax
import numpy as np
import pytest
from compare import agree, both_raise

import cyxla
import cyxla.numpy as jnp
from cyxla import lax

for name in ("ref", "ad"):
    importlib.import_module(f"cyxla.{name}")

V = np.arange(3, dtype=np.float32)
M = np.arange(6, dtype=np.float32).reshape(2, 3)


def new(jax, value=V):
    return jax.new_ref(jax.numpy.asarray(value))


def after(use, value=V):
    """A program that makes a reference, uses it, and returns the result and what it holds then."""

    def program(jax):
        ref = new(jax, value)
        return use(jax, ref), ref[...]

    return program


# -- eager


INDICES = {
    "all": ...,
    "none": None,
    "empty": (),
    "first": 0,
    "last": -1,
    "slice": slice(1, None),
    "steps": slice(None, None, 2),
    "pair": (0, 1),
    "column": (slice(None), 1),
    "dots": (..., 2),
    "array": np.array([1, 0, 1]),
    "array and slice": (np.array([1, 0]), slice(0, 2)),
    "slice and array": (slice(None), np.array([2, 0])),
    "arrays": (np.array([[0], [1]]), np.array([0, 2])),
    "int and array": (1, np.array([2, 0])),
}


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jit"])
def test_indexing(name, jitted):
    index = INDICES[name]

    def program(jax):
        def use(ref):
            old = jax.ref.get(ref, index)
            jax.ref.set(ref, index, old * 2 + 1)
            jax.ref.addupdate(ref, index, old)
            return old, jax.ref.swap(ref, index, old - 3)

        ref = new(jax, M)
        return (jax.jit(use) if jitted else use)(ref), ref[...]

    agree(program)


def test_dynamic_indices_are_clamped_and_arrays_out_of_bounds_not_written():
    def program(jax):
        def use(ref, i, several):
            out = ref[i], jax.ref.swap(ref, i, 7.0), ref[several]
            ref[several] = jax.numpy.array([8.0, 9.0])
            return out

        results = []
        for i in (1, 5, -1):
            ref = new(jax)
            results.append((jax.jit(use)(ref, i, np.array([5, -3])), ref[...]))
        return results

    agree(program)


def test_augmented_assignment_and_attributes():
    def program(jax):
        ref = new(jax)
        ref[...] += 1
        ref[0] *= 5
        ref[1:] -= ref[:2]
        assert isinstance(ref, jax.Ref) and not isinstance(ref, jax.Array)
        assert len(ref) == 3 and ref.shape == (3,) and ref.ndim == 1 and ref.size == 3 and ref.dtype == np.float32
        assert ref == ref and ref != 1 and hash(ref)
        assert isinstance(jax.typeof(ref), jax.ref.AbstractRef)
        return (
            ref[...],
            repr(ref),
            str(jax.typeof(ref)),
            repr(new(jax, M)),
            jax.new_ref(2.0)[...],
            jax.new_ref(True)[...],
        )

    agree(program)


@pytest.mark.parametrize("jitted", [False, True])
def test_methods_that_read_and_write(jitted):
    def f(x):
        ref = cyxla.new_ref(x)
        ref.set(5.0, 1)
        first = ref.get(1)
        ref.set(x * 2)
        return first, ref.get(), ref.get(slice(0, 1))

    first, whole, part = (cyxla.jit(f) if jitted else f)(jnp.arange(3.0))
    assert (float(first), whole.tolist(), part.tolist()) == (5.0, [0.0, 2.0, 4.0], [0.0])
    assert not hasattr(jnp.ones(2), "get") and not hasattr(jnp.ones(2), "set")


def test_values_are_copied():
    x = jnp.ones(3)
    ref = cyxla.new_ref(x)
    before = ref[...]
    ref[0] = 5.0
    part = ref[1:]
    whole = ref[...]
    ref[1] = 6.0
    view = np.asarray(ref[...])
    cyxla.jit(lambda ref: cyxla.ref.set(ref, 2, 7.0))(ref)
    ref[2] = 8.0
    assert x.tolist() == before.tolist() == [1, 1, 1]
    assert part.tolist() == [1, 1] and whole.tolist() == [5, 1, 1] and view.tolist() == [5, 6, 1]
    assert ref[...].tolist() == [5, 6, 8]


def test_overwriting_in_place_leaves_others_alone():
    ref = cyxla.new_ref(jnp.zeros((1, 3)))
    ref[0, 0] = 1.0
    row = ref[0]
    other = cyxla.new_ref(row)
    ref[0, 1] = 2.0
    other[2] = 3.0
    copy = cyxla.new_ref(ref[...])
    ref[0, 1] = 4.0
    assert row.tolist() == [1, 0, 0] and other[...].tolist() == [1, 0, 3] and copy[...].tolist() == [[1, 2, 0]]


WRONG = {
    "shape": (lambda jax, ref: jax.ref.set(ref, ..., 2.0), "ValueError"),
    "larger": (lambda jax, ref: jax.ref.set(ref, ..., np.ones(4, np.float32)), "ValueError"),
    "dtype": (lambda jax, ref: jax.ref.set(ref, 0, 5), "ValueError"),
    "added dtype": (lambda jax, ref: jax.ref.addupdate(ref, 0, 5), "ValueError"),
    "added shape": (lambda jax, ref: ref.addupdate(1.0), "ValueError"),
    "list": (lambda jax, ref: jax.ref.set(ref, ..., [1.0, 2.0, 3.0]), "TypeError"),
    "out of bounds": (lambda jax, ref: ref[5], "ValueError"),
    "too many": (lambda jax, ref: ref[0, 0], "ValueError"),
    "backwards": (lambda jax, ref: ref[::-1], "ValueError"),
    "text": (lambda jax, ref: ref["a"], "TypeError"),
    "mask": (lambda jax, ref: ref[np.array([True, False, True])], "IndexError"),
    "operator": (lambda jax, ref: ref + 1, "TypeError"),
    "function": (lambda jax, ref: jax.numpy.sin(ref), "TypeError"),
    "float": (lambda jax, ref: float(ref), "TypeError"),
    "of a list": (lambda jax, ref: jax.new_ref([1.0]), "TypeError"),
    "of text": (lambda jax, ref: jax.new_ref("a"), "TypeError"),
    "get of an array": (lambda jax, ref: jax.ref.get(jax.numpy.ones(3), 0), "ValueError"),
    "traced operand": (lambda jax, ref: jax.jit(lambda r: jax.numpy.sin(r))(ref), "TypeError"),
    "two arguments": (lambda jax, ref: jax.jit(lambda a, b: a[0] + b[0])(ref, ref), "ValueError"),
    "closed over too": (lambda jax, ref: jax.jit(lambda a: a[0] + ref[0])(ref), "ValueError"),
    "twice, inside": (lambda jax, ref: jax.jit(lambda r: jax.jit(lambda a, b: a[0] + b[0])(r, r))(ref), "ValueError"),
    "closed over, inside": (lambda jax, ref: jax.jit(lambda r: jax.jit(lambda a: a[0] + r[0])(r))(ref), "ValueError"),
    "returned": (lambda jax, ref: jax.jit(lambda r: r)(ref), "ValueError"),
    "returned from outside": (lambda jax, ref: jax.jit(lambda: ref)(), "ValueError"),
    "returned, made inside": (lambda jax, ref: jax.jit(lambda x: jax.new_ref(x))(V), "ValueError"),
    "carried": (lambda jax, ref: jax.lax.scan(lambda c, x: (c, None), ref, V), "ValueError"),
    "scanned result": (lambda jax, ref: jax.lax.scan(lambda c, x: (c, jax.new_ref(x)), 0.0, V), "ValueError"),
    "branch result": (lambda jax, ref: jax.lax.cond(True, lambda r: r, lambda r: r, ref), "ValueError"),
    "branch operands": (
        lambda jax, ref: jax.lax.cond(True, lambda a, b: a[0], lambda a, b: b[0], ref, ref),
        "ValueError",
    ),
    "loop value": (lambda jax, ref: jax.lax.while_loop(lambda r: r[0] < 8, lambda r: r, ref), "ValueError"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong(name):
    use, error = WRONG[name]
    both_raise(error, lambda jax: use(jax, new(jax)))


def test_frozen_and_leaked_references():
    ref = cyxla.new_ref(V)
    assert cyxla.freeze(ref).tolist() == [0, 1, 2]
    for use in (
        lambda: ref[...],
        lambda: cyxla.ref.set(ref, 0, 1.0),
        lambda: cyxla.freeze(ref),
        lambda: cyxla.jit(lambda r: r[0])(ref),
    ):
        with pytest.raises(RuntimeError, match="freeze"):
            use()
    assert repr(ref) == "Ref(<frozen>, shape=(3,), dtype=float32)"
    freed = cyxla.new_ref(1.0)
    assert cyxla.free_ref(freed) is None
    with pytest.raises(RuntimeError, match="free_ref"):
        freed[...]

    def used_after(x):
        ref = cyxla.new_ref(x)
        cyxla.freeze(ref)
        return ref[...]

    with pytest.raises(RuntimeError, match="freeze"):
        cyxla.jit(used_after)(V)
    leaked = []
    cyxla.jit(lambda x: leaked.append(cyxla.new_ref(x)))(V)
    with pytest.raises(cyxla.errors.UnexpectedTracerError):
        leaked[0][...]


def test_views():
    def use(ref):
        view = ref.at[1:]
        view[0] = 5.0
        view.at[1][...] += 2.0
        view.addupdate(1.0, 0)
        assert view.shape == (2,) and view.dtype == np.float32 and view.at[0].ndim == 0
        return view[...], view.at[0][...], cyxla.ref.swap(view, 1, 9.0)

    # jax has them under a trace only.
    for run in (use, cyxla.jit(use)):
        ref = cyxla.new_ref(V)
        assert [np.asarray(x).tolist() for x in run(ref)] == [[6, 4], 6, 4] and ref[...].tolist() == [0, 6, 9]
    agree(lambda jax: str(jax.make_jaxpr(lambda r: (r.at[1:].at[0][...], r.at[0][...]))(new(jax))))


def test_typed_keys_and_other_dtypes():
    def program(jax):
        ref = jax.new_ref(jax.random.key(0))
        ref[...] = jax.random.split(ref[...])[1]
        half = jax.new_ref(jax.numpy.ones(3, "bfloat16"))
        half[1] = jax.numpy.bfloat16(3)
        numbers = jax.new_ref(jax.numpy.arange(3))
        numbers[0] = 7
        jax.jit(lambda r: jax.ref.addupdate(r, 1, 5))(numbers)
        return ref[...], half[...], numbers[...]

    agree(program)


# -- jit


def test_jit_writes_what_the_caller_sees():
    def program(jax):
        ref, other = new(jax), new(jax, M)

        @jax.jit
        def step(state, x, other):
            state["a"][...] += x
            other[0] = state["a"][...] * 2
            return state["a"][0], x + 1

        out = [step({"a": ref}, V, other), step({"a": ref}, V, other)]
        return out, ref[...], other[...]

    agree(program)


def test_jit_closing_over_a_reference():
    def program(jax):
        ref = new(jax)
        count = jax.jit(lambda x: jax.ref.swap(ref, 0, ref[0] + x))
        out = [count(1.0), count(2.0), ref[...]]
        ref[0] = 10.0
        return out, count(1.0), ref[...]

    agree(program)


def test_references_made_inside():
    def f(jax, x):
        ref = jax.new_ref(x)
        ref[1] = ref[0] + 4
        return ref[...] if x.shape == (3,) else jax.freeze(ref)

    agree(lambda jax: (jax.jit(lambda x: f(jax, x))(V), f(jax, jax.numpy.asarray(V)), jax.jit(lambda x: f(jax, x))(M)))


def test_unused_and_only_read_references_are_not_copied_or_donated():
    ref, unused = cyxla.new_ref(V), cyxla.new_ref(V)
    whole = ref[...]
    f = cyxla.jit(lambda r, u, x: r[0] + x)
    assert float(f(ref, unused, 1.0)) == 1 and ref[...] is whole
    assert unused[...].tolist() == V.tolist()


def test_ahead_of_time():
    def add(ref, x):
        ref[...] += x
        return ref[0]

    def program(jax):
        ref = new(jax)
        compiled = jax.jit(add).lower(ref, V).compile()
        return compiled(ref, V), compiled(ref, V), ref[...], jax.eval_shape(jax.jit(add), ref, V)

    agree(program)
    text = cyxla.jit(add).lower(cyxla.new_ref(V), V).as_text()
    assert "tf.aliasing_output = 0" in text
    with pytest.raises(TypeError, match=r"Ref\{float32\[3\]\}"):
        cyxla.jit(add).lower(cyxla.new_ref(V), V).compile()(V, V)
    cyxla.precompile([(cyxla.jit(add), cyxla.new_ref(V), V)])


def test_large_content_is_overwritten():
    ref = cyxla.new_ref(jnp.zeros(100_000))
    put = cyxla.jit(lambda r, i: cyxla.ref.set(r, i, 1.0))
    for i in range(4):
        put(ref, i)
        ref[10 + i] = 2.0
        assert float(ref[...].sum()) == 3 * (i + 1)
        assert float(cyxla.jit(lambda r: r[...].sum())(ref)) == 3 * (i + 1)


def test_shared_trace_with_other_references():
    def program(jax):
        f = jax.jit(lambda r: jax.ref.swap(r, 0, 5.0))
        a, b = new(jax), new(jax, V + 1)
        return f(a), f(b), f(a), a[...], b[...]

    agree(program)


# -- control flow


def scanned(jax, ref):
    def step(c, x):
        ref[...] += x
        return c + ref[0], ref[1]

    return jax.lax.scan(step, 0.0, V)


def over_rows(jax, ref):
    def step(c, row):
        row[...] += c
        return c + row[0], row[0]

    return jax.lax.scan(step, np.float32(1), ref, reverse=True)


def fixed_loop(jax, ref):
    return jax.lax.fori_loop(0, 3, lambda i, c: c + jax.ref.swap(ref, i, ref[i] * 2 + c), np.float32(1))


def counted_loop(jax, ref, n=2):
    return jax.lax.fori_loop(0, jax.numpy.int32(n), lambda i, c: c + jax.ref.swap(ref, i, ref[i] + 1), np.float32(0))


def open_loop(jax, ref):
    def body(i):
        ref[0] += 3.0
        return i + 1

    return jax.lax.while_loop(lambda i: i < 4, body, 0)


def branches(jax, ref, pred=True):
    def yes():
        ref[0] = 4.0
        return ref[1]

    def no():
        ref[1] += 10.0
        return 3.0

    return jax.lax.cond(pred, yes, no), jax.lax.cond(not pred, yes, no)


def branch_operand(jax, ref):
    index = jax.numpy.int32(1)
    return jax.lax.switch(index, [lambda r: r[0], lambda r: jax.ref.swap(r, 2, 1.0), lambda r: r[1]], ref)


def mapped(jax, ref):
    return jax.lax.map(lambda x: jax.ref.swap(ref, 0, x), V + 3)


def nested(jax, ref):
    def inner(i, c):
        jax.lax.cond(ref[0] > 2, lambda: jax.ref.addupdate(ref, 1, c), lambda: jax.ref.set(ref, 0, 3.0))
        return c + 1

    def outer(c, x):
        return jax.jit(lambda c: jax.lax.fori_loop(0, 2, inner, c))(c), ref[1] + x

    return jax.lax.scan(outer, np.float32(0), V)


def checkpointed(jax, ref):
    return jax.checkpoint(lambda r: jax.ref.swap(r, 0, 1.0))(ref)


PROGRAMS = {
    f.__name__: f
    for f in (
        scanned, fixed_loop, counted_loop, open_loop, branches, branch_operand, mapped, nested, checkpointed,
    )
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jit"])
def test_control_flow(name, jitted):
    f = PROGRAMS[name]

    def program(jax):
        ref = new(jax)
        run = jax.jit(lambda r: f(jax, r)) if jitted else lambda r: f(jax, r)
        return run(ref), run(ref), ref[...]

    agree(program)


@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jit"])
def test_scanning_over_a_reference(jitted):
    # jax runs it in one direction only under jit.
    ref = cyxla.new_ref(M)
    run = cyxla.jit(lambda r: over_rows(cyxla, r)) if jitted else lambda r: over_rows(cyxla, r)
    carry, firsts = run(ref)
    assert float(carry) == 10 and firsts.tolist() == [5, 4] and ref[...].tolist() == [[5, 6, 7], [4, 5, 6]]

    def program(jax):
        def step(c, row):
            row[...] += c
            return c + 1, row[0]

        ref = new(jax, M)
        return jax.lax.scan(step, np.float32(1), ref), ref[...]

    agree(program)


def test_a_test_that_writes():
    # What the last test writes stays, as in Python; jax drops it.
    def f(ref):
        def test(i):
            ref[0] += 1.0
            return ref[0] < 5

        return lax.while_loop(test, lambda i: i + 2, 0)

    for run in (f, cyxla.jit(f)):
        ref = cyxla.new_ref(V)
        assert (int(run(ref)), ref[0]) == (8, 5) and (int(run(ref)), ref[0]) == (0, 6)


def test_a_test_that_reads_what_the_body_writes():
    def f(ref):
        def body(i):
            ref[0] += 2.0
            return i + 1

        return lax.while_loop(lambda i: ref[0] < 5, body, 0)

    # jax says that the reference is passed twice.
    for run in (f, cyxla.jit(f)):
        ref = cyxla.new_ref(V)
        assert int(run(ref)) == 3 and ref[...].tolist() == [6, 1, 2]


# -- vmap


VMAPS = {
    "swap": lambda jax, r: jax.vmap(lambda q: jax.ref.swap(q, 0, 9.0))(r),
    "set": lambda jax, r: jax.vmap(lambda q, x: jax.ref.set(q, ..., x))(r, M * 2),
    "second axis": lambda jax, r: jax.vmap(lambda q: jax.ref.swap(q, 0, 9.0), in_axes=1)(r),
    "last axis": lambda jax, r: jax.vmap(lambda q: jax.ref.swap(q, 0, 9.0), in_axes=-1)(r),
    "of jit": lambda jax, r: jax.vmap(jax.jit(lambda q: jax.ref.swap(q, 0, 9.0)))(r),
    "of scan": lambda jax, r: jax.vmap(lambda q: jax.lax.scan(lambda c, x: (c, jax.ref.swap(q, 0, x)), 0.0, V))(r),
    "closed over": lambda jax, r: jax.vmap(lambda x: r[0] + x)(V),
    "closed over, index": lambda jax, r: jax.vmap(lambda i: r[i, 1:])(np.array([1, 0])),
    "made": lambda jax, r: jax.vmap(lambda x: jax.freeze(jax.new_ref(x)))(M),
    "returned": lambda jax, r: jax.vmap(lambda x: jax.new_ref(x))(M)[...],
}


@pytest.mark.parametrize("name", VMAPS)
def test_vmap(name):
    agree(after(lambda jax, ref: VMAPS[name](jax, ref), M))


UNBATCHED = {
    "set": lambda jax, r: jax.vmap(lambda x: (jax.ref.set(r, 0, x), x)[1])(V),
    "set, not batched": lambda jax, r: jax.vmap(lambda x: (jax.ref.set(r, 0, 7.0), x)[1])(V),
    "add": lambda jax, r: jax.vmap(lambda x: (jax.ref.addupdate(r, 0, x), x)[1])(V),
    "index": lambda jax, r: jax.vmap(lambda i: (jax.ref.set(r, i, 1.0), i)[1])(np.array([0, 1])),
    "argument": lambda jax, r: jax.vmap(lambda q, x: (jax.ref.set(q, 0, x), x)[1], in_axes=(None, 0))(r, V),
}


@pytest.mark.parametrize("name", UNBATCHED)
def test_batches_are_not_written_to_one_reference(name):
    with pytest.raises(ValueError, match="under vmap"):
        UNBATCHED[name](cyxla, cyxla.new_ref(V))
    both_raise("Exception", lambda jax: UNBATCHED[name](jax, new(jax)))
    jitted = cyxla.jit(lambda r, x: UNBATCHED["set"](cyxla, r))
    with pytest.raises(ValueError, match="under vmap"):
        jitted(cyxla.new_ref(V), V)


def looped(x, n):
    ref = cyxla.new_ref(x)

    def body(i):
        ref[0] += ref[1] * 2
        return i + 1

    return lax.while_loop(lambda i: i < n, body, 0), ref[...]


def conditional(x, n):
    ref = cyxla.new_ref(x)
    lax.cond(n > 1, lambda: cyxla.ref.set(ref, 0, 9.0), lambda: cyxla.ref.addupdate(ref, 1, x[2]))
    return ref[...]


def scattered(x, n):
    ref = cyxla.new_ref(jnp.zeros((2, 3)))
    ref[n % 2, jnp.array([0, 2])] = x[:2]
    ref.addupdate(x[1:], (n % 2, slice(1, None)))
    ref.at[n % 2].at[0][...] += x[2]
    return ref[...], ref[:, n], ref.at[1:][0, n]


def rows_of(x, n):
    ref = cyxla.new_ref(jnp.stack([x, x * 2]))

    def step(c, row):
        row[...] += c
        return c + n, row[0]

    return lax.scan(step, x[0], ref), ref[...]


@pytest.mark.parametrize("f", [looped, conditional, scattered, rows_of], ids=lambda f: f.__name__)
@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jit"])
def test_vmap_is_a_loop(f, jitted):
    x, n = M + 1, np.array([2, 1])
    one = cyxla.jit(f) if jitted else f
    found = cyxla.vmap(one)(x, n)
    rows = [one(jnp.asarray(a), jnp.asarray(b)) for a, b in zip(x, n)]
    expected = cyxla.tree.map(lambda *leaves: np.stack(leaves), *rows)
    cyxla.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-6), found, expected)
    other = cyxla.vmap(one, in_axes=(1, 0))(x.T, n)
    cyxla.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-6), other, expected)


def test_vmapped_loops_over_batched_references_in_any_axis():
    def use(q, n):
        lax.while_loop(lambda i: i < n, lambda i: (cyxla.ref.addupdate(q, 0, 1.0), i + 1)[1], 0)
        lax.cond(n > 1, lambda: cyxla.ref.set(q, 1, 9.0), lambda: None)
        lax.scan(lambda c, x: (c, cyxla.ref.addupdate(q, 2, x)), 0.0, V)

    expected = [[2, 9, 5], [4, 4, 8]]
    for axis in (0, 1):
        ref = cyxla.new_ref(M if axis == 0 else M.T)
        cyxla.vmap(use, in_axes=(axis, 0))(ref, np.array([2, 1]))
        assert np.moveaxis(np.asarray(ref[...]), axis, 0).tolist() == expected


# -- differentiation


def written(jax, x):
    ref = jax.new_ref(jax.numpy.zeros(3))
    ref[...] = x**2
    ref[0] = jax.numpy.sin(ref[1]) * ref[0]
    ref[1:] *= 3.0
    ref.addupdate(x[0] * x[1], 2)
    return jax.freeze(ref).sum()


def carried(jax, x):
    ref = jax.new_ref(x)

    def step(c, _):
        ref[...] = jax.numpy.sin(ref[...]) * c
        return c + ref[0], ref[1]

    c, ys = jax.lax.scan(step, np.float32(1), None, length=3)
    return c + ys.sum() + ref[...].sum()


def chosen(jax, x):
    ref = jax.new_ref(x)
    jax.lax.cond(x[0] > 0, lambda: jax.ref.set(ref, 0, jax.numpy.sin(ref[1])), lambda: jax.ref.set(ref, 1, ref[0] * 3))
    return ref[...].sum()


def indexed(jax, x):
    ref = jax.new_ref(x)
    jax.lax.fori_loop(0, 3, lambda i, c: (jax.ref.set(ref, i, jax.numpy.sin(ref[i]) * ref[0]), c)[1], 0.0)
    return (ref[...] * ref[np.array([2, 0, 0])]).sum()


def called(jax, x):
    ref = jax.new_ref(x)
    jax.jit(lambda y: jax.ref.addupdate(ref, ..., y * ref[1]))(x * 2)
    return ref[...].sum()


def with_integers(jax, x):
    ref, count = jax.new_ref(x), jax.new_ref(0)
    count[...] += 2
    ref[count[...] - 1] = x[0] * count[...]
    return ref[...].sum()


DIFFERENTIATED = {f.__name__: f for f in (written, carried, chosen, indexed, called, with_integers)}
WAYS = {
    "grad": lambda jax, f: jax.grad(f)(V + 1),
    "jit of grad": lambda jax, f: jax.jit(jax.grad(f))(V + 1),
    "grad of jit": lambda jax, f: jax.grad(jax.jit(f))(V + 1),
    "jvp": lambda jax, f: jax.jvp(f, (V + 1,), (V,)),
    "linearize": lambda jax, f: jax.linearize(f, V + 1)[1](V),
    "vmap of grad": lambda jax, f: jax.vmap(jax.grad(f))(M + 1),
    "grad of vmap": lambda jax, f: jax.grad(lambda x: jax.vmap(f)(x).sum())(M + 1),
}


@pytest.mark.parametrize("name", DIFFERENTIATED)
@pytest.mark.parametrize("way", WAYS)
def test_derivatives(name, way):
    if name == "chosen" and "vmap" in way:
        # jax cannot; the law of the loop instead.
        f = lambda x: chosen(cyxla, x)
        rows = np.stack([cyxla.grad(f)(x) for x in M + 1])
        np.testing.assert_allclose(WAYS[way](cyxla, f), rows, 1e-5)
        return
    agree(lambda jax: WAYS[way](jax, lambda x: DIFFERENTIATED[name](jax, x)))


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_second_derivatives_and_checkpoint(name):
    # jax has neither for functions with references.
    f = lambda x: DIFFERENTIATED[name](cyxla, x)
    x, t, step = V + 1, np.array([0.5, -1, 2], np.float32), 1e-2
    exact = cyxla.jvp(cyxla.grad(f), (x,), (t,))[1]
    if name != "carried":  # which has a carry of 32 bits
        with cyxla.enable_x64(True):
            near = [cyxla.grad(f)((x + s * step * t).astype(np.float64)) for s in (1, -1)]
        np.testing.assert_allclose(exact, (near[0] - near[1]) / (2 * step), rtol=2e-2, atol=2e-2)
    for policy in (None, cyxla.checkpoint_policies.everything_saveable):
        np.testing.assert_allclose(cyxla.grad(cyxla.checkpoint(f, policy=policy))(x), cyxla.grad(f)(x), 1e-5)


def test_pullbacks_pass_through_jit():
    def program(jax):
        def f(x, y):
            ref = jax.new_ref(jax.numpy.zeros(3))
            ref[...] += x * y
            ref[1] = ref[0] * 2.0
            # A residual that is a broadcast, which the pullback makes again.
            return (ref[...] * jax.numpy.broadcast_to(jax.numpy.sin(y), (3,)) ** 2).sum()

        args = V + 1, np.float32(2)
        _, pullback = jax.jit(lambda *args: jax.vjp(f, *args))(*args)
        _, linear = jax.jit(lambda *args: jax.linearize(f, *args))(*args)
        later = jax.jit(lambda function, *args: function(*args))
        return later(pullback, args[1]), jax.vmap(pullback)(V), pullback(args[1]), later(linear, *args), linear(*args)

    agree(program)


def test_loops_without_reverse_mode():
    def f(jax, x):
        ref = jax.new_ref(x)

        def body(i):
            ref[i] = jax.numpy.sin(ref[i]) * ref[0]
            return i + 1

        jax.lax.while_loop(lambda i: i < 3, body, 0)
        return ref[...].sum()

    agree(lambda jax: jax.jvp(lambda x: f(jax, x), (V + 1,), (V,)))
    # jax runs the loop twice on one reference here.
    np.testing.assert_allclose(
        cyxla.linearize(lambda x: f(cyxla, x), V + 1)[1](V), cyxla.jvp(lambda x: f(cyxla, x), (V + 1,), (V,))[1], 1e-5
    )
    both_raise("ValueError", lambda jax: jax.grad(lambda x: f(jax, x))(V + 1))


OUTSIDE = {
    "read": lambda jax, r: jax.grad(lambda x: (x * r[...]).sum())(V),
    "constant": lambda jax, r: jax.grad(lambda x: (jax.ref.set(r, ..., V + 5), (x * 2).sum())[1])(V),
    "stopped": lambda jax, r: jax.grad(lambda x: (jax.ref.set(r, ..., jax.lax.stop_gradient(x)), x.sum())[1])(V),
    "argument": lambda jax, r: jax.grad(lambda r, x: (r[...] * x).sum(), argnums=1)(r, V),
    "auxiliary": lambda jax, r: jax.grad(lambda x: (x.sum(), jax.new_ref(x)), has_aux=True)(V)[1][...],
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_references_outside_of_the_differentiated_function(name):
    agree(after(OUTSIDE[name]))


@pytest.mark.parametrize("way", ["grad", "jvp"])
def test_derivatives_are_not_lost(way):
    def program(jax):
        ref = new(jax)

        def f(x):
            ref[...] = x * 2
            return x.sum()

        return jax.grad(f)(V) if way == "grad" else jax.jvp(f, (V,), (V,))

    both_raise("Exception", program)
    with pytest.raises(ValueError, match="stop_gradient"):
        program(cyxla)
    with pytest.raises(TypeError, match="reference"):
        cyxla.grad(lambda r: r[0])(cyxla.new_ref(V))


def test_forward_mode_with_references_as_arguments():
    def program(jax):
        a, b = new(jax), new(jax, V * 0 + 1)
        out = jax.jvp(lambda r: jax.ref.swap(r, 0, r[1] * r[2]), (a,), (b,))
        return out, a[...], b[...]

    agree(program)


def stash(jax):
    """The identity, which adds its cotangent to a reference."""

    @jax.custom_vjp
    def f(x, ref):
        return x

    def backward(ref, ct):
        ref[...] += ct
        return ct, None

    f.defvjp(lambda x, ref: (x, ref), backward)
    return f


def repeated(jax, f, x, ref):
    return jax.lax.scan(lambda c, _: (f(c, ref) * 2, None), x, None, length=3)[0].sum()


PLUMBING = {
    "eager": lambda jax, f, r: jax.grad(lambda x: (f(x, r) ** 2).sum())(V),
    "jit": lambda jax, f, r: jax.jit(jax.grad(lambda x: (f(x, r) ** 2).sum()))(V),
    "argument of jit": lambda jax, f, r: jax.jit(lambda x, r: jax.grad(lambda x: (f(x, r) ** 2).sum())(x))(V, r),
    "grad of jit": lambda jax, f, r: jax.grad(jax.jit(lambda x: (f(x, r) ** 2).sum()))(V),
    "scan": lambda jax, f, r: jax.grad(lambda x: repeated(jax, f, x, r))(V),
    "scan in jit": lambda jax, f, r: jax.jit(lambda x, r: jax.grad(lambda x: repeated(jax, f, x, r))(x))(V, r),
    "checkpoint": lambda jax, f, r: jax.grad(jax.checkpoint(lambda x: (f(x, r) ** 2).sum()))(V),
    "checkpoint in jit": lambda jax, f, r: jax.jit(
        lambda x, r: jax.grad(jax.checkpoint(lambda x: (f(x * r[0], r) ** 2).sum()))(x)
    )(V, r),
    "not differentiated": lambda jax, f, r: jax.jit(f)(V, r),
}


@pytest.mark.parametrize("name", PLUMBING)
def test_gradients_gathered_by_a_rule(name):
    agree(after(lambda jax, ref: (PLUMBING[name](jax, stash(jax), ref), PLUMBING[name](jax, stash(jax), ref))))


@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jit"])
def test_rules_that_close_over_references(jitted):
    # jax fails in loops and branches.
    ref = cyxla.new_ref(jnp.zeros(3))
    gather = cyxla.custom_vjp(lambda x: x)

    def backward(_, ct):
        ref[...] += ct
        return (ct,)

    gather.defvjp(lambda x: (x, None), backward)

    def f(x):
        x = lax.scan(lambda c, _: (gather(c) * 2, None), x, None, length=3)[0]
        x = lax.cond(x[1] > 0, lambda x: gather(x) * 3, lambda x: x, x)
        return cyxla.checkpoint(lambda x: gather(x) * 5)(x).sum()

    grad = cyxla.jit(cyxla.grad(f)) if jitted else cyxla.grad(f)
    assert grad(jnp.asarray(V)).tolist() == [120, 120, 120]
    # Cotangents of 5, 15, and twice as much at each step.
    assert ref[...].tolist() == [5 + 15 + 30 + 60 + 120] * 3


def test_batched_plumbing():
    def program(jax):
        ref, f = new(jax, M * 0), stash(jax)
        return jax.vmap(lambda x, r: jax.grad(lambda x: (f(x, r) ** 2).sum())(x))(M, ref), ref[...]

    agree(program)


# -- gradients added to references


def test_with_refs():
    def program(jax):
        _, pullback = jax.vjp(lambda p, x, i: jax.numpy.sin(p["w"]) * x * i, {"w": V}, 3.0, 2)
        ref = new(jax)
        found = [
            pullback.with_refs({"w": ref}, jax.ad.DontWant(), jax.ad.DontWant())(V),
            pullback.with_refs({"w": ref}, jax.ad.GradValue(), jax.ad.DontWant())(V),
            pullback.with_refs({"w": 0}, jax.ad.GradValue(), jax.ad.DontWant())(V),
        ]
        return (
            [str(type(x).__name__) for x in jax.tree.leaves(found[0], is_leaf=lambda x: True)],
            [f[1:2] for f in found[1:]],
            ref[...],
        )

    agree(program)


def test_with_refs_in_loops_and_under_jit():
    def program(jax):
        def total():
            gathered = jax.new_ref(jax.numpy.zeros(2))

            def step(c, x):
                _, pullback = jax.vjp(lambda w: (w * x).sum(), jax.numpy.ones(2))
                pullback.with_refs(gathered)(np.float32(1))
                return c, None

            jax.lax.scan(step, 0.0, V)
            return gathered[...]

        ref = new(jax)
        jax.jit(lambda r, x: jax.vjp(lambda x: x * x, x)[1].with_refs(r)(x))(ref, V)
        return total(), jax.jit(total)(), ref[...]

    agree(program)


def test_gradients_of_references():
    def program(jax):
        ref, gathered = new(jax, V + 1), new(jax)
        jax.vjp(lambda r: r[0] * r[0] + r[1], ref)[1].with_refs(gathered)(np.float32(1))
        return gathered[...]

    agree(program)


def test_wrong_uses_of_with_refs():
    pullback = cyxla.vjp(lambda x, y: x * y, V, V)[1]
    with pytest.raises(TypeError, match="GradValue"):
        pullback.with_refs(cyxla.new_ref(V))
    with pytest.raises(ValueError, match="shape"):
        pullback.with_refs(cyxla.new_ref(M), 0)(V)
    with pytest.raises(ValueError, match="dtype"):
        pullback.with_refs(cyxla.new_ref(V.astype(np.float16)), 0)(V)


def test_forward_and_backward():
    def program(jax):
        forward, backward = jax.fwd_and_bwd(lambda x, y: x * y, argnums=(0, 1))
        out, pullback = forward(2.0, 3.0)
        return out, backward(pullback, 1.0)

    agree(program)


# -- jaxprs


def everything(jax, ref, i):
    x = ref[...]
    ref[...] = x * 2
    ref[0] = 1.0
    ref[1:] += 2.0
    ref.addupdate(3.0, 0)
    ref[i] = ref[1]
    ref[np.array([0, 1])] = x[:2]
    return jax.ref.swap(ref, 0, x[1]), ref[np.array([0, 1])]


JAXPRS = {
    "operations": lambda jax, r: jax.make_jaxpr(lambda r, i: everything(jax, r, i))(r, 0),
    "made inside": lambda jax, r: jax.make_jaxpr(lambda x: jax.freeze(jax.new_ref(x)))(V),
    "closed over": lambda jax, r: jax.make_jaxpr(lambda: r[...])(),
    "in jit": lambda jax, r: jax.make_jaxpr(jax.jit(lambda r: jax.ref.set(r, 0, 2.0)))(r),
    "scan": lambda jax, r: jax.make_jaxpr(
        lambda r, x: jax.lax.scan(lambda c, x: (c + r[0], jax.ref.swap(r, 1, x)), x[0], x)
    )(r, V),
    "cond": lambda jax, r: jax.make_jaxpr(
        lambda r, p: jax.lax.cond(p, lambda: jax.ref.set(r, 0, 1.0), lambda: jax.ref.set(r, 1, r[0]))
    )(r, True),
    "while": lambda jax, r: jax.make_jaxpr(lambda r: open_loop(jax, r))(r),
    "vmap": lambda jax, r: jax.make_jaxpr(jax.vmap(lambda q: jax.ref.swap(q, 0, 1.0)))(new(jax, M)),
    "freed": lambda jax, r: jax.make_jaxpr(lambda x: jax.free_ref(jax.new_ref(x)))(V),
}


@pytest.mark.parametrize("name", JAXPRS)
def test_printed_jaxprs(name):
    agree(lambda jax: str(JAXPRS[name](jax, new(jax))))


def test_avals():
    def program(jax):
        aval = jax.ref.AbstractRef(jax.core.ShapedArray((2,), np.dtype("float32")))
        assert aval == jax.ref.AbstractRef(jax.core.ShapedArray((2,), np.dtype("float32")))
        assert aval.shape == (2,) and aval.dtype == np.float32 and aval.ndim == 1 and aval.size == 2
        other = aval.update(inner_aval=jax.core.ShapedArray((3,), np.dtype("int32")))
        return str(aval), aval.str_short(True), str(other), str(aval.to_tangent_aval()), str(aval.inner_aval)

    agree(program)
    with pytest.raises(TypeError, match="another reference"):
        cyxla.ref.AbstractRef(cyxla.typeof(cyxla.new_ref(V)))


def test_copies_and_pickles():
    import copy
    import pickle

    ref = cyxla.new_ref(V)
    for other in (copy.copy(ref), copy.deepcopy(ref), pickle.loads(pickle.dumps(ref))):
        other[0] = 9.0
        assert other[...].tolist() == [9, 1, 2]
    assert ref[...].tolist() == [0, 1, 2]
    assert jax.tree.leaves([ref]) == [ref]


def test_empty_references():
    ref = cyxla.empty_ref(cyxla.ShapeDtypeStruct((2,), np.float32))
    ref[...] = jnp.ones(2)
    assert ref[...].tolist() == [1, 1] and ref.dtype == np.float32
    with pytest.raises(TypeError, match="shape"):
        cyxla.empty_ref(3)


def test_programs_do_not_keep_references_alive():
    import gc
    import weakref

    ref = cyxla.new_ref(V)
    cyxla.jit(lambda r: cyxla.ref.set(r, 0, 1.0))(ref)
    gone = weakref.ref(ref)
    del ref
    gc.collect()
    assert gone() is None


def test_disabled_jit():
    def program(jax):
        ref = new(jax)
        with jax.disable_jit():
            out = jax.jit(lambda r: jax.ref.swap(r, 0, 5.0))(ref), scanned(jax, ref)
        return out, ref[...]

    agree(program)


def test_fresh_lambdas_over_a_reference_share_a_trace():
    ref = cyxla.new_ref(V)
    traced = []

    def total(x):
        def step(c, row):
            ref[...] += row
            return c + ref[0], None

        return lax.scan(step, 0.0, x)[0]

    rows = jnp.asarray(M)
    total(rows)
    before = cyxla._engine.dispatch.stats()["compilations"]
    for _ in range(3):
        traced.append(float(total(rows)))
    assert cyxla._engine.dispatch.stats()["compilations"] == before
    assert traced == [9, 15, 21] and ref[...].tolist() == [12, 21, 30]


def test_references_are_not_placed():
    with pytest.raises(TypeError, match="device_put"):
        cyxla.device_put(cyxla.new_ref(V))
