#include "tenfold/cpu.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "kernels/dispatch.h"
#include "tenfold/error.h"

namespace tenfold {
namespace {

struct Candidate {
  Isa isa;
  bool (*supported)();
};

// Best first; read from top to bottom.
const Candidate kCandidates[] = {
#if defined(TENFOLD_EMULATE_AVX512)
    {Isa::avx512, [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }},
#elif defined(TENFOLD_X86)
    {Isa::avx512,
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
              __builtin_cpu_supports("fma");
     }},
#endif
#if defined(TENFOLD_X86)
    {Isa::avx2, [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }},
#elif defined(TENFOLD_AARCH64)
    {Isa::neon, [] { return true; }},
#endif
    {Isa::generic, [] { return true; }},
};

std::string names(const std::vector<Isa>& isas) {
  std::string text;
  for (Isa isa : isas) text += (text.empty() ? "" : ", ") + std::string(name_of(isa));
  return text;
}

Isa choose() {
  const std::vector<Isa> available = available_isas();
  if (const char* wanted = std::getenv("TENFOLD_ISA"); wanted && *wanted) {
    for (Isa isa : available) {
      if (std::string(wanted) == name_of(isa)) return isa;
    }
    std::fprintf(stderr, "tenfold: TENFOLD_ISA must be one of %s here; ignoring '%s'\n",
                 names(available).c_str(), wanted);
  }
  return available.front();
}

std::atomic<Isa>& active() {
  static std::atomic<Isa> isa{choose()};
  return isa;
}

// What Linux knows of the first core's caches. (sysconf tells a virtual machine of the whole socket's.)
std::size_t detect_cache_bytes() {
  constexpr std::size_t kUsual = std::size_t{32} << 20;
  std::size_t largest = 0;
  for (int i = 0; i < 8; ++i) {
    std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/size");
    std::size_t size = 0;
    char unit = 0;
    if (!(file >> size)) break;
    file >> unit;
    largest = std::max(largest, unit == 'M' ? size << 20 : unit == 'K' ? size << 10 : size);
  }
  return largest > 0 ? largest : kUsual;
}

std::atomic<std::size_t>& largest_cache() {
  static std::atomic<std::size_t> bytes{detect_cache_bytes()};
  return bytes;
}

}  // namespace

std::size_t cache_bytes() {
  return largest_cache().load(std::memory_order_relaxed);
}
void set_cache_bytes(std::size_t bytes) {
  largest_cache().store(bytes);
}

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::generic:
      return "generic";
    case Isa::neon:
      return "neon";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
  }
  return "unknown";
}

std::vector<Isa> available_isas() {
  std::vector<Isa> available;
  for (const Candidate& candidate : kCandidates) {
    if (candidate.supported()) available.push_back(candidate.isa);
  }
  return available;
}

Isa active_isa() {
  return active().load(std::memory_order_relaxed);
}
int active_isa_number() {
  return static_cast<int>(active_isa());
}

void set_isa(const std::string& name) {
  const std::vector<Isa> available = available_isas();
  for (Isa isa : available) {
    if (name == name_of(isa)) {
      active().store(isa);
      return;
    }
  }
  reject("set_isa", "name", "must be one of ", names(available), " on this processor; received '", name, "'");
}

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0) {
      const std::size_t colon = line.find(": ");
      if (colon != std::string::npos) return line.substr(colon + 2);
    }
  }
  return "unknown processor";
}

}  // namespace tenfold
