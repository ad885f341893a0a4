// Threads load and run one program at once, each call in a context of its own. Built with ThreadSanitizer by the test
// beside it. Usage: threads ROUNDS FILE...; contexts are handed out under a lock, as Python's holders do.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "native/program.h"

using namespace cyxla::native;

namespace {

constexpr int kThreads = 8;
std::mutex lock;

struct Call {
  std::vector<AlignedMemory> memory;
  std::vector<void*> buffers;

  Call(const Program& program, int seed) {
    for (const auto* shapes : {&program.parameters, &program.outputs}) {
      for (const Shape& shape : *shapes) {
        memory.push_back(allocate_aligned(shape.bytes));
        buffers.push_back(memory.back().get());
        for (size_t i = 0; i + 4 <= shape.bytes; i += 4) {
          const float value = static_cast<float>((i * 7 + seed) % 13);
          std::memcpy(memory.back().get() + i, &value, 4);
        }
      }
    }
  }

  std::string results(const Program& program) const {
    std::string out;
    for (size_t i = 0; i < program.outputs.size(); ++i)
      out.append(static_cast<const char*>(buffers[program.parameters.size() + i]), program.outputs[i].bytes);
    return out;
  }
};

bool run(Program& program, const Call& call) {
  Context* context;
  {
    const std::lock_guard<std::mutex> guard(lock);
    context = program.acquire();
  }
  const bool done = context && program.run(*context, call.buffers.data());
  const std::lock_guard<std::mutex> guard(lock);
  if (context) program.release(context);
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const int rounds = std::atoi(argv[1]);
  int tried = 0, wrong = 0;
  for (int i = 2; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    const std::vector<uint8_t> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    std::string reason;
    std::unique_ptr<Program> program(Program::load(bytes.data(), bytes.size(), Limits(), reason));
    if (!program) {
      std::printf("%s: %s\n", argv[i], reason.c_str());
      continue;
    }
    ++tried;
    std::vector<std::string> wanted;
    for (int t = 0; t < kThreads; ++t) {
      Call call(*program, t);
      if (!run(*program, call)) return 1;
      wanted.push_back(call.results(*program));
    }
    std::vector<int> failures(kThreads);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int round = 0; round < rounds; ++round) {
          Call call(*program, t);
          if (!run(*program, call) || call.results(*program) != wanted[t]) ++failures[t];
          if (round % 50) continue;
          std::string own_reason;
          std::unique_ptr<Program> own(Program::load(bytes.data(), bytes.size(), Limits(), own_reason));
          if (!own) ++failures[t];
        }
      });
    }
    for (auto& thread : threads) thread.join();
    for (int n : failures) wrong += n;
  }
  std::printf("%d programs, %d wrong calls\n", tried, wrong);
  return tried == 0 || wrong != 0;
}
