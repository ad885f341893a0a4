"""What the compile policy costs and gains: `python -m bench.bench_compile [-k softmax] [--sizes 1,1024,...]`.

Each program is compiled by Cyxla with XLA's own options ("default"), with the policy of
`cyxla/_runtime/compiler.py` ("ours") and, where the policy says no, with the options it would have used ("fast"); and
by jax. Compile times are those of StableHLO text to executable, run times those of a call through PJRT until the
result is ready. The ways are interleaved and the minima of the rounds are printed; `bits` says whether the results
of the policy are those of the default, bit by bit.
"""

import argparse
import time

import numpy as np

SIZES = (1, 64, 1024, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22)


def vector(n):
    return (np.linspace(-3, 3, n, dtype=np.float32),)


def matrix(n):
    side = max(1, round(n**0.5))
    return (np.linspace(-3, 3, side * side, dtype=np.float32).reshape(side, side),)


def integers(n):
    return (np.arange(n, dtype=np.int32) * 7919 % 1000,)


def gelu(jax, jnp, x):
    return 0.5 * x * (1 + jnp.tanh(0.7978845608 * (x + 0.044715 * x**3)))


def layer_norm(jax, jnp, x):
    mean = jnp.mean(x, -1, keepdims=True)
    return (x - mean) / jnp.sqrt(jnp.mean((x - mean) ** 2, -1, keepdims=True) + 1e-5)


def mlp(jax, jnp, x):
    for _ in range(3):
        x = jnp.tanh(x @ x * 0.01)
    return x


def rotations(jax, jnp, x):
    for _ in range(20):
        x = jnp.sin(x) * x + 0.5 - x
    return x


def chain(jax, jnp, x):
    for _ in range(20):
        x = x * 1.01 + 0.5
    return x


def blocks(jax, jnp, x):
    for _ in range(4):
        x = jax.nn.softmax(gelu(jax, jnp, layer_norm(jax, jnp, x)))
    return x


def normal(jax, jnp, x):
    return jax.random.normal(jax.random.key(0), x.shape) + x


def scan(jax, jnp, x):
    return jax.lax.scan(lambda c, _: (c * 0.99 + 0.1, None), x, None, length=100)[0]


def stencil(jax, jnp, x):
    return x[1:-1] - 0.5 * (x[:-2] + x[2:]) if x.shape[0] > 2 else x


