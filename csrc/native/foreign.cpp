// The structures are those of xla/ffi/api/c_api.h, API version 0.3 to 0.5, with names of our own. That header is part
// of jaxlib, which is not there when Cyxla is built.
#include "native/foreign.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <mutex>
#include <new>
#include <unordered_map>

#include "native/program.h"

namespace cyxla::native {
namespace {

constexpr int kMajor = 0;
constexpr int kMinor = 3;
constexpr int kNewestMinor = 5;
constexpr int kBuffer = 1;           // XLA_FFI_ArgType_BUFFER, XLA_FFI_RetType_BUFFER
constexpr int kScalar = 3;           // XLA_FFI_AttrType_SCALAR
constexpr int kExecute = 3;          // XLA_FFI_ExecutionStage_EXECUTE
constexpr int kMetadataRequest = 1;  // XLA_FFI_Extension_Metadata

struct Extension {
  size_t struct_size;
  int type;
  Extension* next;
};
struct Version {
  size_t struct_size = 24;
  Extension* extensions = nullptr;
  int major = kMajor;
  int minor = kMinor;
};
struct Metadata {
  size_t struct_size = sizeof(Metadata);
  Version version;
  uint32_t traits = 0;
  int64_t state_type = 0;
};
struct MetadataRequest {
  Extension base;
  Metadata* metadata;
};

struct Error {
  std::string message;
};
Error no_memory;

struct CreateError {
  size_t struct_size;
  Extension* extensions;
  const char* message;
  int code;
};
struct DescribeError {
  size_t struct_size;
  Extension* extensions;
  Error* error;
  const char* message;  // out
  int code;             // out, from 0.5 on
};
struct DestroyError {
  size_t struct_size;
  Extension* extensions;
  Error* error;
};

Error* create_error(CreateError* arguments) {
  try {
    return new Error{arguments->message ? arguments->message : ""};
  } catch (const std::bad_alloc&) {
    return &no_memory;
  }
}

void describe_error(DescribeError* arguments) {
  arguments->message = arguments->error->message.c_str();
  if (arguments->struct_size > offsetof(DescribeError, code)) arguments->code = 2;
}

void destroy(Error* error) {
  if (error != &no_memory) delete error;
}

void destroy_error(DestroyError* arguments) { destroy(arguments->error); }

// What a function asks of XLA's runtime beyond its arguments.
Error* not_here(void*) {
  CreateError arguments{sizeof(CreateError), nullptr, "a service of XLA's runtime that there is not here", 12};
  return create_error(&arguments);
}

struct Api {
  size_t struct_size = sizeof(Api);
  Extension* extensions = nullptr;
  Version version;
  const void* internal = nullptr;
  Error* (*create_error)(CreateError*) = cyxla::native::create_error;
  void (*describe_error)(DescribeError*) = cyxla::native::describe_error;
  void (*destroy_error)(DestroyError*) = cyxla::native::destroy_error;
  Error* (*others[17])(void*) = {not_here, not_here, not_here, not_here, not_here, not_here, not_here, not_here, not_here,
                                 not_here, not_here, not_here, not_here, not_here, not_here, not_here, not_here};
};
const Api api;

struct Buffer {
  size_t struct_size;
  Extension* extensions;
  int dtype;
  void* data;
  int64_t rank;
  const int64_t* dims;
};
struct Buffers {  // arguments, or results
  size_t struct_size = sizeof(Buffers);
  Extension* extensions = nullptr;
  int64_t size = 0;
  const int* types = nullptr;
  void* const* buffers = nullptr;
};
struct Name {
  const char* text;
  size_t length;
};
struct Scalar {
  int dtype;
  const void* value;
};
struct Attributes {
  size_t struct_size = sizeof(Attributes);
  Extension* extensions = nullptr;
  int64_t size = 0;
  const int* types = nullptr;
  Name* const* names = nullptr;
  void* const* values = nullptr;
};
struct CallFrame {
  size_t struct_size = 0;
  Extension* extensions = nullptr;
  const Api* api = &cyxla::native::api;
  void* context = nullptr;
  int stage = kExecute;
  Buffers arguments;
  Buffers results;
  Attributes attributes;
  void* future = nullptr;  // out
};
// The interface's own size of a frame leaves the last field out.
constexpr size_t kFrameBytes = offsetof(CallFrame, future);

using Handler = Error* (*)(CallFrame*);

std::mutex targets_mutex;
std::unordered_map<std::string, void*>& targets() {
  static auto* table = new std::unordered_map<std::string, void*>();
  return *table;
}

class Text {
 public:
  explicit Text(std::string_view text) : rest_(text) {}

