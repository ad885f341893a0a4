// Loads mutated and truncated executables: none may crash the loader. Built with sanitizers by the test beside it.
// Usage: fuzz LIBM SECONDS SEED FILE...; what is loaded is never run.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "driver.h"
#include "native/program.h"

using cyxla::native::Limits;
using cyxla::native::Program;

namespace {

std::mt19937_64 generator;

uint64_t below(uint64_t n) { return n ? generator() % n : 0; }

std::vector<uint8_t> mutate(std::vector<uint8_t> bytes) {
  for (uint64_t i = 1 + below(4); i > 0 && !bytes.empty(); --i) {
    const size_t at = below(bytes.size());
    switch (below(6)) {
      case 0: bytes[at] ^= static_cast<uint8_t>(1u << below(8)); break;
      case 1: bytes[at] = static_cast<uint8_t>(below(256)); break;
      case 2: bytes[at] = below(2) ? 0xff : 0x00; break;
      case 3: bytes.resize(at); break;
      case 4: bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), static_cast<uint8_t>(below(256))); break;
      case 5: {  // a run copied elsewhere
        const size_t n = std::min<size_t>(below(64), bytes.size() - at), to = below(bytes.size() - n + 1);
        std::vector<uint8_t> run(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                                 bytes.begin() + static_cast<std::ptrdiff_t>(at + n));
        std::copy(run.begin(), run.end(), bytes.begin() + static_cast<std::ptrdiff_t>(to));
        break;
      }
    }
  }
  return bytes;
}

bool load(const std::vector<uint8_t>& bytes) {
  std::string reason;
  // A copy of exactly this size, so that a read beyond it is seen.
  std::unique_ptr<uint8_t[]> exact(new uint8_t[bytes.size()]);
  std::copy(bytes.begin(), bytes.end(), exact.get());
  std::unique_ptr<Program> program(Program::load(exact.get(), bytes.size(), Limits(), reason));
  if (!program && reason.empty()) {
    std::puts("refused without a reason");
    std::exit(1);
  }
  if (program) program->release(program->acquire());
  return program != nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5 || !driver::prepare(argv[1])) return 2;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(std::atol(argv[2]));
  generator.seed(std::strtoull(argv[3], nullptr, 10));
  std::vector<std::vector<uint8_t>> corpus;
  long whole = 0, loaded = 0, mutants = 0;
  for (int i = 4; i < argc; ++i) {
    corpus.push_back(driver::read(argv[i]));
    whole += load(corpus.back());
  }
  while (std::chrono::steady_clock::now() < end) {
    for (const auto& bytes : corpus) {
      for (int i = 0; i < 20; ++i, ++mutants) loaded += load(mutate(bytes));
    }
  }
  std::printf("%ld of %d load, %ld of %ld mutants\n", whole, argc - 4, loaded, mutants);
  return 0;
}
