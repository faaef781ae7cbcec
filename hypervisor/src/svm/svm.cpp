#include "svm/svm.hpp"
#include "core/machine.hpp"
#include "guest/memory.hpp"
#include "svm/apic_access.hpp"
#include "svm/exit_code.hpp"
#include "svm/guest_state.hpp"
#include "svm/instructions.hpp"
#include "svm/msr.hpp"
#include "svm/npt.hpp"
#include "svm/shared.hpp"
#include "svm/startup.hpp"
#include "x86/control_registers.hpp"
#include "x86/instructions.hpp"
#include "x86/msr.hpp"
#include "x86/safe.hpp"
#include "zpp/hypercall.h"

namespace zpp::svm {

constinit Shared shared = {};

namespace {

namespace msr = x86::msr;

constexpr u32 leaf_svm = 0x8000000a;
constexpr u32 svm_nested_paging = 1u << 0;
constexpr u32 svm_next_rip = 1u << 3;
constexpr u32 svm_decode_assists = 1u << 7;

bool present()
{
    constexpr u32 leaf80000001_ecx_svm = 1u << 2;
    return x86::cpuid(0x80000000).eax >= leaf_svm &&
           (x86::cpuid(0x80000001).ecx & leaf80000001_ecx_svm) != 0;
}

Result check_this_cpu()
{
    if ((x86::rdmsr(msr::vm_cr) & msr::vm_cr_svmdis) != 0)
        return {ZPP_LOCKED_BY_FIRMWARE};
    if ((x86::cpuid(leaf_svm).edx & svm_nested_paging) == 0)
        return {ZPP_MISSING_FEATURE, "nested paging"};
    return {};
}

// AMD APM Vol. 2, 3.1.7: the bits of EFER by the CPUID flags that announce them. SVME is hidden.
u64 efer_allowed()
{
    const x86::CpuidResult extended = x86::cpuid(0x80000001);
    u64 bits = msr::efer_sce | msr::efer_lme | msr::efer_lma | msr::efer_nxe;
    if ((extended.edx & bit(25)) != 0)
        bits |= bit(14); // FFXSR
    if ((extended.ecx & bit(17)) != 0)
        bits |= bit(15); // TCE
    if (x86::cpuid(0x80000000).eax >= 0x80000008) {
        const x86::CpuidResult features = x86::cpuid(0x80000008);
        if ((features.ebx & bit(8)) != 0)
            bits |= bit(17); // MCOMMIT
        if ((features.ebx & bit(13)) != 0)
            bits |= bit(18); // INTWB
        if ((features.ebx & bit(20)) == 0)
            bits |= bit(13); // LMSLE, unless announced as missing
    }
    if (x86::cpuid(0x80000000).eax >= 0x80000021) {
        const x86::CpuidResult features = x86::cpuid(0x80000021);
        if ((features.eax & bit(7)) != 0)
            bits |= bit(20); // UAIE
        if ((features.eax & bit(8)) != 0)
            bits |= bit(21); // AIBRSE
    }
    return bits;
}

// SMEP and SMAP: free, as the core has no user pages.
u64 host_cr4()
{
    const u32 extended = x86::cpuid(0).eax >= 7 ? x86::cpuid(7).ebx : 0;
    u64 bits = 0;
    if ((extended & bit(7)) != 0)
        bits |= x86::cr4_smep;
    if ((extended & bit(20)) != 0)
        bits |= x86::cr4_smap;
    return bits;
}

// Two adjoining bits for each MSR, read and write, in three blocks of 2 KiB (APM Vol. 2, 15.11).
void mark_msr(void* map, u32 first, u32 last, bool read, bool write)
{
    auto* bytes = static_cast<u8*>(map);
    for (u32 index = first; index <= last; ++index) {
        const u32 block = index < 0xc0000000 ? 0 : index < 0xc0010000 ? 1 : 2;
        const u32 offset = block * 2048 + (index & 0x1fff) / 4;
        bytes[offset] |= static_cast<u8>((read ? 1u : 0u) << (index % 4 * 2));
        bytes[offset] |= static_cast<u8>((write ? 2u : 0u) << (index % 4 * 2));
    }
}

// Two pages that are adjoining for the CPU as well.
void* allocate_msr_map()
{
    auto* first = static_cast<u8*>(machine.allocate_page());
    while (first != nullptr) {
        auto* second = static_cast<u8*>(machine.allocate_page());
        if (second == nullptr ||
            machine.physical_of(second).value == machine.physical_of(first).value + page_size)
            return second == nullptr ? nullptr : first;
        first = second;
    }
    return nullptr;
}

Result prepare()
{
    Result result = check_this_cpu();
    if (result.ok())
        result = apic_access::prepare();
    if (!result.ok())
        return result;
    const u32 features = x86::cpuid(leaf_svm).edx;
    shared.next_rip = (features & svm_next_rip) != 0;
    shared.decode_assists = (features & svm_decode_assists) != 0;
    shared.efer_allowed = efer_allowed();
    shared.host_cr4 = host_cr4();

    constexpr u32 leaf80000001_edx_page1gb = 1u << 26;
    guest_memory::protect(apic_access::page());
    result = guest_memory::build(
        npt::format(x86::cpuid(0x80000008).eax & 0xff,
                    (x86::cpuid(0x80000001).edx & leaf80000001_edx_page1gb) != 0,
                    (x86::read_cr4() & x86::cr4_la57) != 0 ? 5 : 4),
        guest_memory::Types::by_cpu);
    if (!result.ok())
        return result;
    shared.nested_cr3 = guest_memory::root();
    void* map = allocate_msr_map();
    if (map == nullptr)
        return {ZPP_NO_MEMORY, "the MSR permissions map"};
    for_each_intercepted_msr(msr_handlers, mark_msr, map);
    shared.msrpm = machine.physical_of(map).value;
    return {};
}

void write_controls(Vmcb& vmcb)
{
    vmcb.intercept_1 = intercept_nmi | intercept_init | intercept_cpuid | intercept_invd |
                       intercept_invlpga | intercept_msr | intercept_shutdown;
    vmcb.intercept_2 = intercept_svm_instructions;
    vmcb.msrpm_base = shared.msrpm;
    vmcb.asid = asid;
    vmcb.tlb_control = tlb_flush_all;
    vmcb.nested_paging = 1;
    vmcb.nested_cr3 = shared.nested_cr3;
}

extern "C" void zpp_svm_run(u64 guest_vmcb, u64 host_vmcb);

Result launch(Vcpu& vcpu)
{
    const Result result = check_this_cpu();
    if (!result.ok())
        return result;
    const u64 efer = x86::rdmsr(msr::efer);
    if ((efer & msr::efer_svme) != 0)
        return {ZPP_IN_USE};
    x86::wrmsr(msr::efer, efer | msr::efer_svme);
    x86::wrmsr(msr::vm_hsave_pa, machine.physical_of(host_save_area(vcpu)).value);
    redirect_init(true);
    x86::write_cr4(x86::read_cr4() | shared.host_cr4);

    Vmcb& vmcb = vmcb_of(vcpu);
    const HostPhysical guest = machine.physical_of(&vmcb);
    const HostPhysical host = machine.physical_of(host_vmcb(vcpu));
    write_controls(vmcb);
    write_guest_state(vmcb, vcpu.call->os);
    clgi();
    vmsave(guest);
    vcpu.gdt.load_tr();
    vmsave(host);
    if (!apic_access::is_x2apic()) {
        state_of(vcpu).apic_logical_destination = apic_access::read(apic_logical_destination);
        state_of(vcpu).apic_destination_format = apic_access::read(apic_destination_format);
    }
    __atomic_store_n(&vcpu.launched, true, __ATOMIC_RELEASE);
    zpp_svm_run(guest.value, host.value);

    // The CPU refused the very first VMRUN.
    __atomic_store_n(&vcpu.launched, false, __ATOMIC_RELEASE);
    vmload(guest);
    x86::write_cr4(x86::read_cr4() & ~shared.host_cr4);
    redirect_init(false);
    stgi();
    x86::wrmsr(msr::efer, efer);
    return {ZPP_ENTRY_FAILED, "VMRUN refused the VMCB"};
}

void on_host_nmi(Vcpu& vcpu)
{
    if (!startup::take_kick(vcpu))
        vcpu.nmi_pending = true;
}

bool on_security_exception(Vcpu& vcpu)
{
    if (!vcpu.launched)
        return false;
    startup::init_arrived(vcpu);
    return true;
}

} // namespace

constinit const Vendor vendor = {.name = "AMD-V",
                                 .feature = ZPP_FEATURE_AMDV,
                                 .present = present,
                                 .prepare = prepare,
                                 .launch = launch,
                                 .on_host_nmi = on_host_nmi,
                                 .on_security_exception = on_security_exception,
                                 .dump = dump,
                                 .exit_name = exit_name};

} // namespace zpp::svm
