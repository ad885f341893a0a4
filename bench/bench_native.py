"""Which programs run in this process, and what that gains: `python -m bench.bench_native [-k mlp] [--tail]`.

Each program is called with Cyxla (natively where it can be), with Cyxla through PJRT, and with jax, interleaved, each
until its result is there; the minima of the rounds are printed, and for a program left to PJRT the reason. `--tail`
shows how far single calls are from their median while another thread allocates, and whether memory grows.
"""

import argparse
import array
import contextlib
import functools
import importlib
import itertools
import threading
import time
import timeit

import numpy as np

f32 = np.float32


def normal(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(f32)


def parameters(*sizes):
    return [(normal(m, n) / f32(m) ** f32(0.5), np.zeros(n, f32)) for m, n in itertools.pairwise(sizes)]


def layers(jax, jnp, params, x):
    for w, b in params:
        x = jnp.tanh(x @ w + b)
    return x


def mlp_gradient(jax, jnp, params, x):
    return jax.grad(lambda p: (layers(jax, jnp, p, x) ** 2).sum())(params)


def layer_norm(jax, jnp, x):
    return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)


def attention(jax, jnp, q, k, v):
    return jax.nn.softmax(q @ k.T / 4) @ v


def scan(jax, jnp, x):
    return jax.lax.scan(lambda c, a: (c * f32(0.9) + a, c), f32(0), x)


def while_loop(jax, jnp, x):
    return jax.lax.while_loop(lambda x: (x < 100).all(), lambda x: x * 2, x)


def sorting_loop(jax, jnp, x):
    return jax.lax.fori_loop(0, 10, lambda i, c: jnp.sort(c) * 0.9 + jnp.sin(c), x)


def tree_step(jax, jnp, tree):
    return jax.tree_util.tree_map(lambda x: x * 2 + 1, tree)


def convolution(jax, jnp, x, kernel):
    return jax.lax.conv(x, kernel, (1, 1), "SAME")


X = np.linspace(0.5, 3, 16, dtype=f32)
SPD = normal(8, 8) @ normal(8, 8).T + 8 * np.eye(8, dtype=f32)
TREE = {"a": X, "b": {"c": X, "d": X}, "e": [X, X]}
PROGRAMS = {
    "x + 1, scalar": (lambda jax, jnp, x: x + 1, f32(1)),
    "sin(x) * x + 1 of 16": (lambda jax, jnp, x: jnp.sin(x) * x + 1, X),
    "100 arguments": (lambda jax, jnp, *xs: sum(xs), *[X] * 100),
    "dict of 5 leaves": (tree_step, TREE),
    "dot 8x8": (lambda jax, jnp, a, b: a @ b, SPD, SPD),
    "dot 64x64": (lambda jax, jnp, a, b: a @ b, normal(64, 64), normal(64, 64)),
    "MLP 8-32-32-4, batch 1": (layers, parameters(8, 32, 32, 4), normal(1, 8)),
    "its gradient": (mlp_gradient, parameters(8, 32, 32, 4), normal(1, 8)),
    "MLP 64-128-128-10, batch 32": (layers, parameters(64, 128, 128, 10), normal(32, 64)),
    "softmax 8x32": (lambda jax, jnp, x: jax.nn.softmax(x), normal(8, 32)),
    "layer norm 8x32": (layer_norm, normal(8, 32)),
    "attention head 16x16": (attention, *[normal(16, 16)] * 3),
    "sum of 64x64": (lambda jax, jnp, x: x.sum(), normal(64, 64)),
    "cholesky 8": (lambda jax, jnp, x: jnp.linalg.cholesky(x), SPD),
    "solve 8": (lambda jax, jnp, a, b: jnp.linalg.solve(a, b), SPD, SPD),
    "eigh 8": (lambda jax, jnp, x: jnp.linalg.eigh(x), SPD),
    "scan of 10": (scan, normal(10)),
    "scan of 100": (scan, normal(100)),
    "while, 5 steps": (while_loop, X),
    "loop of 10 sorts": (sorting_loop, normal(64)),
    "sort 1000": (lambda jax, jnp, x: jnp.sort(x), normal(1000)),
    "top 5 of 100": (lambda jax, jnp, x: jax.lax.top_k(x, 5), normal(100)),
    "random normal 16": (lambda jax, jnp, key: jax.random.normal(key, (16,)), np.array([0, 1], np.uint32)),
    "scatter add": (lambda jax, jnp, x, i: x.at[i].add(1), X, np.arange(8)),
    "convolution 8x8": (convolution, normal(1, 2, 8, 8), normal(4, 2, 3, 3)),
    "sin of a million": (lambda jax, jnp, x: jnp.sin(x), np.ones(1 << 20, f32)),
}


def prepare(impl, function, args):
    """A call without arguments that runs the jitted function and waits for its results."""
    jax = importlib.import_module(impl)
    jnp = importlib.import_module(f"{impl}.numpy")
    for module in ("nn", "random", "lax"):
        importlib.import_module(f"{impl}.{module}")
    arrays = jax.tree_util.tree_map(jnp.asarray, args)
    jitted = jax.jit(functools.partial(function, jax, jnp))
    if impl == "cyxla" and path_of(jitted, arrays) == "native":
        return lambda: jitted(*arrays)
    # The results of one program are ready together.
    return lambda: jax.tree_util.tree_leaves(jitted(*arrays))[0].block_until_ready()


