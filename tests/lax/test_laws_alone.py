"""Laws of derivatives, batches and linearity over the table of examples, which need nothing to compare with.

Numbers have 64 bits here. The examples of a group are one program. Within it a function is evaluated at many points by
`lax.map`, which compiles it once: the points are the operands, their neighbours along a direction, for differences, and
the rows that `vmap` maps over.
"""

import numpy as np
import pytest
from table import EXAMPLES, FAST_COMPILE, as_tuple, batches, direction

import cyxla
from cyxla import lax

GROUP = 24
STEP = 1e-6
WIDER = {np.dtype(np.float32): np.float64, np.dtype(np.complex64): np.complex128}

# Derivatives that are not those of the value, by definition: rules of the user's, samples at a fixed quantile, signs of
# complex numbers as constants. And the order in which `reduce` applies what does not commute is open.
OTHER_DERIVATIVE = {"stop_gradient", "custom_jvp_call", "custom_vjp_call", "reduce_precision"}
OTHER_DERIVATIVE |= {"random_gamma", "random_gamma_each", "sign-c", "reduce-scan"}


def is_inexact(x):
    return x.dtype.kind in "fc"


def wide(x):
    return x.astype(WIDER.get(x.dtype, x.dtype))


def generic(x, seed):
    """Numbers a little away from where functions have kinks and jumps, and from each other."""
    if x.dtype not in WIDER.values():
        return x
    return x + 1e-3 * np.random.RandomState(seed).uniform(0.1, 1, x.shape)


class Case:
    """An example with 64-bit operands."""

    def __init__(self, example):
        self.example = example
        self.operands = [generic(wide(np.asarray(x)), seed) for seed, x in enumerate(example.operands)]
        self.active = [i for i, x in enumerate(self.operands) if is_inexact(x)]
        self.avals = cyxla.eval_shape(self.f, *self.operands)
        self.smooth = [i for i, out in enumerate(self.avals) if is_inexact(out)]
        self.cotangents = tuple(direction(self.avals[i].shape, self.avals[i].dtype, 11 + i) for i in self.smooth)
        self.differentiate = bool(example.differentiate and self.active and self.smooth)
        equations = cyxla.make_jaxpr(self.f)(*self.operands).eqns
        self.is_linear = bool(self.active and equations) and (
            len(self.active) == len(self.operands)
            and len(self.smooth) == len(self.avals)
            and all(e.primitive.linear for e in equations)
        )
        self.rows = []
        if example.vectorize:
            for i, x in enumerate(self.operands):
                if x.dtype in WIDER.values() or x.dtype.kind in "biu":
                    self.rows.append((i, *batches(x)))

    def f(self, *args):
        return as_tuple(self.example.function(lax, *args))

    def inexact(self, *args):
        """The results that have derivatives, as a function of the operands that have."""

        def g(*primals):
            full = list(args)
            for i, x in zip(self.active, primals, strict=True):
                full[i] = x
            outs = self.f(*full)
            return tuple(outs[i] for i in self.smooth)

        return g

    def pullback(self, *args):
        return cyxla.vjp(self.inexact(*args), *[args[i] for i in self.active])[1](self.cotangents)

    def at(self, *args):
        """What is evaluated at each point."""
        return self.f(*args), self.pullback(*args) if self.differentiate else ()

    def tangents(self):
        return tuple(direction(self.operands[i].shape, self.operands[i].dtype, 5 + i) for i in self.active)

    def other(self):
        return [direction(x.shape, x.dtype, 17 + i) for i, x in enumerate(self.operands)]

    def points(self):
        points = [self.operands]
        if self.is_linear:
            points += [self.other(), [2 * x - 3 * y for x, y in zip(self.operands, self.other(), strict=True)]]
        if self.differentiate:
            for sign in (1, -1):
                moved = list(self.operands)
                for i, t in zip(self.active, self.tangents(), strict=True):
                    moved[i] = moved[i] + sign * STEP * t
                points.append(moved)
        for i, first, second in self.rows:
            for row in (first, second):
                points.append([*self.operands[:i], row, *self.operands[i + 1 :]])
        return [np.stack(column) for column in zip(*points, strict=True)]

    def program(self, operands, points):
        if points:
            results = {"at": lax.map(lambda args: self.at(*args), points)}
        else:
            results = {"at": cyxla.tree.map(lambda x: x[None], self.at())}
        if self.differentiate:
            primals = tuple(operands[i] for i in self.active)
            results["jvp"] = cyxla.jvp(self.inexact(*operands), primals, self.tangents())[1]
            if self.example.second:

                def pull(*primals):
                    full = list(operands)
                    for i, x in zip(self.active, primals, strict=True):
                        full[i] = x
                    return self.pullback(*full)

                results["second"] = cyxla.jvp(pull, primals, self.tangents())[1]
        for i, first, second in self.rows:
            for axis in sorted({0, first.ndim}):
                axes = [axis if k == i else None for k in range(len(operands))]
                args = [np.stack([first, second], axis) if k == i else x for k, x in enumerate(operands)]
                results[f"vmap {i} {axis}"] = cyxla.vmap(self.f, axes)(*args)
                if axis == 0 and self.differentiate and i in self.active:
                    results[f"vmap of grad {i}"] = cyxla.vmap(self.pullback, axes)(*args)

                    def mapped(x, axes=axes, args=args, i=i):
                        outs = cyxla.vmap(self.f, axes)(*args[:i], x, *args[i + 1 :])
                        return tuple(outs[k] for k in self.smooth)

                    both = tuple(np.stack([ct, ct]) for ct in self.cotangents)
                    results[f"grad of vmap {i}"] = cyxla.vjp(mapped, args[i])[1](both)
        return results


