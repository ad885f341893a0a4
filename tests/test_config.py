"""Configuration: names, defaults and values as jax's; contexts, threads, environment, epochs."""

import os
import subprocess
import sys
import threading

import jax
import pytest

from cyxla._core import config as config_module
from cyxla._core.config import OPTIONS, config
from cyxla._engine import config as engine

CONTEXTS = [
    name
    for name in dir(jax)
    if type(getattr(jax, name)).__name__ == "State" or name in ("checking_leaks", "disable_jit", "transfer_guard")
]


@pytest.fixture(autouse=True)
def restore():
    before = {name: option.get_global() for name, option in OPTIONS.items()}
    yield
    for name, value in before.items():
        if OPTIONS[name].get_global() != value:
            OPTIONS[name].set_global(value)


def plain(value):
    # jax has enumerations where we have words.
    if type(value).__name__ == "ExplicitX64Mode":
        return value.name.lower()
    return getattr(value, "value", value)


@pytest.mark.skipif(jax.__version__ != "0.10.2", reason="the options are those of jax 0.10.2")
def test_names_and_defaults_are_jax_s():
    program = "import jax; print({k: getattr(v, 'value', v) for k, v in jax.config.values.items()})"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=clean).stdout
    theirs = eval(out)
    theirs["jax_explicit_x64_dtypes"] = "warn"
    ours = {name: option.row.default for name, option in OPTIONS.items() if not name.startswith("cyxla_")}
    assert ours == theirs
    assert {name for name in config.values if not name.startswith("cyxla_")} == set(jax.config.values)


def test_public_contexts_exist():
    for name in CONTEXTS:
        assert callable(getattr(config_module, name)), name


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_what_values_an_option_takes(name):
    option = OPTIONS[name]
    config.update(name, option.value)
    if option.row.type is not bool:
        with pytest.raises(ValueError, match=name):
            config.update(name, object())
    if option.row.optional:
        config.update(name, None)
        assert getattr(config, name) is None
    if isinstance(option.row.type, tuple) and isinstance(option.row.type[0], str):
        for word in option.row.type:
            config.update(name, word)
            assert getattr(config, name) == config.read(name) == config.values[name] == word


def test_values_are_checked_and_converted():
    config.update("jax_enable_x64", 1)
    assert config.jax_enable_x64 is True
    config.update("jax_enable_x64", "false")
    assert config.x64_enabled is False
    with pytest.raises(ValueError, match="truth value"):
        config.update("jax_enable_x64", "perhaps")
    config.update("jax_persistent_cache_min_compile_time_secs", 2)
    assert config.jax_persistent_cache_min_compile_time_secs == 2.0
    config.update("jax_pjrt_client_create_options", {"a": 1})
    assert config.jax_pjrt_client_create_options == {"a": 1}
    config.update("jax_numpy_dtype_promotion", jax.config.jax_numpy_dtype_promotion)
    assert config.jax_numpy_dtype_promotion == "standard"


def test_unknown_names():
    with pytest.raises(AttributeError, match="did you mean 'jax_enable_x64'"):
        config.update("jax_enable_x46", True)
    with pytest.raises(AttributeError):
        config.read("nope")
    with pytest.raises(AttributeError):
        _ = config.nope
    with pytest.raises(AttributeError, match="update"):
        config.jax_enable_x64 = True
    with pytest.raises(AttributeError):
        config.nope = True


def test_contexts_nest_and_end_with_errors():
    assert not config.jax_enable_x64
    with config_module.enable_x64():
        assert config.jax_enable_x64
        with config_module.enable_x64(False):
            assert not config.jax_enable_x64
        with pytest.raises(ZeroDivisionError), config_module.enable_x64(False):
            raise ZeroDivisionError
        assert config.jax_enable_x64
    assert not config.jax_enable_x64


def test_one_context_object_entered_twice():
    context = config_module.enable_x64(True)
    with context, context:
        assert config.jax_enable_x64
    with context:
        assert config.jax_enable_x64
    assert not config.jax_enable_x64


def test_contexts_as_decorators():
    @config_module.default_matmul_precision("highest")
    def precision(depth):
        return precision(depth - 1) if depth else config.jax_default_matmul_precision

    assert precision(2) == "highest"
    assert precision.__name__ == "precision"
    assert config.jax_default_matmul_precision is None


def test_contexts_that_need_a_value():
    for name in ("numpy_rank_promotion", "default_matmul_precision", "default_device"):
        with pytest.raises(TypeError, match="needs the new value"):
            getattr(config_module, name)()
    with pytest.raises(ValueError, match="'allow', 'warn', 'raise'"):
        config_module.numpy_rank_promotion("bad")
    with pytest.raises(ValueError, match="platform"):
        config_module.default_device(3)
    with pytest.raises(TypeError, match="neither true nor false"):
        bool(config_module.enable_x64)


def test_disable_jit_and_leaks():
    with config_module.disable_jit():
        assert config.jax_disable_jit
        with config_module.disable_jit(False):
            assert not config.jax_disable_jit
    with config_module.checking_leaks():
        assert config.jax_check_tracer_leaks


