// The layout of a relocatable object is that of the ELF gABI and the x86-64 psABI. Code and constants go to pages of
// their own; the tables for unwinding are left out, as no exception passes through a kernel.
#include "native/elf.h"

#if defined(__linux__)

#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "native/symbols.h"

namespace cyxla::native {
namespace {

constexpr uint64_t kMaxImage = uint64_t{1} << 28;
constexpr uint64_t kMaxAlignment = 4096;
constexpr unsigned kUnwind = 0x70000001;  // SHT_X86_64_UNWIND

template <class T>
T read(Span bytes, uint64_t offset) {
  if (offset > bytes.size || sizeof(T) > bytes.size - offset) refuse("an object file with a table out of bounds");
  T value;
  std::memcpy(&value, bytes.data + offset, sizeof value);
  return value;
}

Span section_bytes(Span file, const Elf64_Shdr& header) {
  if (header.sh_offset > file.size || header.sh_size > file.size - header.sh_offset)
    refuse("an object file with a section out of bounds");
  return {file.data + header.sh_offset, static_cast<size_t>(header.sh_size)};
}

std::string string_at(Span table, uint64_t offset) {
  if (offset >= table.size) refuse("an object file with a name out of bounds");
  const void* end = std::memchr(table.data + offset, 0, table.size - offset);
  if (!end) refuse("an object file with an endless name");
  return std::string(reinterpret_cast<const char*>(table.data + offset));
}

uint64_t round_up(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

struct Object {
  Span file;
  std::vector<Elf64_Shdr> sections;
  std::vector<int64_t> place;  // of each section in the image; -1: not loaded
};

Object read_object(Span file) {
  Object object;
  object.file = file;
  const auto header = read<Elf64_Ehdr>(file, 0);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_type != ET_REL || header.e_machine != EM_X86_64 ||
      header.e_shentsize != sizeof(Elf64_Shdr))
    refuse("an object file that is not a relocatable one for x86-64");
  if (header.e_shnum == 0) refuse("an object file without sections");
  for (unsigned i = 0; i < header.e_shnum; ++i) {
    if (header.e_shoff > file.size) refuse("an object file with a table out of bounds");
    object.sections.push_back(read<Elf64_Shdr>(file, header.e_shoff + uint64_t{i} * sizeof(Elf64_Shdr)));
  }
  object.place.assign(object.sections.size(), -1);
  return object;
}

bool is_loaded(const Elf64_Shdr& section) { return (section.sh_flags & SHF_ALLOC) && section.sh_type != kUnwind; }

void check_section(Span file, const Elf64_Shdr& section) {
  switch (section.sh_type) {
    case SHT_NULL: case SHT_PROGBITS: case SHT_STRTAB: case SHT_SYMTAB: case SHT_RELA: case kUnwind:
      break;
    default: refuse("a section of type " + std::to_string(section.sh_type));
  }
  if (section.sh_type != SHT_NULL) section_bytes(file, section);
  if (!is_loaded(section)) return;
  if (section.sh_type != SHT_PROGBITS) refuse("a loaded section of type " + std::to_string(section.sh_type));
  if (section.sh_flags & SHF_WRITE && section.sh_size) refuse("a writable section");
  if (section.sh_flags & SHF_TLS) refuse("a section of thread-local data");
  if (section.sh_addralign > kMaxAlignment || (section.sh_addralign & (section.sh_addralign - 1)))
    refuse("a section of strange alignment");
}

}  // namespace

Code::~Code() {
  if (memory_) munmap(memory_, size_);
}

void* Code::find(const std::string& name) const {
  auto found = functions_.find(name);
  return found == functions_.end() ? nullptr : found->second;
}

void Code::load(const std::vector<Span>& files) {
  std::vector<Object> objects;
  for (Span file : files) objects.push_back(read_object(file));
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  uint64_t end = 0, code_end = 0;
  for (bool code : {true, false}) {
    for (Object& object : objects) {
      for (size_t i = 0; i < object.sections.size(); ++i) {
        const Elf64_Shdr& section = object.sections[i];
        if (code) check_section(object.file, section);
        if (!is_loaded(section) || bool(section.sh_flags & SHF_EXECINSTR) != code) continue;
        end = round_up(end, section.sh_addralign ? section.sh_addralign : 1);
        object.place[i] = static_cast<int64_t>(end);
        end += section.sh_size;
        if (end > kMaxImage) refuse("object files too large");
      }
    }
    if (code) end = code_end = round_up(end, page);
  }
  if (end == 0) return;
  size_ = round_up(end, page);
  void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) refuse("no memory for code");
  memory_ = static_cast<uint8_t*>(memory);

