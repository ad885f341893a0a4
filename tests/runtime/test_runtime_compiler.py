import threading

import numpy as np
import pytest

from cyxla._runtime import backend, buffers, compiler, execute

ADD = """module @add {
  func.func public @main(%arg0: tensor<8xf32>, %arg1: tensor<8xf32>) -> (tensor<8xf32>, tensor<f32>) {
    %0 = stablehlo.add %arg0, %arg1 : tensor<8xf32>
    %1 = stablehlo.constant dense<2.5> : tensor<f32>
    return %0, %1 : tensor<8xf32>, tensor<f32>
  }
}"""


def donating(attribute):
    return f"""module @donate {{
  func.func public @main(%a: tensor<256xf32> {{{attribute}}}, %b: tensor<256xf32>) -> tensor<256xf32> {{
    %0 = stablehlo.add %a, %b : tensor<256xf32>
    return %0 : tensor<256xf32>
  }}
}}"""


@pytest.fixture(scope="module")
def add(device, make_aval):
    executable = compiler.compile(ADD, [device])
    return execute.prepare(executable, [make_aval((8,)), make_aval(())], device)


def values(*arrays, device):
    return [buffers.host_to_device(np.asarray(array, "float32"), device) for array in arrays]


def test_compile_and_run(device, add, make_aval):
    x = np.arange(8)
    total, constant = add.run(values(x, x, device=device))
    np.testing.assert_array_equal(buffers.device_to_host(total), 2.0 * x)
    assert buffers.device_to_host(constant) == 2.5
    assert total.aval.shape == (8,)
    assert buffers.device_of(total) is device
    # The two steps by themselves, and results that feed the next call.
    results = add.execute([total, total])
    [again, _] = add.consume(results, add.handlers, False)
    np.testing.assert_array_equal(buffers.device_to_host(again), 4.0 * x)


def test_text_may_be_str_or_bytes_and_small_or_not(device, make_aval):
    for text, small in ((ADD, True), (ADD.encode(), False), (ADD.encode(), None)):
        executable = compiler.compile(text, [device], small=small)
        [total, _] = execute.run(
            executable, values([1] * 8, [2] * 8, device=device), [make_aval((8,)), make_aval(())], device
        )
        np.testing.assert_array_equal(buffers.device_to_host(total), 3)


def test_is_small():
    assert compiler.is_small(ADD.encode())
    assert not compiler.is_small(ADD.encode() + b"stablehlo.while")
    assert compiler.is_small(b"stablehlo.transpose tensor<2000x2000xf32>")
    assert not compiler.is_small(b"stablehlo.transpose tensor<3000x3000xf32>")
    assert compiler.is_small(b"stablehlo.slice tensor<1000x1000xf32>")
    assert not compiler.is_small(b"stablehlo.slice tensor<2000x1000xf32>")
    assert compiler.is_small(b"stablehlo.add tensor<3000x3000xf32>")
    assert not compiler.is_small(ADD.encode() + b"stablehlo.tan %x")
    donated = b"func.func public @main(%%arg0: tensor<%dxf32> {tf.aliasing_output = 0 : i32})\n"
    assert compiler.is_small(donated % 64) and not compiler.is_small(donated % 65)
    for kind, most in (("dot_general", compiler.MAX_PRODUCTS), ("reduce(", compiler.MAX_REDUCTIONS)):
        line = f"stablehlo.{kind}\n".encode()
        assert compiler.is_small(line * most)
        assert not compiler.is_small(line * (most + 1))
    line = b"%0 = stablehlo.add %a, %a : tensor<130x4x70xf32>\n"
    assert compiler.is_small(line * compiler.MAX_LINES_OF_LARGE)
    assert not compiler.is_small(line * (compiler.MAX_LINES_OF_LARGE + 1))
    line = line.replace(b"130", b"13")
    assert compiler.is_small(line * compiler.MAX_LINES)
    assert not compiler.is_small(line * (compiler.MAX_LINES + 1))


@pytest.mark.parametrize(
    "operation, size",
    [("dot_general", 64), ("scatter", 64), ("reduce", 4096), ("concatenate", 1 << 14), ("dynamic_slice", 1 << 14)],
)
def test_is_small_looks_at_the_largest_array(operation, size):
    program = "%0 = stablehlo.{} %a : (tensor<2xf32>, tensor<{}xf32>) -> tensor<f32>\n"
    assert compiler.is_small(program.format(operation, size).encode())
    assert not compiler.is_small(program.format(operation, size + 1).encode())
    assert compiler.is_small(program.format("add", size + 1).encode())