def path_of(jitted, arrays):
    return jitted.lower(*arrays).compile().execution_path


def measure(name, rounds):
    """The shortest time of each way in microseconds, and how the native way runs."""
    function, *args = PROGRAMS[name]
    native = importlib.import_module("cyxla._core.config").OPTIONS["cyxla_native"]
    calls, best = {}, {}
    for way in ("native", "pjrt", "jax"):
        with native(way == "native"):
            calls[way] = prepare("jax" if way == "jax" else "cyxla", function, args)
    for _ in range(rounds):
        for way, call in calls.items():
            with native(way == "native"):
                seconds, n = seconds_of(call)
            best[way] = min(best.get(way, float("inf")), 1e6 * seconds / n)
    cyxla = importlib.import_module("cyxla")
    with native(True):
        path = path_of(cyxla.jit(functools.partial(function, cyxla, importlib.import_module("cyxla.numpy"))), args)
    return best, path


def seconds_of(call):
    """The time of some calls, long enough for the clock, and how many they were."""
    call()
    n = 1
    while True:
        start = time.perf_counter()
        for _ in range(n):
            call()
        seconds = time.perf_counter() - start
        if seconds > 2e-3:
            return seconds, n
        n *= 4


def table(names, rounds):
    width = max(map(len, names))
    print(f"{'us a call':{width}} {'native':>9} {'pjrt':>9} {'jax':>9} {'jax/ours':>8}  how it runs")
    for name in names:
        best, path = measure(name, rounds)
        ours = best["native"]
        native = f"{ours:9.2f}" if path == "native" else f"{'':9}"
        print(
            f"{name:{width}} {native} {best['pjrt']:9.2f} {best['jax']:9.2f} {best['jax'] / ours:7.1f}x  {path}",
            flush=True,
        )


def resident_kb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


WINDOW = 100_000


def tail(n):
    """Times single calls, alone and while a thread allocates, and the memory in use before and after.

    NumPy's addition of two arrays, and Python code that computes for as long as each program and allocates nothing,
    show what of the tail is the machine's: interrupts, and who else uses its cores and caches. The cases take turns at
    100,000 calls, as the machine's state changes within seconds. Of the percentiles of these the medians are printed,
    and how many medians p99.9 is in the calmest quarter of the turns, and in half of them.
    """
    importlib.import_module("cyxla").config.update("cyxla_native", True)
    calls = {"NumPy's X + X, 16 elements": lambda: X + X}
    for name in ("x + 1, scalar", "MLP 8-32-32-4, batch 1"):
        function, *args = PROGRAMS[name]
        calls[name] = prepare("cyxla", function, args)
        calls[f"Python code as long as {name}"] = computing_as_long_as(calls[name])
    with allocating_thread():
        for call in calls.values():
            np.percentile(times_of(call, WINDOW), 50)
    before = resident_kb()
    for busy in (False, True):
        with allocating_thread() if busy else contextlib.nullcontext():
            percentiles = {name: [] for name in calls}
            for _ in range(max(n // WINDOW, 1)):
                for name, call in calls.items():
                    percentiles[name].append(np.percentile(times_of(call, min(n, WINDOW)), [50, 99, 99.9]))
        for name, rows in percentiles.items():
            p50, p99, p999 = np.median(rows, axis=0)
            calm, half = np.percentile([row[2] / row[0] for row in rows], [25, 50])
            state = "another thread allocates" if busy else "alone"
            print(
                f"{name}, {n:,} calls, {state}: median {p50:.0f} ns, p99 {p99:.0f} ns, p99.9 {p999:.0f} ns "
                f"({calm:.1f}, {half:.1f} medians)",
                flush=True,
            )
    print(f"resident memory: {before:,} kB before, {resident_kb():,} kB after")


def times_of(call, n):
    """The times of single calls, in nanoseconds."""
    times = array.array("q", bytes(8 * n))
    clock = time.perf_counter_ns
    for i in range(n):
        start = clock()
        call()
        times[i] = clock() - start
    return times


@contextlib.contextmanager
def allocating_thread():
    stop = threading.Event()

    def allocate():
        while not stop.is_set():
            for _ in range(100):
                np.zeros(10_000).tolist()[:10]
            time.sleep(0.001)

    thread = threading.Thread(target=allocate)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def computing_as_long_as(call):
    """A function of Python code alone that takes as long as `call`."""

    def computing(count):
        numbers = (1,) * count

        def compute():
            for _ in numbers:
                pass

        return compute

    wanted = min(timeit.repeat(call, number=2000, repeat=5))
    count = 1
    while min(timeit.repeat(computing(count), number=2000, repeat=5)) < wanted:
        count += 1
    return computing(count)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", default="", help="only programs with this in their name")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tail", action="store_true", help="show the slowest calls instead")
    parser.add_argument("--calls", type=int, default=1_000_000, help="for --tail")
    options = parser.parse_args()
    if options.tail:
        tail(options.calls)
    else:
        table([name for name in PROGRAMS if options.k in name], options.rounds)


if __name__ == "__main__":
    main()
