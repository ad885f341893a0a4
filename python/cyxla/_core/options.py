"""The table of configuration options: one row each, with JAX's names, defaults and environment variables.

The environment variable of an option is its name in capitals. `key` marks those on which a traced or compiled program
may depend: they take part in the keys of all caches.
"""

from __future__ import annotations

from typing import Any, NamedTuple

PRNG_IMPLS = ("threefry2x32", "threefry4x32", "rbg", "unsafe_rbg", "philox2x32", "philox4x32")
TRANSFER_GUARDS = ("allow", "log", "disallow", "log_explicit", "disallow_explicit")
ERROR_CHECKING = ("ignore", "raise")
COMPILER_LEVELS = ("UNKNOWN", "O0", "O1", "O2", "O3")
LOG_LEVELS = ("NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
MATMUL_PRECISIONS = (
    "default",
    "high",
    "highest",
    "bfloat16",
    "tensorfloat32",
    "float32",
    "ANY_F8_ANY_F8_F32",
    "ANY_F8_ANY_F8_F32_FAST_ACCUM",
    "ANY_F8_ANY_F8_ANY",
    "ANY_F8_ANY_F8_ANY_FAST_ACCUM",
    "F16_F16_F16",
    "F16_F16_F32",
    "BF16_BF16_BF16",
    "BF16_BF16_F32",
    "BF16_BF16_F32_X3",
    "BF16_BF16_F32_X6",
    "BF16_BF16_F32_X9",
    "TF32_TF32_F32",
    "TF32_TF32_F32_X3",
    "F32_F32_F32",
    "F64_F64_F64",
)


class Row(NamedTuple):
    name: str
    default: Any
    type: Any  # bool, int, float, str, dict, "device", or the tuple of allowed strings
    key: bool = False
    optional: bool = False  # None is allowed too
    doc: str = ""


def on_off(name: str, default: bool, doc: str, key: bool = False) -> Row:
    return Row(name, default, bool, key=key, doc=doc)


def in_key(name: str, default: bool, doc: str) -> Row:
    return Row(name, default, bool, key=True, doc=doc)


def number(name: str, default: Any, doc: str, key: bool = False) -> Row:
    return Row(name, default, type(default), key=key, optional=True, doc=doc)


def text(name: str, default: str | None, doc: str, key: bool = False) -> Row:
    return Row(name, default, str, key=key, optional=True, doc=doc)


def choice(name: str, default: str | None, choices: tuple[str, ...], doc: str, key: bool = False) -> Row:
    return Row(name, default, choices, key=key, optional=default is None, doc=doc)


ROWS = (
    # Numbers and promotion
    in_key("jax_enable_x64", False, "64-bit integers, floats and complex numbers."),
    choice(
        "jax_explicit_x64_dtypes",
        "warn",
        ("warn", "error", "allow"),
        "What to do when a 64-bit dtype is asked for by name while jax_enable_x64 is off.",
        key=True,
    ),
    choice(
        "jax_numpy_dtype_promotion",
        "standard",
        ("standard", "strict"),
        "'strict': different dtypes never mix without a conversion.",
        key=True,
    ),
    choice(
        "jax_numpy_rank_promotion",
        "allow",
        ("allow", "warn", "raise"),
        "What to do when broadcasting adds axes to an operand.",
        key=True,
    ),
    choice("jax_default_matmul_precision", None, MATMUL_PRECISIONS, "Precision of products that name none.", key=True),
    in_key("jax_allow_f16_reductions", True, "Reductions of 16-bit floats may accumulate in 16 bits."),
    in_key("jax_softmax_custom_jvp", False, "Softmax has a custom derivative rule."),
    in_key("jax2tf_associative_scan_reductions", False, "Cumulative reductions lower to an associative scan."),
    # Random numbers
    choice("jax_default_prng_impl", "threefry2x32", PRNG_IMPLS, "Generator of keys that name none.", key=True),
    in_key("jax_threefry_partitionable", True, "Threefry bits do not depend on how the array is sharded."),
    in_key("jax_threefry_gpu_kernel_lowering", False, "Threefry as a GPU kernel of its own."),
    in_key("jax_high_dynamic_range_gumbel", False, "Gumbel samples of higher dynamic range."),
    in_key("jax_enable_custom_prng", False, "PRNGKey gives typed keys."),
    choice("jax_legacy_prng_key", "allow", ("allow", "warn", "error"), "What to do with raw uint32 keys.", key=True),
    in_key("jax_debug_key_reuse", False, "Raise when a key is used twice."),
    number("jax_random_seed_offset", 0, "Added to every seed.", key=True),
    # Debugging and checks
    on_off("jax_debug_nans", False, "Raise where a NaN is produced."),
    on_off("jax_debug_infs", False, "Raise where an infinity is produced."),
    on_off("jax_disable_jit", False, "jit calls its function without compiling it."),
    on_off("jax_enable_checks", False, "Internal checks."),
    on_off("jax_check_tracer_leaks", False, "Raise when a tracer outlives its transformation."),
    in_key("jax_check_static_indices", False, "Check constant indices against bounds."),
    choice("jax_error_checking_behavior_nan", "ignore", ERROR_CHECKING, "Checked errors: NaN as result.", key=True),
    choice("jax_error_checking_behavior_divide", "ignore", ERROR_CHECKING, "Checked errors: division by 0.", key=True),
    choice(
        "jax_error_checking_behavior_oob", "ignore", ERROR_CHECKING, "Checked errors: index out of bounds.", key=True
    ),
    on_off("jax_no_tracing", False, "Raise where something would be traced."),
    in_key("jax_no_execution", False, "Raise where something would be executed."),
    on_off("jax_mutable_array_checks", True, "Checks on mutable arrays.", key=True),
    on_off("jax_disable_bwd_checks", False, "Skip the type checks of custom backward functions.", key=True),
    on_off("jax_disable_vmap_shmap_error", False, "Allow vmap of shard_map where it is ambiguous.", key=True),
    on_off("jax_experimental_unsafe_xla_runtime_errors", False, "Report run-time errors of XLA."),
    on_off("jax_debug_leaked_clients_on_clear_backends", False, "Report clients that stay alive."),
    # Messages and tracebacks
    on_off("jax_log_compiles", False, "Log every compilation."),
    on_off("jax_explain_cache_misses", False, "Log why a call missed the cache."),
    number("cyxla_recompilation_warning", 200, "Warn when a function is compiled more often than this; 0: never."),
    on_off("jax_log_checkpoint_residuals", False, "Log what a checkpointed function keeps."),
    text("jax_debug_log_modules", "", "Modules, comma separated, whose debug messages go to stderr."),
    Row("jax_logging_level", "NOTSET", LOG_LEVELS, optional=True, doc="Level of the package's logger."),
    number("jax_captured_constants_warn_bytes", 2000000000, "Warn when a program captures more than this; -1: never."),
    number("jax_captured_constants_report_frames", 0, "Frames to show for captured constants; -1: all."),
    choice(
        "jax_traceback_filtering",
        "auto",
        ("off", "tracebackhide", "remove_frames", "quiet_remove_frames", "auto"),
        "How internal frames are kept out of tracebacks.",
    ),
    on_off("jax_include_full_tracebacks_in_locations", True, "Source locations of programs hold all frames."),
    number("jax_traceback_in_locations_limit", 100, "Frames of a source location."),
    choice("jax_send_traceback_to_runtime", "off", ("off", "on", "full"), "Tracebacks in run-time errors."),
    number("jax_tracer_error_num_traceback_frames", 5, "Frames that an error shows for the origin of a tracer."),
    text("jax_hlo_source_file_canonicalization_regex", None, "Part of file names to leave out of programs."),
    text("jax_source_url_schema", None, "URL of source lines in rendered programs."),
    on_off("jax_pprint_use_color", True, "Colours in printed jaxprs."),
    text("jax_dump_ir_to", "", "Directory to write programs to."),
    on_off("jax_include_debug_info_in_dumps", True, "Written programs hold source locations."),
    text("jax_dump_ir_modes", "stablehlo", "What to write, comma separated: jaxpr, stablehlo, eqn_count_pprof."),
    # Tracing
    in_key("jax_use_direct_linearize", True, "Linearize in one pass."),
    in_key("jax_use_simplified_jaxpr_constants", False, "Constants stay values in jaxprs."),
    number("jax_embedded_constants_max_bytes", 32, "Larger constants become arguments.", key=True),
    in_key("eager_constant_folding", False, "Evaluate operations on constants while tracing."),
    in_key("jax_scan3", False, "Newer scan."),
    in_key("jax_remat3", False, "Newer remat."),
    in_key("jax_custom_vjp3", False, "Newer custom_vjp."),
    in_key("jax_refs_to_pins", False, "References as pinned buffers."),
    # Compilation
    in_key("jax_disable_most_optimizations", False, "Compile fast, run slowly."),
    number("jax_exec_time_optimization_effort", 0.0, "Effort for run time, -1 to 1.", key=True),
    number("jax_memory_fitting_effort", 0.0, "Effort for memory, -1 to 1.", key=True),
    choice("jax_optimization_level", "UNKNOWN", COMPILER_LEVELS, "Optimization level of the compiler.", key=True),
    choice("jax_memory_fitting_level", "O2", COMPILER_LEVELS, "Level of memory fitting.", key=True),
    in_key("jax_compiler_enable_remat_pass", True, "The compiler may rematerialize."),
    number("jax_xla_profile_version", 0, "Profile for profile-guided compilation.", key=True),
    in_key("jax_use_shardy_partitioner", True, "Partition by Shardy."),
    in_key("jax_bcoo_cusparse_lowering", False, "Sparse products by cuSPARSE."),
    choice("jax_use_magma", "auto", ("off", "on", "auto"), "Eigendecompositions by MAGMA on GPU.", key=True),
    in_key("jax_ragged_dot_use_ragged_dot_instruction", True, "ragged_dot as one instruction."),
    in_key("jax_ragged_dot_use_gpu_pallas_triton_lowering", False, "ragged_dot as a Triton kernel."),
    number("jax_compiler_detailed_logging_min_ops", 10, "Size from which compilations are logged in detail."),
    in_key("cyxla_native", True, "Small programs on CPU run in the calling thread, without PJRT."),
    # The persistent compilation cache
    on_off("jax_enable_compilation_cache", True, "Use the cache on disk where its directory is set."),
    text("jax_compilation_cache_dir", None, "Directory of the cache."),
    number("jax_compilation_cache_max_size", -1, "Bytes; -1: no bound."),
    number("jax_persistent_cache_min_compile_time_secs", 1.0, "Keep only what took longer to compile."),
    number("jax_persistent_cache_min_entry_size_bytes", 0, "Keep only what is larger."),
    text(
        "jax_persistent_cache_enable_xla_caches",
        "xla_gpu_per_fusion_autotune_cache_dir",
        "XLA's own caches to enable with it.",
    ),
    on_off("jax_raise_persistent_cache_errors", False, "Raise what goes wrong with the cache instead of warning."),
    on_off("jax_compilation_cache_include_metadata_in_key", False, "Source locations are part of the key."),
    on_off("jax_compilation_cache_check_contents", False, "Compare what is written again."),
    on_off("jax_compilation_cache_expect_pgle", False, "Expect profile-guided entries."),
    on_off("jax_remove_custom_partitioning_ptr_from_cache_key", False, "Leave pointers out of the key."),
    on_off("jax_share_binary_between_hosts", False, "Compile on one host for all."),
    number("jax_share_binary_between_hosts_timeout_ms", 1200000, "How long to wait for it."),
    on_off("jax_enable_pgle", False, "Profile-guided latency estimates.", key=True),
    number("jax_pgle_profiling_runs", 3, "Profiled runs before recompiling."),
    number("jax_pgle_aggregation_percentile", 90, "Percentile over hosts."),
    # Devices and transfers
    text("jax_platforms", None, "Platforms to use, comma separated, the first is the default."),
    text("jax_platform_name", "", "Older name of jax_platforms."),
    text("jax_xla_backend", "", "Backend of older versions."),
    text("jax_backend_target", "", "Address of a remote backend."),
    Row("jax_pjrt_client_create_options", None, (dict, str), optional=True, doc="Options of PJRT clients."),
    Row("jax_default_device", None, "device", key=True, optional=True, doc="A device or the name of a platform."),
    number("jax_num_cpu_devices", -1, "CPU devices to make; -1: as XLA_FLAGS says, else one."),
    on_off("jax_cpu_enable_async_dispatch", True, "Programs on CPU run in the background."),
    Row(
        "jax_cpu_collectives_implementation",
        "gloo",
        ("gloo", "mpi", "megascale"),
        optional=True,
        doc="Collectives between processes on CPU.",
    ),
    number("jax_cpu_get_local_topology_timeout_minutes", 2, "Time for the local topology."),
    number("jax_cpu_get_global_topology_timeout_minutes", 5, "Time for the global topology."),
    text("jax_cuda_visible_devices", "all", "CUDA devices to use."),
    text("jax_rocm_visible_devices", "all", "ROCm devices to use."),
    text("jax_oneapi_visible_devices", "all", "oneAPI devices to use."),
    number("mock_num_gpu_processes", 0, "Processes to pretend."),
    text("jax_mock_gpu_topology", "", "Topology to pretend."),
    choice("jax_transfer_guard", None, TRANSFER_GUARDS, "Guard of all implicit transfers."),
    choice("jax_transfer_guard_host_to_device", None, TRANSFER_GUARDS, "Guard of transfers to a device."),
    choice("jax_transfer_guard_device_to_device", None, TRANSFER_GUARDS, "Guard of transfers between devices."),
    choice("jax_transfer_guard_device_to_host", None, TRANSFER_GUARDS, "Guard of transfers to the host."),
    choice("jax_array_garbage_collection_guard", None, ("allow", "log", "fatal"), "Guard of arrays in cycles."),
    on_off("jax_thread_guard", False, "Raise when several threads launch programs over several processes."),
    # Several processes and sharding
    on_off("jax_distributed_debug", False, "Messages about the state of other processes."),
    on_off("jax_enable_recoverability", False, "Survive the failure of other processes."),
    on_off("jax_enable_preemption_service", True, "Notice preemption."),
    on_off("jax_check_proxy_envs", True, "Warn of proxies in the environment."),
    on_off("jax_force_dcn_cross_host_transfers", False, "Transfers between hosts by data-centre network."),
    on_off("jax_sort_devices_by_process_index", True, "Order of devices."),
    text("jax_cross_host_transfer_socket_address", "", "Address of the transfer server."),
    text("jax_cross_host_transport_addresses", "", "Addresses of its transports."),
    Row("jax_cross_host_transfer_timeout_seconds", None, int, optional=True, doc="Time limit of a transfer."),
    Row("jax_cross_host_transfer_transfer_size", None, int, optional=True, doc="Bytes of a piece of a transfer."),
    in_key("jax_remove_size_one_mesh_axis_from_type", False, "Mesh axes of size 1 leave the type."),
    in_key("check_vma", False, "Track over which mesh axes values vary."),
    in_key("jax_auto_pcast", True, "Insert casts between varying and invariant values."),
    in_key("jax_disallow_mesh_context_manager", False, "No `with mesh:`."),
    # Export
    number("jax_serialization_version", 0, "Version of serialized programs."),
    number("jax_export_calling_convention_version", 10, "Version of the calling convention of exported programs."),
    on_off("jax_export_ignore_forward_compatibility", False, "Export for the newest consumers only."),
    on_off("jax2tf_default_native_serialization", True, "Serialize as StableHLO."),
    # Kernels
    on_off("jax_pallas_verbose_errors", False, "Longer errors."),
    in_key("jax_pallas_enable_debug_checks", False, "Run the debug checks of kernels."),
    in_key("jax_pallas_use_mosaic_gpu", True, "Kernels on GPU by Mosaic."),
    in_key("jax_pallas_poison_buffers", False, "Fill uninitialized buffers with NaN."),
    in_key("jax_mosaic_allow_hlo", False, "HLO inside kernels."),
    in_key("jax_use_emit_pipeline_primitive", False, "Pipelines as a primitive."),
)
