// Built as libjax_common.so, in whose place it stands: the loader binds libm's functions as that library does.
#include <math.h>
#include <string.h>

extern "C" {
using F = float (*)(float);
using D = double (*)(double);
extern const F cyxla_test_floats[] = {acosf, acoshf, asinf, asinhf, atanf, atanhf, cbrtf, cosf,   coshf, erff, exp2f,
                                      expf,  expm1f, log1pf, log2f, logf,  sinf,   sinhf, tanf,  tanhf};
extern const D cyxla_test_doubles[] = {acos, acosh, asin, asinh, atan, atanh, cbrt, cos,  cosh, erf, exp, exp2,
                                       expm1, log,  log10, log1p, log2, sin,  sinh, tan, tanh};
extern float (*const cyxla_test_floats_of_two[])(float, float) = {atan2f, fmodf, powf};
extern double (*const cyxla_test_doubles_of_two[])(double, double) = {atan2, fmod, pow};
void* cyxla_test_move(void* to, const void* from, size_t n) { return memmove(to, from, n); }
void* cyxla_test_copy(void* to, const void* from, size_t n) { return memcpy(to, from, n); }
void* cyxla_test_fill(void* to, int value, size_t n) { return memset(to, value, n); }
}
