#include "svm/svm.hpp"
#include "apic/access.hpp"
#include "apic/startup.hpp"
#include "core/machine.hpp"
#include "core/requirements.hpp"
#include "core/trace.hpp"
#include "emulate/sleep.hpp"
#include "guest/memory.hpp"
#include "svm/cr0.hpp"
#include "svm/efer.hpp"
#include "svm/events.hpp"
#include "svm/exit_code.hpp"
#include "svm/guest_state.hpp"
#include "svm/instructions.hpp"
#include "svm/msr.hpp"
#include "svm/npt.hpp"
#include "svm/operation.hpp"
#include "svm/shared.hpp"
#include "svm/support.hpp"
#include "svm/vmcb_setup.hpp"
#include "x86/control_registers.hpp"
#include "x86/instructions.hpp"
#include "x86/msr.hpp"
#include "x86/safe.hpp"
#include "zpp/hypercall.h"

namespace zpp::svm {

constinit Shared shared = {};

namespace {

using x86::Efer;
using x86::Msr;

constexpr u32 leaf_svm = 0x8000000a;
constexpr u32 svm_next_rip = 1u << 3;
constexpr u32 svm_decode_assists = 1u << 7;
constexpr u32 svm_spec_ctrl = 1u << 20;
constexpr u32 svm_virtual_nmi = 1u << 25;

bool present() { return check(ZPP_IS_AMDV).ok(); }

Efer read_efer() { return x86::rdmsr<Efer>(); }
bool write_efer(Efer value) { return x86::safe_wrmsr(Msr::ia32_efer, raw(value)); }

unsigned physical_address_bits() { return x86::cpuid(0x80000008).eax & 0xff; }

// Without the C-bit and the bits that memory encryption takes, if the firmware has enabled it.
unsigned usable_address_bits()
{
    constexpr u32 leaf_encryption = 0x8000001f;
    constexpr u32 encryption_eax_sme = 1u << 0;
    const unsigned bits = physical_address_bits();
    if (x86::cpuid(0x80000000).eax < leaf_encryption ||
        (x86::cpuid(leaf_encryption).eax & encryption_eax_sme) == 0 ||
        !has(x86::SysCfg{x86::rdmsr_or_zero(Msr::syscfg)}, x86::SysCfg::mem_encryption_mod_en))
        return bits;
    return npt::encrypted_width(bits, x86::cpuid(leaf_encryption).ebx);
}

// SMEP and SMAP cost nothing: the core has no user pages.
x86::Cr4 host_cr4()
{
    const u32 extended = x86::cpuid(0).eax >= 7 ? x86::cpuid(7).ebx : 0;
    x86::Cr4 bits{};
    if ((extended & bit(7)) != 0)
        bits |= x86::Cr4::smep;
    if ((extended & bit(20)) != 0)
        bits |= x86::Cr4::smap;
    return bits;
}

// Two bits for each MSR, read and write, in three blocks of 2 KiB (AMD APM Vol. 2, 15.11).
void mark_msr(void* map, Msr first, Msr last, bool read, bool write)
{
    auto* bytes = static_cast<u8*>(map);
    for (Msr msr = first; msr <= last; msr = msr + 1) {
        const auto index = static_cast<u32>(msr);
        const u32 block = index < 0xc0000000 ? 0 : index < 0xc0010000 ? 1 : 2;
        const u32 offset = block * 2048 + (index & 0x1fff) / 4;
        bytes[offset] |= static_cast<u8>((read ? 1u : 0u) << (index % 4 * 2));
        bytes[offset] |= static_cast<u8>((write ? 2u : 0u) << (index % 4 * 2));
    }
}

// Pages that are physically contiguous.
u8* allocate_map(u64 pages)
{
    auto* first = static_cast<u8*>(machine.allocate_page());
    for (u64 count = 1; first != nullptr && count < pages; ++count) {
        auto* next = static_cast<u8*>(machine.allocate_page());
        if (next == nullptr)
            return nullptr;
        if (machine.physical_of(next) != machine.physical_of(first) + count * page_size) {
            first = next;
            count = 0;
        }
    }
    return first;
}

// A bit for each port (AMD APM Vol. 2, 15.10.1).
bool build_io_map()
{
    constexpr u64 io_map_pages = 3;
    const u16 port = sleep_port();
    if (port == 0)
        return true;
    u8* const map = allocate_map(io_map_pages);
    if (map == nullptr)
        return false;
    map[port / 8] = static_cast<u8>(1u << port % 8);
    shared.iopm = machine.physical_of(map);
    return true;
}

Result prepare()
{
    Result result = check(ZPP_FOR_AMDV);
    if (result.ok())
        result = apic_access::prepare();
    if (!result.ok())
        return result;
    const u32 features = x86::cpuid(leaf_svm).edx;
    shared.next_rip = (features & svm_next_rip) != 0;
    shared.decode_assists = (features & svm_decode_assists) != 0;
    set_support(support(features), x86::cpuid);
    shared.spec_ctrl = (features & svm_spec_ctrl) != 0;
    shared.virtual_nmi = (features & svm_virtual_nmi) != 0;
    shared.efer_allowed = efer_by_trial(efer_by_cpuid(x86::cpuid), write_efer, read_efer);
    shared.host_cr4 = host_cr4();
    shared.watches_cr0 = !cpu_checks_cr0();

    constexpr u32 leaf80000001_edx_page1gb = 1u << 26;
    guest_memory::protect(apic_access::page());
    const auto format = npt::format(physical_address_bits(), usable_address_bits(),
                                    (x86::cpuid(0x80000001).edx & leaf80000001_edx_page1gb) != 0,
                                    has(x86::read_cr4(), x86::Cr4::la57) ? 5 : 4);
    result = guest_memory::build(format, guest_memory::Types::by_cpu, format.address_bits);
    if (!result.ok())
        return result;
    shared.nested_cr3 = guest_memory::root();
    const auto open_root = guest_memory::build_open_root();
    if (!open_root)
        return {ZPP_NO_MEMORY, "nested paging"};
    shared.open_nested_cr3 = *open_root;
    constexpr u64 msr_map_pages = 2;
    u8* const map = allocate_map(msr_map_pages);
    if (map == nullptr)
        return {ZPP_NO_MEMORY, "the MSR permissions map"};
    if (!build_io_map())
        return {ZPP_NO_MEMORY, "the I/O permissions map"};
    for_each_intercepted_msr(msr_handlers, mark_msr, map);
    shared.msrpm = machine.physical_of(map);
    return {};
}

extern "C" void zpp_svm_run(Hpa guest_vmcb, Hpa host_vmcb, bool traced);

Result launch(Vcpu& vcpu)
{
    const Result result = check(ZPP_FOR_AMDV);
    if (!result.ok())
        return result;

    Vmcb& vmcb = vmcb_of(vcpu);
    const Hpa guest = machine.physical_of(&vmcb);
    const Hpa host = machine.physical_of(host_vmcb(vcpu));
    write_controls(vmcb);
    follow_cpuid_faulting(vcpu, x86::Hwcr{x86::rdmsr_or_zero(Msr::hwcr)});
    write_guest_state(vmcb, vcpu.call->os);
    enter_svm_operation(vcpu);
    clgi();
    vmsave(guest);
    vcpu.gdt.load_tr();
    vmsave(host);
    startup::note_identity(vcpu);
    __atomic_store_n(&vcpu.launched, true, __ATOMIC_RELEASE);
    zpp_svm_run(guest, host, trace::is_on());

    // The CPU refused the very first VMRUN.
    __atomic_store_n(&vcpu.launched, false, __ATOMIC_RELEASE);
    vmload(guest);
    x86::write_dr7(vmcb.dr7); // an exit disables breakpoints
    leave_svm_operation(vcpu);
    return {ZPP_ENTRY_FAILED, "VMRUN refused the VMCB"};
}

void on_host_nmi(Vcpu& vcpu)
{
    const bool kicked = startup::take_kick(vcpu);
    if (!take_window_nmi(vcpu) && !kicked)
        vcpu.nmi_pending = true;
}

void exit_at_once(Vcpu&) {} // no VM entry is under way; see events.cpp

bool on_security_exception(Vcpu& vcpu)
{
    if (!vcpu.launched)
        return false;
    (void)startup::init_arrived(vcpu);
    return true;
}

} // namespace

constinit const Vendor vendor = {.name = "AMD-V",
                                 .feature = ZPP_FEATURE_AMDV,
                                 .present = present,
                                 .prepare = prepare,
                                 .launch = launch,
                                 .on_host_nmi = on_host_nmi,
                                 .exit_at_once = exit_at_once,
                                 .on_security_exception = on_security_exception,
                                 .send_nmi = apic_access::send_nmi,
                                 .leave = leave_svm_operation,
                                 .dump = dump,
                                 .exit_name = exit_name};

} // namespace zpp::svm
