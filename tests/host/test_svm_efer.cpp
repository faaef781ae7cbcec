// svm/efer: which bits of EFER a guest can set, by CPUID and by trial on CPUs that say less than
// they should.
#include "svm/efer.hpp"
#include <doctest/doctest.h>
#include <map>

namespace zpp::test {
namespace {

using enum x86::Efer;
using x86::Efer;

std::map<u32, x86::CpuidResult> leaves;
x86::CpuidResult fake_cpuid(u32 leaf, u32) { return leaves[leaf]; }

TEST_CASE("EFER by CPUID")
{
    constexpr Efer always = sce | lme | lma | nxe;
    leaves = {{0x80000000, {0x8000000a, 0, 0, 0}}};
    CHECK(svm::efer_by_cpuid(fake_cpuid) == (always | lmsle));
    leaves[0x80000008].ebx = 1u << 20; // EferLmsleUnsupported
    CHECK(svm::efer_by_cpuid(fake_cpuid) == always);
    leaves[0x80000001] = {0, 0, 1u << 17, 1u << 25};
    leaves[0x80000008].ebx |= 1u << 8 | 1u << 13;
    leaves[0x80000021].eax = ~0u; // beyond the last leaf
    CHECK(svm::efer_by_cpuid(fake_cpuid) == (always | ffxsr | tce | mcommit | intwb));
    leaves[0x80000000].eax = 0x80000021;
    CHECK(svm::efer_by_cpuid(fake_cpuid) ==
          (always | ffxsr | tce | mcommit | intwb | uaie | aibrse));
    leaves = {{0x80000000, {0x80000004, 0, 0, 0}}};
    CHECK(svm::efer_by_cpuid(fake_cpuid) == always);
}

// A CPU that faults on some bits and drops others without a word.
struct {
    Efer value, faults, dropped;
    unsigned writes;
} cpu;

bool write(Efer wanted)
{
    ++cpu.writes;
    if (has(wanted, cpu.faults))
        return false;
    cpu.value = wanted & ~cpu.dropped;
    return true;
}
Efer read() { return cpu.value; }

TEST_CASE("EFER by trial: what the CPU takes and keeps, and it is as before")
{
    constexpr Efer running = sce | lme | lma | nxe;
    cpu = {.value = running | svme, .faults = tce, .dropped = lmsle, .writes = 0};
    CHECK(svm::efer_by_trial(running | ffxsr | tce | lmsle | uaie, write, read) ==
          (running | ffxsr | uaie));
    CHECK(cpu.value == (running | svme));
}

TEST_CASE("EFER by trial: bits that are set need no trial, and none else is tried")
{
    cpu = {.value = lme | lma, .faults = {}, .dropped = {}, .writes = 0};
    CHECK(svm::efer_by_trial(lme | lma, write, read) == (lme | lma));
    CHECK(cpu.writes == 0);
    CHECK(svm::efer_by_trial(lme | sce, write, read) == (lme | sce));
    CHECK(cpu.writes == 2);
    CHECK(cpu.value == (lme | lma));
}

} // namespace
} // namespace zpp::test
