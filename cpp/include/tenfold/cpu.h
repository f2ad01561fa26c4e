// Which instruction set the kernels use. Chosen once, at first use, from a best-first table.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace tenfold {

enum class Isa { generic, neon, avx2, avx512 };

const char* name_of(Isa isa);

// Compiled into this library and supported by this processor, best first; generic is always last.
std::vector<Isa> available_isas();

// The best available one, or the one that TENFOLD_ISA names (a name that is not available is reported on stderr
// and ignored).
Isa active_isa();

// Makes another available ISA the active one; for tests and benchmarks, never while an operation runs.
// Throws InvalidArgument for a name that is not available.
void set_isa(const std::string& name);

std::string cpu_name();

// Bytes of the largest cache that one core reaches.
std::size_t cache_bytes();
// For tests, never while an operation runs.
void set_cache_bytes(std::size_t bytes);

}  // namespace tenfold
