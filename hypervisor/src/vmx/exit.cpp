#include "vmx/exit.hpp"
#include "apic/access.hpp"
#include "apic/icr_trap.hpp"
#include "apic/leave.hpp"
#include "apic/startup.hpp"
#include "core/machine_check.hpp"
#include "core/stop.hpp"
#include "core/virt.hpp"
#include "emulate/apic.hpp"
#include "emulate/handle.hpp"
#include "vmx/cr_retry.hpp"
#include "vmx/delivery.hpp"
#include "vmx/entry_checks.hpp"
#include "vmx/exit_reason.hpp"
#include "vmx/guest.hpp"
#include "vmx/guest_state.hpp"
#include "vmx/operation.hpp"
#include "vmx/requested_exits.hpp"
#include "vmx/task_switch.hpp"
#include "vmx/vcpu_state.hpp"
#include "x86/instructions.hpp"

namespace zpp::vmx {
namespace {

using Reason = VmExit::Reason;

constexpr u64 ept_violation_write = bit(1); // SDM Vol. 3C, table 28-7

Reason reason_of(ExitReason reason)
{
    switch (reason) {
    case ExitReason::cpuid: return Reason::cpuid;
    case ExitReason::rdmsr: return Reason::rdmsr;
    case ExitReason::wrmsr: return Reason::wrmsr;
    case ExitReason::control_register: return Reason::mov_to_cr;
    case ExitReason::init: return Reason::init;
    case ExitReason::exception_or_nmi: return Reason::nmi;
    case ExitReason::nmi_window: return Reason::nmi_window;
    case ExitReason::xsetbv: return Reason::xsetbv;
    case ExitReason::vmcall: return Reason::hypercall;
    case ExitReason::invd: return Reason::invd;
    case ExitReason::io_instruction: return Reason::port;
    case ExitReason::rdmsr_immediate: return Reason::rdmsr;
    case ExitReason::wrmsr_immediate: return Reason::wrmsr;
    case ExitReason::preemption_timer: return Reason::host_request;
    case ExitReason::triple_fault: return Reason::triple_fault;
    case ExitReason::monitor_trap: return Reason::monitor_trap;
    case ExitReason::task_switch: return Reason::task_switch;
    case ExitReason::entry_failed_machine_check: return Reason::machine_check;
    case ExitReason::ept_violation:
    case ExitReason::ept_misconfiguration: return Reason::nested_paging;
    default: break;
    }
    const ExitReasonRow* row = find_exit_reason(static_cast<u32>(reason));
    return row != nullptr && row->answer == ExitAnswer::undefined_opcode
               ? Reason::hidden_instruction
               : Reason::unexpected;
}

// Of RDMSR and WRMSRNS with an immediate. As the exit reason, bits 15:0 of `code`.
bool has_immediate(u64 code)
{
    return code == static_cast<u32>(ExitReason::rdmsr_immediate) ||
           code == static_cast<u32>(ExitReason::wrmsr_immediate);
}
unsigned register_operand()
{
    return (vmcs::read(Field32::exit_instruction_information) >> 3) & 15;
}

void decode_msr(const Guest& guest, VmExit& exit)
{
    if (!has_immediate(exit.code))
        return exit.take_operands(guest.registers);
    exit.index = static_cast<u32>(vmcs::read(FieldNatural::exit_qualification));
    exit.value = guest.read_register(register_operand());
}

Outcome on_rdmsr(Guest& guest, const VmExit& exit)
{
    if (!has_immediate(exit.code))
        return handle_exit(guest, exit);
    u64 value = 0;
    const Outcome outcome = read_msr(Guest::msr_handlers(), x86::Msr{exit.index}, value);
    if (outcome == Outcome::advance)
        guest.write_register(register_operand(), value);
    return outcome;
}

// SDM Vol. 3C, table 28-5.
PortAccess port_access(u64 qualification)
{
    return {.port = static_cast<u16>(qualification >> 16),
            .size = static_cast<u8>((qualification & 7) + 1),
            .in = (qualification & bit(3)) != 0,
            .string = (qualification & bit(4)) != 0};
}

VmExit decode(const Guest& guest, u32 code)
{
    VmExit exit{.reason = reason_of(static_cast<ExitReason>(static_cast<u16>(code))), .code = code};
    exit.instruction_length = vmcs::read(Field32::exit_instruction_length);
    switch (exit.reason) {
    case Reason::rdmsr:
    case Reason::wrmsr: decode_msr(guest, exit); break;
    case Reason::xsetbv: exit.take_operands(guest.registers); break;
    case Reason::port:
        exit.access = port_access(vmcs::read(FieldNatural::exit_qualification));
        break;
    case Reason::mov_to_cr: decode_cr_access(guest, exit); break;
    case Reason::nested_paging:
        exit.address = {vmcs::read(Field64::guest_physical_address)};
        exit.write = static_cast<ExitReason>(static_cast<u16>(code)) == ExitReason::ept_violation &&
                     (vmcs::read(FieldNatural::exit_qualification) & ept_violation_write) != 0;
        break;
    case Reason::nmi:
        if (!x86::Event{vmcs::read(Field32::exit_interruption_information)}.is_nmi())
            exit.reason = Reason::exception;
        break;
    default: break;
    }
    return exit;
}

// An INIT that was not trapped. One that has stayed pending in the host while this CPU waited is
// older than the SIPI that has started it.
void on_init(Guest& guest)
{
    Vcpu& vcpu = guest.vcpu;
    if (state_of(vcpu).just_started && guest.rip() == 0)
        return;
    if (startup::init_arrived(vcpu) && !x86::is_bsp())
        icr_trap::on_init(vcpu);
}

void on_nmi(Guest& guest)
{
    stop_if_asked();
    take_nmi(guest.vcpu);
    x86::unblock_nmi();
}

// The VM entry failed and left the VMCS unchanged, so the event to inject is still there (SDM
// Vol. 3C, 27.8 and 27.9).
void on_machine_check(const Guest& guest)
{
    if (!machine_check::note(guest.vcpu))
        crash_on_exit("machine check from which the host cannot continue", guest.registers);
}

Outcome on_nested_paging(Guest& guest, VmExit& exit)
{
    if (!is_xapic_store(exit))
        return handle_exit(guest, exit);
    std::optional<Outcome> outcome;
    if (!x86::is_event(vmcs::read(Field32::idt_vectoring_information)))
        outcome = emulate_xapic_store(guest, exit);
    if (!outcome) {
        icr_trap::give_way();
        return Outcome::retry;
    }
    icr_trap::after_write(guest.vcpu);
    return *outcome;
}

Outcome dispatch(Guest& guest, VmExit& exit)
{
    switch (exit.reason) {
    case Reason::rdmsr: return on_rdmsr(guest, exit);
    case Reason::wrmsr: {
        const Outcome outcome = handle_exit(guest, exit);
        flush_old_translations();
        return outcome;
    }
    case Reason::mov_to_cr: return retry_mov_to_cr(guest, exit);
    case Reason::monitor_trap: return Outcome::retry;
    case Reason::task_switch: on_task_switch(guest); return Outcome::retry;
    case Reason::exception: reflect_exception(guest); return Outcome::retry;
    case Reason::nested_paging: return on_nested_paging(guest, exit);
    case Reason::nmi: on_nmi(guest); return Outcome::retry;
    case Reason::init: on_init(guest); return Outcome::retry;
    case Reason::host_request: return Outcome::retry; // of a kick or a machine check in the host
    case Reason::machine_check: on_machine_check(guest); return Outcome::retry;
    default: return handle_exit(guest, exit);
    }
}

void finish_kick(Vcpu& vcpu)
{
    if (!state_of(vcpu).kicked)
        return;
    state_of(vcpu).kicked = false;
    request_exits(vcpu);
    icr_trap::on_kick(vcpu);
}

void reset(GuestRegisters& registers)
{
    Guest guest{current_vcpu(), registers};
    guest.vcpu.nmi_pending = false;
    request_exits(guest.vcpu);
    write_init_state(registers);
    apic_access::reset(x86::interrupt_window);
    startup::note_identity(guest.vcpu);
}

void start(u8 vector)
{
    write_sipi_state(vector);
    state_of(current_vcpu()).just_started = true;
}

[[noreturn]] void give_back(const Guest& guest, zpp_cpu_call& call, const Result& result)
{
    startup::leave(guest.vcpu, x86::pause);
    machine_check::end_if_pending(guest.vcpu);
    restore_to_cpu(guest, call.os);
    write_result(&call, result);
    leave_vmx_operation(guest.vcpu);
    leave(guest.vcpu, call);
}

// The CPU found the guest's state invalid only after it had loaded the host's, so VMLAUNCH does not
// return (SDM Vol. 3C, 27.8).
bool is_failed_launch(const Vcpu& vcpu, u32 code)
{
    constexpr u32 entry_failure = 1u << 31;
    return (code & entry_failure) != 0 && vcpu.history_next == 0 &&
           vcpu.exits[static_cast<u64>(ExitReason::cpuid)] == 0; // of the fast path
}

} // namespace

void Guest::devirtualize(zpp_cpu_call& call) { give_back(*this, call, {}); }

extern "C" {
void zpp_vmx_on_exit(GuestRegisters& registers);
[[noreturn]] void zpp_vmx_on_failed_resume(const GuestRegisters& registers);
}

void zpp_vmx_on_exit(GuestRegisters& registers)
{
    const u32 code = vmcs::read(Field32::exit_reason);
    Guest guest{current_vcpu(), registers};
    if (is_failed_launch(guest.vcpu, code)) [[unlikely]] {
        if (static_cast<u16>(code) == static_cast<u16>(ExitReason::entry_failed_machine_check))
            crash_on_exit(exit_name(code), registers);
        const EntryRule* rule = find_broken_rule();
        give_back(guest, *guest.vcpu.call,
                  {ZPP_ENTRY_FAILED, rule != nullptr ? rule->text : "invalid guest state"});
    }
    guest.vcpu.record_exit(static_cast<u16>(code), guest.rip(), code);
    settle_cr_retry(guest);
    VmExit exit = decode(guest, code);
    apply(guest, exit, dispatch(guest, exit));
    if (exit.reason == Reason::nested_paging || exit.reason == Reason::exception)
        resume_delivery(guest);
    bool& just_started = state_of(guest.vcpu).just_started;
    just_started = just_started && guest.rip() == 0;
    finish_kick(guest.vcpu);
    startup::take(guest.vcpu, registers, {reset, start, x86::pause});
    deliver_machine_check(guest);
}

void zpp_vmx_on_failed_resume(const GuestRegisters& registers)
{
    crash_on_exit(entry_error_text(vmcs::read(Field32::instruction_error)), registers);
}

const char* entry_error_text(u32 error)
{
    switch (error) {
    case 4: return "VMLAUNCH with non-clear VMCS";
    case 5: return "VMRESUME with non-launched VMCS";
    case 7: return "VM entry with invalid control fields";
    case 8: return "VM entry with invalid host-state fields";
    case 26: return "VM entry with events blocked by MOV SS";
    default: return "VM entry failed; see the instruction error";
    }
}

} // namespace zpp::vmx
