// The names of exit reasons and exit codes in crash reports (SDM Vol. 3D, App. C; AMD APM Vol. 2,
// App. C).
#include "svm/exit_code.hpp"
#include "vmx/exit_reason.hpp"
#include <algorithm>
#include <doctest/doctest.h>
#include <iterator>
#include <string>

namespace zpp::test {
namespace {

struct Name {
    u64 code;
    const char* name;
};

TEST_CASE("exit names: VMX")
{
    constexpr Name names[] = {
        {0, "exception or NMI"},
        {2, "triple fault"},
        {3, "INIT signal"},
        {10, "CPUID"},
        {28, "control-register access"},
        {31, "RDMSR"},
        {32, "WRMSR"},
        {33, "VM-entry failure: invalid guest state"},
        {0x80000021, "VM-entry failure: invalid guest state"},
        {35, "?"},
        {41, "VM-entry failure: machine check"},
        {43, "TPR below threshold"},
        {48, "EPT violation"},
        {49, "EPT misconfiguration"},
        {55, "XSETBV"},
        {59, "VMFUNC"},
        {63, "XSAVES"},
        {70, "ENCLV"},
        {71, "?"},
        {72, "ENQCMD PASID translation failure"},
        {75, "instruction timeout"},
        {77, "TDCALL"},
        {83, "?"},
        {85, "WRMSRNS with an immediate"},
        {86, "?"},
        {0xffff, "?"},
    };
    for (const auto& [code, name] : names) {
        CAPTURE(code);
        CHECK(vmx::exit_name(code) == std::string(name));
    }
}

TEST_CASE("exit reasons: the table has every number of the manual once, in order")
{
    constexpr unsigned reserved[] = {35, 38, 42, 71, 82, 83};
    unsigned next = 0;
    for (const vmx::ExitReasonRow& row : vmx::exit_reasons) {
        for (; next < row.reason; ++next) {
            CAPTURE(next);
            CHECK(std::find(std::begin(reserved), std::end(reserved), next) != std::end(reserved));
        }
        CHECK(row.reason == next++);
        CHECK(vmx::find_exit_reason(row.reason) == &row);
    }
    CHECK(next == 86);
}

TEST_CASE("exit reasons: those of hidden features are #UD")
{
    for (const unsigned reason : {11, 19, 20, 21, 22, 23, 24, 25, 26, 27, 50, 53, 59, 76, 77}) {
        CAPTURE(reason);
        CHECK(vmx::find_exit_reason(reason)->answer == vmx::ExitAnswer::undefined_opcode);
    }
}

TEST_CASE("exit names: SVM")
{
    constexpr Name names[] = {
        {0x00, "CR_READ"},
        {0x10, "CR_WRITE"},
        {0x2f, "DR_READ"},
        {0x4e, "EXCP"},
        {0x60, "INTR"},
        {0x61, "NMI"},
        {0x63, "INIT"},
        {0x64, "VINTR"},
        {0x72, "CPUID"},
        {0x74, "IRET"},
        {0x76, "INVD"},
        {0x7a, "INVLPGA"},
        {0x7c, "MSR"},
        {0x7f, "SHUTDOWN"},
        {0x80, "VMRUN"},
        {0x81, "VMMCALL"},
        {0x86, "SKINIT"},
        {0x8d, "XSETBV"},
        {0x8f, "EFER_WRITE_TRAP"},
        {0x93, "CR_WRITE_TRAP"},
        {0xa2, "INVPCID"},
        {0xa7, "?"},
        {0x400, "NPF"},
        {0x401, "AVIC_INCOMPLETE_IPI"},
        {0x404, "?"},
        {~u64{0}, "INVALID"},
        {0xffffffff, "INVALID"},
    };
    for (const auto& [code, name] : names) {
        CAPTURE(code);
        CHECK(svm::exit_name(code) == std::string(name));
    }
}

TEST_CASE("exit codes: the table is in order and has every code of the manual")
{
    constexpr struct {
        u64 first, last;
    } blocks[] = {{0x00, 0xa6}, {0x400, 0x403}, {~0ull, ~0ull}};
    const auto* row = std::begin(svm::exit_codes);
    for (const auto& block : blocks)
        for (u64 code = block.first;; code = row++->last + 1) {
            CAPTURE(code);
            REQUIRE(row != std::end(svm::exit_codes));
            CHECK(row->first == code);
            CHECK(row->last >= row->first);
            CHECK(svm::find_exit_code(code) == row);
            if (row->last == block.last) {
                ++row;
                break;
            }
        }
    CHECK(row == std::end(svm::exit_codes));
}

TEST_CASE("exit codes: SVM instructions are #UD")
{
    for (const unsigned code : {0x7a, 0x80, 0x82, 0x83, 0x84, 0x85, 0x86})
        CHECK(svm::find_exit_code(code)->answer == svm::ExitAnswer::undefined_opcode);
}

TEST_CASE("exit counters: SVM's nested page faults have one below the limit")
{
    CHECK(svm::exit_counter(0x72) == 0x72);
    CHECK(svm::exit_counter(0x400) == 0xa8);
}

} // namespace
} // namespace zpp::test
