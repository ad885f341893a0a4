// Threads load and run each program at once, each call in a context of its own; then whether the results are those of
// one thread. Built with ThreadSanitizer, and for valgrind, by the test beside it.
// Usage: threads LIBM ROUNDS FILE...; contexts are handed out under a lock, as Python's holders do.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "driver.h"
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

std::unique_ptr<Program> load(const std::vector<uint8_t>& bytes, std::string& reason) {
  return std::unique_ptr<Program>(Program::load(bytes.data(), bytes.size(), Limits(), reason));
}

void in_threads(const std::function<void(int)>& work) {
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) threads.emplace_back(work, t);
  for (auto& thread : threads) thread.join();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4 || !driver::prepare(argv[1])) return 2;
  const int rounds = std::atoi(argv[2]);
  std::vector<std::vector<uint8_t>> files;
  for (int i = 3; i < argc; ++i) files.push_back(driver::read(argv[i]));

  // All threads load all programs, the first of them while nothing in the loader has been initialized.
  std::vector<int> refused(kThreads);
  in_threads([&](int t) {
    for (int round = 0; round * 20 <= rounds; ++round) {
      for (size_t i = 0; i < files.size(); ++i) {
        std::string reason;
        if (!load(files[(i + t) % files.size()], reason)) ++refused[t];
      }
    }
  });

  int tried = 0, wrong = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    std::string reason;
    const std::unique_ptr<Program> program = load(files[i], reason);
    if (!program) {
      std::printf("%s: %s\n", argv[3 + i], reason.c_str());
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
    in_threads([&](int t) {
      for (int round = 0; round < rounds; ++round) {
        Call call(*program, t);
        if (!run(*program, call) || call.results(*program) != wanted[t]) ++failures[t];
        if (round % 50) continue;
        std::string own_reason;
        if (!load(files[i], own_reason)) ++failures[t];
      }
    });
    for (int n : failures) wrong += n;
  }
  const auto not_loaded = static_cast<int>(files.size()) - tried;
  for (int n : refused)
    if (n != not_loaded * (rounds / 20 + 1)) ++wrong;
  std::printf("%d programs of %zu (with stand-ins for LAPACK, whose kernels need Python), %d wrong calls\n", tried, files.size(), wrong);
  return not_loaded != 0 || wrong != 0;
}
