// svm/vmcb_setup: at the launch exactly those events are intercepted that the table of exit codes
// says (AMD APM Vol. 2, App. B and C).
#include "emulate/features.hpp"
#include "fake_cpu.hpp"
#include "svm/exit_code.hpp"
#include "svm/shared.hpp"
#include "svm/vmcb_setup.hpp"
#include "x86/instructions.hpp"
#include <cstring>
#include <doctest/doctest.h>
#include <memory>
#include <string>

namespace zpp::test {
namespace {

using namespace svm;

constexpr u64 last_intercept = 0xa6;

// The intercept vectors are the VMCB's first bytes, a bit for each exit code.
bool is_intercepted(const Vmcb& vmcb, u64 code)
{
    u32 vectors[6];
    std::memcpy(vectors, &vmcb, sizeof vectors);
    return (vectors[code / 32] >> code % 32 & 1) != 0;
}

// IRET is intercepted in the guest's NMI handler only.
bool is_expected(const ExitCodeRow& row, u64 code)
{
    switch (static_cast<ExitCode>(code)) {
    case ExitCode::iret:
        return false;
    case ExitCode::cr0_selective_write:
        return shared.watches_cr0;
    case ExitCode::io:
        return shared.iopm != Hpa{0};
    default:
        return row.answer == ExitAnswer::handled || row.answer == ExitAnswer::undefined_opcode;
    }
}

TEST_CASE("VMCB: the intercepts are those of the table")
{
    for (const bool watches : {false, true}) {
        shared.watches_cr0 = watches;
        shared.iopm = {watches ? u64{0x7003000} : 0};
        auto vmcb = std::make_unique<Vmcb>();
        write_controls(*vmcb);
        CHECK(vmcb->iopm_base == shared.iopm.value);
        for (const ExitCodeRow& row : exit_codes)
            for (u64 code = row.first; code <= row.last && code <= last_intercept; ++code) {
                INFO(std::string(row.name), " ", code);
                CHECK(is_intercepted(*vmcb, code) == is_expected(row, code));
            }
    }
    shared.watches_cr0 = false;
    shared.iopm = {0};
}

TEST_CASE("VMCB: what else the controls enable")
{
    for (const bool virtual_nmi : {false, true})
        for (const bool invlpgb : {false, true}) {
            shared.virtual_nmi = virtual_nmi;
            set_support(invlpgb ? Support::invlpgb : Support{}, x86::cpuid);
            auto vmcb = std::make_unique<Vmcb>();
            write_controls(*vmcb);
            // No AVIC, no virtual GIF or interrupts (offset 060h), no SEV (090h), no LBR (0B8h).
            CHECK(raw(vmcb->virtual_interrupt) == (virtual_nmi ? bit(26) : 0));
            CHECK(vmcb->nested_controls == (1 | (invlpgb ? bit(7) : 0)));
            CHECK(vmcb->lbr_virtualization == 0);
            CHECK(vmcb->asid == 1);
        }
    shared.virtual_nmi = false;
    set_support(all_support, x86::cpuid);
}

} // namespace
} // namespace zpp::test
