#include "vmx/vmcs_setup.hpp"
#include "core/trace.hpp"
#include "vmx/controls.hpp"
#include "vmx/shared.hpp"
#include "vmx/vcpu_state.hpp"
#include "vmx/vmcs.hpp"
#include "x86/control_registers.hpp"
#include "x86/exceptions.hpp"
#include "x86/instructions.hpp"
#include "x86/msr.hpp"
#include "x86/safe.hpp"
#include "x86/segments.hpp"

namespace zpp::vmx {

void write_controls()
{
    const Capabilities& capabilities = shared.capabilities;
    vmcs::write(Field32::pin_based_controls, capabilities.pin);
    vmcs::write(Field32::primary_controls, capabilities.primary);
    vmcs::write(Field32::secondary_controls, capabilities.secondary);
    vmcs::write(Field32::exit_controls, capabilities.exit);
    vmcs::write(Field32::exception_bitmap, 0);
    vmcs::write(Field32::page_fault_mask, 0);
    vmcs::write(Field32::page_fault_match, 0);
    vmcs::write(Field32::cr3_target_count, 0);
    vmcs::write(Field32::exit_msr_store_count, 0);
    vmcs::write(Field32::exit_msr_load_count, 0);
    vmcs::write(Field32::entry_msr_load_count, 0);
    vmcs::write(Field32::entry_interruption_information, 0);
    if (capabilities.preemption_timer)
        vmcs::write(Field32::guest_preemption_timer, 0); // for exit_at_once()
    vmcs::write(Field64::msr_bitmaps, shared.msr_bitmaps.value);
    if (has(capabilities.primary, PrimaryControls::use_io_bitmaps)) {
        vmcs::write(Field64::io_bitmap_a, shared.io_bitmaps[0].value);
        vmcs::write(Field64::io_bitmap_b, shared.io_bitmaps[1].value);
    }
    vmcs::write(Field64::eptp, shared.eptp);
    if (capabilities.vpid)
        vmcs::write(Field16::vpid, vpid);
    if (has(capabilities.secondary, SecondaryControls::enable_xsaves))
        vmcs::write(Field64::xss_exiting_bitmap, 0);
    if (has(capabilities.secondary, SecondaryControls::enable_pconfig))
        vmcs::write(Field64::pconfig_exiting_bitmap, 0);
    vmcs::write(FieldNatural::cr0_mask, cr0_mask());
    vmcs::write(FieldNatural::cr4_mask, cr4_mask());
}

namespace {

constexpr u32 leaf1_ecx_xsave = 1u << 26;

// Only what the host needs: bits of the OS's CR4 may depend on state that the host does not have.
x86::Cr4 host_cr4()
{
    x86::Cr4 value = x86::Cr4::pae | x86::Cr4::mce | (x86::read_cr4() & x86::Cr4::la57);
    if ((x86::cpuid(1).ecx & leaf1_ecx_xsave) != 0)
        value |= x86::Cr4::osxsave; // zpp executes XSETBV for the guest
    return real_cr4(value);
}

} // namespace

extern "C" {
void zpp_vmx_exit();
void zpp_vmx_general_exit();
void zpp_vmx_traced_exit();
}

namespace {

u64 exit_stub(const Vcpu& vcpu)
{
    if (trace::is_on())
        return reinterpret_cast<u64>(&zpp_vmx_traced_exit);
    return reinterpret_cast<u64>(vcpu.cpuid_faults ? &zpp_vmx_general_exit : &zpp_vmx_exit);
}

} // namespace

void follow_cpuid_faulting(Vcpu& vcpu, x86::MiscFeaturesEnables enables)
{
    vcpu.cpuid_faults = has(enables, x86::MiscFeaturesEnables::cpuid_fault);
    vmcs::write(FieldNatural::host_rip, exit_stub(vcpu));
}

void write_host_state(Vcpu& vcpu)
{
    vmcs::write(FieldNatural::host_cr0, real_cr0(x86::Cr0::pe | x86::Cr0::mp | x86::Cr0::et |
                                                 x86::Cr0::ne | x86::Cr0::wp | x86::Cr0::pg));
    vmcs::write(FieldNatural::host_cr3, x86::read_cr3());
    vmcs::write(FieldNatural::host_cr4, host_cr4());
    vmcs::write(Field64::host_efer, x86::Efer::lme | x86::Efer::lma | x86::Efer::nxe);
    vmcs::write(Field64::host_pat, x86::pat_at_power_on);
    vmcs::write(Field16::host_cs, x86::host_cs);
    vmcs::write(Field16::host_ss, x86::host_ds);
    vmcs::write(Field16::host_ds, x86::host_ds);
    vmcs::write(Field16::host_es, x86::host_ds);
    vmcs::write(Field16::host_fs, 0);
    vmcs::write(Field16::host_gs, 0);
    vmcs::write(Field16::host_tr, x86::host_tr);
    vmcs::write(FieldNatural::host_fs_base, 0);
    vmcs::write(FieldNatural::host_gs_base, 0);
    vmcs::write(FieldNatural::host_tr_base, reinterpret_cast<u64>(&vcpu.tss));
    vmcs::write(FieldNatural::host_gdtr_base, reinterpret_cast<u64>(&vcpu.gdt));
    vmcs::write(FieldNatural::host_idtr_base, x86::idt_base());
    vmcs::write(Field32::host_sysenter_cs, 0);
    vmcs::write(FieldNatural::host_sysenter_esp, 0);
    vmcs::write(FieldNatural::host_sysenter_eip, 0);
    vmcs::write(FieldNatural::host_rsp, vcpu.stack_top());
    follow_cpuid_faulting(
        vcpu, x86::MiscFeaturesEnables{x86::rdmsr_or_zero(x86::Msr::misc_features_enables)});
}

} // namespace zpp::vmx
