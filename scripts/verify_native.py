"""Tells whether programs of the installed jaxlib can still be run natively: `python scripts/verify_native.py`.

Native execution rests on the form in which jaxlib serializes executables, which may change with any release. This
compiles some hundred programs, loads each natively whatever `VERIFIED_JAXLIB` in `cyxla/_runtime/native.py` says, runs
it on ordinary and on extreme values, and compares the results with PJRT's, bit by bit. Programs that are refused are
listed with the reason: a refusal is safe, but a release that refuses what others run deserves a look.

The programs run in a process of their own; when it dies, the next one goes on. The exit status is 0 if every program
that was loaded gave PJRT's results and most were loaded.
"""

import argparse
import importlib.metadata
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# A cyxla that is installed goes first: the source tree may have been compiled for another Python.
sys.path[:] = [str(ROOT), *sys.path, str(ROOT / "python")]
ELEMENTS = (1, 8, 1000)
# Fewer than this share of programs loaded is no success.
EXPECTED = 0.7


def programs():
    """{name: (arguments, function of the arguments, whether matrix products may round otherwise)}"""
    import ml_dtypes
    import numpy as np

    import cyxla as jax
    import cyxla.numpy as jnp
    from bench.bench_compile import PROGRAMS
    from cyxla import lax

    found = {}
    for name, (make, function, _) in PROGRAMS.items():
        for n in ELEMENTS:
            products = any(word in name for word in ("@", "MLP"))
            found[f"{name}, {n}"] = (make(n), lambda *a, f=function: f(jax, jnp, *a), products)
    x = np.linspace(-2, 2, 24, dtype=np.float32)
    square = (x[:16] + 0.1).reshape(4, 4)
    symmetric = square @ square.T + 4 * np.eye(4, dtype=np.float32)
    more = {
        "while": ([x], lambda x: lax.while_loop(lambda s: s[0] < 5, lambda s: (s[0] + 1, jnp.sin(s[1])), (0, x))),
        "while of a sort": ([x], lambda x: lax.fori_loop(0, 3, lambda i, v: jnp.sort(v * -1.5), x)),
        "cond": ([x], lambda x: lax.cond(x[0] > 0, jnp.sin, lambda v: jnp.sort(v), x)),
        "switch": ([np.int32(2), x], lambda i, x: lax.switch(i, [jnp.sin, jnp.cos, lambda v: jnp.sort(v)], x)),
        "sort of two": ([x, x * 7 % 3], lambda x, y: lax.sort((y, x), num_keys=1)),
        "argsort": ([x * 7 % 3], lambda x: jnp.argsort(x)),
        "top_k": ([x * 7 % 3], lambda x: lax.top_k(x, 3)),
        "cholesky": ([symmetric], lambda a: jnp.linalg.cholesky(a)),
        "solve": ([symmetric, x[:4]], lambda a, b: jnp.linalg.solve(a, b)),
        "fft": ([x], lambda x: lax.fft(x + 0j, "FFT", (24,)) if hasattr(lax, "fft") else x),
        "convolution": ([x], lambda x: jnp.convolve(x, x[:5])),
        "bits": ([np.arange(24, dtype=np.uint32)], lambda x: (x << 3) ^ (x >> 2) | ~x),
        "8 bits": ([np.arange(24, dtype=np.int8)], lambda x: x * 3 - x // 2),
        "bool": ([x > 0, x < 1], lambda a, b: (a & ~b, jnp.any(a), jnp.where(a, b, ~b))),
        "complex": ([x + 1j * x[::-1]], lambda x: (x * x, jnp.exp(x), abs(x))),
        "float16": ([x.astype(np.float16)], lambda x: jnp.sin(x) * x),
        "bfloat16": ([x.astype(ml_dtypes.bfloat16)], lambda x: jnp.exp(x) + x),
        "casts": ([x * 100], lambda x: (x.astype(jnp.int8), x.astype(jnp.uint32), x.astype(jnp.bfloat16))),
        "libm": ([x], lambda x: (jnp.arctan2(x, x[::-1]), jnp.cbrt(x), jnp.tan(x), jnp.fmod(x, x[::-1]))),
        "division": ([x, x[::-1]], lambda x, y: (x / y, x // y, x % y, lax.rem(x, y))),
        "returned as is": ([x, x + 1], lambda x, y: (y, x, x, jnp.zeros(3), 1.0)),
        "constants": ([x], lambda x: x[:12] * jnp.asarray(np.linspace(0, 1, 12, dtype=np.float32))),
        "nothing": ([np.zeros((0, 3), np.float32)], lambda x: (x + 1, jnp.sum(x))),
        "uniform": ([np.uint32(3)], lambda s: jax.random.uniform(jax.random.key(s), (16,))),
    }
    products = {"solve", "convolution"}
    return found | {name: (args, function, name in products) for name, (args, function) in more.items()}


def variations(arrays):
    """The arguments as they are, and with other values: random, then extreme."""
    import numpy as np

    yield arrays
    rng = np.random.default_rng(0)
    extreme = [0.0, -0.0, 1e-39, -1e-39, 1e-45, np.inf, -np.inf, np.nan, -np.nan, 3e38, -1e-38, 1.0, 0.5, -2.5]
    for values in (lambda n: rng.normal(size=n) * 3, lambda n: rng.choice(extreme, n)):
        changed = []
        for array in map(np.asarray, arrays):
            if array.dtype.kind == "f" or array.dtype.name == "bfloat16":
                with np.errstate(over="ignore"):
                    array = values(array.size).astype(array.dtype).reshape(array.shape)
            changed.append(array)
        yield changed


def examine(arrays, function, may_round):
    """'native', or what is the matter with the program."""
    import numpy as np

    import cyxla
    from cyxla._runtime import backend, buffers, compiler, execute, native

    arrays = [np.asarray(a) for a in arrays]
    lowered = cyxla.jit(function, keep_unused=True).lower(*arrays)
    program = lowered._program
    device = backend.default_device()
    loaded = compiler.compile(program.text, [device])
    avals = [aval.physical() for aval in program.avals_out]
    constants = [np.asarray(c) for c in program.constants]
    given = [aval.physical() for aval in (*(c.aval for c in program.constants), *program.avals_in)]
    found = native._load(loaded, given, avals)
    if isinstance(found, str):
        return f"refused: {found}"
    rounded = False
    for values in variations(arrays):
        values = [*constants, *values]
        theirs = execute.run(loaded, [buffers.host_to_device(v, device) for v in values], avals, device)
        for mine, reference, aval in zip(found.run(values), theirs, avals):
            reference = buffers.device_to_host(reference)
            if bytes(mine) == reference.tobytes():
                continue
            mine = np.frombuffer(bytes(mine), aval.dtype).reshape(aval.shape)
            if not may_round or not np.allclose(mine, reference, rtol=1e-4, atol=1e-5, equal_nan=True):
                return f"OTHER RESULTS: {mine.reshape(-1)[:4]} instead of {reference.reshape(-1)[:4]}"
            rounded = True
    return "native, rounded otherwise" if rounded else "native"


def work(first):
    """Examines the programs from number `first` on, announcing each before it starts."""
    for number, (name, (arrays, function, may_round)) in enumerate(programs().items()):
        if number >= first:
            print(f"{number}\t{name}", flush=True)
            try:
                verdict = examine(arrays, function, may_round)
            except Exception as error:
                verdict = f"FAILED: {type(error).__name__}: {error}".replace("\n", " ")
            print(f"\t{verdict}", flush=True)


def run():
    """[(name, verdict)]"""
    verdicts, first = [], 0
    while True:
        environment = os.environ | {"CYXLA_NATIVE": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, __file__, "--from", str(first)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        announced = None
        for line in done.stdout.splitlines():
            number, text = line.split("\t", 1)
            if number:
                first, announced = int(number) + 1, text
            else:
                verdicts.append((announced, text))
                announced = None
        if announced is not None:
            verdicts.append((announced, f"THE PROCESS DIED (status {done.returncode})"))
        elif done.returncode:
            raise SystemExit(done.stderr)
        else:
            return verdicts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", type=int, dest="first", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.first is not None:
        return work(options.first)
    verdicts = run()
    width = max(len(name) for name, _ in verdicts)
    for name, verdict in verdicts:
        print(f"{name:{width}}  {verdict}")
    loaded = sum(verdict.startswith("native") for _, verdict in verdicts)
    wrong = [name for name, verdict in verdicts if not verdict.startswith(("native", "refused"))]
    release = importlib.metadata.version("jaxlib")
    print(f"\njaxlib {release}: {loaded} of {len(verdicts)} programs ran natively, {len(wrong)} of them went wrong")
    if wrong:
        print("The format does not hold:", "; ".join(wrong))
        return 1
    if loaded < EXPECTED * len(verdicts):
        print("Too few programs are accepted for the format to be the one that is known.")
        return 1
    print("The format holds: the release may stand in VERIFIED_JAXLIB in python/cyxla/_runtime/native.py.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
