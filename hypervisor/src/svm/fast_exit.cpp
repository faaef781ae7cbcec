// The fast path, for most exits of a running OS: CPUID of leaf 1 or an unchanged leaf, and xAPIC
// stores that start no CPU (EOI, timer, IPIs). It leaves every other case to the general handler,
// which starts from the beginning. FS, GS, TR and LDTR are still the guest's and GIF is clear, so
// it must not fault.
#include "apic/access.hpp"
#include "apic/startup.hpp"
#include "emulate/handle.hpp"
#include "svm/exit_code.hpp"
#include "svm/guest_instruction.hpp"
#include "svm/shared.hpp"
#include "svm/vcpu_state.hpp"
#include "x86/apic.hpp"

namespace zpp::svm {
namespace {

// Whether the guest only has to continue after the instruction.
bool is_plain(const Vcpu& vcpu, const Vmcb& vmcb)
{
    return !has(vmcb.rflags, acts_after_instruction) && vmcb.interrupt_state == 0 &&
           !vcpu.nmi_pending && !startup::waits(vcpu);
}

// Returns false if RIP may have to wrap.
bool advance(Vmcb& vmcb, u64 next)
{
    if (may_wrap(vmcb.rip, next))
        return false;
    vmcb.rip = next;
    vmcb.clean = Clean::all;
    vmcb.tlb_control = 0;
    vmcb.event_injection = 0;
    return true;
}

inline bool on_cpuid(Vcpu& vcpu, Vmcb& vmcb, ScratchRegisters& registers, u64 next_rip)
{
    const auto leaf = static_cast<u32>(vmcb.rax);
    if (!is_fast_leaf(leaf) || !advance(vmcb, next_rip))
        return false;
    ++vcpu.exits[static_cast<u64>(ExitCode::cpuid)];
    const auto result = fast_cpuid(leaf, static_cast<u32>(registers.rcx), vmcb.cr4);
    vmcb.rax = result.eax;
    registers.rbx = result.ebx;
    registers.rcx = result.ecx;
    registers.rdx = result.edx;
    return true;
}

// nullptr if the stub has not pushed the register.
const u64* find_register(const ScratchRegisters& registers, const Vmcb& vmcb, unsigned number)
{
    constexpr unsigned rax = 0, rsp = 4;
    if (number == rax)
        return &vmcb.rax;
    return number == rsp ? &vmcb.rsp : zpp::find_register(registers, number);
}

bool on_apic_store(Vcpu& vcpu, Vmcb& vmcb, const ScratchRegisters& registers)
{
    const u64 offset = Gpa{vmcb.exit_info_2} - apic_access::page();
    constexpr u64 distance = 16; // of registers; other places are not for 32-bit stores
    if (offset >= page_size || offset % distance != 0 || (vmcb.exit_info_1 & fault_write) == 0 ||
        x86::is_event(vmcb.exit_interrupt_info))
        return false;
    const GuestCode code = code_at_rip(vcpu, vmcb);
    const auto store = decode_store(code.bytes, code.count, code_size(vmcb));
    if (!store || store->exchange)
        return false;
    const u64* source =
        store->from_register ? find_register(registers, vmcb, store->source) : nullptr;
    if (store->from_register && source == nullptr)
        return false;
    const u32 value = source != nullptr ? static_cast<u32>(*source) : store->immediate;
    if (is_startup_write(offset, value) || !advance(vmcb, vmcb.rip + store->length))
        return false;
    apic_access::write(static_cast<u32>(offset), value);
    ++vcpu.exits[nested_page_fault_counter];
    return true;
}

// Exits that need the guest's code. Not inlined, so that the other path saves no registers.
[[gnu::noinline]] bool on_exit_with_code(Vcpu& vcpu, Vmcb& vmcb, ScratchRegisters& registers)
{
    switch (static_cast<ExitCode>(vmcb.exit_code)) {
    case ExitCode::cpuid: {
        if (vcpu.cpuid_faults)
            return false;
        const unsigned length = instruction_length(vcpu, vmcb);
        return length != 0 && on_cpuid(vcpu, vmcb, registers, vmcb.rip + length);
    }
    case ExitCode::nested_page_fault: return on_apic_store(vcpu, vmcb, registers);
    default: return false;
    }
}

} // namespace

extern "C" bool zpp_svm_on_fast_exit(ScratchRegisters& registers);

bool zpp_svm_on_fast_exit(ScratchRegisters& registers)
{
    Vcpu& vcpu = current_vcpu();
    Vmcb& vmcb = vmcb_of(vcpu);
    if (!is_plain(vcpu, vmcb))
        return false;
    if (vmcb.exit_code == static_cast<u64>(ExitCode::cpuid) && state_of(vcpu).fast_cpuid &&
        vmcb.next_rip != 0)
        return on_cpuid(vcpu, vmcb, registers, vmcb.next_rip);
    return on_exit_with_code(vcpu, vmcb, registers);
}

} // namespace zpp::svm
