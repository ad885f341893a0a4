"""Making arrays."""

import numpy as np
import pytest
from numpy_oracle import agree, cases

import cyxla.numpy as jnp


@cases("""
    jnp.array(1), jnp.array(1.5), jnp.array(True), jnp.array(1j), jnp.array([1, 2]), jnp.array([1, 2.5]),
        jnp.array([True, 2])
    jnp.array([[1, 2], [3, 4]], dtype=float), jnp.array([]), jnp.array([[], []]), jnp.array([1, 2j]),
        jnp.array(((1, 2), [3, 4]))
    jnp.array(np.float64(1)), jnp.array(np.int64(1)), jnp.array(np.arange(3)), jnp.array(np.ones(2, np.float16))
    jnp.array([np.float16(1), 1.0]), jnp.array([jnp.int8(1), 2]), jnp.array([f, f]), jnp.array([f, [1, 2, 3, 4]]),
        jnp.array([x, 2])
    jnp.array(range(3)), jnp.array(1.5, int), jnp.array([1.5], dtype='int32'), jnp.array([True], dtype=float),
        jnp.array(c, float)
    jnp.array(np.ones(2), ndmin=3), jnp.array(2, ndmin=1), jnp.array(f, dtype=int), jnp.array(i, 'bfloat16'),
        jnp.array(w, float)
    jnp.array(memoryview(b'abc')), jnp.array(bytearray(b'abc')), jnp.array(2**40, jnp.float32)
    jnp.asarray(1), jnp.asarray(f), jnp.asarray([1, 2]), jnp.asarray(w), jnp.asarray(f, dtype='int32'),
        jnp.asarray(f, copy=True)
    jnp.array(None)
    jnp.array('a')
    jnp.array([1, 'a'])
    jnp.array([1, None])
    jnp.array([[1], [1, 2]])
    jnp.array({1: 2})
    jnp.array({1})
    jnp.array(object())
    jnp.array(b'a')
    jnp.array(2**40)
    jnp.array([2**40])
    jnp.array([f, i[:2]])
    jnp.array(1, 'S1')
    jnp.array(1, order='F')
    jnp.zeros(3), jnp.zeros((2, 3)), jnp.zeros((), int), jnp.zeros([2], 'bfloat16'), jnp.ones((2, 1)),
        jnp.ones(2, bool), jnp.empty(2)
    jnp.full(2, 7), jnp.full((2, 2), 1.5), jnp.full((2, 4), f), jnp.full(2, 1, 'uint8'), jnp.full((), True),
        jnp.full(2, jnp.int8(3))
    jnp.zeros_like(f), jnp.zeros_like(w), jnp.ones_like(i, float), jnp.full_like(f, 2), jnp.full_like(w, 1),
        jnp.full_like(g, f[:3])
    jnp.ones_like(1), jnp.full_like(1, 2.5), jnp.zeros_like(f, shape=(2, 2)), jnp.empty_like(f), jnp.zeros_like(b),
        jnp.zeros_like(2.0)
    jnp.zeros(-1)
    jnp.zeros((2, 'a'))
    jnp.zeros(2.5)
    jnp.zeros_like([1, 2])
    jnp.full((2, 3), f)
    jnp.arange(5), jnp.arange(5.5), jnp.arange(2, 5), jnp.arange(2, 15, 3), jnp.arange(5, 0, -2),
        jnp.arange(0.5, 2, 0.25)
    jnp.arange(3, dtype=float), jnp.arange(0), jnp.arange(3, 1), jnp.arange(np.int64(4)),
        jnp.arange(3, dtype='uint8'), jnp.arange(1.0, 4)

    jnp.arange(0, 1, 0)
    jnp.arange('a')
    jnp.arange(None)
    jnp.linspace(0, 1, 5), jnp.linspace(0, 1, 5, endpoint=False), jnp.linspace(2, 3),
        jnp.linspace(0, 10, 4, dtype=int), jnp.linspace(1, 2, 1)
    jnp.linspace(0, 1, 0), jnp.linspace(0, 1, 3, retstep=True), jnp.linspace(f, 2, 3), jnp.linspace(f, q, 3, axis=1),
        jnp.linspace(0, 1j, 3)
    jnp.linspace(0.0, 1.0, 4, dtype='bfloat16'), jnp.linspace(1, 2, 1, endpoint=False, retstep=True),
        jnp.linspace(-3, 3, 7, dtype=int)
    jnp.linspace(0, 1, -1)
    jnp.logspace(0, 2, 3), jnp.logspace(0, 3, 4, base=2), jnp.logspace(0, 1, 3, endpoint=False),
        jnp.logspace(0, 1, 3, dtype=int)
    jnp.geomspace(1, 1000, 4), jnp.geomspace(-1, -8, 4), jnp.geomspace(1, 16, 4, endpoint=False),
        jnp.geomspace(p, 8.0, 3, axis=-1)
    jnp.eye(3), jnp.eye(2, 3), jnp.eye(3, k=1), jnp.eye(3, k=-1, dtype=int), jnp.identity(2), jnp.eye(2, dtype=bool),
        jnp.eye(0)
    jnp.eye(-1)
    jnp.tri(3), jnp.tri(2, 3, 1), jnp.tri(3, k=-1, dtype=int), jnp.tril(j), jnp.triu(j, 1), jnp.tril(t, -1),
        jnp.triu(m, -1), jnp.tril(B)
    jnp.tril(f)
    jnp.vander(f), jnp.vander(i, 3), jnp.vander(f, 2, increasing=True)
    jnp.vander(g)
    jnp.meshgrid(f, i), jnp.meshgrid(f, i, indexing='ij'), jnp.meshgrid(f, i, sparse=True), jnp.meshgrid(f, i, q),
        jnp.meshgrid(f)
    jnp.meshgrid(f, g)
    jnp.meshgrid(f, indexing='ab')
    jnp.indices((2, 3)), jnp.indices((2, 3), sparse=True), jnp.indices((2,), dtype=float)
    jnp.diag(f), jnp.diag(f, 1), jnp.diag(g), jnp.diag(g, -1), jnp.diagflat(g, 1), jnp.diag(f, -2)
    jnp.diag(t)
    jnp.diagonal(g), jnp.diagonal(t, 1, 0, 2), jnp.diagonal(t, -1, axis1=1, axis2=2), jnp.diagonal(g, 5),
        jnp.trace(m), jnp.trace(t, axis1=1, axis2=2)
    jnp.trace(j), jnp.trace(B), jnp.trace(j, dtype=float), jnp.trace(g, 1), jnp.trace(u[:, None])
    jnp.trace(f)
    jnp.diagonal(f)
    jnp.fill_diagonal(m, 7, inplace=False), jnp.fill_diagonal(g, f, inplace=False)
    jnp.fill_diagonal(m, 7)
    jnp.mgrid[0:2, 0:3], jnp.mgrid[0:4], jnp.mgrid[0:1:3j], jnp.ogrid[0:2, 0:3], jnp.mgrid[0:1:3j, 0:2]
    jnp.r_[1, 2, f], jnp.r_[0:4], jnp.r_[0:1:3j], jnp.c_[f, i], jnp.r_['-1', j, j], jnp.r_['0,2', 1:3, 4:6],
        jnp.c_[1:3], jnp.r_['0,2,0', 1:3, 4:6]
    jnp.s_[1:2, 3], jnp.index_exp[1], jnp.index_exp[1:2, 3], jnp.r_[w, 2]
    jnp.tril_indices(3), jnp.triu_indices(3, 1), jnp.tril_indices(2, 0, 4), jnp.tril_indices_from(m),
        jnp.triu_indices_from(g, 1)
    jnp.diag_indices(3), jnp.diag_indices_from(m), jnp.ix_(i, s), jnp.diag_indices(2, 3)
    jnp.bartlett(5), jnp.blackman(5), jnp.hamming(5), jnp.hanning(5), jnp.kaiser(5, 2.0), jnp.hanning(1),
        jnp.bartlett(0)
    jnp.frombuffer(b'abcd', dtype='uint8'), jnp.fromstring('1 2 3', sep=' '),
        jnp.frombuffer(np.arange(4.0).tobytes(), count=2, offset=8)
    jnp.fromiter([1], int)
    jnp.fromfile('a')
    jnp.astype(f, int), jnp.astype(c, bool), jnp.astype(i, None), jnp.astype(w, float), f.astype('bfloat16'),
        n.astype(int), c.real.astype(int)
    jnp.copy(f), f.copy(), jnp.copy(w)
    jnp.fromfunction(lambda a, b: a * 10 + b, (2, 3)), jnp.fromfunction(lambda a: a, (3,), dtype=int)
""")
def test_expressions(expression):
    agree(expression, tolerance=1e-4)


def test_shapes_from_concrete_values():
    agree("jnp.arange(jnp.int8(4)), jnp.arange(i[0], 9, jnp.asarray(2))", jitted=False)
    agree("jnp.mask_indices(3, jnp.triu), jnp.mask_indices(3, jnp.tril, -1, size=4)", jitted=False)


def test_64_bit_dtype_is_narrowed_with_a_warning():
    with pytest.warns(UserWarning, match="float64"):
        assert jnp.zeros(2, np.float64).dtype == np.float32


def test_array_of_a_numpy_array_does_not_see_later_writes():
    source = np.zeros(3, np.float32)
    x = jnp.array(source)
    source[0] = 1
    assert float(x[0]) == 0


def test_save_and_load(tmp_path):
    path = tmp_path / "x.npy"
    for dtype in ("float32", "int8", "bfloat16"):
        jnp.save(path, jnp.ones(3, dtype))
        back = jnp.load(path)
        assert back.dtype == dtype and back.shape == (3,) and np.all(np.asarray(back) == 1)
    jnp.savez(tmp_path / "y.npz", jnp.ones(2), name=jnp.zeros(1))
    with jnp.load(tmp_path / "y.npz") as archive:
        assert sorted(archive) == ["arr_0", "name"]
