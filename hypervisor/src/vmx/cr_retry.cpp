#include "vmx/cr_retry.hpp"
#include "emulate/handle.hpp"
#include "vmx/vcpu_state.hpp"
#include "x86/control_registers.hpp"

namespace zpp::vmx {
namespace {

void watch(Vcpu& vcpu, bool on)
{
    state_of(vcpu).cr_retry.pending = on;
    vmcs::write(Field32::exception_bitmap, on ? 1u << x86::vector_general_protection : 0);
    request_exits(vcpu);
}

} // namespace

void decode_cr_access(const Guest& guest, VmExit& exit)
{
    enum Type { mov_to, mov_from, clts, lmsw };
    const u64 qualification = vmcs::read(FieldNatural::exit_qualification);
    switch (static_cast<Type>((qualification >> 4) & 3)) {
    case mov_to:
        exit.index = qualification & 15;
        exit.value = guest.read_register((qualification >> 8) & 15);
        if (guest.code_size() != CodeSize::bits64)
            exit.value = static_cast<u32>(exit.value);
        return;
    case mov_from:
        exit.reason = VmExit::Reason::unexpected;
        return; // only CR3 and CR8 can exit
    // These two exit only where VMX operation fixes bits of CR0 that they write.
    case clts: exit.value = raw(guest.cr0() & ~x86::Cr0::ts); return;
    case lmsw:
        exit.value = (raw(guest.cr0()) & ~u64{14}) | ((qualification >> 16) & 15); // PE stays
        return;
    }
}

Outcome retry_mov_to_cr(Guest& guest, const VmExit& exit)
{
    const FieldNatural shadow =
        exit.index == 0 ? FieldNatural::cr0_shadow : FieldNatural::cr4_shadow;
    const u64 old_shadow = vmcs::read(shadow);
    const Outcome outcome = on_mov_to_cr(guest, exit);
    if (outcome != Outcome::retry)
        return outcome;
    // An instruction breakpoint on it has had its turn; the exit has cleared RF.
    guest.set_rflags(guest.rflags() | x86::Rflags::rf);
    state_of(guest.vcpu).cr_retry = {true, static_cast<u8>(exit.index), old_shadow, guest.rip(),
                                     next_rip(guest, exit.instruction_length)};
    watch(guest.vcpu, true);
    return Outcome::retry;
}

void settle_cr_retry(Guest& guest)
{
    CrRetry& retry = state_of(guest.vcpu).cr_retry;
    if (!retry.pending) [[likely]]
        return;
    watch(guest.vcpu, false);
    // Without the flag the exit may come later, but then not at the same instruction.
    const bool succeeded = shared.capabilities.monitor_trap_flag ? guest.rip() == retry.next_rip
                                                                 : guest.rip() != retry.rip;
    if (succeeded)
        return;
    vmcs::write(retry.number == 0 ? FieldNatural::cr0_shadow : FieldNatural::cr4_shadow,
                retry.old_shadow);
}

void reflect_exception(Guest& guest)
{
    constexpr u32 undefined = 1u << 12;
    x86::Event event{vmcs::read(Field32::exit_interruption_information) & ~undefined};
    if (event.has_error_code())
        event.code = vmcs::read(Field32::exit_interruption_error_code);
    guest.inject(event);
}

} // namespace zpp::vmx
