"""numpy.fft and lax.fft: values against jax and NumPy, dtypes, shapes, errors."""

import jax
import numpy as np
import pytest
from compare import agree, assert_same, both_raise

import cyxla
import cyxla.numpy as jnp

RANDOM = np.random.RandomState(0)
REAL = RANDOM.randn(2, 3, 4).astype(np.float32)
COMPLEX = (REAL + 1j * RANDOM.randn(2, 3, 4)).astype(np.complex64)
DEEP = RANDOM.randn(1, 2, 1, 2, 3).astype(np.float32)

ONE_AXIS = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
TWO_AXES = ["fft2", "ifft2", "rfft2", "irfft2"]
MORE_AXES = ["fftn", "ifftn", "rfftn", "irfftn"]
CALLS = {
    1: [{}, {"n": 7}, {"n": 3, "axis": 0}, {"axis": 1, "norm": "ortho"}, {"n": 5, "norm": "forward"}, {"n": 1}],
    2: [{}, {"s": (3, 5)}, {"axes": (0, 1)}, {"s": [2, 7], "axes": [2, 0], "norm": "ortho"}, {"norm": "forward"}],
    3: [{}, {"s": (3,)}, {"s": (3, 5), "axes": (0, -1)}, {"axes": (2, 1, 0), "norm": "ortho"}, {"axes": (1,)}],
}
NAMES = [(name, 1) for name in ONE_AXIS] + [(name, 2) for name in TWO_AXES] + [(name, 3) for name in MORE_AXES]


# NumPy is about to change what s means without axes.
pytestmark = pytest.mark.filterwarnings("ignore:.*axes.*:DeprecationWarning")


def calls(name, count):
    def program(module, x):
        return [getattr(module.numpy.fft, name)(x, **options) for options in CALLS[count]]

    return program


@pytest.mark.parametrize("name, count", NAMES)
def test_transforms(name, count):
    program, x = calls(name, count), REAL if name.startswith(("rfft", "ihfft")) else COMPLEX
    ours = cyxla.jit(lambda x: program(cyxla, x))(x)
    assert_same(ours, jax.jit(lambda x: program(jax, x))(x), 1e-5, 1e-5)
    for out, options in zip(ours, CALLS[count], strict=True):
        np.testing.assert_allclose(out, getattr(np.fft, name)(x, **options), 1e-5, 1e-5)


@pytest.mark.parametrize("name", MORE_AXES)
def test_five_axes(name):
    options = {"s": (1, 2, 1, 2, 3), "axes": range(5)} if name == "irfftn" else {}
    out = getattr(jnp.fft, name)(DEEP, **options)
    np.testing.assert_allclose(out, getattr(np.fft, name)(DEEP, **options), 1e-5, 1e-5)


def test_axis_none():
    agree(lambda jax: [jax.numpy.fft.fft(COMPLEX[0], axis=None), jax.numpy.fft.irfft(COMPLEX[0], 5, None)], 1e-5, 1e-5)


def test_no_axes():
    agree(lambda jax: [jax.numpy.fft.rfftn(REAL, axes=()), jax.numpy.fft.fftn(REAL, axes=()), jax.numpy.fft.fftn(3.0)])


@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "uint16", "float16", "bfloat16", "float32", "complex64"])
def test_dtypes(dtype):
    def types(module):
        x = module.ShapeDtypeStruct((2, 4), dtype)
        names = ["fft", "irfft", "hfft", "ifft2", "irfftn"]
        if dtype not in ("float16", "bfloat16", "complex64"):
            names += ["rfft", "ihfft", "rfft2"]
        outs = [module.eval_shape(getattr(module.numpy.fft, name), x) for name in names]
        return [(out.shape, str(out.dtype), out.weak_type) for out in outs]

    assert types(cyxla) == types(jax)


def test_x64():
    x = RANDOM.randn(3, 6)

    def program(module):
        with module.enable_x64(True):
            f = module.numpy.fft
            outs = module.jit(lambda x: [f.fft(x), f.rfft(x), f.irfft2(x), f.hfft(x), f.fft(x.astype("int64"))])(x)
            return [np.asarray(out) for out in (*outs, f.fftfreq(5), f.rfftfreq(4, 0.3))]

    for ours, theirs in zip(program(cyxla), program(jax), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, 1e-12, 1e-12)


def test_empty():
    agree(lambda jax: [jax.numpy.fft.fft(np.zeros((2, 0))), jax.numpy.fft.irfft(np.zeros((2, 1)))])
    agree(lambda jax: [jax.numpy.fft.ifft2(np.zeros((0, 2, 3))), jax.numpy.fft.rfft(np.zeros((0, 3)))])