def test_options_reach_xla(device):
    compiler.compile(ADD, [device], {"xla_cpu_enable_fast_math": True, "xla_backend_optimization_level": 1})
    compiler.compile(ADD, [device], {"xla_cpu_enable_fast_math": "True"})
    assert compiler.compile_options([device], {"fdo_profile": b"x"}).executable_build_options.fdo_profile == b"x"
    with pytest.raises(backend.runtime_error_class(), match="xla_no_such_option"):
        compiler.compile(ADD, [device], {"xla_no_such_option": 1})


def test_users_option_wins_over_small(device):
    for name, value in compiler.compile_options([device], small=True).env_option_overrides:
        settings = compiler.compile_options([device], {name: not value}, small=True)
        assert dict(settings.env_option_overrides)[name] == (not value)


def test_xla_flags_win_over_small(device, monkeypatch):
    small = compiler.compile_options([device], small=True).env_option_overrides
    for name, _ in small:
        monkeypatch.setenv("XLA_FLAGS", f"--{name}=true")
        assert name not in dict(compiler.compile_options([device], small=True).env_option_overrides)


@pytest.mark.parametrize(
    "body, dtype, arguments, expected",
    [
        (
            "chlo.erf %a : tensor<4xf32> -> tensor<4xf32>",
            "float32",
            [0, 0.5, 1, -2],
            [0, 0.5204999, 0.8427008, -0.9953223],
        ),
        ("chlo.lgamma %a : tensor<4xf32> -> tensor<4xf32>", "float32", [1, 2, 5, 0.5], [0, 0, 3.1780538, 0.5723649]),
        (
            "chlo.digamma %a : tensor<4xf32> -> tensor<4xf32>",
            "float32",
            [1, 2, 3, 4],
            [-0.5772157, 0.4227843, 0.9227843, 1.2561177],
        ),
    ],
    ids=["erf", "lgamma", "digamma"],
)
def test_chlo(device, make_aval, body, dtype, arguments, expected):
    text = f"""module @m {{ func.func public @main(%a: tensor<4xf32>) -> tensor<4xf32> {{
      %0 = {body}
      return %0 : tensor<4xf32> }} }}"""
    [out] = execute.run(compiler.compile(text, [device]), values(arguments, device=device), [make_aval((4,))], device)
    np.testing.assert_allclose(buffers.device_to_host(out), expected, atol=1e-6)


def test_chlo_top_k(device, make_aval):
    text = """module @m { func.func public @main(%a: tensor<5xf32>) -> (tensor<2xf32>, tensor<2xi32>) {
      %0:2 = chlo.top_k(%a, k = 2) : tensor<5xf32> -> (tensor<2xf32>, tensor<2xi32>)
      return %0#0, %0#1 : tensor<2xf32>, tensor<2xi32> } }"""
    avals = [make_aval((2,)), make_aval((2,), "int32")]
    top, where = execute.run(compiler.compile(text, [device]), values([3, 9, 1, 7, 2], device=device), avals, device)
    assert buffers.device_to_host(top).tolist() == [9, 7]
    assert buffers.device_to_host(where).tolist() == [1, 3]


def test_lapack(device, make_aval):
    text = """module @m { func.func public @main(%a: tensor<3x3xf32>) -> (tensor<3x3xf32>, tensor<i32>) {
      %0:2 = stablehlo.custom_call @lapack_spotrf_ffi(%a) {
        api_version = 4 : i32, backend_config = {uplo = 76 : ui8},
        operand_layouts = [dense<[0, 1]> : tensor<2xindex>],
        output_operand_aliases = [#stablehlo.output_operand_alias<
          output_tuple_indices = [0], operand_index = 0, operand_tuple_indices = []>],
        result_layouts = [dense<[0, 1]> : tensor<2xindex>, dense<> : tensor<0xindex>]
      } : (tensor<3x3xf32>) -> (tensor<3x3xf32>, tensor<i32>)
      return %0#0, %0#1 : tensor<3x3xf32>, tensor<i32> } }"""
    matrix = np.array([[4, 2, 1], [2, 5, 3], [1, 3, 6]], "float32")
    executable = compiler.compile(text, [device])
    factor, info = execute.run(
        executable, values(matrix, device=device), [make_aval((3, 3)), make_aval((), "int32")], device
    )
    assert buffers.device_to_host(info) == 0
    np.testing.assert_allclose(np.tril(buffers.device_to_host(factor)), np.linalg.cholesky(matrix), rtol=1e-5)


