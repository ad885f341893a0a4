"""Custom derivatives: values, rules, nondifferentiable arguments, under every transformation; against jax."""

import jax
import numpy as np
import pytest
from compare import agree, both_raise

import cyxla
import cyxla.numpy as jnp

X = np.array([0.5, -1.0, 2.0], np.float32)


def scaled_sin_jvp(jax):
    """sin, whose derivative claims to be twice what it is."""

    @jax.custom_jvp
    def f(x):
        return jax.numpy.sin(x)

    @f.defjvp
    def f_jvp(primals, tangents):
        (x,), (t,) = primals, tangents
        return f(x), 2 * jax.numpy.cos(x) * t

    return f


def scaled_sin_vjp(jax):
    @jax.custom_vjp
    def f(x):
        return jax.numpy.sin(x)

    f.defvjp(lambda x: (f(x), jax.numpy.cos(x)), lambda cos, ct: (2 * cos * ct,))
    return f


TRANSFORMS = {
    "value": lambda jax, f: f(X),
    "grad": lambda jax, f: jax.grad(f)(1.0),
    "vjp": lambda jax, f: jax.vjp(f, X)[1](X),
    "jit": lambda jax, f: jax.jit(f)(X),
    "jit of grad": lambda jax, f: jax.jit(jax.grad(f))(1.0),
    "grad of jit": lambda jax, f: jax.grad(jax.jit(f))(1.0),
    "vmap": lambda jax, f: jax.vmap(f)(X),
    "vmap of grad": lambda jax, f: jax.vmap(jax.grad(f))(X),
    "grad of vmap": lambda jax, f: jax.grad(lambda x: jax.vmap(f)(x).sum())(X),
    "grad of vmap, not mapped": lambda jax, f: jax.grad(lambda y: jax.vmap(lambda a: f(y) * a)(X).sum())(2.0),
    "grad of grad": lambda jax, f: jax.grad(jax.grad(f))(1.0),
    "grad of jit of grad": lambda jax, f: jax.grad(jax.jit(jax.grad(f)))(1.0),
    "jacrev": lambda jax, f: jax.jacrev(f)(X),
    "jacfwd of grad": lambda jax, f: jax.jacfwd(jax.grad(f))(1.0),
    "hessian": lambda jax, f: jax.hessian(lambda x: f(x).sum())(X),
    "vmap of vmap of grad": lambda jax, f: jax.vmap(jax.vmap(jax.grad(f)))(np.stack([X, X])),
    "vmap of jit of vjp": lambda jax, f: jax.vmap(jax.jit(lambda x: jax.vjp(f, x)[1](x)))(X),
    "grad of scan": lambda jax, f: jax.grad(lambda x: jax.lax.scan(lambda c, a: (f(c) * a, c), x, X)[0])(1.0),
    "grad of cond": lambda jax, f: jax.grad(lambda x: jax.lax.cond(x > 0, f, lambda y: y, x))(1.0),
    "grad of map": lambda jax, f: jax.grad(lambda x: jax.lax.map(f, x).sum())(X),
    "grad of fori_loop": lambda jax, f: jax.grad(lambda x: jax.lax.fori_loop(0, 3, lambda i, c: f(c), x))(1.0),
    "vmap of scan": lambda jax, f: jax.vmap(jax.grad(lambda x: jax.lax.scan(lambda c, a: (f(c) * a, c), x, X)[0]))(X),
    "checkpoint": lambda jax, f: jax.grad(jax.checkpoint(f))(1.0),
    "linearize and transpose": lambda jax, f: jax.vjp(lambda x: f(f(x)), X)[1](X),
}
FORWARD = {
    "jvp": lambda jax, f: jax.jvp(f, (X,), (X,)),
    "jvp of jit": lambda jax, f: jax.jvp(jax.jit(f), (X,), (X,)),
    "vmap of jvp": lambda jax, f: jax.vmap(lambda x: jax.jvp(f, (x,), (x,)))(X),
    "jvp of vmap": lambda jax, f: jax.jvp(jax.vmap(f), (X,), (X,)),
    "jacfwd": lambda jax, f: jax.jacfwd(f)(X),
    "linearize": lambda jax, f: jax.linearize(f, X)[1](X),
    "jvp of scan": lambda jax, f: jax.jvp(lambda x: jax.lax.scan(lambda c, a: (f(c) * a, c), x, X), (1.0,), (1.0,)),
    "jvp of while": lambda jax, f: jax.jvp(
        lambda x: jax.lax.while_loop(lambda c: c < 3, lambda c: c + f(c) ** 2, x), (1.0,), (1.0,)
    ),
}


