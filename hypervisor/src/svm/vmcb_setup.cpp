#include "svm/vmcb_setup.hpp"
#include "emulate/features.hpp"
#include "svm/cr0.hpp"
#include "svm/shared.hpp"
#include "x86/exceptions.hpp"

namespace zpp::svm {

void write_controls(Vmcb& vmcb)
{
    // SMI: with HWCR.SMMLOCK, which firmware sets, a CPU ignores this intercept, and switches from
    // the guest to SMM and back by itself (AMD APM Vol. 2, 15.13.3 and 15.22). Without the lock the
    // SMI stays pending, the host takes it, and the save state map shows the host's registers.
    // QEMU's TCG knows no lock, and without the intercept it runs SMM with the guest's intercepts.
    vmcb.intercept_exceptions = 1u << x86::vector_general_protection; // exception.cpp
    vmcb.intercept_vector_3 = InterceptVector3::nmi | InterceptVector3::smi |
                              InterceptVector3::init | InterceptVector3::cpuid |
                              InterceptVector3::invd | InterceptVector3::invlpga |
                              InterceptVector3::msr_prot | InterceptVector3::shutdown;
    vmcb.intercept_vector_4 = InterceptVector4::svm_instructions;
    if (shared.watches_cr0)
        watch_cr0(vmcb);
    if (shared.virtual_nmi)
        vmcb.virtual_interrupt = VirtualInterrupt::v_nmi_enable;
    vmcb.msrpm_base = shared.msrpm.value;
    if (shared.iopm != Hpa{0}) {
        vmcb.intercept_vector_3 |= InterceptVector3::ioio_prot;
        vmcb.iopm_base = shared.iopm.value;
    }
    vmcb.asid = asid;
    vmcb.tlb_control = tlb_flush_all;
    vmcb.nested_controls = enable_nested_paging;
    if (is_supported(Support::invlpgb))
        vmcb.nested_controls |= enable_invlpgb_tlbsync;
    vmcb.nested_cr3 = shared.nested_cr3.value;
}

} // namespace zpp::svm
