#include "fake_msrs.hpp"
#include <doctest/doctest.h>

namespace zpp::test {
namespace {

Msrs current;

} // namespace

void use_msrs(const Msrs& msrs) { current = msrs; }

u64 read_msr(x86::Msr index)
{
    const auto msr = static_cast<u32>(index);
    const auto found = current.find(msr);
    if (found == current.end()) {
        FAIL_CHECK("RDMSR of an MSR that does not exist: ", msr);
        return 0;
    }
    return found->second;
}

} // namespace zpp::test