@pytest.mark.parametrize("name", [*TRANSFORMS, *FORWARD])
def test_custom_jvp(name):
    transform = {**TRANSFORMS, **FORWARD}[name]
    agree(lambda jax: transform(jax, scaled_sin_jvp(jax)), 1e-4)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_custom_vjp(name):
    if name in ("jacfwd of grad", "hessian"):
        # jax refuses these, as the forward rule calls the function under forward mode, for its value.
        ours = np.asarray(TRANSFORMS[name](cyxla, scaled_sin_vjp(cyxla)))
        x = X if name == "hessian" else np.float32(1)
        np.testing.assert_allclose(ours, np.diag(-2 * np.sin(x)) if x.ndim else -2 * np.sin(x), 1e-5, 1e-6)
        return
    agree(lambda jax: TRANSFORMS[name](jax, scaled_sin_vjp(jax)), 1e-4)


@pytest.mark.parametrize("name", FORWARD)
def test_custom_vjp_has_no_forward_mode(name):
    # jax finds out in other places, too: the linear function of linearize is refused when it is called.
    with pytest.raises(TypeError, match="custom_vjp"):
        FORWARD[name](cyxla, scaled_sin_vjp(cyxla))
    if name != "linearize":
        with pytest.raises(TypeError):
            FORWARD[name](jax, scaled_sin_vjp(jax))


@pytest.mark.parametrize("custom", [scaled_sin_jvp, scaled_sin_vjp])
def test_second_derivative_through_scan_is_that_of_the_unrolled_loop(custom):
    # jax forgets the custom rule of the inner derivative here.
    f = custom(cyxla)
    looped = cyxla.grad(cyxla.grad(lambda x: cyxla.lax.scan(lambda c, a: (f(c), c), x, X)[0]))(1.0)
    np.testing.assert_allclose(looped, cyxla.grad(cyxla.grad(lambda x: f(f(f(x)))))(1.0), rtol=1e-5)


# -- structures of arguments and results


def test_pytrees():
    def program(jax):
        @jax.custom_jvp
        def f(params, x):
            return {"y": params["w"] * x + params["b"], "aux": (x, None)}

        @f.defjvp
        def f_jvp(primals, tangents):
            params, x = primals
            dparams, dx = tangents
            return f(params, x), {"y": 10 * (dparams["w"] * x + dparams["b"]), "aux": (dx, None)}

        @jax.custom_vjp
        def g(params, x):
            return {"y": params["w"] * x + params["b"], "aux": (x, None)}

        def fwd(params, x):
            return g(params, x), (params, x)

        def bwd(residuals, ct):
            _params, x = residuals
            return {"w": 10 * ct["y"] * x, "b": ct["y"]}, ct["aux"][0]

        g.defvjp(fwd, bwd)
        params = {"w": np.float32(2), "b": np.float32(3)}
        out = []
        for h in (f, g):
            out.append(h(params, 2.0))
            out.append(jax.grad(lambda p, x: h(p, x)["y"], argnums=(0, 1))(params, 2.0))
            out.append(jax.jit(jax.grad(lambda p, x: h(p, x)["y"]))(params, 2.0))
            out.append(jax.vmap(jax.grad(lambda p, x: h(p, x)["y"]), (None, 0))(params, X))
        return out

    agree(program)


@pytest.mark.parametrize("options", [{"nondiff_argnums": (0,)}, {"nondiff_argnames": ("fun",)}])
def test_nondiff_arguments(options):
    def program(jax):
        @jax.custom_jvp
        def unused(x):
            return x

        def apply(fun, x):
            return fun(x)

        f = jax.custom_jvp(apply, **options)

        @f.defjvp
        def f_jvp(fun, primals, tangents):
            (x,), (t,) = primals, tangents
            return fun(x), 3.0 * t * fun(x)

        g = jax.custom_vjp(apply, **options)
        g.defvjp(lambda fun, x: (fun(x), x), lambda fun, x, ct: (ct * fun(x) * 5.0,))
        out = []
        for h in (f, g):
            out.append(h(jax.numpy.sin, X))
            out.append(jax.grad(lambda x: h(jax.numpy.sin, x))(2.0))
            out.append(jax.jit(jax.vmap(jax.grad(lambda x: h(jax.numpy.sin, x))))(X))
        return out

    agree(program)


