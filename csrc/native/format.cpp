// Reads the serialized form of XLA:CPU executables. The field numbers are those of xla/service/cpu/executable.proto,
// xla/service/hlo.proto and xla/xla_data.proto; the form is internal to XLA, so everything unknown is refused.
#include "native/format.h"

#include <cstring>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

namespace cyxla::native {
namespace {

constexpr int kMaxDepth = 32;
constexpr uint64_t kMaxBytes = uint64_t{1} << 40;
enum : int { PRED = 1, TUPLE = 13 };

size_t dtype_size(int dtype) {
  switch (dtype) {
    case 1: case 2: case 6: return 1;           // pred, s8, u8
    case 3: case 7: case 10: case 16: return 2;  // s16, u16, f16, bf16
    case 4: case 8: case 11: return 4;          // s32, u32, f32
    case 5: case 9: case 12: case 15: return 8;  // s64, u64, f64, c64
    case 18: return 16;                         // c128
    default: return 0;
  }
}

bool is_integer(int dtype) { return dtype >= 1 && dtype <= 9; }

void numbers(const Reader& reader, std::vector<int64_t>& out) {
  if (reader.wire == 0) {
    out.push_back(static_cast<int64_t>(reader.number()));
    return;
  }
  Reader packed(reader.bytes());
  while (!packed.at_end()) out.push_back(static_cast<int64_t>(packed.varint()));
}

struct ParsedShape : Shape {
  std::vector<Span> elements;
};

void read_layout(Span bytes, ParsedShape& shape) {
  for (Reader r(bytes); r.next();) {
    switch (r.field) {
      case 1: numbers(r, shape.minor_to_major); break;
      case 16:
        if (r.number() != 1) refuse("a layout with padding");
        break;
      default: refuse("a layout with tiles or a memory space");
    }
  }
}

ParsedShape read_shape(Span bytes, bool array = true) {
  ParsedShape shape;
  for (Reader r(bytes); r.next();) {
    switch (r.field) {
      case 2: shape.dtype = static_cast<int>(r.number()); break;
      case 3: numbers(r, shape.dims); break;
      case 4: shape.elements.push_back(r.bytes()); break;
      case 5: read_layout(r.bytes(), shape); break;
      case 6: {
        std::vector<int64_t> dynamic;
        numbers(r, dynamic);
        for (int64_t d : dynamic)
          if (d) refuse("a dynamic shape");
        break;
      }
      default: r.unknown("Shape");
    }
  }
  if (shape.dtype == TUPLE) {
    if (array) refuse("a tuple where an array was expected");
    return shape;
  }
  const size_t width = dtype_size(shape.dtype);
  if (width == 0) refuse("dtype " + std::to_string(shape.dtype));
  uint64_t size = width;
  for (int64_t d : shape.dims) {
    if (d < 0 || static_cast<uint64_t>(d) > kMaxBytes) refuse("a dimension out of range");
    size *= static_cast<uint64_t>(d);
    if (size > kMaxBytes) refuse("an array too large");
  }
  shape.bytes = size;
  if (!shape.minor_to_major.empty()) {
    if (shape.minor_to_major.size() != shape.dims.size()) refuse("a layout of another rank");
    std::vector<bool> seen(shape.dims.size());
    bool plain = true;
    for (size_t i = 0; i < shape.dims.size(); ++i) {
      const int64_t d = shape.minor_to_major[i];
      if (d < 0 || static_cast<size_t>(d) >= shape.dims.size() || seen[d]) refuse("a layout that is no permutation");
      seen[d] = true;
      if (static_cast<size_t>(d) != shape.dims.size() - 1 - i) plain = false;
    }
    shape.plain = plain;
    if (plain) shape.minor_to_major.clear();
  }
  return shape;
}

Slice read_slice(Span bytes) {
  Slice slice;
  for (Reader r(bytes); r.next();) {
    switch (r.field) {
      case 1: slice.offset = r.number(); break;
      case 2: slice.size = r.number(); break;
      case 3: slice.allocation = r.number(); break;
      case 4: slice.dtype = static_cast<int>(r.number()); break;
      default: r.unknown("BufferAllocationSlice");
    }
  }
  return slice;
}

// The two orders in which thunks write a slice and its shape.
Operand read_operand(Span bytes, uint32_t slice_field, uint32_t shape_field, bool array = true) {
  Operand operand;
  bool has_slice = false, has_shape = false;
  for (Reader r(bytes); r.next();) {
    if (r.field == slice_field) {
      operand.slice = read_slice(r.bytes());
      has_slice = true;
    } else if (r.field == shape_field) {
      operand.shape = read_shape(r.bytes(), array);
      has_shape = true;
    } else {
      r.unknown("a thunk's operand");
    }
  }
  if (!has_slice || !has_shape) refuse("an operand without slice or shape");
  return operand;
}

// -- thunks

std::vector<Thunk> read_sequence(Span bytes, int depth);

void read_kernel(Span bytes, Thunk& thunk) {
  std::vector<Operand> results;
  uint64_t alignment = 64;
  for (Reader r(bytes); r.next();) {
    switch (r.field) {
      case 1: thunk.name = r.text(); break;
      case 2:
        for (Reader d(r.bytes()); d.next();) {
          if (d.field > 3) d.unknown("workgroups");
          thunk.workgroups[d.field - 1] = d.number();
        }
        break;
      case 3: break;  // which arguments are not written to: for checks only
      case 4:
        for (Reader d(r.bytes()); d.next();) {
          if (d.field == 1) alignment = d.number();
          else if (d.field != 2) d.unknown("min_alignment");
        }
        break;
      // A kernel made of a whole computation lists the tuples in it too, whose tables of pointers it does not use.
      case 5: thunk.operands.push_back(read_operand(r.bytes(), 1, 2, false)); break;
      case 6: results.push_back(read_operand(r.bytes(), 1, 2, false)); break;
      default: r.unknown("KernelThunk");
    }
  }
  if (alignment == 0 || alignment > 64) refuse("an alignment of " + std::to_string(alignment));
  thunk.n_arguments = thunk.operands.size();
  for (auto& result : results) thunk.operands.push_back(std::move(result));
  for (const auto& operand : thunk.operands)
    if (operand.slice.offset % alignment) refuse("an operand of a kernel that is not aligned");
  uint64_t total = 1;
  for (uint64_t n : thunk.workgroups) {
    if (n == 0 || n > 65536) refuse("workgroups out of range");
    total *= n;
  }
  if (total > 65536) refuse("too many workgroups");
}

void read_copy(Span bytes, Thunk& thunk) {
  bool seen[2] = {false, false};
  thunk.operands.resize(2);
  for (Reader r(bytes); r.next();) {
    if (r.field != 1 && r.field != 2) r.unknown("CopyThunk");
    thunk.operands[r.field - 1] = read_operand(r.bytes(), 2, 1);
    seen[r.field - 1] = true;
  }
  if (!seen[0] || !seen[1]) refuse("a copy without source or destination");
  thunk.n_arguments = 1;
  const Operand& from = thunk.operands[0];
  const Operand& to = thunk.operands[1];
  if (from.shape.dims != to.shape.dims || from.shape.dtype != to.shape.dtype) refuse("a copy to another shape");
  if (from.slice.size != to.slice.size || from.slice.size != from.shape.bytes) refuse("a copy of another size");
}

void read_while(Span bytes, Thunk& thunk, int depth) {
  thunk.sequences.resize(2);
  bool seen[3] = {false, false, false};
  for (Reader r(bytes); r.next();) {
    switch (r.field) {
      case 1: case 2:
        thunk.sequences[r.field - 1] = read_sequence(r.bytes(), depth + 1);
        seen[r.field - 1] = true;
        break;
      case 3: {
        bool known = false;
        uint64_t value = 0;
        for (Reader c(r.bytes()); c.next();) {
          if (c.field == 1) value = c.number();
          else if (c.field == 2) known = c.number() != 0;
          else c.unknown("a trip count");
        }
        if (known) {
          if (value > INT64_MAX) refuse("a trip count out of range");
          thunk.trip_count = static_cast<int64_t>(value);
        }
        break;
      }
      case 4:
        thunk.selector = read_slice(r.bytes());
        seen[2] = true;
        break;
      default: r.unknown("WhileThunk");
    }
  }
  if (!seen[0] || !seen[1] || !seen[2] || thunk.selector.size != 1) refuse("an incomplete while");
}

void read_conditional(Span bytes, Thunk& thunk, int depth) {
  bool seen = false;
  for (Reader r(bytes); r.next();) {
    switch (r.field) {
      case 1: thunk.sequences.push_back(read_sequence(r.bytes(), depth + 1)); break;
      case 2:
        thunk.selector = read_slice(r.bytes());
        seen = true;
        break;
      default: r.unknown("ConditionalThunk");
    }
  }
  if (!seen || thunk.sequences.empty()) refuse("an incomplete conditional");
  // A predicate picks the first branch where true, an index counts from zero.
  if (thunk.selector.size == 1 ? thunk.sequences.size() != 2 : thunk.selector.size != 4)
    refuse("a conditional of an unknown form");
}

void read_sort(Span bytes, Thunk& thunk) {
  bool stable = false;
  for (Reader r(bytes); r.next();) {
    switch (r.field) {
      case 1: thunk.dimension = static_cast<int64_t>(r.number()); break;
      case 2: stable = r.number() != 0; break;
      case 3: {
        bool known = false;
        uint64_t direction = 0;
        for (Reader d(r.bytes()); d.next();) {
          switch (d.field) {
            case 1: known = d.number() != 0; break;
            case 2: direction = d.number(); break;
            default: d.unknown("the direction of a sort");
          }
        }
        if (!known) break;
        if (direction != 1 && direction != 2) refuse("a sort in an unknown direction");
        thunk.direction = static_cast<int>(direction);
        break;
      }
      case 4: thunk.name = r.text(); break;
      case 5: thunk.operands.push_back(read_operand(r.bytes(), 2, 1)); break;
      default: r.unknown("SortThunk");
    }
  }
  if (thunk.operands.empty() || thunk.operands.size() > 16) refuse("a sort of too many arrays");
  const Shape& first = thunk.operands[0].shape;
  for (const auto& operand : thunk.operands) {
    if (operand.shape.dims != first.dims || !operand.shape.plain) refuse("a sort of different shapes or layouts");
    if (operand.slice.size != operand.shape.bytes) refuse("a sort operand of another size");
  }
  if (thunk.dimension < 0 || static_cast<size_t>(thunk.dimension) >= first.dims.size())
    refuse("a sort along no dimension");
  // Where XLA compares by < it asks no comparator, and NaNs end up anywhere.
  if (thunk.direction && !is_integer(first.dtype)) refuse("a plain sort of floats");
  // Which order equal elements end up in is XLA's secret otherwise, but integers by themselves show none.
  if (!stable && !(thunk.direction && thunk.operands.size() == 1)) refuse("a sort that is not stable");
  if (first.dims[thunk.dimension] > INT32_MAX) refuse("a sort too large");
}

void read_top_k(Span bytes, Thunk& thunk) {
  constexpr int kTypes[] = {11, 11, 4};  // values, the largest of them, where they are
  uint64_t rows = 0, length = 0;
  thunk.operands.resize(3);
  int seen = 0;
  for (Reader r(bytes); r.next();) {
    switch (r.field) {
      case 1: rows = r.number(); break;
      case 2: length = r.number(); break;
      case 3: thunk.count = r.number(); break;
      case 4: case 5: case 6:
        thunk.operands[r.field - 4].slice = read_slice(r.bytes());
        seen |= 1 << (r.field - 4);
        break;
      default: r.unknown("TopKThunk");
    }
  }
  if (seen != 7) refuse("an incomplete top-k");
  if (thunk.count > length || rows > INT32_MAX || length > INT32_MAX) refuse("a top-k out of range");
  for (int i = 0; i < 3; ++i) {
    Operand& operand = thunk.operands[i];
    if (operand.slice.dtype != kTypes[i]) refuse("a top-k of dtype " + std::to_string(operand.slice.dtype));
    operand.shape.dtype = kTypes[i];
    operand.shape.dims = {static_cast<int64_t>(rows), static_cast<int64_t>(i == 0 ? length : thunk.count)};
    operand.shape.bytes = 4 * rows * (i == 0 ? length : thunk.count);
  }
  thunk.n_arguments = 1;
}

void read_custom_call(Span bytes, Thunk& thunk) {
  constexpr uint64_t kTyped = 4;  // API_VERSION_TYPED_FFI
  uint64_t version = 0;
  std::vector<Operand> results;
  for (Reader r(bytes); r.next();) {
    switch (r.field) {
      case 1: version = r.number(); break;
      case 2: thunk.name = r.text(); break;
      case 3: thunk.attributes = r.text(); break;
      case 4:
        for (Reader b(r.bytes()); b.next();) {
          switch (b.field) {
            case 1: thunk.operands.push_back(read_operand(b.bytes(), 2, 1)); break;
            case 2: results.push_back(read_operand(b.bytes(), 2, 1)); break;
            case 3: b.number(); break;  // whether the results are a tuple
            default: b.unknown("the buffers of a custom call");
          }
        }
        break;
      default: r.unknown("CustomCallThunk");
    }
  }
  if (version != kTyped) refuse("a call of " + thunk.name + " by another interface");
  thunk.n_arguments = thunk.operands.size();
  for (auto& result : results) thunk.operands.push_back(std::move(result));
}

void read_dot_dimensions(Span bytes, Thunk& thunk) {
  for (Reader r(bytes); r.next();) {
    switch (r.field) {
      case 1: case 2: numbers(r, thunk.contracting[r.field - 1]); break;
      case 3: case 4: numbers(r, thunk.batch[r.field - 3]); break;
      default: r.unknown("DotDimensionNumbers");
    }
  }
}

void read_dot(Span bytes, Thunk& thunk) {
  thunk.operands.resize(3);
  int seen = 0;
  for (Reader r(bytes); r.next();) {
    switch (r.field) {
      case 1: read_dot_dimensions(r.bytes(), thunk); break;
      case 2: case 3: case 4:
        thunk.operands[r.field - 2] = read_operand(r.bytes(), 2, 1);
        seen |= 1 << (r.field - 2);
        break;
      default: r.unknown("DotThunk");
    }
  }
  if (seen != 7) refuse("an incomplete dot");
  thunk.n_arguments = 2;
}

// What a fusion computes is in the HLO module: find_products() looks it up.
void read_library_fusion(Span bytes, Thunk& thunk) {
  std::vector<Operand> results;
  for (Reader r(bytes); r.next();) {
    switch (r.field) {
      case 1:
        for (Reader o(r.bytes()); o.next();)
          if (o.field != 1) o.unknown("a fusion's options");  // 1: it may use threads
        break;
      case 2: thunk.instruction = static_cast<int64_t>(r.number()); break;
      case 3: thunk.operands.push_back(read_operand(r.bytes(), 2, 1)); break;
      case 4: results.push_back(read_operand(r.bytes(), 2, 1)); break;
      default: r.unknown("YnnFusionThunk");
    }
  }
  thunk.n_arguments = thunk.operands.size();
  if (results.size() != 1 || thunk.instruction < 0) refuse("a library fusion of an unknown form");
  thunk.operands.push_back(std::move(results[0]));
}

Thunk read_thunk(Span bytes, int depth) {
  Thunk thunk;
  std::string kind;
  int bodies = 0;
  for (Reader r(bytes); r.next();) {
    switch (r.field) {
      case 1: kind = r.text(); continue;
      case 2: continue;  // names for profiles
      case 3:
        thunk.kind = Kind::call;
        for (Reader c(r.bytes()); c.next();) {
          if (c.field != 1) c.unknown("CallThunk");
          thunk.sequences.push_back(read_sequence(c.bytes(), depth + 1));
        }
        if (thunk.sequences.size() != 1) refuse("a call of no sequence");
        break;
      case 4:
        thunk.kind = Kind::conditional;
        read_conditional(r.bytes(), thunk, depth);
        break;
      case 5:
        thunk.kind = Kind::sort;
        read_sort(r.bytes(), thunk);
        break;
      case 7:
        thunk.kind = Kind::dot;
        read_dot(r.bytes(), thunk);
        break;
      case 21:
        thunk.kind = Kind::dot;
        read_library_fusion(r.bytes(), thunk);
        break;
      case 9:
        thunk.kind = Kind::top_k;
        read_top_k(r.bytes(), thunk);
        break;
      case 16:
        thunk.kind = Kind::foreign;
        read_custom_call(r.bytes(), thunk);
        break;
      case 10:
        thunk.kind = Kind::while_;
        read_while(r.bytes(), thunk, depth);
        break;
      case 11:
        thunk.kind = Kind::kernel;
        read_kernel(r.bytes(), thunk);
        break;
      case 12:
        thunk.kind = Kind::copy;
        read_copy(r.bytes(), thunk);
        break;
      default: refuse("thunk " + (kind.empty() ? std::to_string(r.field) : kind));
    }
    if (++bodies > 1) refuse("a thunk of two kinds");
  }
  if (bodies == 0) refuse("thunk " + kind);
  return thunk;
}

std::vector<Thunk> read_sequence(Span bytes, int depth) {
  if (depth > kMaxDepth) refuse("thunks nested too deep");
  std::vector<Thunk> thunks;
  for (Reader r(bytes); r.next();) {
    if (r.field != 1) r.unknown("ThunkSequence");
    thunks.push_back(read_thunk(r.bytes(), depth));
  }
  return thunks;
}

// -- the HLO module: constants, and where the results are

struct Instruction {
  std::string opcode;
  Span literal;
  bool has_literal = false;
  int64_t tuple_index = 0;
  int64_t parameter = 0;
  Span dot_dimensions;
  std::vector<int64_t> operands;
  std::vector<int64_t> called;
};

struct Module {
  std::unordered_map<int64_t, Instruction> instructions;
  std::unordered_map<int64_t, int64_t> roots;  // of computations
  int64_t entry = 0;
  Span program_shape;
};

Module read_module(Span bytes) {
  Module module;
  for (Reader r(bytes); r.next();) {
    if (r.field == 3) {
      int64_t id = 0, root = 0;
      for (Reader c(r.bytes()); c.next();) {
        if (c.field == 5) id = static_cast<int64_t>(c.number());
        if (c.field == 6) root = static_cast<int64_t>(c.number());
        if (c.field != 2) continue;
        Instruction instruction;
        int64_t number = 0;
        for (Reader i(c.bytes()); i.next();) {
          switch (i.field) {
            case 2: instruction.opcode = i.text(); break;
            case 8:
              instruction.literal = i.bytes();
              instruction.has_literal = true;
              break;
            case 9: instruction.parameter = static_cast<int64_t>(i.number()); break;
            case 30: instruction.dot_dimensions = i.bytes(); break;
            case 13: instruction.tuple_index = static_cast<int64_t>(i.number()); break;
            case 35: number = static_cast<int64_t>(i.number()); break;
            case 36: numbers(i, instruction.operands); break;
            case 38: numbers(i, instruction.called); break;
            default: break;  // what the compiler has already acted on
          }
        }
        if (!module.instructions.emplace(number, std::move(instruction)).second) refuse("two instructions of one id");
      }
      if (!module.roots.emplace(id, root).second) refuse("two computations of one id");
    } else if (r.field == 4) {
      module.program_shape = r.bytes();
    } else if (r.field == 6) {
      module.entry = static_cast<int64_t>(r.number());
    }
  }
  return module;
}

void read_program_shape(Span bytes, Executable& out) {
  bool has_result = false;
  auto check = [](const Shape& shape) {
    if (!shape.plain) refuse("an argument or result that is not row-major");
  };
  for (Reader r(bytes); r.next();) {
    if (r.field == 1) {
      out.parameters.push_back(read_shape(r.bytes()));
      check(out.parameters.back());
    } else if (r.field == 2) {
      has_result = true;
      ParsedShape result = read_shape(r.bytes(), false);
      if (result.dtype == TUPLE) {
        for (Span element : result.elements) out.outputs.push_back(read_shape(element));
      } else {
        out.outputs.push_back(result);
      }
      for (const Shape& shape : out.outputs) check(shape);
    } else if (r.field != 3) {  // 3: names of the parameters
      r.unknown("ProgramShape");
    }
  }
  if (!has_result) refuse("a program without result");
}

std::vector<uint8_t> read_literal(Span bytes) {
  ParsedShape shape;
  std::vector<uint8_t> value;
  bool has_shape = false;
  auto append = [&](const void* data, size_t size) {
    const auto* from = static_cast<const uint8_t*>(data);
    value.insert(value.end(), from, from + size);
  };
  auto check = [&](std::initializer_list<int> dtypes) {
    for (int dtype : dtypes)
      if (dtype == shape.dtype) return;
    refuse("a literal of another dtype");
  };
  auto raw = [&](const Reader& r, std::initializer_list<int> dtypes) {
    check(dtypes);
    const Span span = r.wire == 2 ? r.bytes() : r.fixed();
    append(span.data, span.size);
  };
  auto varints = [&](const Reader& r, int dtype, size_t width) {
    check({dtype});
    std::vector<int64_t> list;
    numbers(r, list);
    for (int64_t x : list) append(&x, width);  // little-endian
  };
  for (Reader r(bytes); r.next();) {
    if (r.field != 1 && !has_shape) refuse("a literal without a shape");
    switch (r.field) {
      case 1:
        shape = read_shape(r.bytes());
        has_shape = true;
        break;
      case 2: varints(r, PRED, 1); break;
      case 3: raw(r, {6}); break;
      case 4: varints(r, 4, 4); break;
      case 5: varints(r, 5, 8); break;
      case 6: varints(r, 8, 4); break;
      case 7: varints(r, 9, 8); break;
      case 8: raw(r, {11}); break;
      case 9: raw(r, {12}); break;
      case 11: raw(r, {10}); break;
      case 12: raw(r, {15}); break;
      case 13: raw(r, {16}); break;
      case 15: raw(r, {2}); break;
      case 16: raw(r, {7}); break;
      case 17: raw(r, {3}); break;
      case 18: raw(r, {18}); break;
      default: r.unknown("Literal");
    }
  }
  if (!has_shape || value.size() != shape.bytes) refuse("a literal of another size than its shape");
  return value;
}

// -- buffer assignment

using Location = std::pair<int64_t, std::vector<int64_t>>;  // instruction, index into its (tuple) shape

Location read_location(Span bytes) {
  Location location{0, {}};
  for (Reader r(bytes); r.next();) {
    switch (r.field) {
      case 3: numbers(r, location.second); break;
      case 4: location.first = static_cast<int64_t>(r.number()); break;
      default: r.unknown("LogicalBuffer.Location");
    }
  }
  return location;
}

struct Assigned {
  uint64_t allocation = 0;
  uint64_t offset = 0;
  uint64_t size = 0;
};

struct Assignment {
  std::map<Location, uint64_t> defined;           // -> buffer
  std::map<Location, uint64_t> aliased;
  std::unordered_map<uint64_t, Location> buffers;
  std::unordered_map<uint64_t, Assigned> assigned;
  std::vector<std::vector<uint64_t>> held;        // buffers of each allocation
};

Assignment read_assignment(Span bytes, Executable& out) {
  Assignment all;
  std::vector<std::pair<Location, uint64_t>> aliases;
  for (Reader r(bytes); r.next();) {
    switch (r.field) {
      case 1: {
        uint64_t id = 0;
        Location location{0, {}};
        for (Reader b(r.bytes()); b.next();) {
          switch (b.field) {
            case 1: id = b.number(); break;
            case 2: b.number(); break;
            case 3: location = read_location(b.bytes()); break;
            case 4:
              if (b.number()) refuse("a buffer of a memory space");
              break;
            default: b.unknown("LogicalBuffer");
          }
        }
        if (!all.buffers.emplace(id, location).second) refuse("two buffers of one id");
        all.defined.emplace(location, id);
        break;
      }
      case 2: {
        uint64_t source = 0;
        Location location{0, {}};
        for (Reader a(r.bytes()); a.next();) {
          if (a.field == 1) source = a.number();
          else if (a.field == 2) location = read_location(a.bytes());
          else a.unknown("BufferAlias");
        }
        all.aliased.emplace(location, source);
        break;
      }
      case 3: {
        Allocation allocation;
        uint64_t index = 0, parameter = 0;
        bool is_parameter = false;
        std::vector<uint64_t> held;
        for (Reader a(r.bytes()); a.next();) {
          switch (a.field) {
            case 1: index = a.number(); break;
            case 2: allocation.size = a.number(); break;
            case 3: allocation.thread_local_ = a.number() != 0; break;
            case 5: is_parameter = a.number() != 0; break;
            case 6: parameter = a.number(); break;
            case 7: case 11: case 13: a.number(); break;  // may be an output, holds tuples, is donated
            case 8:
              if (a.number()) refuse("an allocation of a memory space");
              break;
            case 9: {
              uint64_t buffer = 0;
              Assigned assigned;
              assigned.allocation = index;
              for (Reader s(a.bytes()); s.next();) {
                switch (s.field) {
                  case 1: buffer = s.number(); break;
                  case 2: assigned.offset = s.number(); break;
                  case 3: assigned.size = s.number(); break;
                  case 4: s.number(); break;  // the element type
                  default: s.unknown("BufferAllocation.Assigned");
                }
              }
              if (!all.assigned.emplace(buffer, assigned).second) refuse("a buffer assigned twice");
              held.push_back(buffer);
              break;
            }
            case 10: {
              std::vector<int64_t> shape_index;
              numbers(a, shape_index);
              if (!shape_index.empty()) refuse("a parameter that is a tuple");
              break;
            }
            case 12: allocation.constant = a.number() != 0; break;
            default: a.unknown("BufferAllocation");
          }
        }
        if (index != out.allocations.size()) refuse("allocations out of order");
        if (allocation.size > kMaxBytes) refuse("an allocation too large");
        if (is_parameter) {
          if (parameter > INT32_MAX) refuse("a parameter out of range");
          allocation.parameter = static_cast<int64_t>(parameter);
        }
        out.allocations.push_back(std::move(allocation));
        all.held.push_back(std::move(held));
        break;
      }
      case 4: case 5: break;  // traces of the assignment
      default: r.unknown("BufferAssignment");
    }
  }
  for (const auto& [buffer, assigned] : all.assigned) {
    const Allocation& allocation = out.allocations[assigned.allocation];
    if (assigned.offset > allocation.size || assigned.size > allocation.size - assigned.offset)
      refuse("a buffer outside of its allocation");
  }
  return all;
}

void fill_constants(const Assignment& assignment, const Module& module, Executable& out) {
  for (size_t i = 0; i < out.allocations.size(); ++i) {
    Allocation& allocation = out.allocations[i];
    if (!allocation.constant) continue;
    if (allocation.size > (uint64_t{1} << 24)) refuse("large: a constant of many bytes");
    if (assignment.held[i].empty()) refuse("a constant without a value");
    std::vector<uint8_t> value(allocation.size);
    for (uint64_t buffer : assignment.held[i]) {
      auto location = assignment.buffers.find(buffer);
      if (location == assignment.buffers.end()) refuse("a constant without a value");
      auto instruction = module.instructions.find(location->second.first);
      if (instruction == module.instructions.end() || !instruction->second.has_literal)
        refuse("a constant without a value");
      const std::vector<uint8_t> literal = read_literal(instruction->second.literal);
      const Assigned& at = assignment.assigned.at(buffer);
      if (literal.size() != at.size) refuse("a constant of another size");
      if (!literal.empty()) std::memcpy(value.data() + at.offset, literal.data(), literal.size());
    }
    allocation.value = std::move(value);
  }
}

// The buffer that holds the part `location.second` of an instruction's value.
const Assigned& find_buffer(const Assignment& assignment, const Module& module, Location location) {
  for (int steps = 0; steps < 10000; ++steps) {
    for (const auto* table : {&assignment.defined, &assignment.aliased}) {
      auto found = table->find(location);
      if (found == table->end()) continue;
      auto assigned = assignment.assigned.find(found->second);
      if (assigned != assignment.assigned.end()) return assigned->second;
    }
    auto at = module.instructions.find(location.first);
    if (at == module.instructions.end()) break;
    const Instruction& instruction = at->second;
    const std::string& opcode = instruction.opcode;
    std::vector<int64_t>& index = location.second;
    if (opcode == "tuple") {
      if (index.empty() || index[0] < 0 || static_cast<size_t>(index[0]) >= instruction.operands.size()) break;
      location.first = instruction.operands[index[0]];
      index.erase(index.begin());
    } else if (opcode == "get-tuple-element") {
      if (instruction.operands.size() != 1) break;
      index.insert(index.begin(), instruction.tuple_index);
      location.first = instruction.operands[0];
    } else if (opcode == "bitcast" || opcode == "while" || opcode == "optimization-barrier") {
      if (instruction.operands.size() != 1) break;
      location.first = instruction.operands[0];
    } else if (opcode == "call") {
      if (instruction.called.size() != 1) break;
      auto root = module.roots.find(instruction.called[0]);
      if (root == module.roots.end()) break;
      location.first = root->second;
    } else {
      refuse("a result from the instruction " + opcode);
    }
  }
  refuse("a result that no buffer holds");
}

void find_outputs(const Assignment& assignment, const Module& module, bool tuple, Executable& out) {
  auto root = module.roots.find(module.entry);
  if (root == module.roots.end()) refuse("no entry computation");
  for (size_t i = 0; i < out.outputs.size(); ++i) {
    if (out.outputs[i].bytes == 0) continue;
    Location location{root->second, {}};
    if (tuple) location.second.push_back(static_cast<int64_t>(i));
    const Assigned& at = find_buffer(assignment, module, location);
    Allocation& allocation = out.allocations[at.allocation];
    if (at.offset != 0 || allocation.size != out.outputs[i].bytes) refuse("a result that is part of an allocation");
    if (allocation.output >= 0) refuse("two results in one allocation");
    if (allocation.constant || allocation.thread_local_) refuse("a result that is a constant");
    allocation.output = static_cast<int64_t>(i);
  }
}

// Fusions for XLA's libraries: those that are nothing but a matrix product become one.
void find_products(std::vector<Thunk>& thunks, const Module& module) {
  for (Thunk& thunk : thunks) {
    for (auto& sequence : thunk.sequences) find_products(sequence, module);
    if (thunk.kind != Kind::dot || thunk.instruction < 0) continue;
    auto at = [&](int64_t id) -> const Instruction& {
      auto found = module.instructions.find(id);
      if (found == module.instructions.end()) refuse("a fusion that is nowhere");
      return found->second;
    };
    const Instruction& fusion = at(thunk.instruction);
    if (fusion.opcode != "fusion" || fusion.called.size() != 1) refuse("thunk ynn-fusion");
    auto root = module.roots.find(fusion.called[0]);
    if (root == module.roots.end()) refuse("a fusion that is nowhere");
    const Instruction& dot = at(root->second);
    if (dot.opcode != "dot" || dot.operands.size() != 2) refuse("thunk ynn-fusion of " + dot.opcode);
    read_dot_dimensions(dot.dot_dimensions, thunk);
    std::vector<Operand> operands;
    for (int64_t id : dot.operands) {
      const Instruction& operand = at(id);
      if (operand.opcode != "parameter") refuse("thunk ynn-fusion of " + operand.opcode + " and dot");
      if (operand.parameter < 0 || static_cast<size_t>(operand.parameter) >= thunk.n_arguments)
        refuse("a fusion of other parameters");
      operands.push_back(thunk.operands[static_cast<size_t>(operand.parameter)]);
    }
    operands.push_back(thunk.operands.back());
    thunk.operands = std::move(operands);
    thunk.n_arguments = 2;
  }
}

void check_slice(const Slice& slice, const Executable& executable) {
  if (slice.allocation >= executable.allocations.size()) refuse("a slice of no allocation");
  const Allocation& allocation = executable.allocations[slice.allocation];
  if (slice.offset > allocation.size || slice.size > allocation.size - slice.offset)
    refuse("a slice outside of its allocation");
  if (allocation.thread_local_) refuse("a slice of a thread's own memory");
}

void check_thunks(const std::vector<Thunk>& thunks, const Executable& executable) {
  for (const Thunk& thunk : thunks) {
    for (const Operand& operand : thunk.operands) {
      check_slice(operand.slice, executable);
      // Kernels are told the size of a slice, other thunks compute it from the shape.
      if (operand.slice.size < operand.shape.bytes) refuse("a slice smaller than its shape");
    }
    if (thunk.kind == Kind::while_ || thunk.kind == Kind::conditional) check_slice(thunk.selector, executable);
    for (const auto& sequence : thunk.sequences) check_thunks(sequence, executable);
  }
}

Span only(Span bytes, uint32_t wanted, const char* what) {
  for (Reader r(bytes); r.next();)
    if (r.field == wanted) return r.bytes();
  refuse(std::string("no ") + what);
}

}  // namespace

Executable parse(Span serialized) {
  Executable out;
  Reader head(serialized);
  const uint64_t metadata = head.varint();
  Span rest = head.rest();
  if (metadata > rest.size) refuse("truncated");
  const Span result = only(rest.from(metadata), 1, "executable");

  Span hlo, assignment_bytes, thunk_bytes;
  bool has_hlo = false, has_assignment = false, has_thunks = false;
  for (Reader r(result); r.next();) {
    switch (r.field) {
      case 1: hlo = r.bytes(); has_hlo = true; break;
      case 2: assignment_bytes = r.bytes(); has_assignment = true; break;
      case 5:
        if (r.number() != 2) refuse("object files that are not kernels");
        break;
      case 6: thunk_bytes = r.bytes(); has_thunks = true; break;
      case 7: break;  // the symbols: found in the object files
      case 8: out.objects.push_back(only(r.bytes(), 1, "object file")); break;
      case 9: {
        const Span triple = only(r.bytes(), 1, "target");
        if (triple.text().substr(0, 7) != "x86_64-") refuse("the target " + std::string(triple.text()));
        break;
      }
      case 10: break;  // the data layout
      default: r.unknown("CompilationResult");
    }
  }
  if (!has_hlo || !has_assignment || !has_thunks) refuse("an incomplete executable");

  const Module module = read_module(only(hlo, 1, "module"));
  read_program_shape(module.program_shape, out);
  bool tuple = false;
  for (Reader r(module.program_shape); r.next();)
    if (r.field == 2) tuple = read_shape(r.bytes(), false).dtype == TUPLE;
  const Assignment assignment = read_assignment(assignment_bytes, out);
  fill_constants(assignment, module, out);
  find_outputs(assignment, module, tuple, out);
  for (const Allocation& allocation : out.allocations) {
    if (allocation.parameter < 0) continue;
    if (static_cast<size_t>(allocation.parameter) >= out.parameters.size()) refuse("a parameter out of range");
    if (out.parameters[allocation.parameter].bytes != allocation.size) refuse("a parameter of another size");
    if (allocation.constant || allocation.thread_local_) refuse("a parameter that is a constant");
  }
  out.thunks = read_sequence(thunk_bytes, 0);
  find_products(out.thunks, module);
  check_thunks(out.thunks, out);
  return out;
}

}  // namespace cyxla::native
