"""Time of a call against the size of its arrays: `python -m bench.time_vs_size [--largest 1e7] [--chart file.png]`.

Compares Cyxla running programs natively where it may, Cyxla through PJRT, jax and NumPy. A call counts until its result
is ready. The ways take turns, each first in its turn, and the least of each way's times is printed, so that a busy
machine disturbs all alike. A point where Cyxla seems slower than jax by more than a twentieth is measured for longer.
"""

import argparse
import dataclasses
import pathlib
import time
from collections.abc import Callable

import numpy as np

CHART = pathlib.Path(__file__).parent.parent / "docs" / "images" / "time_vs_size.png"
WAYS = ("Cyxla", "Cyxla, PJRT only", "jax", "NumPy")


def softmax(xp, x):
    e = xp.exp(x - xp.max(x, -1, keepdims=True))
    return e / xp.sum(e, -1, keepdims=True)


def gelu(xp, x):
    return xp.float32(0.5) * x * (1 + xp.tanh(xp.float32(0.7978846) * (x + xp.float32(0.044715) * x * x * x)))


def recurrence(jax, x):
    return jax.lax.scan(lambda h, row: (jax.numpy.tanh(h + row), None), x[0], x)[0]


def squares_gradient(jax, x):
    return jax.grad(lambda x: jax.numpy.sum(jax.numpy.square(x @ jax.numpy.tanh(x))))(x)


@dataclasses.dataclass
class Program:
    function: Callable  # of (numpy or jax.numpy, x); of (jax, x) if it has no `numpy` version
    dimensions: int = 1
    largest: float = 1e9  # number of elements
    donated: bool = False
    numpy: bool = True
    jit: bool = True  # else the operation is called eagerly


PROGRAMS = {
    "x + 1": Program(lambda xp, x: x + xp.float32(1)),
    "sin(x)": Program(lambda xp, x: xp.sin(x)),
    "gelu(x)": Program(gelu),
    "gelu(x), donated": Program(gelu, donated=True),
    "sum(x)": Program(lambda xp, x: xp.sum(x)),
    "sum(x, 0)": Program(lambda xp, x: xp.sum(x, 0), 2),
    "cumsum(x)": Program(lambda xp, x: xp.cumsum(x), largest=1e6),
    "sort(x)": Program(lambda xp, x: xp.sort(xp.sin(x * 1e6)), largest=1e6),
    "x.T + 1": Program(lambda xp, x: x.T + xp.float32(1), 2),
    "x @ x": Program(lambda xp, x: x @ x, 2, 1e6),
    "softmax(x)": Program(softmax, 2),
    "scan of tanh(h + row)": Program(recurrence, 2, 1e6, numpy=False),
    "grad of sum(square(x @ tanh(x)))": Program(squares_gradient, 2, 1e6, numpy=False),
    "eager x + y": Program(lambda xp, x: x + x, jit=False),
    "eager sin(x)": Program(lambda xp, x: xp.sin(x), jit=False),
    "eager x.T copied": Program(lambda xp, x: xp.concatenate([x.T]), 2, jit=False),
    "eager concatenate": Program(lambda xp, x: xp.concatenate([x, x]), jit=False),
    "eager x[::2]": Program(lambda xp, x: xp.multiply(x[::2], 1), jit=False),
}
CHARTED = ("x + 1", "sin(x)", "sum(x)", "x @ x", "softmax(x)")


def sizes(largest):
    found, n = [], 1.0
    while n <= largest * 1.001:
        found.append(round(n))
        n *= 10**0.5
    return found