def test_nondiff_arguments_in_the_middle():
    def program(jax):
        @jax.custom_vjp
        def unused(x):
            return x

        f = jax.custom_vjp(lambda x, n, y: x * y**n, nondiff_argnums=(1,))
        f.defvjp(lambda x, n, y: (f(x, n, y), (x, y)), lambda n, res, ct: (ct * res[1] ** n, ct * n * res[0]))
        g = jax.custom_jvp(lambda x, n, y: x * y**n, nondiff_argnums=(1,))
        g.defjvp(lambda n, primals, tangents: (g(primals[0], n, primals[1]), tangents[0] * n + tangents[1]))
        return [jax.grad(h, argnums=(0, 2))(np.float32(2), 2, np.float32(3)) for h in (f, g)]

    agree(program)


def test_keywords_and_defaults():
    def program(jax):
        @jax.custom_vjp
        def f(x, y=3.0):
            return x * y

        f.defvjp(lambda x, y: (f(x, y), (x, y)), lambda res, ct: (ct * res[1], ct * 7.0))

        @jax.custom_jvp
        def g(x, y=3.0):
            return x * y

        g.defjvps(lambda t, ans, x, y: t * y, lambda t, ans, x, y: 7.0 * t)
        return [(h(2.0), h(2.0, y=4.0), h(x=2.0), jax.grad(lambda x: h(x, y=x))(2.0), jax.grad(h)(2.0)) for h in (f, g)]

    agree(program)


def test_defjvps():
    def program(jax):
        @jax.custom_jvp
        def f(x, y):
            return jax.numpy.sin(x) * y

        f.defjvps(lambda t, ans, x, y: 5 * t, None)
        return jax.grad(f, argnums=(0, 1))(2.0, 3.0), jax.jvp(f, (2.0, 3.0), (1.0, 1.0)), jax.vmap(jax.grad(f))(X, X)

    agree(program)


def test_none_is_a_zero_cotangent():
    def program(jax):
        @jax.custom_vjp
        def f(x, y, tree):
            return x * y * tree["a"]

        f.defvjp(lambda x, y, tree: (f(x, y, tree), None), lambda res, ct: (None, 2 * ct, {"a": None}))
        return jax.grad(f, argnums=(0, 1, 2))(2.0, 3.0, {"a": 1.0}), jax.grad(f)(2.0, 3.0, {"a": 1.0})

    agree(program)


def test_integer_arguments():
    def program(jax):
        float0 = jax.dtypes.float0

        @jax.custom_vjp
        def f(x, n):
            return x * n

        f.defvjp(lambda x, n: (f(x, n), n), lambda n, ct: (ct * n * 2, np.zeros(np.shape(n), float0)))

        @jax.custom_vjp
        def g(x, n):
            return x * n

        g.defvjp(lambda x, n: (g(x, n), n), lambda n, ct: (ct * n * 2, None))
        seen = []

        @jax.custom_jvp
        def h(x, n):
            return x * n

        @h.defjvp
        def h_jvp(primals, tangents):
            seen.append(str(tangents[1].dtype) if hasattr(tangents[1], "dtype") else type(tangents[1]).__name__)
            return h(*primals), tangents[0] * primals[1]

        out = [jax.grad(k)(2.0, 3) for k in (f, g, h)], jax.jit(jax.grad(f))(2.0, 3)
        assert "float0" in seen[0]
        return out

    agree(program)


def test_residuals_may_be_anything():
    def program(jax):
        @jax.custom_vjp
        def f(x):
            return x * 2

        f.defvjp(lambda x: (f(x), ("text", x, 3, None)), lambda res, ct: (ct * res[2] * res[1],))
        return jax.grad(f)(2.0), jax.vmap(jax.grad(f))(X)

    if True:
        ours = program(cyxla)
        assert float(ours[0]) == 6
        np.testing.assert_allclose(ours[1], 3 * X)