  for (Object& object : objects) {
    for (size_t i = 0; i < object.sections.size(); ++i) {
      if (object.place[i] < 0) continue;
      const Span bytes = section_bytes(object.file, object.sections[i]);
      if (bytes.size) std::memcpy(memory_ + object.place[i], bytes.data, bytes.size);
    }
    const size_t n_sections = object.sections.size();
    // Where a symbol's value is, or 0.
    auto address = [&](const Elf64_Sym& symbol) -> uint64_t {
      if (symbol.st_shndx >= n_sections || object.place[symbol.st_shndx] < 0) return 0;
      if (symbol.st_value > object.sections[symbol.st_shndx].sh_size) refuse("a symbol outside of its section");
      return reinterpret_cast<uint64_t>(memory_) + object.place[symbol.st_shndx] + symbol.st_value;
    };
    auto table_of = [&](uint32_t link, unsigned type) -> const Elf64_Shdr& {
      if (link >= n_sections || object.sections[link].sh_type != type) refuse("a section that links to none");
      return object.sections[link];
    };
    for (const Elf64_Shdr& section : object.sections) {
      if (section.sh_type == SHT_SYMTAB) {
        const Span symbols = section_bytes(object.file, section);
        const Span names = section_bytes(object.file, table_of(section.sh_link, SHT_STRTAB));
        for (uint64_t at = 0; at + sizeof(Elf64_Sym) <= symbols.size; at += sizeof(Elf64_Sym)) {
          const auto symbol = read<Elf64_Sym>(symbols, at);
          if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || ELF64_ST_BIND(symbol.st_info) != STB_GLOBAL) continue;
          const uint64_t where = address(symbol);
          if (!where || !(object.sections[symbol.st_shndx].sh_flags & SHF_EXECINSTR)) continue;
          if (!functions_.emplace(string_at(names, symbol.st_name), reinterpret_cast<void*>(where)).second)
            refuse("two functions of one name");
        }
      } else if (section.sh_type == SHT_RELA) {
        if (section.sh_info >= n_sections) refuse("relocations of no section");
        const Elf64_Shdr& target = object.sections[section.sh_info];
        if (!is_loaded(target)) continue;
        const Span entries = section_bytes(object.file, section);
        const Elf64_Shdr& symbol_table = table_of(section.sh_link, SHT_SYMTAB);
        const Span symbols = section_bytes(object.file, symbol_table);
        const Span names = section_bytes(object.file, table_of(symbol_table.sh_link, SHT_STRTAB));
        if (entries.size % sizeof(Elf64_Rela)) refuse("relocations of another size");
        for (uint64_t at = 0; at < entries.size; at += sizeof(Elf64_Rela)) {
          const auto rela = read<Elf64_Rela>(entries, at);
          const uint64_t type = ELF64_R_TYPE(rela.r_info);
          if (type != R_X86_64_64) refuse("a relocation of type " + std::to_string(type));
          if (target.sh_size < 8 || rela.r_offset > target.sh_size - 8) refuse("a relocation outside of its section");
          const auto symbol = read<Elf64_Sym>(symbols, ELF64_R_SYM(rela.r_info) * sizeof(Elf64_Sym));
          uint64_t value = 0;
          if (symbol.st_shndx == SHN_UNDEF) {
            const std::string name = string_at(names, symbol.st_name);
            value = reinterpret_cast<uint64_t>(runtime_symbol(name));
            if (!value) refuse("the function " + name);
          } else {
            value = address(symbol);
            if (!value) refuse("a relocation against a section that is not loaded");
          }
          value += static_cast<uint64_t>(rela.r_addend);
          std::memcpy(memory_ + object.place[section.sh_info] + rela.r_offset, &value, 8);
        }
      }
    }
  }
  if (code_end && mprotect(memory_, code_end, PROT_READ | PROT_EXEC) != 0) refuse("no executable memory");
  if (size_ > code_end && mprotect(memory_ + code_end, size_ - code_end, PROT_READ) != 0) refuse("no memory for code");
}

}  // namespace cyxla::native

#else

namespace cyxla::native {
Code::~Code() = default;
void* Code::find(const std::string&) const { return nullptr; }
void Code::load(const std::vector<Span>&) { refuse("this platform"); }
}  // namespace cyxla::native

#endif
