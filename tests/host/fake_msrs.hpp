// Model-specific registers from a table, for code that reads them through a plain function.
// An MSR that is not in the table does not exist: reading it would be #GP on a CPU, and is a
// failure of the test.
#pragma once
#include "x86/msr.hpp"
#include <map>

namespace zpp::test {

using Msrs = std::map<u32, u64>;

// The table that read_msr() looks into; one at a time.
void use_msrs(const Msrs& msrs);

u64 read_msr(x86::Msr msr);

} // namespace zpp::test