def test_symbolic_zeros():
    for module in (cyxla, jax):
        seen = []

        @module.custom_jvp
        def f(x, y):
            return x * y

        def f_jvp(primals, tangents):
            seen.append([type(t).__name__ for t in tangents])
            x, y = primals
            return f(x, y), tangents[0] * y

        f.defjvp(f_jvp, symbolic_zeros=True)
        assert float(module.grad(f)(2.0, 3.0)) == 3
        assert seen[-1][1] == "SymbolicZero"

        @module.custom_vjp
        def g(x, y):
            return x * y, x

        def fwd(x, y):
            seen.append((x.perturbed, y.perturbed))
            return (x.value * y.value, x.value), y.value

        def bwd(y, cts):
            seen.append([type(ct).__name__ for ct in cts])
            return cts[0] * y, None

        g.defvjp(fwd, bwd, symbolic_zeros=True)
        assert float(module.grad(lambda x: g(x, 3.0)[0])(2.0)) == 3
        assert seen[-2] == (True, False)
        assert seen[-1][1] == "SymbolicZero"


def test_custom_gradient():
    def program(jax):
        @jax.custom_gradient
        def f(x):
            return x**2, lambda ct: 5 * ct * x

        @jax.custom_gradient
        def g(x, y):
            return x * y, lambda ct: (ct * 7, ct * 9)

        return f(3.0), jax.grad(f)(3.0), jax.grad(g, argnums=(0, 1))(2.0, 3.0), jax.jit(jax.grad(f))(3.0)

    agree(program)


def test_closure_convert():
    def program(jax):
        def minimize(objective, x):
            objective, consts = jax.closure_convert(objective, x)
            return solve(objective, x, *consts)

        @jax.custom_vjp
        def unused(x):
            return x

        def solve(objective, x, *consts):
            return objective(x, *consts)

        solve = jax.custom_vjp(solve, nondiff_argnums=(0,))
        solve.defvjp(
            lambda f, x, *consts: (f(x, *consts), (x, consts)),
            lambda f, res, ct: (ct * res[0], *[ct * 2 * c for c in res[1]]),
        )
        return jax.grad(lambda a: minimize(lambda x: (x - a) ** 2, 3.0))(np.float32(1))

    agree(program)


def test_what_closure_convert_hoists():
    def program(jax):
        def convert(a, n):
            f, values = jax.closure_convert(lambda x, d: x * a + n + X + d["k"], 2.0, {"k": 1.0})
            counts.append(len(values))
            return f(3.0, {"k": 2.0}, *values).sum()

        counts = []
        return jax.grad(convert)(2.0, 3), jax.jit(convert)(2.0, 3), convert(2.0, 3), counts

    agree(program)
    with pytest.raises(TypeError, match="structure"):
        cyxla.closure_convert(lambda x: x, 1.0)[0](1.0, 2.0)


def test_zeros_and_values_of_rules():
    import jax.custom_derivatives

    import cyxla.custom_derivatives as ours

    assert set(vars(jax.custom_derivatives)) - set(vars(ours)) - {"linear_call", "remat_opt_p"} <= {
        n for n in vars(jax.custom_derivatives) if n.startswith("_")
    }
    assert type(ours.zero_from_primal(X, symbolic_zeros=True)).__name__ == "SymbolicZero"
    np.testing.assert_array_equal(ours.zero_from_primal(X), np.zeros(3))
    assert ours.zero_from_primal(3).dtype == cyxla.float0
    assert ours.custom_vjp_primal_tree_values({"a": ours.CustomVJPPrimal(3.0, True)}) == {"a": 3.0}


def test_methods():
    class Layer:
        def __init__(self, scale):
            self.scale = scale

        @cyxla.custom_jvp
        def unused(self):
            return self

        def __call__(self, x):
            @cyxla.custom_vjp
            def f(x):
                return x * self.scale

            f.defvjp(lambda x: (f(x), None), lambda _, ct: (ct * 100.0,))
            return f(x)

    assert cyxla.grad(Layer(3.0))(1.0) == 100


def test_looks_like_the_function():
    @cyxla.custom_vjp
    def f(x):
        """Doc."""

    assert f.__name__ == "f"
    assert f.__doc__ == "Doc."
    assert f.__wrapped__ is not None


