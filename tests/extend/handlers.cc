// Functions for XLA's foreign function interface, for test_ffi.py.
#include <cstdint>
#include <string_view>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

// out = (a * x + y) * (mode == "negative" ? -1 : 1) + sum(shift), y repeated as needed; rank of x.
static ffi::Error Axpy(float a, std::string_view mode, ffi::Span<const float> shift, ffi::Buffer<ffi::F32> x,
                       ffi::Buffer<ffi::F32> y, ffi::ResultBuffer<ffi::F32> out, ffi::ResultBuffer<ffi::S32> rank) {
  float sign = mode == "negative" ? -1.0f : 1.0f, sum = 0.0f;
  for (float s : shift) sum += s;
  if (y.element_count() == 0) return ffi::Error::InvalidArgument("y is empty");
  for (size_t i = 0; i < x.element_count(); ++i)
    out->typed_data()[i] = sign * (a * x.typed_data()[i] + y.typed_data()[i % y.element_count()]) + sum;
  for (size_t i = 0; i < rank->element_count(); ++i) rank->typed_data()[i] = static_cast<int32_t>(x.dimensions().size());
  return ffi::Error::Success();
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(AxpyHandler, Axpy,
                              ffi::Ffi::Bind()
                                  .Attr<float>("a")
                                  .Attr<std::string_view>("mode")
                                  .Attr<ffi::Span<const float>>("shift")
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::S32>>());

// All kinds of scalar attributes: out = b + i + j + d, and an entry of a dictionary.
static ffi::Error Attributes(bool b, int64_t i, int32_t j, double d, ffi::Dictionary nested,
                             ffi::ResultBuffer<ffi::F32> out) {
  auto entry = nested.get<int64_t>("entry");
  if (!entry.has_value()) return ffi::Error::InvalidArgument("no entry");
  out->typed_data()[0] = static_cast<float>((b ? 1.0 : 0.0) + i + j + d + *entry);
  return ffi::Error::Success();
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(AttributesHandler, Attributes,
                              ffi::Ffi::Bind()
                                  .Attr<bool>("b")
                                  .Attr<int64_t>("i")
                                  .Attr<int32_t>("j")
                                  .Attr<double>("d")
                                  .Attr<ffi::Dictionary>("nested")
                                  .Ret<ffi::Buffer<ffi::F32>>());

// Doubles its argument in place, and counts its calls.
static int64_t calls = 0;
extern "C" int64_t CountOfCalls() { return calls; }

static ffi::Error Double(ffi::Buffer<ffi::F32> x, ffi::ResultBuffer<ffi::F32> out) {
  ++calls;
  for (size_t i = 0; i < x.element_count(); ++i) out->typed_data()[i] = 2 * x.typed_data()[i];
  return ffi::Error::Success();
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(DoubleHandler, Double,
                              ffi::Ffi::Bind().Arg<ffi::Buffer<ffi::F32>>().Ret<ffi::Buffer<ffi::F32>>());

// The first elements of its argument as they lie in memory.
static ffi::Error Memory(ffi::Buffer<ffi::F32> x, ffi::ResultBuffer<ffi::F32> out) {
  for (size_t i = 0; i < out->element_count(); ++i) out->typed_data()[i] = x.typed_data()[i];
  return ffi::Error::Success();
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(MemoryHandler, Memory,
                              ffi::Ffi::Bind().Arg<ffi::Buffer<ffi::F32>>().Ret<ffi::Buffer<ffi::F32>>());
