"""Options of compilation, for those who give modules to the runtime themselves."""


def create_compile_options(
    computation, tuple_args, allow_prop_to_inputs, allow_prop_to_outputs, backend, np_dev, compiler_options
):
    """jaxlib's `CompileOptions` for a module of one replica, with a partition for each device of the array `np_dev`.

    `tuple_args`: whether the arguments come as one tuple. `allow_prop_to_inputs`, `allow_prop_to_outputs`: for each
    argument and result, whether XLA may choose how it is sharded. `compiler_options`: XLA's flags by name, or None. The
    options do not depend on `computation` and `backend`.
    """
    import numpy as np

    from cyxla._runtime import compiler

    devices = list(np.asarray(np_dev, dtype=object).flat)
    options = compiler.compile_options(devices, compiler_options, num_partitions=len(devices))
    options.parameter_is_tupled_arguments = bool(tuple_args)
    build = options.executable_build_options
    build.use_spmd_partitioning = build.use_shardy_partitioner = True
    build.allow_spmd_sharding_propagation_to_parameters = list(allow_prop_to_inputs)
    build.allow_spmd_sharding_propagation_to_output = list(allow_prop_to_outputs)
    return options
