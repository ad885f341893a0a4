"""Elementwise functions: promotion, weak types, special values, operators."""

from numpy_oracle import agree, cases, names

UNARY = """
    abs acos acosh angle arcsinh arctan arctanh bitwise_count bitwise_not cbrt ceil conj cos cosh deg2rad exp exp2
    expm1 fabs floor frexp imag invert iscomplex isfinite isinf isnan isneginf isposinf isreal log log10 log1p log2
    logical_not modf nan_to_num negative positive rad2deg real reciprocal rint round sign signbit sin sinh
    spacing sqrt square tan tanh trunc arcsin
"""
BINARY = """
    add arctan2 bitwise_and bitwise_or bitwise_xor copysign divide divmod equal float_power floor_divide fmax fmin
    fmod greater greater_equal heaviside hypot isclose left_shift less less_equal logaddexp logaddexp2 logical_and
    logical_or logical_xor maximum minimum multiply nextafter not_equal power remainder right_shift subtract
"""


@names(UNARY)
def test_unary(name):
    agree(f"each(jnp.{name}, f, i, c, b, n, u, x)", tolerance=1e-4)


def test_sinc():
    # Releases of jax after 0.10 have 0 at infinity, where this is NaN.
    agree("each(jnp.sinc, f, i, c, b, n[:3], u, x)", tolerance=1e-4)


@names(BINARY)
def test_binary(name):
    operands = "(f, q), (i, u), (c, f), (b, b), (f, n), (i, 2), (g, j[:, :1]), (f, j)"
    agree(f"each(jnp.{name}, {operands})", tolerance=1e-4)


@cases("""
    each(lambda f: f(h), jnp.exp, jnp.sin, jnp.log1p, jnp.floor, jnp.sign, jnp.square, jnp.tanh, jnp.abs, jnp.sqrt)
    each(lambda f: f(h, 2), jnp.add, jnp.power, jnp.divide, jnp.remainder, jnp.floor_divide, jnp.maximum, jnp.logaddexp)
""")
def test_half_precision(expression):
    agree(expression, tolerance=2e-2)


@cases("""
    jnp.power(f, 3)
    jnp.power(i, 2)
    jnp.power(i, -1)
    jnp.power(b, 2)
    jnp.power(f, i)
    jnp.power(i, i)
    jnp.power(2, f)
    jnp.power(2.0, i)
    f ** 2
    f ** -2
    f ** 0.5
    2 ** i
    i ** 2.0
    h ** 2
    u ** u
    u ** np.int8(2), u ** np.array(2), i ** jnp.int8(3), b ** np.uint8(2), f ** np.int16(-1)
    i ** np.int8(-1)
    jax.jit(lambda x: x ** np.int8(2))(u), jax.jit(lambda x, y: x ** y)(u, np.int8(2))
    f // 2
    f % 3
    i // 2
    i % 2
    i // 0
    i % 0
    -7 // i
    divmod(f, 2)
    divmod(i, 2)
    divmod(7, i)
    f @ q
    g @ jnp.ones(3)
    round(f)
    round(f, 1)
    round(i)
    abs(i), -i, +f, ~i, ~b
    i << 1, i >> 1, u << 1, u >> 1
    1 << i
    i & 1, i | 8, i ^ 5, b & b, b | True
    f < 1, f <= q, f > q, f >= 1, f == q, f != 1
    c < c, c >= 1
    u + 300
    u - 1
    u + (-1)
    1 - u
    u * f
    i + 0.5
    b + b, b * b
    b - b
    f + np.float64(1)
    f + np.int64(1)
    u + np.float32(1)
    f + g
    f + 'a'
    f + [1]
    f + None
    ~f
    f << 1
    jnp.clip(f, 0, 1)
    jnp.clip(i, 1.5, None)
    jnp.clip(i)
    jnp.clip(f, max=0.0)
    jnp.clip(c, 1)
    jnp.clip(u, -1, 300)
    -5 % jnp.asarray(3), jnp.asarray(7) // 2
    jnp.round(f, 1)
    jnp.round(f, -1)
    jnp.round(i, -1)
    jnp.round(c, 1)
    jnp.round(h, 1)
    jnp.where(b, f, q)
    jnp.where(b, 1, 2)
    jnp.where(b, 1, 2.0)
    jnp.where(b, f, 0)
    jnp.where(f, 1, 2)
    jnp.where(True, f, 1)
    jnp.where(b, g, 1)
    jnp.where(B, 1, jnp.ones(3))
    jnp.where(b, 1)
    jnp.where(b, 1, 2, size=3)
    jnp.where(None, 1, 2)
    jnp.gcd(i, 6), jnp.lcm(i, 4), jnp.gcd(u, u)
    jnp.gcd(f, 2)
    jnp.ldexp(f, i), jnp.ldexp(i, i), jnp.ldexp(f, 200)
    jnp.ldexp(f, f)
    jnp.nan_to_num(n, nan=1.0, posinf=2.0)
    jnp.i0(f)
    jnp.real(1j), jnp.imag(2), jnp.angle(c, deg=True)
    jnp.isclose(n, n), jnp.isclose(n, n, equal_nan=True), jnp.isclose(c, c + 1e-6)
    jnp.hypot(jnp.inf, jnp.nan)
    jnp.hypot(i, 0.0), jnp.hypot(3, 4.0), jnp.hypot(i[0], 1.0), jnp.hypot(f, 1)
    jnp.copysign(c, 1)
    jnp.floor_divide(c, 1)
    jnp.sinc(c)
    jnp.add(1, 2, out=1)
    jnp.add(1, 2, where=b)
    jnp.add(1, 2, 3)
    jnp.sin(1, 2)
    jnp.sin([1.0])
    jnp.sin(None)
    jnp.add('a', 1)
    jnp.equal(f, 'a')
    jnp.add(1, 2), jnp.multiply(1.0, 2), jnp.exp(1), jnp.abs(-1), jnp.maximum(True, False)
    jnp.add(w, 1), jnp.sqrt(w), jnp.add(w, u[:3])
    jnp.frexp(jnp.asarray([0.0, -3.0, 1e38]))
""")
def test_expressions(expression):
    agree(expression, tolerance=1e-4)


