// Reads the version tables of the loaded libjax_common.so (ELF gABI: DT_VERSYM, DT_VERNEED) and binds as the dynamic
// linker did for it, with dlvsym.
#include "native/symbols.h"

#if defined(__linux__)

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <cstdint>
#include <cstring>
#include <mutex>
#include <unordered_map>

namespace cyxla::native {
namespace {

constexpr const char* kAllowed[] = {
    "acos",  "acosf",  "acosh",  "acoshf", "asin",  "asinf",  "asinh",   "asinhf", "atan",   "atan2",  "atan2f",
    "atanf", "atanh",  "atanhf", "cbrt",   "cbrtf", "cos",    "cosf",    "cosh",   "coshf",  "erf",    "erff",
    "exp",   "exp2",   "exp2f",  "expf",   "expm1", "expm1f", "fma",     "fmaf",   "fmod",   "fmodf",  "log",
    "log10", "log1p",  "log1pf", "log2",   "log2f", "logf",   "memcpy",  "memmove", "memset", "pow",   "powf",
    "sin",   "sincos", "sincosf", "sinf",  "sinh",  "sinhf",  "tan",     "tanf",   "tanh",   "tanhf",
};

using Table = std::unordered_map<std::string, void*>;

struct Image {
  uintptr_t base = 0;
  const ElfW(Dyn)* dynamic = nullptr;
};

int find_image(dl_phdr_info* info, size_t, void* data) {
  const char* slash = std::strrchr(info->dlpi_name, '/');
  const char* name = slash ? slash + 1 : info->dlpi_name;
  if (std::strncmp(name, "libjax_common.so", 16) != 0) return 0;
  auto* image = static_cast<Image*>(data);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    if (info->dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
    image->base = info->dlpi_addr;
    image->dynamic = reinterpret_cast<const ElfW(Dyn)*>(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
  }
  return 1;
}

// The number of symbols that come before the first exported one: all undefined ones are among these.
size_t undefined_count(const Image& image, uintptr_t gnu_hash, uintptr_t hash) {
  if (gnu_hash) return reinterpret_cast<const uint32_t*>(gnu_hash)[1];
  if (hash) return reinterpret_cast<const uint32_t*>(hash)[1];
  return 0;
}

Table bind() {
  Table table;
  Image image;
  dl_iterate_phdr(find_image, &image);
  if (!image.dynamic) return table;
  uintptr_t symtab = 0, strtab = 0, versym = 0, verneed = 0, gnu_hash = 0, hash = 0;
  size_t needs = 0;
  for (const ElfW(Dyn)* d = image.dynamic; d->d_tag != DT_NULL; ++d) {
    switch (d->d_tag) {
      case DT_SYMTAB: symtab = d->d_un.d_ptr; break;
      case DT_STRTAB: strtab = d->d_un.d_ptr; break;
      case DT_VERSYM: versym = d->d_un.d_ptr; break;
      case DT_VERNEED: verneed = d->d_un.d_ptr; break;
      case DT_VERNEEDNUM: needs = d->d_un.d_val; break;
      case DT_GNU_HASH: gnu_hash = d->d_un.d_ptr; break;
      case DT_HASH: hash = d->d_un.d_ptr; break;
      default: break;
    }
  }
  if (!symtab || !strtab || !versym || !verneed) return table;
  // glibc has relocated these pointers; other dynamic linkers leave them relative.
  for (uintptr_t* p : {&symtab, &strtab, &versym, &verneed, &gnu_hash, &hash})
    if (*p && *p < image.base) *p += image.base;
  const char* strings = reinterpret_cast<const char*>(strtab);

  struct Version {
    const char* file;
    const char* name;
  };
  std::unordered_map<unsigned, Version> versions;
  const char* at = reinterpret_cast<const char*>(verneed);
  for (size_t i = 0; i < needs; ++i) {
    const auto* need = reinterpret_cast<const ElfW(Verneed)*>(at);
    const char* entry = at + need->vn_aux;
    for (unsigned j = 0; j < need->vn_cnt; ++j) {
      const auto* aux = reinterpret_cast<const ElfW(Vernaux)*>(entry);
      versions[aux->vna_other & 0x7fff] = {strings + need->vn_file, strings + aux->vna_name};
      entry += aux->vna_next;
    }
    at += need->vn_next;
  }
  std::unordered_map<std::string, bool> wanted;
  for (const char* name : kAllowed) wanted[name] = true;
  const auto* symbols = reinterpret_cast<const ElfW(Sym)*>(symtab);
  const auto* indices = reinterpret_cast<const ElfW(Half)*>(versym);
  const size_t n = undefined_count(image, gnu_hash, hash);
  for (size_t i = 1; i < n; ++i) {
    if (symbols[i].st_shndx != SHN_UNDEF) continue;
    const char* name = strings + symbols[i].st_name;
    if (!wanted.count(name)) continue;
    auto version = versions.find(indices[i] & 0x7fff);
    if (version == versions.end()) continue;
    void* library = dlopen(version->second.file, RTLD_LAZY | RTLD_NOLOAD);
    if (!library) continue;
    if (void* address = dlvsym(library, name, version->second.name)) table[name] = address;
  }
  return table;
}

}  // namespace

void* runtime_symbol(const std::string& name) {
  static const Table table = bind();
  auto found = table.find(name);
  return found == table.end() ? nullptr : found->second;
}

}  // namespace cyxla::native

#else

namespace cyxla::native {
void* runtime_symbol(const std::string&) { return nullptr; }
}  // namespace cyxla::native

#endif