def test_errors(device, add):
    error = backend.runtime_error_class()
    assert issubclass(error, RuntimeError)
    with pytest.raises(error, match="foo"):
        compiler.compile("foo", [device])
    with pytest.raises(error, match="undeclared SSA value"):
        compiler.compile(ADD.replace("%arg0, %arg1 :", "%arg0, %arg9 :"), [device])
    x = values(np.arange(8), np.arange(3), device=device)
    with pytest.raises(error, match="1 arguments"):
        add.run(x[:1])
    with pytest.raises(error):
        add.run(x)
    with pytest.raises(TypeError):
        add.run([x[0], np.arange(8.0)])


@pytest.mark.parametrize("attribute", ["tf.aliasing_output = 0 : i32", "jax.buffer_donor = true"])
def test_donation(device, make_aval, aligned, attribute):
    runner = execute.prepare(compiler.compile(donating(attribute), [device]), [make_aval((256,))], device)
    a, b = values(np.full(256, 2), np.full(256, 3), device=device)
    [made] = runner.run([a, b])
    assert buffers.is_deleted(a) and not buffers.is_deleted(b)
    with pytest.raises(backend.runtime_error_class(), match="deleted or donated"):
        runner.run([a, b])
    # A buffer that a program made is overwritten in place.
    where = buffers.unsafe_pointer(made)
    [out] = runner.run([made, b])
    assert buffers.is_deleted(made)
    assert buffers.unsafe_pointer(out) == where
    np.testing.assert_array_equal(buffers.device_to_host(out), 8)
    # While NumPy looks at it, it is not.
    view = buffers.device_to_host(out)
    [last] = runner.run([out, b])
    np.testing.assert_array_equal(view, 8)
    np.testing.assert_array_equal(buffers.device_to_host(last), 11)
    # Nor is memory that NumPy owns.
    owned = aligned(np.full(256, 2, "float32"))
    given = buffers.host_to_device(owned, device)
    assert buffers.unsafe_pointer(given) == owned.ctypes.data
    [out] = runner.run([given, b])
    assert buffers.is_deleted(given)
    np.testing.assert_array_equal(owned, 2)
    np.testing.assert_array_equal(buffers.device_to_host(out), 5)
    assert compiler.memory_analysis(runner.executable).alias_size_in_bytes == 1024


def test_serialize(device, make_aval):
    executable = compiler.compile(ADD, [device])
    data = compiler.serialize(executable)
    assert isinstance(data, bytes)
    again = compiler.deserialize(data, [device])
    [total, _] = execute.run(again, values([1] * 8, [2] * 8, device=device), [make_aval((8,)), make_aval(())], device)
    np.testing.assert_array_equal(buffers.device_to_host(total), 3)
    with pytest.raises(backend.runtime_error_class()):
        compiler.deserialize(b"nonsense", [device])


def test_analysis(add):
    assert compiler.cost_analysis(add.executable)["flops"] == 8
    memory = compiler.memory_analysis(add.executable)
    assert memory.argument_size_in_bytes == 64
    text = compiler.hlo_text(add.executable)
    assert text.startswith("HloModule add") and "f32[8]" in text


def test_statistics(device):
    before = compiler.statistics.compilations, compiler.statistics.seconds
    compiler.compile(ADD, [device])
    assert compiler.statistics.compilations == before[0] + 1
    assert compiler.statistics.seconds > before[1]


def test_threads_compile_and_run_at_once(device, make_aval):
    failures = []

    def work(k):
        try:
            text = ADD.replace("dense<2.5>", f"dense<{k}.5>")
            runner = execute.prepare(compiler.compile(text, [device]), [make_aval((8,)), make_aval(())], device)
            for _ in range(20):
                total, constant = runner.run(values([k] * 8, [1] * 8, device=device))
                assert buffers.device_to_host(constant) == k + 0.5
                assert (buffers.device_to_host(total) == k + 1).all()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_kept_alive_with_the_executable(device):
    import gc
    import weakref

    class Callback:
        pass

    value = Callback()
    gone = weakref.ref(value)
    executable = compiler.compile(ADD, [device], keep_alive=[value])
    del value
    gc.collect()
    assert gone() is not None
    del executable
    gc.collect()
    assert gone() is None
