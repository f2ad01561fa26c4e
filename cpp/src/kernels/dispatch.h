// From a table type to the active ISA's table.
//
// A kernel area has a header with one plain struct of function pointers per element type,
//
//   template <class T> struct MaxPoolKernels { void (*values)(...); ... };
//   TENFOLD_DECLARE_KERNELS(MaxPoolKernels)      // declares the table of every ISA and kernels<MaxPoolKernels, T>()
//
// and a source, compiled once per ISA, that ends with
//
//   TENFOLD_EXPORT_KERNELS(MaxPoolKernels, make_table)   // template <class T> constexpr MaxPoolKernels<T> make_table()
//
// Operations call  const auto& k = kernels<MaxPoolKernels, float>();  once, outside their loops.
#pragma once

namespace tenfold {

// The active ISA as a number, for the dispatchers below only: 0 generic, 1 neon, 2 avx2, 3 avx512 (enum Isa).
int active_isa_number();

template <template <class> class Table, class T>
const Table<T>& kernels();

}  // namespace tenfold

#define TENFOLD_DECLARE_TABLES(Table, isa)    \
  namespace isa {                             \
  const Table<float>& table(Table<float>*);   \
  const Table<double>& table(Table<double>*); \
  }

#if defined(TENFOLD_X86)
#define TENFOLD_FOREACH_ISA(Table)       \
  TENFOLD_DECLARE_TABLES(Table, generic) \
  TENFOLD_DECLARE_TABLES(Table, avx2)    \
  TENFOLD_DECLARE_TABLES(Table, avx512)
#define TENFOLD_PICK_TABLE(Table, T)                                   \
  const int isa = active_isa_number();                                 \
  if (isa == 3) return avx512::table(static_cast<Table<T>*>(nullptr)); \
  if (isa == 2) return avx2::table(static_cast<Table<T>*>(nullptr));   \
  return generic::table(static_cast<Table<T>*>(nullptr));
#elif defined(TENFOLD_AARCH64)
#define TENFOLD_FOREACH_ISA(Table)       \
  TENFOLD_DECLARE_TABLES(Table, generic) \
  TENFOLD_DECLARE_TABLES(Table, neon)
#define TENFOLD_PICK_TABLE(Table, T)                                                 \
  if (active_isa_number() == 1) return neon::table(static_cast<Table<T>*>(nullptr)); \
  return generic::table(static_cast<Table<T>*>(nullptr));
#else
#define TENFOLD_FOREACH_ISA(Table) TENFOLD_DECLARE_TABLES(Table, generic)
#define TENFOLD_PICK_TABLE(Table, T) return generic::table(static_cast<Table<T>*>(nullptr));
#endif

#if defined(TENFOLD_ISA)  // inside a kernel source: only its own ISA's exports exist
#define TENFOLD_DECLARE_KERNELS(Table)        \
  namespace TENFOLD_ISA {                     \
  const Table<float>& table(Table<float>*);   \
  const Table<double>& table(Table<double>*); \
  }
#define TENFOLD_EXPORT_KERNELS(Table, make)                \
  namespace tenfold {                                      \
  namespace TENFOLD_ISA {                                  \
  const Table<float>& table(Table<float>*) {               \
    static constexpr Table<float> value = make<float>();   \
    return value;                                          \
  }                                                        \
  const Table<double>& table(Table<double>*) {             \
    static constexpr Table<double> value = make<double>(); \
    return value;                                          \
  }                                                        \
  }                                                        \
  }
#else
#define TENFOLD_DECLARE_KERNELS(Table)                   \
  TENFOLD_FOREACH_ISA(Table)                             \
  template <>                                            \
  inline const Table<float>& kernels<Table, float>() {   \
    TENFOLD_PICK_TABLE(Table, float)                     \
  }                                                      \
  template <>                                            \
  inline const Table<double>& kernels<Table, double>() { \
    TENFOLD_PICK_TABLE(Table, double)                    \
  }
#endif
