#include "svm/msr.hpp"
#include "emulate/apic.hpp"
#include "emulate/microcode.hpp"
#include "svm/microcode.hpp"
#include "svm/routing.hpp"
#include "svm/shared.hpp"
#include "svm/vcpu_state.hpp"
#include "x86/control_registers.hpp"
#include "x86/instructions.hpp"
#include "x86/msr.hpp"
#include "x86/safe.hpp"

namespace zpp::svm {
namespace {

using x86::Efer;
using x86::Msr;
using x86::VmCr;

Outcome read_efer(Msr, u64& value)
{
    value = raw(vmcb_of(current_vcpu()).efer & ~Efer::svme);
    return Outcome::advance;
}

Outcome write_efer(Msr, u64 value)
{
    Vmcb& vmcb = vmcb_of(current_vcpu());
    const Efer efer{value};
    const Efer changed = efer ^ vmcb.efer;
    if (has(efer, ~shared.efer_allowed) || (has(changed, Efer::lme) && has(vmcb.cr0, x86::Cr0::pg)))
        return Outcome::general_protection;
    vmcb.efer = (efer & ~Efer::lma) | (vmcb.efer & Efer::lma) | Efer::svme;
    vmcb.clean &= ~Clean::crx;
    return Outcome::advance;
}

// As on a machine whose firmware has disabled AMD-V.
Outcome read_vm_cr(Msr index, u64& value)
{
    if (!x86::safe_rdmsr(index, value))
        return Outcome::general_protection;
    value = raw((VmCr{value} & ~VmCr::r_init) | VmCr::lock | VmCr::svmdis);
    return Outcome::advance;
}

// Linux clears it at shutdown if it used SVM before the launch.
Outcome write_vm_hsave_pa(Msr, u64 value)
{
    return value == 0 ? Outcome::advance : Outcome::general_protection;
}

const char* fault_of_patch(const u8* patch, u64 bytes)
{
    return patch_fault(patch, bytes, x86::cpuid(1).eax);
}

Outcome write_patch_loader(Msr index, u64 value)
{
    const MicrocodeFormat format{index, 0, patch_size_limit, fault_of_patch};
    const Vmcb& vmcb = vmcb_of(current_vcpu());
    return load_microcode(format, current_vcpu(), {vmcb.cr0, vmcb.cr3, vmcb.cr4, vmcb.efer},
                          {value}, x86::safe_wrmsr);
}

// VM_CR is locked.
constexpr MsrHandler handlers[] = {
    {Msr::ia32_x2apic_icr, Msr::ia32_x2apic_icr, nullptr, write_x2apic_icr},
    {Msr::ia32_apic_base, Msr::ia32_apic_base, nullptr, write_apic_base},
    {Msr::ia32_efer, Msr::ia32_efer, read_efer, write_efer},
    {Msr::syscfg, Msr::syscfg, routing::read_syscfg, routing::write_syscfg},
    {Msr::iorr_base_0, Msr::iorr_mask_1, nullptr, routing::write_iorr},
    {Msr::top_mem, Msr::top_mem, nullptr, routing::write_top_mem},
    {Msr::top_mem2, Msr::top_mem2, nullptr, routing::write_top_mem},
    {Msr::mmio_cfg_base_addr, Msr::mmio_cfg_base_addr, nullptr, routing::write_mmio_cfg_base},
    {Msr::smbase, Msr::smm_mask, nullptr, routing::write_locked},
    {Msr::smm_ctl, Msr::smm_ctl, nullptr, refuse_wrmsr},
    {Msr::smm_key, Msr::smm_key, nullptr, refuse_wrmsr},
    {Msr::rmp_base, Msr::rmp_end, refuse_rdmsr, refuse_wrmsr},
    {Msr::rmp_cfg, Msr::rmp_cfg, refuse_rdmsr, refuse_wrmsr},
    {Msr::patch_loader, Msr::patch_loader, nullptr, write_patch_loader},
    {Msr::vm_cr, Msr::vm_cr, read_vm_cr, ignore_wrmsr},
    {Msr::vm_hsave_pa, Msr::vm_hsave_pa, refuse_rdmsr, write_vm_hsave_pa},
    {Msr::svm_key, Msr::svm_key, refuse_rdmsr, refuse_wrmsr},
};

} // namespace

constinit const MsrHandlers msr_handlers = handlers;

} // namespace zpp::svm