  bool accept(std::string_view token) {
    skip_spaces();
    if (rest_.substr(0, token.size()) != token) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  void expect(std::string_view token) {
    if (!accept(token)) fail();
  }
  std::string word() {
    skip_spaces();
    size_t n = 0;
    while (n < rest_.size() && (std::isalnum(static_cast<unsigned char>(rest_[n])) || rest_[n] == '_')) ++n;
    if (n == 0) fail();
    std::string out(rest_.substr(0, n));
    rest_.remove_prefix(n);
    return out;
  }
  bool at_end() {
    skip_spaces();
    return rest_.empty();
  }
  [[noreturn]] static void fail() { refuse("a call with attributes of an unknown form"); }

 private:
  void skip_spaces() {
    while (!rest_.empty() && rest_[0] == ' ') rest_.remove_prefix(1);
  }
  std::string_view rest_;
};

struct Integer {
  const char* name;
  int dtype;
  int bits;
  bool is_signed;
};
constexpr Integer kIntegers[] = {
    {"i8", 2, 8, true},   {"i16", 3, 16, true},   {"i32", 4, 32, true},   {"i64", 5, 64, true},
    {"ui8", 6, 8, false}, {"ui16", 7, 16, false}, {"ui32", 8, 32, false}, {"ui64", 9, 64, false},
};

void read_integer(Text& text, Attribute& attribute) {
  const bool negative = text.accept("-");
  const std::string digits = text.word();
  if (digits.size() > 19) Text::fail();
  uint64_t value = 0;
  for (char c : digits) {
    if (c < '0' || c > '9') Text::fail();
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  text.expect(":");
  const std::string name = text.word();
  for (const Integer& type : kIntegers) {
    if (name != type.name) continue;
    const int bits = type.is_signed ? type.bits - 1 : type.bits;
    const bool minimum = negative && bits < 63 && value == uint64_t{1} << bits;
    if ((negative && !type.is_signed) || (bits < 64 && value >> bits != 0 && !minimum)) Text::fail();
    attribute.dtype = type.dtype;
    attribute.value = negative ? ~value + 1 : value;
    return;
  }
  Text::fail();
}

}  // namespace

std::vector<Attribute> parse_attributes(std::string_view source) {
  std::vector<Attribute> out;
  Text text(source);
  if (text.at_end()) return out;
  text.expect("{");
  if (!text.accept("}")) {
    do {
      Attribute attribute;
      attribute.name = text.word();
      text.expect("=");
      if (text.accept("true")) {
        attribute.dtype = 1;
        attribute.value = 1;
      } else if (text.accept("false")) {
        attribute.dtype = 1;
      } else {
        read_integer(text, attribute);
      }
      out.push_back(std::move(attribute));
      if (out.size() > kMaxForeignAttributes) refuse("a call with many attributes");
    } while (text.accept(","));
    text.expect("}");
  }
  if (!text.at_end()) Text::fail();
  std::sort(out.begin(), out.end(), [](const Attribute& a, const Attribute& b) { return a.name < b.name; });
  for (size_t i = 1; i < out.size(); ++i)
    if (out[i].name == out[i - 1].name) Text::fail();
  return out;
}

bool ForeignCall::run(const Argument* arguments, char (&message)[kMessageBytes]) const noexcept {
  Buffer buffers[kMaxForeignOperands];
  void* pointers[kMaxForeignOperands];
  int buffer_types[kMaxForeignOperands];
  const size_t n = shapes.size();
  for (size_t i = 0; i < n; ++i) {
    const Shape& shape = shapes[i];
    buffers[i] = {sizeof(Buffer), nullptr, shape.dtype, arguments[first + i].data, static_cast<int64_t>(shape.dims.size()),
                  shape.dims.data()};
    pointers[i] = &buffers[i];
    buffer_types[i] = kBuffer;
  }
  Name names[kMaxForeignAttributes];
  Scalar scalars[kMaxForeignAttributes];
  Name* name_pointers[kMaxForeignAttributes];
  void* scalar_pointers[kMaxForeignAttributes];
  int attribute_types[kMaxForeignAttributes];
  for (size_t i = 0; i < attributes.size(); ++i) {
    const Attribute& attribute = attributes[i];
    names[i] = {attribute.name.data(), attribute.name.size()};
    scalars[i] = {attribute.dtype, &attribute.value};
    name_pointers[i] = &names[i];
    scalar_pointers[i] = &scalars[i];
    attribute_types[i] = kScalar;
  }
  CallFrame frame;
  frame.struct_size = kFrameBytes;
  frame.arguments.size = n_arguments;
  frame.arguments.types = buffer_types;
  frame.arguments.buffers = pointers;
  frame.results.size = static_cast<int64_t>(n - n_arguments);
  frame.results.types = buffer_types;
  frame.results.buffers = pointers + n_arguments;
  frame.attributes.size = static_cast<int64_t>(attributes.size());
  frame.attributes.types = attribute_types;
  frame.attributes.names = name_pointers;
  frame.attributes.values = scalar_pointers;
  Error* error = reinterpret_cast<Handler>(handler)(&frame);
  if (!error) return true;
  const size_t length = std::min(error->message.size(), kMessageBytes - 1);
  std::memcpy(message, error->message.data(), length);
  message[length] = 0;
  destroy(error);
  return false;
}

bool register_target(const char* name, void* handler) noexcept {
  Metadata metadata;
  MetadataRequest request{{sizeof(MetadataRequest), kMetadataRequest, nullptr}, &metadata};
  metadata.version.major = -1;
  CallFrame frame;
  frame.struct_size = kFrameBytes;
  frame.extensions = &request.base;
  if (Error* error = reinterpret_cast<Handler>(handler)(&frame)) {
    destroy(error);
    return false;
  }
  if (metadata.version.major != kMajor || metadata.version.minor < kMinor || metadata.version.minor > kNewestMinor ||
      metadata.state_type != 0)
    return false;
  try {
    const std::lock_guard<std::mutex> lock(targets_mutex);
    targets()[name] = handler;
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

void* find_target(const std::string& name) {
  const std::lock_guard<std::mutex> lock(targets_mutex);
  auto found = targets().find(name);
  return found == targets().end() ? nullptr : found->second;
}

}  // namespace cyxla::native
