// The protobuf wire format, read in place: one field at a time, every length checked against what is there.
// Knows nothing of messages; format.cpp does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace cyxla::native {

// Why a program is not run natively. Never leaves this library: load() turns it into a string.
class Refusal : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

[[noreturn]] inline void refuse(const std::string& reason) { throw Refusal(reason); }

struct Span {
  const uint8_t* data = nullptr;
  size_t size = 0;

  std::string_view text() const { return {reinterpret_cast<const char*>(data), size}; }
  Span from(size_t offset) const {
    if (offset > size) refuse("truncated");
    return {data + offset, size - offset};
  }
};

class Reader {
 public:
  explicit Reader(Span bytes) : at_(bytes.data), end_(bytes.data + bytes.size) {}

  // Steps to the next field; false at the end of the message.
  bool next() {
    if (at_ == end_) return false;
    const uint64_t key = varint();
    if (key >> 3 == 0 || key >> 32 != 0) refuse("field number out of range");
    field = static_cast<uint32_t>(key >> 3);
    wire = static_cast<int>(key & 7);
    switch (wire) {
      case 0: number_ = varint(); break;
      case 1: bytes_ = take(8); break;
      case 2: bytes_ = take(varint()); break;
      case 5: bytes_ = take(4); break;
      default: refuse("unknown wire type");
    }
    return true;
  }

  uint64_t number() const {
    if (wire != 0) refuse("a number was expected in field " + std::to_string(field));
    return number_;
  }
  Span bytes() const {
    if (wire != 2) refuse("bytes were expected in field " + std::to_string(field));
    return bytes_;
  }
  std::string text() const { return std::string(bytes().text()); }
  Span fixed() const { return bytes_; }

  // For fields that are not known: what they mean cannot be ignored, so the program is refused.
  [[noreturn]] void unknown(const char* message) const {
    refuse(std::string("unknown field ") + std::to_string(field) + " in " + message);
  }

  uint64_t varint() {
    uint64_t result = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == end_) refuse("truncated");
      const uint8_t byte = *at_++;
      if (shift == 63 && byte > 1) refuse("a number of more than 64 bits");
      result |= static_cast<uint64_t>(byte & 127) << shift;
      if (byte < 128) return result;
    }
    refuse("a number of more than 64 bits");
  }
  bool at_end() const { return at_ == end_; }
  Span rest() const { return {at_, static_cast<size_t>(end_ - at_)}; }

  uint32_t field = 0;
  int wire = 0;

 private:
  Span take(uint64_t size) {
    if (size > static_cast<uint64_t>(end_ - at_)) refuse("truncated");
    Span out{at_, static_cast<size_t>(size)};
    at_ += size;
    return out;
  }

  const uint8_t* at_;
  const uint8_t* end_;
  uint64_t number_ = 0;
  Span bytes_;
};

}  // namespace cyxla::native