@cases("""
    jnp.add.reduce(g)
    jnp.add.reduce(g, axis=None)
    jnp.add.reduce(g, axis=(0, 1), initial=2.0)
    jnp.multiply.reduce(g, axis=1, keepdims=True)
    jnp.maximum.reduce(g, axis=1)
    jnp.subtract.reduce(g, axis=1)
    jnp.logical_and.reduce(B, axis=0)
    jnp.bitwise_xor.reduce(i)
    jnp.add.accumulate(g, axis=1)
    jnp.subtract.accumulate(f)
    jnp.add.at(f, np.array([0, 0, 2]), 1.0, inplace=False)
    jnp.multiply.at(f, np.array([0, 0, 2]), 2.0, inplace=False)
    jnp.negative.at(f, np.array([0, 1]), inplace=False)
    jnp.add.at(f, 0, 1.0)
    jnp.add.outer(f, i)
    jnp.logaddexp.outer(f, f)
    jnp.add.reduceat(f, np.array([0, 2, 1]))
    jnp.multiply.reduceat(g, np.array([0, 2]), axis=1)
    jnp.add.nin, jnp.add.nout, jnp.add.nargs, jnp.add.identity, jnp.multiply.identity
    isinstance(jnp.add, jnp.ufunc)
    jnp.frompyfunc(lambda a, b: a * b + 1, 2, 1)(f, i)
    jnp.frompyfunc(lambda a, b: a * b, 2, 1, identity=1).reduce(f)
    jnp.frompyfunc(lambda a, b: a + b, 2, 1, identity=0).accumulate(f)
    jnp.sin.reduce(f) if hasattr(jnp.sin, 'never') else 0
""")
def test_ufunc_methods(expression):
    agree(expression)


@cases("""
    jax.grad(jnp.sinc)(0.0), jax.grad(jax.grad(jnp.sinc))(0.0), jax.grad(jnp.sinc)(0.3)
    jax.grad(jnp.logaddexp)(1.0, 1.0), jax.grad(jnp.logaddexp)(jnp.inf, jnp.inf),
        jax.grad(jnp.logaddexp)(-jnp.inf, 1.0)
    jax.grad(lambda x: jnp.hypot(x, 3.0))(4.0)
    jax.grad(lambda x: x ** 3)(2.0), jax.grad(lambda x: 2.0 ** x)(3.0)
    jax.grad(lambda x: (x % 3.0) + (x // 2.0))(5.5)
    jax.grad(lambda x: jnp.clip(x, 0, 1))(0.5), jax.grad(lambda x: jnp.abs(x))(-2.0)
    jax.grad(lambda x: jnp.where(x > 0, x, 0.0))(2.0)
    jax.vmap(jnp.hypot)(f, q), jax.vmap(lambda v: v ** 2 + 1)(f), jax.vmap(jnp.floor_divide, (0, None))(f, 2)
""")
def test_transformed(expression):
    agree(expression, jitted=False, weak_types=False)