def test_stop_of_a_gradient_through_constants_of_the_rule():
    def program(jax):
        def outer(a):
            @jax.custom_vjp
            def f(x):
                return x * 2

            f.defvjp(lambda x: (f(x), x), lambda x, ct: (ct * a,))
            return jax.grad(f)(np.float32(1))

        return outer(3.0), jax.vmap(outer)(X), jax.jit(outer)(2.0), jax.grad(outer)(3.0)

    agree(program)


# -- errors


def with_rules(fwd, bwd):
    def program(jax):
        f = jax.custom_vjp(lambda x, y: x * y)
        f.defvjp(fwd, bwd)
        return jax.grad(f, argnums=(0, 1))(np.float32(2), np.float32(3))

    return program


def with_jvp(rule):
    def program(jax):
        f = jax.custom_jvp(lambda x: x * 2)
        f.defjvp(rule)
        return jax.grad(f)(np.float32(2))

    return program


def undefined_jvp(jax):
    return jax.grad(jax.custom_jvp(lambda x: x))(1.0)


def undefined_vjp(jax):
    return jax.grad(jax.custom_vjp(lambda x: x))(1.0)


@pytest.mark.parametrize(
    ("error", "program", "match"),
    [
        ("AttributeError", undefined_jvp, "defjvp|JVP"),
        ("AttributeError", undefined_vjp, "defvjp|VJP"),
        ("TypeError", with_rules(lambda x, y: x * y, lambda r, ct: (ct, ct)), "pair"),
        ("TypeError", with_rules(lambda x, y: ((x, y), None), lambda r, ct: (ct, ct)), "structure"),
        ("TypeError", with_rules(lambda x, y: (x * y, None), lambda r, ct: ct), "tuple of 2"),
        ("TypeError", with_rules(lambda x, y: (x * y, None), lambda r, ct: (ct,)), "tuple of 2"),
        ("TypeError", with_rules(lambda x, y: (x * y, None), lambda r, ct: ([ct, ct], ct)), "structure"),
        (
            "ValueError",
            with_rules(lambda x, y: (x * y, None), lambda r, ct: (np.ones(3, np.float32), ct)),
            r"float32\[3\]",
        ),
        ("TypeError", with_jvp(lambda p, t: p[0]), "pair"),
        ("TypeError", with_jvp(lambda p, t: ((p[0], p[0]), t[0])), "structure"),
        ("TypeError", with_jvp(lambda p, t: (p[0], (t[0], t[0]))), "structure"),
        ("TypeError", with_jvp(lambda p, t: (p[0], np.ones(3, np.float32))), r"float32\[3\]"),
        ("TypeError", with_jvp(lambda p, t: (p[0], t[0].astype(np.float16))), "float16"),
        ("TypeError", lambda jax: jax.jit(scaled_sin_vjp(jax))("text"), None),
    ],
)
def test_errors(error, program, match):
    both_raise(error, program, match)


def test_closing_over_what_is_differentiated():
    def program(jax):
        def outer(a):
            f = jax.custom_jvp(lambda x: x * a)
            f.defjvps(lambda t, ans, x: t)
            return f(2.0)

        return jax.grad(outer)(3.0)

    with pytest.raises(TypeError, match="closes over"):
        program(cyxla)
    with pytest.raises(Exception):  # noqa: B017
        program(jax)


def test_rule_is_not_traced_without_differentiation():
    traced = []

    @cyxla.custom_vjp
    def f(x):
        return jnp.sin(x)

    def fwd(x):
        traced.append("fwd")
        return f(x), None

    def bwd(_, ct):
        traced.append("bwd")
        return (ct,)

    f.defvjp(fwd, bwd)
    f(1.0)
    cyxla.jit(f)(1.0)
    cyxla.vmap(f)(X)
    assert traced == []
    cyxla.grad(f)(1.0)
    assert traced == ["fwd", "bwd"]


@pytest.mark.parametrize("package", [jax, cyxla])
def test_attributes(package):
    function = package.custom_vjp(lambda x: x)
    assert function.optimize_remat is False
    function.defvjp(lambda x: (x, None), lambda _, ct: (ct,), optimize_remat=True)
    assert function.optimize_remat is True
    assert package.custom_jvp.jvp is None
    zero = package.custom_derivatives.SymbolicZero.from_primal_value(package.numpy.ones(3))
    assert (zero.shape, str(zero.dtype)) == ((3,), "float32")
