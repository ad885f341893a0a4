"""The loader takes any bytes: what is not an executable it knows it refuses, with a reason and without a crash."""

import os
import pathlib
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cyxla
import cyxla.numpy as jnp
from cyxla import lax
from cyxla._engine import native
from cyxla._runtime import compiler
from cyxla._runtime import native as runtime_native

pytestmark = pytest.mark.skipif(
    runtime_native.unsupported(cyxla.devices("cpu")[0]) != "", reason="no native execution here"
)
ROOT = pathlib.Path(__file__).parent.parent.parent
SECONDS = os.environ.get("CYXLA_FUZZ", "")


def loops(p, x):
    x = lax.fori_loop(0, 5, lambda i, c: jnp.sort(c) * 1.1 - i, x)
    return lax.cond(p > 0, lambda x: jnp.sort(x), lambda x: jnp.cumsum(x), x), x + np.arange(8, dtype=np.float32)


@pytest.fixture(scope="module")
def corpus():
    x = np.ones(8, np.float32)
    matrix = np.eye(3, dtype=np.float32)
    programs = [
        cyxla.jit(loops).lower(1.0, x),
        cyxla.jit(lambda x: jnp.sin(x) * 2).lower(x),
        cyxla.jit(lambda x: (jnp.linalg.cholesky(x), jnp.linalg.eigh(x)[0])).lower(matrix),
        cyxla.jit(lambda x: (lax.top_k(x, 3), lax.sort(x.astype("int32"), is_stable=False), x @ x)).lower(x),
    ]
    runtime_native._register_lapack()
    return [compiler.serialize(program.compile().runtime_executable()) for program in programs]


def test_corpus_loads(corpus):
    for data in corpus:
        assert isinstance(native.load(data), native.NativeProgram)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes(data):
    assert isinstance(native.load(data), str)


def test_truncated(corpus):
    for data in corpus:
        for size in range(0, len(data), max(1, len(data) // 300)):
            # Shorter programs that are whole do exist; what matters is that there is an answer.
            assert native.load(data[:size])


MUTATE = """
    import random, sys
    from cyxla._engine import native
    random.seed({seed})
    for path in sys.argv[1:]:
        whole = open(path, "rb").read()
        for _ in range(1500):
            data = bytearray(whole)
            for _ in range(random.randint(1, 4)):
                at = random.randrange(len(data))
                choice = random.randrange(4)
                if choice == 0:
                    data[at] ^= 1 << random.randrange(8)
                elif choice == 1:
                    data[at] = random.choice((0, 127, 128, 255, random.randrange(256)))
                elif choice == 2:
                    del data[at : at + random.randint(1, 8)]
                else:
                    data[at:at] = random.randbytes(random.randint(1, 8))
            assert native.load(bytes(data))
"""


def test_mutants_do_not_crash(corpus_files):
    script = textwrap.dedent(MUTATE).format(seed=int.from_bytes(os.urandom(4)))
    out = subprocess.run([sys.executable, "-c", script, *corpus_files], capture_output=True, text=True, check=False)
    assert out.returncode == 0, (script, out.stderr)


def build(name, sanitizers, folder):
    """One of the C++ programs beside this file, compiled with the loader's sources."""
    compiler_path = shutil.which("g++") or shutil.which("clang++")
    sources = sorted((ROOT / "csrc" / "native").glob("*.cpp"))
    if compiler_path is None or not sources:
        pytest.skip("no compiler, or no sources")
    program = folder / name
    main = ROOT / "tests" / "native" / f"{name}.cpp"
    flags = ["-std=c++17", "-O1", "-g", f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", f"-I{ROOT}/csrc"]
    subprocess.run([compiler_path, *flags, main, *sources, "-o", program, "-ldl", "-pthread"], check=True)
    return program


@pytest.fixture
def corpus_files(corpus, tmp_path):
    paths = [tmp_path / f"{i}.bin" for i in range(len(corpus))]
    for path, data in zip(paths, corpus, strict=True):
        path.write_bytes(data)
    return paths


sanitized = pytest.mark.skipif(not SECONDS, reason="CYXLA_FUZZ=20 builds the loader with sanitizers, for 20 seconds")


@sanitized
def test_mutants_under_sanitizers(corpus_files, tmp_path):
    program = build("fuzz", "address,undefined", tmp_path)
    seed = str(int.from_bytes(os.urandom(4)))
    subprocess.run([program, SECONDS, seed, *corpus_files], check=True)


@sanitized
def test_threads_under_sanitizers(corpus_files, tmp_path):
    program = build("threads", "thread", tmp_path)
    subprocess.run([program, "300", *corpus_files], check=True)


@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lost_bytes(corpus, data):
    whole = data.draw(st.sampled_from(corpus))
    start = data.draw(st.integers(0, len(whole) - 1))
    stop = data.draw(st.integers(start, len(whole)))
    assert native.load(whole[:start] + whole[stop:])


def test_wrong_arguments():
    x = np.ones(8, np.float32)
    data = compiler.serialize(cyxla.jit(lambda x: x + 1).lower(x).compile().runtime_executable())
    program = native.load(data)
    with pytest.raises(TypeError, match="takes 1 arguments"):
        program.run([])
    with pytest.raises(ValueError, match="argument 0 has 16 bytes"):
        program.run([np.ones(4, np.float32)])
    [out] = program.run([x])
    np.testing.assert_array_equal(np.frombuffer(out, np.float32), x + 1)
