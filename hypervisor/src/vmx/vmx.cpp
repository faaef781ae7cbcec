#include "vmx/vmx.hpp"
#include "apic/access.hpp"
#include "apic/icr_trap.hpp"
#include "apic/startup.hpp"
#include "core/crash.hpp"
#include "core/machine.hpp"
#include "emulate/sleep.hpp"
#include "guest/memory.hpp"
#include "vmx/controls.hpp"
#include "vmx/entry_checks.hpp"
#include "vmx/ept.hpp"
#include "vmx/exit.hpp"
#include "vmx/exit_reason.hpp"
#include "vmx/guest.hpp"
#include "vmx/guest_state.hpp"
#include "vmx/operation.hpp"
#include "vmx/requested_exits.hpp"
#include "vmx/shared.hpp"
#include "vmx/switched_msrs.hpp"
#include "vmx/vcpu_state.hpp"
#include "vmx/vmcs.hpp"
#include "vmx/vmcs_setup.hpp"
#include "x86/control_registers.hpp"
#include "x86/exceptions.hpp"
#include "x86/instructions.hpp"
#include "x86/msr.hpp"
#include "x86/safe.hpp"
#include "x86/segments.hpp"
#include "zpp/hypercall.h"

namespace zpp::vmx {

void flush_old_translations()
{
    u64& generation = state_of(current_vcpu()).nested_paging_generation;
    if (generation == guest_memory::generation())
        return;
    generation = guest_memory::generation();
    flush_nested_tlb();
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

bool present() { return check(ZPP_IS_VTX).ok(); }

unsigned physical_address_bits() { return x86::cpuid(0x80000008).eax & 0xff; }

unsigned memory_key_bits()
{
    constexpr u32 leaf7_ecx_tme = 1u << 13;
    if (x86::cpuid(0).eax < 7 || (x86::cpuid(7).ecx & leaf7_ecx_tme) == 0)
        return 0;
    return ept::key_bits(x86::rdmsr_or_zero(x86::Msr::ia32_tme_activate));
}

constexpr u32 msr_bitmap_writes = 2048;
constinit u8* msr_bitmaps = nullptr;

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
            bytes[msr_bitmap_writes + offset] |= mask;
    }
}

// Writes to the ICR, in xAPIC and x2APIC mode.
void trap_icr(bool on)
{
    constexpr auto icr = static_cast<u32>(x86::Msr::ia32_x2apic_icr);
    u8& byte = msr_bitmaps[msr_bitmap_writes + icr / 8];
    byte = static_cast<u8>(on ? byte | 1u << icr % 8 : byte & ~(1u << icr % 8));
    guest_memory::allow_writes_to_protected_page(!on);
}

// Before Ice Lake a record of PEBS can be written some time after its counter was switched off, and
// so in the host; the CPUs after it have the baseline.
bool contains_pebs()
{
    constexpr u64 pebs_baseline = bit(14);
    return has(shared.capabilities.support, Support::perf_global_ctrl) &&
           (x86::rdmsr_or_zero(x86::Msr::ia32_perf_capabilities) & pebs_baseline) != 0;
}

// A bit for each port (SDM Vol. 3C, 25.6.4).
bool build_io_bitmaps()
{
    constexpr unsigned ports_in_page = 8 * page_size;
    const u16 port = sleep_port();
    if (port == 0 || !shared.capabilities.io_bitmaps)
        return true;
    for (unsigned page = 0; page < 2; ++page) {
        auto* const bitmap = static_cast<u8*>(machine.allocate_page());
        if (bitmap == nullptr)
            return false;
        if (port / ports_in_page == page)
            bitmap[port % ports_in_page / 8] = static_cast<u8>(1u << port % 8);
        shared.io_bitmaps[page] = machine.physical_of(bitmap);
    }
    shared.capabilities.primary |= PrimaryControls::use_io_bitmaps;
    return true;
}

