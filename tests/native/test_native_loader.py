"""The loader takes any bytes: what is not an executable it knows it refuses, with a reason and without a crash."""

import os
import pathlib
import shutil
import subprocess
import sys
import textwrap

import native_corpus
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cyxla
from cyxla._engine import native
from cyxla._runtime import compiler
from cyxla._runtime import native as runtime_native

pytestmark = pytest.mark.skipif(
    runtime_native.unsupported(cyxla.devices("cpu")[0]) != "", reason="no native execution here"
)
HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
SECONDS = os.environ.get("CYXLA_FUZZ", "")


@pytest.fixture(scope="module")
def corpus():
    return list(native_corpus.corpus(list(native_corpus.PROGRAMS)[:4]))


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


def build(name, folder, *flags):
    """One of the C++ programs beside this file, compiled with the loader's sources; what to start it with."""
    compiler_path = shutil.which("g++") or shutil.which("clang++")
    sources = sorted((ROOT / "csrc" / "native").glob("*.cpp"))
    if compiler_path is None or not sources:
        pytest.skip("no compiler, or no sources")
    program = folder / name
    libm = folder / "libjax_common.so"
    common = ["-std=c++17", "-O1", "-g", f"-I{ROOT}/csrc"]
    subprocess.run(
        [compiler_path, *common, *flags, HERE / f"{name}.cpp", *sources, "-o", program, "-ldl", "-pthread"], check=True
    )
    subprocess.run(
        [
            compiler_path,
            *common,
            "-shared",
            "-fPIC",
            "-fno-builtin",
            HERE / "libm.cpp",
            "-o",
            libm,
            "-Wl,--no-as-needed",
            "-lm",
        ],
        check=True,
    )
    return [program, libm]


def sanitizers(names):
    return [f"-fsanitize={names}", "-fno-sanitize-recover=all"]


@pytest.fixture
def corpus_files(corpus, tmp_path):
    paths = [tmp_path / f"{i}.bin" for i in range(len(corpus))]
    for path, data in zip(paths, corpus, strict=True):
        path.write_bytes(data)
    return paths


sanitized = pytest.mark.skipif(not SECONDS, reason="CYXLA_FUZZ=20 builds the loader with sanitizers, for 20 seconds")


@pytest.fixture(scope="module")
def all_files(tmp_path_factory):
    """All programs, for processors that valgrind can stand for: compiled in a process of their own."""
    folder = tmp_path_factory.mktemp("corpus")
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_max_isa=AVX2"
    subprocess.run(
        [sys.executable, HERE / "native_corpus.py", folder],
        check=True,
        env=os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return sorted(folder.iterdir())


@sanitized
def test_mutants_under_sanitizers(all_files, tmp_path):
    start = build("fuzz", tmp_path, *sanitizers("address,undefined"))
    seed = str(int.from_bytes(os.urandom(4)))
    subprocess.run([*start, SECONDS, seed, *all_files], check=True)


@sanitized
def test_threads_under_sanitizers(all_files, tmp_path):
    start = build("threads", tmp_path, *sanitizers("thread"))
    subprocess.run([*start, "300", *all_files], check=True)


@sanitized
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_threads_under_valgrind(all_files, tmp_path):
    start = build("threads", tmp_path)
    check = [
        "valgrind",
        "-q",
        "--error-exitcode=9",
        "--leak-check=full",
        "--show-leak-kinds=definite",
        "--errors-for-leak-kinds=definite",
    ]
    subprocess.run([*check, *start, "20", *all_files], check=True)


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
