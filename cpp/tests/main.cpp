// Runs the tests, unless TENFOLD_ISA asks for an instruction set that this processor lacks: exit status 77.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "tenfold/cpu.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const char* wanted = std::getenv("TENFOLD_ISA");
  if (wanted != nullptr && *wanted != '\0' && std::string(wanted) != name_of(tenfold::active_isa())) {
    std::cout << "skipped: this processor has no " << wanted << '\n';
    return 77;
  }
  return RUN_ALL_TESTS();
}