def test_transfer_guards():
    directions = [f"jax_transfer_guard_{d}" for d in ("host_to_device", "device_to_device", "device_to_host")]
    with config_module.transfer_guard("log"):
        assert [config.read(name) for name in ["jax_transfer_guard", *directions]] == ["log"] * 4
        with config_module.transfer_guard_device_to_host("allow"):
            assert [config.read(name) for name in directions] == ["log", "log", "allow"]
    assert [config.read(name) for name in directions] == [None] * 3
    config.update("jax_transfer_guard", "disallow")
    assert [config.read(name) for name in directions] == ["disallow"] * 3


def test_overrides_are_the_thread_s_own():
    seen = []
    inside, done = threading.Event(), threading.Event()

    def other():
        with config_module.numpy_rank_promotion("raise"):
            inside.set()
            done.wait(5)
            seen.append(config.jax_numpy_rank_promotion)
        seen.append(config.jax_numpy_rank_promotion)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(5)
    assert config.jax_numpy_rank_promotion == "allow"
    config.update("jax_numpy_rank_promotion", "warn")
    done.set()
    thread.join()
    assert seen == ["raise", "warn"]


def test_epochs():
    start = engine.epoch()
    with config_module.enable_x64(True):
        wide = engine.epoch()
        assert wide != start
        with config_module.enable_x64(False):
            assert engine.epoch() == start
    with config_module.enable_x64(True):
        assert engine.epoch() == wide
    assert engine.epoch() == start
    config.update("jax_enable_x64", True)
    assert engine.epoch() == wide
    config.update("jax_enable_x64", False)
    assert engine.epoch() == start
    with config_module.log_compiles(True):
        assert engine.epoch() == start
    seen = []
    thread = threading.Thread(target=lambda: seen.append(engine.epoch()))
    thread.start()
    thread.join()
    assert seen == [start]


def test_user_contexts_are_part_of_the_epoch():
    start = engine.epoch()
    mode = config_module.make_user_context("train")
    other = config_module.make_user_context()
    assert engine.epoch() == start
    assert (mode.value, other.value) == ("train", None)
    with mode("eval"):
        assert mode.value == "eval"
        assert engine.epoch() != start
    assert engine.epoch() == start
    with pytest.raises(TypeError), mode([]):
        pass
    assert mode.value == "train"


def test_overrides_can_be_carried_to_another_thread():
    with config_module.enable_x64(True), config_module.default_matmul_precision("high"):
        carried = engine.overrides()
    previous = [(number, engine.push(number, value)) for number, value in carried.items()]
    assert config.jax_enable_x64
    for number, value in reversed(previous):
        engine.pop(number, value)
    assert not config.jax_enable_x64
    assert engine.overrides() == {}


def test_update_hooks():
    seen = []
    OPTIONS["jax_log_compiles"].on_update(seen.append)
    config.update("jax_log_compiles", True)
    assert seen == [False, True]
    OPTIONS["jax_log_compiles"]._hooks.remove(seen.append)


def test_the_runtime_is_told():
    from cyxla._runtime.options import options

    config.update("jax_compilation_cache_dir", "/somewhere")
    assert options.compilation_cache_dir == "/somewhere"


def test_added_options():
    class Holder:
        value = 3

    config.add_option("my_option", Holder(), int, (), {})
    try:
        assert config.my_option == 3
        config.update("my_option", 4)
        assert config.my_option == 4
        with pytest.raises(ValueError, match="already"):
            config.add_option("my_option", Holder(), int)
    finally:
        del OPTIONS["my_option"], type(config).my_option


def run(environment, expression):
    program = f"from cyxla._core.config import config; print(repr({expression}))"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_environment():
    environment = {
        "JAX_ENABLE_X64": "yes",
        "JAX_NUMPY_RANK_PROMOTION": "warn",
        "JAX_RANDOM_SEED_OFFSET": "5",
        "JAX_EXEC_TIME_OPTIMIZATION_EFFORT": "0.5",
        "JAX_PLATFORMS": "cpu",
        "JAX_DEFAULT_DEVICE": "cpu",
        "EAGER_CONSTANT_FOLDING": "1",
    }
    names = "jax_enable_x64 jax_numpy_rank_promotion jax_random_seed_offset jax_exec_time_optimization_effort "
    names += "jax_platforms jax_default_device eager_constant_folding"
    done = run(environment, f"[getattr(config, n) for n in {names.split()}]")
    assert eval(done.stdout) == [True, "warn", 5, 0.5, "cpu", "cpu", True], done.stderr


@pytest.mark.parametrize("variable, value", [("JAX_ENABLE_X64", "perhaps"), ("JAX_NUMPY_RANK_PROMOTION", "bad")])
def test_bad_environment(variable, value):
    done = run({variable: value}, "config")
    assert done.returncode != 0
    assert variable in done.stderr
    assert value in done.stderr