def dot(xs, ys):
    """The pairing of cotangents and tangents: of the reals that complex numbers consist of, conjugated."""
    return sum(float(np.sum(np.asarray(x) * np.asarray(y)).real) for x, y in zip(xs, ys, strict=True))


def close(actual, expected, rtol, name):
    for a, e in zip(actual, expected, strict=True):
        a, e = np.asarray(a), np.asarray(e)
        assert a.dtype == e.dtype and a.shape == e.shape, f"{name}: {a.dtype}{a.shape} for {e.dtype}{e.shape}"
        if a.dtype.kind in "fc":
            np.testing.assert_allclose(
                a, e, rtol=rtol, atol=rtol * max(1.0, np.max(np.abs(e[np.isfinite(e)]), initial=0)), err_msg=name
            )
        else:
            np.testing.assert_array_equal(a, e, err_msg=name)


def finite(arrays):
    return all(np.isfinite(x).all() for x in arrays if is_inexact(x))


def check(case, results):
    label = case.example.label
    values, pulled = results["at"]
    values, pulled = [np.asarray(v) for v in values], [np.asarray(v) for v in pulled]
    for value, aval in zip(values, case.avals, strict=True):
        assert value[0].dtype == aval.dtype and value[0].shape == aval.shape, f"{label}: {value.dtype}, {aval}"
    position = 1
    comparable = not OTHER_DERIVATIVE & {case.example.primitive, label}
    comparable &= all(case.avals[i].dtype in WIDER.values() for i in case.smooth)
    if case.is_linear:
        if comparable and finite(values):
            combined = [2 * v[0] - 3 * v[1] for v in values]
            close([v[2] for v in values], combined, 1e-9, f"{label}: linear")
        position += 2
    if case.differentiate:
        plus, minus = position, position + 1
        position += 2
        jvp = results["jvp"]
        with np.errstate(invalid="ignore"):
            differences = [(values[i][plus] - values[i][minus]) / (2 * STEP) for i in case.smooth]
        if comparable and finite(differences):
            close(jvp, differences, 1e-5, f"{label}: jvp and difference")
        gradients = [p[0] for p in pulled]
        if finite([*jvp, *gradients]):
            left, right = dot(case.cotangents, jvp), dot(gradients, case.tangents())
            tolerance = 1e-8 if comparable else 1e-2
            np.testing.assert_allclose(left, right, tolerance, tolerance, err_msg=f"{label}: vjp and jvp")
        if "second" in results and comparable:
            with np.errstate(invalid="ignore"):
                differences = [(p[plus] - p[minus]) / (2 * STEP) for p in pulled]
            if finite(differences):
                close(results["second"], differences, 1e-4, f"{label}: second derivative and difference")
    for i, *_ in case.rows:
        rows = slice(position, position + 2)
        position += 2
        found = {name: got for name, got in results.items() if name.startswith(f"vmap {i} ")}
        assert found
        for name, got in found.items():
            close(got, [v[rows] for v in values], 1e-9, f"{label}: {name} and loop")
        if f"vmap of grad {i}" in results:
            close(results[f"vmap of grad {i}"], [p[rows] for p in pulled], 1e-9, f"{label}: vmap of grad {i} and loop")
            gradient = [pulled[case.active.index(i)][rows]]
            close(results[f"grad of vmap {i}"], gradient, 1e-9, f"{label}: grad of vmap {i} and loop")


def groups():
    examples = sorted(EXAMPLES, key=lambda example: example.primitive)
    for i in range(0, len(examples), GROUP):
        group = examples[i : i + GROUP]
        yield pytest.param(group, id=f"{group[0].primitive} to {group[-1].primitive}")


def test_derivative_of_acosh_is_that_of_its_branch():
    """Left of the imaginary axis too, where the root of the product (z - 1)(z + 1) has the other sign."""
    with cyxla.enable_x64(True):
        z = np.array([-1.5 + 0.5j, -0.5 - 2j, 0.3 + 0.2j, 2 - 1j])
        _, jvp = cyxla.jvp(lax.acosh, (z,), (np.ones_like(z),))
        np.testing.assert_allclose(jvp, (np.arccosh(z + STEP) - np.arccosh(z - STEP)) / (2 * STEP), 1e-6)


@pytest.mark.parametrize("examples", list(groups()))
def test_laws_alone(examples):
    with cyxla.enable_x64(True):
        cases = [Case(example) for example in examples]
        arguments = [(case.operands, case.points()) for case in cases]

        def program(arguments):
            return [case.program(*args) for case, args in zip(cases, arguments, strict=True)]

        outs = cyxla.jit(program, compiler_options=FAST_COMPILE)(arguments)
    failures = []
    for case, results in zip(cases, outs, strict=True):
        try:
            check(case, results)
        except AssertionError as error:
            failures.append(str(error).strip())
    assert not failures, "\n\n".join(failures)
