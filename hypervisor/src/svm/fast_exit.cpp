// The hot path: CPUID of leaf 1 or an untouched one while nothing else is to be done. Anything else is left
// to the general handler.
#include "emulate.hpp"
#include "svm/guest_state.hpp"
#include "svm/shared.hpp"
#include "svm/startup.hpp"

namespace zpp::svm {

extern "C" bool zpp_svm_on_fast_exit(ScratchRegisters& registers);

bool zpp_svm_on_fast_exit(ScratchRegisters& registers)
{
    constexpr auto code_cpuid = static_cast<u64>(ExitCode::cpuid);
    Vcpu& vcpu = current_vcpu();
    Vmcb& vmcb = vmcb_of(vcpu);
    const auto leaf = static_cast<u32>(vmcb.rax);
    if (vmcb.exit_code != code_cpuid || (leaf != 1 && is_changed_leaf(leaf)) || !shared.next_rip ||
        (vmcb.rflags & x86::rflags_tf) != 0 || vmcb.interrupt_state != 0 || vcpu.nmi_pending ||
        startup::waits(vcpu))
        return false;
    ++vcpu.exits[code_cpuid];
    x86::CpuidResult result = x86::cpuid(leaf, static_cast<u32>(registers.rcx));
    if (leaf == 1)
        change_cpuid_leaf_1(vmcb.cr4, result);
    vmcb.rip = vmcb.next_rip;
    vmcb.clean = clean_all;
    vmcb.tlb_control = 0;
    vmcb.event_injection = 0;
    vmcb.rax = result.eax;
    registers.rbx = result.ebx;
    registers.rcx = result.ecx;
    registers.rdx = result.edx;
    return true;
}

} // namespace zpp::svm