Result prepare()
{
    Result result = check(ZPP_FOR_VTX);
    if (result.ok())
        result = apic_access::prepare();
    if (!result.ok())
        return result;
    shared.capabilities.read(x86::rdmsr);
    shared.capability_msrs = CapabilityMsrs{x86::rdmsr};
    guest_memory::protect(apic_access::page());
    shared.perf_global_ctrl = perf_global_ctrl_bits(
        x86::cpuid(0xa), x86::rdmsr_or_zero(x86::Msr::ia32_perf_capabilities));
    set_support(shared.capabilities.support | (contains_pebs() ? Support::pebs : no_need),
                x86::cpuid);
    const unsigned key_bits = memory_key_bits();
    const auto format =
        ept::format(physical_address_bits(), key_bits, shared.capabilities.ept_1g_pages,
                    shared.capabilities.ept_5_levels);
    // The guest, which reads IA32_TME_ACTIVATE, subtracts the key bits itself.
    result = guest_memory::build(format, guest_memory::Types::from_mtrrs,
                                 format.address_bits + key_bits);
    shared.address_bits = format.address_bits;
    if (!result.ok())
        return result;
    shared.eptp = ept::pointer(guest_memory::root(), format.levels);
    void* bitmaps = machine.allocate_page();
    if (bitmaps == nullptr)
        return {ZPP_NO_MEMORY, "MSR bitmaps"};
    for_each_intercepted_msr(msr_handlers, intercept_msr, bitmaps);
    msr_bitmaps = static_cast<u8*>(bitmaps);
    shared.msr_bitmaps = machine.physical_of(bitmaps);
    if (!build_io_bitmaps())
        return {ZPP_NO_MEMORY, "I/O bitmaps"};
    icr_trap::prepare({trap_icr, flush_old_translations});
    return {};
}

extern "C" void zpp_vmx_launch();

void exit_at_once(Vcpu& vcpu) { request_exits(vcpu); }

Result enter_guest(Vcpu& vcpu, const SwitchedMsrs& switched)
{
    write_controls();
    write_host_state(vcpu);
    write_guest_state(vcpu.call->os);
    switched.write_to_vmcs();
    if (state_of(vcpu).failed_field != 0)
        return {ZPP_ENTRY_FAILED, "a VMCS field is missing"};
    state_of(vcpu).nested_paging_generation = guest_memory::generation();
    flush_nested_tlb();
    flush_guest_tlb();
    startup::note_identity(vcpu);
    __atomic_store_n(&vcpu.launched, true, __ATOMIC_SEQ_CST);
    request_exits(vcpu); // an NMI may be pending already
    zpp_vmx_launch();
    startup::leave(vcpu, x86::pause);
    if (const EntryRule* rule = find_broken_rule(); rule != nullptr)
        return {ZPP_ENTRY_FAILED, rule->text};
    return {ZPP_ENTRY_FAILED, entry_error_text(vmcs::read(Field32::instruction_error))};
}

Result try_launch(Vcpu& vcpu, const SwitchedMsrs& switched)
{
    Result result = check_cpu(shared.capability_msrs);
    if (result.ok())
        result = enter_vmx_operation(vcpu);
    if (!result.ok())
        return result;
    result = enter_guest(vcpu, switched);
    leave_vmx_operation(vcpu);
    return result;
}

Result launch(Vcpu& vcpu)
{
    const SwitchedMsrs switched; // first: the CPU records into memory that only the OS maps
    const Result result = try_launch(vcpu, switched);
    switched.restore();
    return result;
}

bool on_security_exception(Vcpu&) { return false; }

} // namespace

constinit const Vendor vendor = {.name = "Intel VT-x",
                                 .feature = ZPP_FEATURE_VTX,
                                 .present = present,
                                 .prepare = prepare,
                                 .launch = launch,
                                 .on_host_nmi = take_nmi,
                                 .exit_at_once = exit_at_once,
                                 .on_security_exception = on_security_exception,
                                 .send_nmi = apic_access::send_nmi,
                                 .leave = leave_vmx_operation,
                                 .dump = dump,
                                 .exit_name = exit_name};

} // namespace zpp::vmx
