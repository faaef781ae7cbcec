#include "vmx/vmx.hpp"
#include "core/crash.hpp"
#include "core/machine.hpp"
#include "guest/memory.hpp"
#include "vmx/controls.hpp"
#include "vmx/ept.hpp"
#include "vmx/exit.hpp"
#include "vmx/exit_reason.hpp"
#include "vmx/guest.hpp"
#include "vmx/guest_state.hpp"
#include "vmx/operation.hpp"
#include "vmx/shared.hpp"
#include "vmx/vcpu_state.hpp"
#include "vmx/vmcs.hpp"
#include "x86/control_registers.hpp"
#include "x86/exceptions.hpp"
#include "x86/instructions.hpp"
#include "x86/msr.hpp"
#include "x86/segments.hpp"
#include "zpp/hypercall.h"

namespace zpp::vmx {

constinit Shared shared = {};

x86::Cr0 cr0_mask()
{
    // An unrestricted guest controls PE and PG (SDM Vol. 3C, 24.8); CD and NW follow the guest.
    return (shared.capabilities.cr0_fixed0 & ~(x86::Cr0::pe | x86::Cr0::pg)) |
           ~shared.capabilities.cr0_fixed1;
}

x86::Cr4 cr4_mask()
{
    return shared.capabilities.cr4_fixed0 | ~shared.capabilities.cr4_fixed1 | x86::Cr4::smxe;
}

x86::Cr0 real_cr0(x86::Cr0 value)
{
    return (value | (shared.capabilities.cr0_fixed0 & ~(x86::Cr0::pe | x86::Cr0::pg))) &
           shared.capabilities.cr0_fixed1;
}

x86::Cr4 real_cr4(x86::Cr4 value)
{
    return (value | shared.capabilities.cr4_fixed0) & shared.capabilities.cr4_fixed1;
}

void flush_guest_tlb()
{
    if (shared.capabilities.vpid && !invvpid(Invalidation::single_context, vpid))
        crash("INVVPID failed", vpid);
}

void flush_nested_tlb()
{
    if (!invept(Invalidation::single_context, shared.eptp))
        crash("INVEPT failed", shared.eptp);
}

void on_failed_access(u32 field)
{
    Vcpu& vcpu = current_vcpu();
    if (vcpu.launched)
        crash("VMCS field cannot be accessed", field);
    if (state_of(vcpu).failed_field == 0)
        state_of(vcpu).failed_field = field;
}

namespace {

constexpr u32 leaf1_ecx_vmx = 1u << 5;
constexpr u32 leaf1_ecx_xsave = 1u << 26;

bool present() { return (x86::cpuid(1).ecx & leaf1_ecx_vmx) != 0; }

unsigned physical_address_bits() { return x86::cpuid(0x80000008).eax & 0xff; }

void intercept_msr(void* bitmaps, x86::Msr first, x86::Msr last, bool read, bool write)
{
    // SDM Vol. 3C, 25.6.9: 1 KiB each for reads of low and high MSRs, then writes of them.
    auto* bytes = static_cast<u8*>(bitmaps);
    for (x86::Msr index = first; index <= last; index = index + 1) {
        const auto msr = static_cast<u32>(index);
        const u32 offset = (msr & 0x1fff) / 8 + (msr >= 0xc0000000 ? 1024 : 0);
        const u8 mask = static_cast<u8>(1u << (msr % 8));
        if (read)
            bytes[offset] |= mask;
        if (write)
            bytes[2048 + offset] |= mask;
    }
}

Result prepare()
{
    Result result = shared.capabilities.read(x86::rdmsr);
    if (!result.ok())
        return result;
    const auto format = ept::format(physical_address_bits(), shared.capabilities.ept_1g_pages,
                                    shared.capabilities.ept_5_levels);
    result = guest_memory::build(format, guest_memory::Types::from_mtrrs);
    if (!result.ok())
        return result;
    shared.eptp = ept::pointer(guest_memory::root(), format.levels);
    void* bitmaps = machine.allocate_page();
    if (bitmaps == nullptr)
        return {ZPP_NO_MEMORY, "MSR bitmaps"};
    for_each_intercepted_msr(msr_handlers, intercept_msr, bitmaps);
    shared.msr_bitmaps = machine.physical_of(bitmaps);
    return {};
}

// Every CPU must have the capabilities of the first one (those of hybrid CPUs are equal).
Result check_this_cpu()
{
    Capabilities here{};
    const Result result = here.read(x86::rdmsr);
    if (!result.ok())
        return result;
    if (!(here == shared.capabilities))
        return {ZPP_MISSING_FEATURE, "the same VMX capabilities on every CPU"};
    return {};
}

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
    vmcs::write(Field64::msr_bitmaps, shared.msr_bitmaps.value);
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

// Only what the host needs: bits of the OS's CR4 may depend on state that the host does not have.
x86::Cr4 host_cr4()
{
    x86::Cr4 value = x86::Cr4::pae | x86::Cr4::mce | (x86::read_cr4() & x86::Cr4::la57);
    if ((x86::cpuid(1).ecx & leaf1_ecx_xsave) != 0)
        value |= x86::Cr4::osxsave; // for XSETBV in place of the guest
    return real_cr4(value);
}

extern "C" void zpp_vmx_exit();

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
    vmcs::write(FieldNatural::host_rip, reinterpret_cast<u64>(&zpp_vmx_exit));
}

extern "C" void zpp_vmx_launch();

void on_host_nmi(Vcpu& vcpu)
{
    vcpu.nmi_pending = true;
    open_nmi_window();
}

Result enter_guest(Vcpu& vcpu)
{
    write_controls();
    write_host_state(vcpu);
    write_guest_state(vcpu.call->os);
    if (state_of(vcpu).failed_field != 0)
        return {ZPP_ENTRY_FAILED, "a VMCS field is missing"};
    state_of(vcpu).nested_paging_generation = guest_memory::generation();
    flush_nested_tlb();
    flush_guest_tlb();
    vcpu.launched = true;
    if (vcpu.nmi_pending)
        open_nmi_window();
    zpp_vmx_launch();
    vcpu.launched = false;
    return {ZPP_ENTRY_FAILED, entry_error_text(vmcs::read(Field32::instruction_error))};
}

Result launch(Vcpu& vcpu)
{
    Result result = check_this_cpu();
    if (result.ok())
        result = enter_vmx_operation(vcpu);
    if (!result.ok())
        return result;
    result = enter_guest(vcpu);
    leave_vmx_operation(vcpu);
    return result;
}

bool on_security_exception(Vcpu&) { return false; }

} // namespace

constinit const Vendor vendor = {.name = "Intel VT-x",
                                 .feature = ZPP_FEATURE_VTX,
                                 .present = present,
                                 .prepare = prepare,
                                 .launch = launch,
                                 .on_host_nmi = on_host_nmi,
                                 .on_security_exception = on_security_exception,
                                 .dump = dump,
                                 .exit_name = exit_name};

} // namespace zpp::vmx