@pytest.mark.parametrize("name", ["fftfreq", "rfftfreq"])
def test_frequencies(name):
    def program(module):
        f = getattr(module.numpy.fft, name)
        return [
            *(f(n) for n in (1, 4, 5, 0, -1, np.int32(6))),
            f(4, 0.5),
            f(5, np.float32(2)),
            f(4, 0),
            *(f(5, dtype=dtype) for dtype in ("float16", "bfloat16", "int32", "complex64")),
            f(4, device=module.devices()[0]),
            module.jit(lambda d: f(5, d))(0.25),
        ]

    agree(program)


@pytest.mark.parametrize("name", ["fftshift", "ifftshift"])
def test_shifts(name):
    def program(module):
        f = getattr(module.numpy.fft, name)
        return [*(f(REAL, axes) for axes in (None, 0, -1, (0, 2), [1], ())), f(np.arange(5)), f(3.0)]

    agree(program)


ERRORS = [
    ("TypeError", lambda f: f.fft([1.0, 2.0])),
    ("TypeError", lambda f: f.fft(REAL, 2.5)),
    ("TypeError", lambda f: f.fft(REAL, axis=1.0)),
    ("TypeError", lambda f: f.hfft(REAL, axis=None)),
    ("TypeError", lambda f: f.fft2(REAL, 3)),
    ("TypeError", lambda f: f.fft2(REAL, axes=1)),
    ("TypeError", lambda f: f.fft2(REAL, axes=None)),
    ("TypeError", lambda f: f.fftn(REAL, (None, 2), (0, 1))),
    ("TypeError", lambda f: f.fftn(REAL, 3)),
    ("ValueError", lambda f: f.fft(REAL, 0)),
    ("ValueError", lambda f: f.ifft(REAL, -1)),
    ("ValueError", lambda f: f.fft(REAL, axis=5)),
    ("ValueError", lambda f: f.rfft(REAL, 3, (0,))),
    ("ValueError", lambda f: f.fft(REAL, norm="bad")),
    ("ValueError", lambda f: f.hfft(REAL, norm="bad")),
    ("ValueError", lambda f: f.fft(3.0)),
    ("ValueError", lambda f: f.rfft(COMPLEX)),
    ("ValueError", lambda f: f.rfft(np.float16(REAL))),
    ("ValueError", lambda f: f.rfft(REAL[:, :0, :0])),
    ("ValueError", lambda f: f.fft2(REAL, (3,))),
    ("ValueError", lambda f: f.fft2(REAL, axes=(0, 0))),
    ("ValueError", lambda f: f.fft2(REAL, axes=(0, 1, 2))),
    ("ValueError", lambda f: f.fft2(REAL[0, 0])),
    ("ValueError", lambda f: f.fftn(REAL, (3, 5, 7), (0, 1))),
    ("ValueError", lambda f: f.fftfreq([3])),
    ("ValueError", lambda f: f.rfftfreq(3, [1.0])),
    ("TypeError", lambda f: f.rfftfreq(3, dtype=bool)),
    ("IndexError", lambda f: f.fftshift(REAL, 5)),
    ("TypeError", lambda f: f.fftshift([1, 2])),
    ("TypeError", lambda f: f.ifftshift(REAL, 1.5)),
]
LAX_ERRORS = [
    ("ValueError", lambda lax: lax.fft(COMPLEX, "other", (4,))),
    ("TypeError", lambda lax: lax.fft(COMPLEX, 0, (4,))),
    ("TypeError", lambda lax: lax.fft(COMPLEX, "FFT", 4)),
    ("ValueError", lambda lax: lax.fft(COMPLEX, "FFT", (5,))),
    ("ValueError", lambda lax: lax.fft(COMPLEX, "FFT", (1, 2, 3, 4))),
    ("ValueError", lambda lax: lax.fft(COMPLEX, "RFFT", (4,))),
    ("ValueError", lambda lax: lax.fft(REAL, "RFFT", (5,))),
]


@pytest.mark.parametrize("error, program", ERRORS)
def test_errors(error, program):
    both_raise(error, lambda jax: program(jax.numpy.fft))


@pytest.mark.parametrize("options", [{"axes": (0, -3)}, {"s": (2, 2, 2, 2)}])
def test_axes_that_repeat(options):
    with pytest.raises(ValueError, match="twice"):
        jnp.fft.fftn(REAL, **options)


@pytest.mark.parametrize("error, program", LAX_ERRORS)
def test_lax_errors(error, program):
    both_raise(error, lambda jax: program(jax.lax), match="fft")


def test_size_of_half_a_spectrum():
    with pytest.raises(ValueError, match="IRFFT"):
        cyxla.lax.fft(COMPLEX, "IRFFT", (5,))


def test_lax():
    def program(module):
        lax = module.lax
        return [
            lax.fft(COMPLEX, lax.FftType.FFT, (2, 3, 4)),
            lax.fft(REAL, "fft", (4,)),
            lax.fft(COMPLEX, "IRFFT", (7,)),
            lax.fft(REAL, "RFFT", (3, 4)),
            lax.fft(REAL > 0, "RFFT", (4,)),
            lax.fft(COMPLEX, "IFFT", ()),
        ]

    agree(program, 1e-5, 1e-5)
