// Prints the core's tables, for docs/reference/cpu_features.py: one row in a line, fields separated
// by tabs.
#include "emulate/feature_table.hpp"
#include "emulate/msr.hpp"
#include "svm/exit_code.hpp"
#include "svm/msr.hpp"
#include "svm/support.hpp"
#include "vmx/exit_reason.hpp"
#include "vmx/feature_controls.hpp"
#include "vmx/msr.hpp"
#define DOCTEST_CONFIG_IMPLEMENT // for the fakes
#include <cstdio>
#include <doctest/doctest.h>
#include <string>

namespace zpp::test {
namespace {

// What a feature needs, in the words of each vendor's manual; "hidden" if no CPU has it.
std::string needs_of_vmx(Support needs)
{
    if (needs == no_need)
        return "passed on";
    for (const vmx::EnableControl& row : vmx::enable_controls)
        if (row.support == needs)
            return std::string("with *") + row.name + "*";
    for (const vmx::SwitchedMsr& row : vmx::switched_msrs)
        if (row.support == needs)
            return std::string("with *") + row.name + "*";
    return "hidden";
}

std::string needs_of_svm(Support needs)
{
    if (!has(needs, ~svm::support(0)))
        return "passed on";
    if (!has(needs, ~svm::support(svm::svm_invlpgb_tlbsync)))
        return "with VMCB 090H[7]";
    return "hidden";
}

const char* name_of(Output output)
{
    constexpr const char* names[] = {"EAX", "EBX", "ECX", "EDX", ""};
    return names[static_cast<unsigned>(output)];
}

void print_features()
{
    for (const Feature& row : features)
        std::printf("feature\t%x\t%x\t%s\t%x\t%s\t%s\t%s\t%s\n", row.leaf, row.subleaf,
                    name_of(row.output), row.bits, row.name, needs_of_vmx(row.needs).c_str(),
                    needs_of_svm(row.needs).c_str(), row.why);
    for (const FeatureMsrs& row : feature_msrs)
        std::printf("feature-msr\t%x\t%x\t%s\t%s\t%s\n", static_cast<u32>(row.first),
                    static_cast<u32>(row.last), row.name, needs_of_vmx(row.needs).c_str(),
                    needs_of_svm(row.needs).c_str());
}

void print_msrs(const char* vendor, MsrHandlers handlers)
{
    for (const MsrHandler& row : handlers)
        std::printf("msr\t%s\t%x\t%x\t%s\t%s\t%s\n", vendor, static_cast<u32>(row.first),
                    static_cast<u32>(row.last),
                    row.read == nullptr        ? "passed on"
                    : row.read == refuse_rdmsr ? "#GP"
                                               : "emulated",
                    row.write == nullptr        ? "passed on"
                    : row.write == refuse_wrmsr ? "#GP"
                    : row.write == ignore_wrmsr ? "ignored"
                                                : "emulated",
                    row.needed == nullptr ? "always" : "if needed");
}

const char* text_of(vmx::ExitAnswer answer)
{
    switch (answer) {
    case vmx::ExitAnswer::handled:
        return "emulated";
    case vmx::ExitAnswer::undefined_opcode:
        return "#UD";
    case vmx::ExitAnswer::control_off:
        return "cannot happen: its control is 0";
    case vmx::ExitAnswer::crash:
        return "crash report";
    }
    return "?";
}

const char* text_of(svm::ExitAnswer answer)
{
    switch (answer) {
    case svm::ExitAnswer::handled:
        return "emulated";
    case svm::ExitAnswer::undefined_opcode:
        return "#UD";
    case svm::ExitAnswer::intercept_off:
        return "cannot happen: not intercepted";
    case svm::ExitAnswer::step:
        return "passed to the guest; intercepted only while an instruction is stepped over";
    case svm::ExitAnswer::crash:
        return "crash report";
    }
    return "?";
}

void print_exits()
{
    for (const svm::ExitCodeRow& row : svm::exit_codes)
        std::printf("exit\tAMD-V\t%llx %llx\t%s\t%s\n", static_cast<unsigned long long>(row.first),
                    static_cast<unsigned long long>(row.last), row.name, text_of(row.answer));
    for (const vmx::ExitReasonRow& row : vmx::exit_reasons)
        std::printf("exit\tVT-x\t%u\t%s\t%s\n", row.reason, row.name, text_of(row.answer));
}

} // namespace
} // namespace zpp::test

int main()
{
    zpp::test::print_features();
    zpp::test::print_msrs("VT-x", zpp::vmx::msr_handlers);
    zpp::test::print_msrs("AMD-V", zpp::svm::msr_handlers);
    zpp::test::print_exits();
}
