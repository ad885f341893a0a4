// What the hot paths need to know of the configuration, one copy a thread.
// pyx/config.pyx owns the copies and keeps them up to date; everyone else asks it for a pointer to the thread's own.
#pragma once

namespace cyxla {

struct ThreadFlags {
  long version;           // of the global configuration that this copy reflects; 0: never filled
  long epoch;             // equal for two moments exactly when all trace-relevant options are equal
  long axes;              // stands for the named axes that this thread maps over; 0: none
  int tracing;            // a trace is current, which gets the operations; kept by pyx/core.pyx
  int overridden;         // options that this thread has overridden by context managers
  int x64;
  int explicit_x64;       // 64-bit dtypes asked for by name while x64 is off: 0 warn, 1 error, 2 allow
  int strict_promotion;   // numpy_dtype_promotion == 'strict'
  int rank_promotion;     // 0 allow, 1 warn, 2 raise
  int disable_jit;
  int debug_nans;
  int debug_infs;
  int check_values;       // debug_nans or debug_infs
  int check_tracer_leaks;
  int log_compiles;
  int explain_cache_misses;
  int enable_checks;
  int no_tracing;
  int no_execution;
  int transfer_guard;     // nonzero: some transfer guard is set
};

}  // namespace cyxla
