#include "svm/msr.hpp"
#include "svm/apic_access.hpp"
#include "svm/shared.hpp"
#include "svm/startup.hpp"
#include "svm/vcpu_state.hpp"
#include "x86/control_registers.hpp"
#include "x86/msr.hpp"
#include "x86/safe.hpp"

namespace zpp::svm {
namespace {

namespace msr = x86::msr;

Outcome read_efer(u32, u64& value)
{
    value = vmcb_of(current_vcpu()).efer & ~msr::efer_svme;
    return Outcome::advance;
}

Outcome write_efer(u32, u64 value)
{
    Vmcb& vmcb = vmcb_of(current_vcpu());
    const u64 changed = value ^ vmcb.efer;
    if ((value & ~shared.efer_allowed) != 0 ||
        ((changed & msr::efer_lme) != 0 && (vmcb.cr0 & x86::cr0_pg) != 0))
        return Outcome::general_protection;
    vmcb.efer = (value & ~msr::efer_lma) | (vmcb.efer & msr::efer_lma) | msr::efer_svme;
    vmcb.clean &= ~clean_control_registers;
    return Outcome::advance;
}

// The xAPIC's page must stay where nested paging protects it.
Outcome write_apic_base(u32 index, u64 value)
{
    if ((value & msr::apic_base_address) != apic_access::page().value)
        return Outcome::general_protection;
    return pass_wrmsr(index, value);
}

Outcome write_x2apic_icr(u32 index, u64 value)
{
    if (apic_access::is_x2apic() && startup::intercept(current_vcpu(), Icr::x2apic(value)))
        return Outcome::advance;
    return pass_wrmsr(index, value);
}

// The value that a firmware leaves which has AMD-V switched off.
Outcome read_vm_cr(u32 index, u64& value)
{
    if (!x86::safe_rdmsr(index, value))
        return Outcome::general_protection;
    value = (value & ~msr::vm_cr_r_init) | msr::vm_cr_lock | msr::vm_cr_svmdis;
    return Outcome::advance;
}

// A Linux that has used SVM before clears it when it shuts down.
Outcome write_vm_hsave_pa(u32, u64 value)
{
    return value == 0 ? Outcome::advance : Outcome::general_protection;
}

// A microcode update is ignored: it is not safe while the host runs on the CPU. VM_CR is locked.
constexpr MsrHandler handlers[] = {
    {msr::x2apic_icr, msr::x2apic_icr, nullptr, write_x2apic_icr},
    {msr::apic_base, msr::apic_base, nullptr, write_apic_base},
    {msr::efer, msr::efer, read_efer, write_efer},
    {msr::patch_loader, msr::patch_loader, nullptr, ignore_wrmsr},
    {msr::vm_cr, msr::vm_cr, read_vm_cr, ignore_wrmsr},
    {msr::vm_hsave_pa, msr::vm_hsave_pa, refuse_rdmsr, write_vm_hsave_pa},
    {msr::svm_key, msr::svm_key, refuse_rdmsr, refuse_wrmsr},
};

} // namespace

constinit const MsrHandlers msr_handlers = handlers;

} // namespace zpp::svm
