import os

import numpy as np
import pytest

from cyxla._runtime import buffers, cache, compiler, execute
from cyxla._runtime.options import options


def program(k):
    return f"""module @m {{ func.func public @main(%a: tensor<8xf32>) -> tensor<8xf32> {{
      %c = stablehlo.constant dense<{k}.0> : tensor<8xf32>
      %0 = stablehlo.add %a, %c : tensor<8xf32>
      return %0 : tensor<8xf32> }} }}"""


@pytest.fixture
def directory(tmp_path, monkeypatch):
    path = tmp_path / "made" / "by the cache"
    monkeypatch.setattr(options, "compilation_cache_dir", str(path))
    monkeypatch.setattr(options, "persistent_cache_min_compile_time_secs", 0.0)
    monkeypatch.setattr(options, "compilation_cache_max_size", -1)
    cache.statistics.clear()
    return path


@pytest.fixture
def call(device, make_aval):
    def call(k, **kwargs):
        executable = compiler.compile(program(k), [device], **kwargs)
        x = buffers.host_to_device(np.zeros(8, "float32"), device)
        [out] = execute.run(executable, [x], [make_aval((8,))], device)
        assert (buffers.device_to_host(out) == k).all()

    return call


def counts():
    return cache.statistics.hits, cache.statistics.misses, cache.statistics.stores


def test_second_time_comes_from_disk(directory, call):
    call(1)
    assert counts() == (0, 1, 1)
    call(1)
    assert counts() == (1, 1, 1)
    call(2)
    assert counts() == (1, 2, 2)
    call(1, options={"xla_cpu_enable_fast_math": True})
    assert counts() == (1, 3, 3)
    call(1, name="a name/with signs")
    assert counts() == (1, 4, 4)
    number, size = cache.size()
    assert number == 4 and size == sum(path.stat().st_size for path in directory.iterdir())
    (directory / "not ours").write_text("x")
    cache.clear()
    assert [path.name for path in directory.iterdir()] == ["not ours"]


def test_xla_flags_are_part_of_the_key(directory, device, monkeypatch):
    settings = compiler.compile_options([device])
    plain = cache.key("m", b"text", [device], settings)
    assert plain == cache.key("m", b"text", [device], settings)
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/nowhere")
    assert plain != cache.key("m", b"text", [device], settings)


def test_off_unless_asked_for(directory, call, monkeypatch):
    monkeypatch.setattr(options, "enable_compilation_cache", False)
    call(1)
    monkeypatch.setattr(options, "enable_compilation_cache", True)
    monkeypatch.setattr(options, "compilation_cache_dir", None)
    call(1)
    assert counts() == (0, 0, 0) and not directory.exists()


def test_only_what_was_slow_and_large(directory, call, monkeypatch):
    monkeypatch.setattr(options, "persistent_cache_min_compile_time_secs", 1000.0)
    call(1)
    monkeypatch.setattr(options, "persistent_cache_min_compile_time_secs", 0.0)
    monkeypatch.setattr(options, "persistent_cache_min_entry_size_bytes", 1 << 30)
    call(1)
    assert counts() == (0, 2, 0)


def test_programs_that_hold_objects_are_not_stored(directory, call):
    call(1, keep_alive=[object()])
    assert counts() == (0, 0, 0)


def test_a_damaged_entry_is_compiled_anew(directory, call, monkeypatch):
    call(1)
    [entry] = directory.iterdir()
    entry.write_bytes(entry.read_bytes()[:-20])
    with pytest.warns(RuntimeWarning, match="persistent compilation cache"):
        call(1)
    call(1)
    assert counts() == (1, 2, 2)
    entry.write_bytes(b"something else")
    monkeypatch.setattr(options, "raise_persistent_cache_errors", True)
    with pytest.raises(ValueError, match="not an entry"):
        call(1)


def test_a_directory_that_cannot_be_made_is_a_warning(directory, call, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("x")
    monkeypatch.setattr(options, "compilation_cache_dir", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="persistent compilation cache"):
        call(1)


def test_those_unused_for_longest_go_first(directory, call, monkeypatch):
    for k in (1, 2, 3):
        call(k)
        for path in directory.iterdir():
            # A step back in time for all there are, so that the next is the newest.
            stamp = path.stat().st_mtime_ns - 10**9
            os.utime(path, ns=(stamp, stamp))
    call(1)  # used again: now the newest
    # Room for three programs, which differ in size by a few bytes.
    size = cache.size()[1] * 7 // 6
    monkeypatch.setattr(options, "compilation_cache_max_size", size)
    call(4)
    assert cache.size()[1] <= size
    assert cache.statistics.evictions >= 1
    hits = cache.statistics.hits
    call(1)
    call(3)
    assert cache.statistics.hits == hits + 2
    misses = cache.statistics.misses
    call(2)
    assert cache.statistics.misses == misses + 1


def test_nothing_is_left_half_written(directory, call, monkeypatch):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.warns(RuntimeWarning, match="disk full"):
        call(1)
    assert list(directory.iterdir()) == []