# name: (arguments for a number of elements, function of (jax, jnp, *arguments), largest number of elements)
PROGRAMS = {
    "x + 1": (vector, lambda jax, jnp, x: x + 1, None),
    "sin": (vector, lambda jax, jnp, x: jnp.sin(x), None),
    "exp": (vector, lambda jax, jnp, x: jnp.exp(x), None),
    "tanh": (vector, lambda jax, jnp, x: jnp.tanh(x), None),
    "log1p": (vector, lambda jax, jnp, x: jnp.log1p(abs(x)), None),
    "power": (vector, lambda jax, jnp, x: jnp.power(abs(x), x), None),
    "erf": (vector, lambda jax, jnp, x: jax.scipy.special.erf(x), None),
    "gelu": (vector, gelu, None),
    "where": (vector, lambda jax, jnp, x: jnp.where(x > 0, x, 0.1 * x), None),
    "integers": (integers, lambda jax, jnp, x: (x * 3 + 1) % 17 // 2, None),
    "chain of 40": (vector, chain, None),
    "chain of 80 with sin": (vector, rotations, None),
    "stencil": (vector, stencil, None),
    "sum": (vector, lambda jax, jnp, x: jnp.sum(x), None),
    "sum of rows": (matrix, lambda jax, jnp, x: jnp.sum(x, 1), None),
    "sum of columns": (matrix, lambda jax, jnp, x: jnp.sum(x, 0), None),
    "max, argmax": (matrix, lambda jax, jnp, x: (jnp.max(x, 1), jnp.argmax(x, 1)), None),
    "cumsum": (vector, lambda jax, jnp, x: jnp.cumsum(x), 1 << 16),
    "softmax": (matrix, lambda jax, jnp, x: jax.nn.softmax(x), None),
    "layer norm": (matrix, layer_norm, None),
    "blocks": (matrix, blocks, None),
    "transpose + x": (matrix, lambda jax, jnp, x: x.T + x, None),
    "concatenate": (vector, lambda jax, jnp, x: jnp.concatenate([x, 2 * x]), None),
    "gather": (integers, lambda jax, jnp, x: (x * 0.5)[x % x.shape[0]], None),
    "scatter-add": (integers, lambda jax, jnp, x: jnp.zeros(1000).at[x].add(0.5), 1 << 18),
    "sort": (vector, lambda jax, jnp, x: jnp.sort(jnp.sin(9 * x)), 1 << 16),
    "x @ x": (matrix, lambda jax, jnp, x: x @ x, 1 << 18),
    "tanh(x @ x)": (matrix, lambda jax, jnp, x: jnp.tanh(x @ x), 1 << 18),
    "3-layer MLP": (matrix, mlp, 1 << 18),
    "grad of MLP": (matrix, lambda jax, jnp, x: jax.grad(lambda x: jnp.sum(mlp(jax, jnp, x)))(x), 1 << 16),
    "grad of softmax": (
        matrix,
        lambda jax, jnp, x: jax.grad(lambda x: jnp.sum(jax.nn.softmax(x) ** 2))(x),
        None,
    ),
    "normal": (vector, normal, None),
    "scan": (vector, scan, 1 << 16),
}


def measure(name, n, rounds):
    import jax

    import cyxla
    from cyxla._runtime import backend, buffers, compiler, xla

    make, function, _ = PROGRAMS[name]
    arrays = make(n)

    def lower(package):
        # A new function every time: jax would find the last one's executable.
        return package.jit(lambda *a: function(package, package.numpy, *a), keep_unused=True).lower(*arrays)

    text = lower(cyxla).as_text().encode()
    device = backend.default_device()
    devices = xla.jaxlib.DeviceList((device,))
    small = compiler.is_small(text)

    def compile_ours(fast):
        options = compiler.compile_options([device], small=fast)
        return device.client.compile_and_load(text, devices, options)

    ways = {
        "default": lambda: compile_ours(False),
        "fast": lambda: compile_ours(True),
        "jax": lambda: theirs.compile(),
    }
    compile_s = {way: [] for way in ways}
    run_s = {way: [] for way in ways}
    executables = {}
    for _ in range(rounds):
        theirs = lower(jax)
        for way, build in ways.items():
            start = time.perf_counter()
            executables[way] = build()
            compile_s[way].append(time.perf_counter() - start)
    given = [buffers.host_to_device(a, device) for a in arrays]
    given_to_jax = [jax.numpy.asarray(a) for a in arrays]

    def pjrt(executable):
        if not hasattr(executable, "execute_sharded"):
            executable = executable.runtime_executable()
            arguments = given_to_jax
        else:
            arguments = given

        def run():
            results = executable.execute_sharded(arguments).disassemble_into_single_device_arrays()
            return [shards[0] for shards in results]

        def wait(results):
            for r in results:
                r.block_until_ready()

        return run, wait

    runs = {way: pjrt(executable) for way, executable in executables.items()}
    values = {}
    for way, (run, wait) in runs.items():
        results = run()
        wait(results)
        values[way] = [np.asarray(memoryview(r)).tobytes() for r in results]
    started = time.perf_counter()
    run, wait = runs["default"]
    wait(run())
    each = max(time.perf_counter() - started, 1e-6)
    calls = max(1, min(200, int(2e-3 / each)))
    for _ in range(max(rounds * 4, 12)):
        for way, (run, wait) in runs.items():
            start = time.perf_counter()
            for _ in range(calls):
                wait(run())
            run_s[way].append((time.perf_counter() - start) / calls)
    return {
        "small": small,
        "compile": {way: min(s) for way, s in compile_s.items()},
        "run": {way: min(s) for way, s in run_s.items()},
        "bits": values["default"] == values["fast"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", default="", help="only programs with this in their name")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    sizes = [int(s) for s in options.sizes.split(",")]
    ways = ("default", "fast", "ours", "jax")
    head = "".join(f"{way:>9}" for way in ways)
    print(f"{'':31}compile, ms: {'':24}| run, us:")
    print(f"{'program':22}{'elements':>9}{head} |{head} ours/jax  policy   bits")
    total = dict.fromkeys(ways, 0.0)
    for name, (_, _, largest) in PROGRAMS.items():
        if options.k not in name:
            continue
        for n in sizes:
            if largest is not None and n > largest:
                continue
            result = measure(name, n, options.rounds)
            policy = "fast" if result["small"] else "default"
            for times in (result["compile"], result["run"]):
                times["ours"] = times[policy]
            for way in ways:
                total[way] += result["compile"][way]
            cells = "".join(f"{1e3 * result['compile'][way]:9.1f}" for way in ways)
            cells += " |" + "".join(f"{1e6 * result['run'][way]:9.1f}" for way in ways)
            ratio = result["run"]["ours"] / result["run"]["jax"]
            bits = "equal" if result["bits"] else "OTHER"
            print(f"{name:22}{n:9}{cells} {ratio:8.2f}  {policy:7}  {bits}", flush=True)
    print(f"{'all':31}" + "".join(f"{1e3 * total[way]:9.0f}" for way in ways))


if __name__ == "__main__":
    main()