def measure(program, x, seconds, patience):
    """{way: microseconds}, and how Cyxla's program runs; `patience` seconds more where Cyxla seems slower than jax."""
    import jax

    import cyxla

    def compiled(package, native=None):
        library = package.numpy if program.numpy else package
        f = package.jit(lambda x: program.function(library, x), donate_argnums=0 if program.donated else ())
        if native is not None:
            cyxla.config.update("cyxla_native", native)
        array = package.numpy.asarray(x)
        path = f.lower(array).compile().execution_path if native and program.jit else ""
        if not program.jit:
            return lambda: program.function(library, array).block_until_ready(), path
        if not program.donated:
            f(array)
            return lambda: f(array).block_until_ready(), path
        last = [f(array)]

        def call():
            last[0] = f(last[0]).block_until_ready()

        return call, path

    ours, path = compiled(cyxla, True)
    pjrt, _ = compiled(cyxla, False)
    # Toggling the option makes other entries: switched back for the first, both find their own again.
    ways = {"Cyxla": (ours, True), "Cyxla, PJRT only": (pjrt, False), "jax": (compiled(jax)[0], None)}
    if program.numpy:
        ways["NumPy"] = (lambda: program.function(np, x), None)
    best = dict.fromkeys(WAYS, float("inf"))
    calls = {}
    for way, (call, native) in ways.items():
        if native is not None:
            cyxla.config.update("cyxla_native", native)
        call()
        start = time.perf_counter()
        call()
        calls[way] = max(1, min(300, int(1e-3 / (time.perf_counter() - start + 1e-7))))
    start = time.perf_counter()
    rounds = 0

    def go_on():
        elapsed = time.perf_counter() - start
        return elapsed < seconds or (elapsed < seconds + patience and best["Cyxla"] > 1.05 * best["jax"])

    while rounds < 7 or go_on():
        first = rounds % len(ways)
        for way, (call, native) in [*ways.items()][first:] + [*ways.items()][:first]:
            if native is not None:
                cyxla.config.update("cyxla_native", native)
                call()
            begin = time.perf_counter()
            for _ in range(calls[way]):
                call()
            best[way] = min(best[way], 1e6 * (time.perf_counter() - begin) / calls[way])
        rounds += 1
    return best, path


def chart(rows, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    size = (3.2 * len(rows), 4)
    figure, (axes,) = plt.subplots(1, len(rows), figsize=size, sharey=True, squeeze=False, layout="constrained")
    styles = {"Cyxla": "o-", "Cyxla, PJRT only": "--", "jax": "s-", "NumPy": ":"}
    for axis, (name, points) in zip(axes, rows.items()):
        for way in WAYS:
            axis.loglog([n for n, _, _ in points], [best[way] for _, best, _ in points], styles[way], label=way, ms=3)
        axis.set_title(name)
        axis.set_xlabel("elements")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("microseconds a call")
    axes[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", default="", help="only programs with this in their name")
    parser.add_argument("--largest", type=float, default=1e7, help="number of elements")
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each point, at least")
    parser.add_argument("--patience", type=float, default=20, help="seconds more where Cyxla seems slower than jax")
    parser.add_argument("--chart", type=pathlib.Path, default=CHART)
    options = parser.parse_args()
    print("| program | elements | " + " | ".join(f"{way}, us" for way in WAYS) + " | Cyxla / jax | runs |")
    print("|---|--:|" + "--:|" * (len(WAYS) + 1) + "---|")
    rows = {}
    for name, program in PROGRAMS.items():
        if options.k not in name:
            continue
        for n in sizes(min(options.largest, program.largest)):
            side = round(n**0.5)
            shape = (n,) if program.dimensions == 1 else (side, side)
            x = np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
            best, path = measure(program, x, options.seconds, options.patience)
            if name in CHARTED:
                rows.setdefault(name, []).append((x.size, best, path))
            cells = " | ".join(f"{best[way]:,.2f}" if best[way] < float("inf") else "" for way in WAYS)
            way = path.split(":")[0]
            print(f"| {name} | {x.size:,} | {cells} | {best['Cyxla'] / best['jax']:.2f} | {way} |", flush=True)
    if rows:
        chart(rows, options.chart)


if __name__ == "__main__":
    main()
