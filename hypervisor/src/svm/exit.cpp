// VM exits of AMD-V: decodes them and dispatches them to their handlers.
#include "apic/access.hpp"
#include "apic/leave.hpp"
#include "apic/startup.hpp"
#include "core/machine.hpp"
#include "core/virt.hpp"
#include "emulate/apic.hpp"
#include "emulate/handle.hpp"
#include "svm/cr0.hpp"
#include "svm/events.hpp"
#include "svm/exception.hpp"
#include "svm/exit_code.hpp"
#include "svm/guest_state.hpp"
#include "svm/operation.hpp"
#include "svm/shared.hpp"
#include "svm/step.hpp"

namespace zpp::svm {
namespace {

using Reason = VmExit::Reason;

Reason reason_of(const Vmcb& vmcb, bool stepping)
{
    if (stepping && is_exception(vmcb.exit_code)) // all are intercepted during a step
        return Reason::nmi_window;
    switch (static_cast<ExitCode>(vmcb.exit_code)) {
    case ExitCode::cpuid: return Reason::cpuid;
    case ExitCode::msr: return vmcb.exit_info_1 != 0 ? Reason::wrmsr : Reason::rdmsr;
    case ExitCode::nested_page_fault: return Reason::nested_paging;
    case ExitCode::vmmcall: return Reason::hypercall;
    case ExitCode::nmi: return Reason::nmi;
    case ExitCode::smi: return Reason::smi;
    case ExitCode::init: return Reason::init;
    case ExitCode::iret: return Reason::iret;
    case ExitCode::invd: return Reason::invd;
    case ExitCode::io: return Reason::port;
    case ExitCode::cr0_selective_write: return Reason::mov_to_cr;
    case ExitCode::invlpga:
    case ExitCode::vmrun:
    case ExitCode::vmload:
    case ExitCode::vmsave:
    case ExitCode::stgi:
    case ExitCode::clgi:
    case ExitCode::skinit: return Reason::hidden_instruction;
    case ExitCode::general_protection: return Reason::general_protection;
    case ExitCode::shutdown: return Reason::triple_fault;
    default: return Reason::unexpected;
    }
}

// AMD APM Vol. 2, 15.10.2.
PortAccess port_access(u64 information)
{
    return {.port = static_cast<u16>(information >> 16),
            .size = static_cast<u8>(information >> 4 & 7), // SZ32, SZ16, SZ8
            .in = (information & bit(0)) != 0,
            .string = (information & bit(2)) != 0};
}

VmExit decode(Guest& guest)
{
    const Vmcb& vmcb = guest.vmcb;
    VmExit exit{.reason = reason_of(vmcb, state_of(guest.vcpu).stepping), .code = vmcb.exit_code};
    switch (exit.reason) {
    case Reason::rdmsr:
    case Reason::wrmsr: exit.take_operands(guest.registers); [[fallthrough]];
    case Reason::cpuid:
    case Reason::hypercall:
    case Reason::invd: exit.instruction_length = instruction_length(guest.vcpu, vmcb); break;
    case Reason::nested_paging:
        exit.address = {vmcb.exit_info_2};
        exit.write = (vmcb.exit_info_1 & fault_write) != 0;
        break;
    case Reason::general_protection: exit.value = vmcb.exit_info_1; break;
    case Reason::port:
        exit.access = port_access(vmcb.exit_info_1);
        exit.instruction_length = (vmcb.exit_info_2 - vmcb.rip) & 15; // it may have wrapped
        break;
    default: break;
    }
    return exit;
}

Outcome on_nested_page_fault(Guest& guest, VmExit& exit)
{
    if (state_of(guest.vcpu).page_is_open) // what it stores is elsewhere, too
        cancel_step(guest);
    if (!is_xapic_store(exit))
        return handle_exit(guest, exit);
    const auto outcome = emulate_xapic_store(guest, exit);
    return outcome ? *outcome : step_over_store(guest, exit.address);
}

Outcome dispatch(Guest& guest, VmExit& exit)
{
    switch (exit.reason) {
    case Reason::nested_paging: return on_nested_page_fault(guest, exit);
    case Reason::nmi:
    case Reason::smi:
    case Reason::init: // still pending in the CPU
        open_window();
        return Outcome::retry;
    case Reason::iret: on_iret(guest); return Outcome::retry;
    case Reason::mov_to_cr: return on_cr0_write(guest, exit);
    case Reason::general_protection: return on_general_protection(guest, exit);
    default: return handle_exit(guest, exit);
    }
}

void take_interrupt()
{
    stgi();
    x86::interrupt_window();
    clgi();
}

void reset(GuestRegisters& registers)
{
    Guest guest{current_vcpu(), vmcb_of(current_vcpu()), registers};
    forget_events(guest);
    write_init_state(guest.vmcb, registers);
    apic_access::reset(take_interrupt);
    startup::note_identity(guest.vcpu);
}

void start(u8 vector) { write_sipi_state(vmcb_of(current_vcpu()), vector); }

// With GIF clear a parked CPU would keep the firmware's SMM waiting: it gathers all CPUs.
void wait()
{
    open_window();
    x86::pause();
}

// The core needs neither bit, but QEMU's TCG flushes its TLB at VMRUN and at #VMEXIT if a bit that
// affects translations differs between host and guest. Linux sets PSE on the BSP only.
void follow_cr4(const Vmcb& vmcb)
{
    constexpr x86::Cr4 followed = x86::Cr4::pse | x86::Cr4::pge;
    const x86::Cr4 host = x86::read_cr4();
    const x86::Cr4 wanted = (host & ~followed) | (vmcb.cr4 & followed);
    if (wanted != host)
        x86::write_cr4(wanted);
}

// QEMU's TCG exits with VMEXIT_INVALID instead of #GP if the guest sets a reserved bit of CR3 or CR4.
// If VMRUN itself has failed, an injected event is still pending.
bool refuses_reserved_bit(Vcpu& vcpu, const Vmcb& vmcb)
{
    if (x86::is_event(vmcb.event_injection))
        return false;
    const GuestCode code = code_at_rip(vcpu, vmcb);
    const auto move = decode_mov_to_cr(code.bytes, code.count, code_size(vmcb));
    return move && (move->number == 3 || move->number == 4);
}

} // namespace

void Guest::devirtualize(zpp_cpu_call& call)
{
    startup::leave(vcpu, open_window);
    restore_to_cpu(vmcb, machine.physical_of(&vmcb), call.os);
    call.status = ZPP_OK;
    if (has(vmcb.virtual_interrupt, VirtualInterrupt::v_nmi_pending))
        vcpu.nmi_pending = true;
    leave_svm_operation(vcpu); // the trampoline restores the other bits of CR4 and EFER
    leave(vcpu, call);
}

extern "C" bool zpp_svm_on_exit(GuestRegisters& registers);

// Returns false if the CPU refused the first VMRUN: the launch has failed.
bool zpp_svm_on_exit(GuestRegisters& registers)
{
    Vcpu& vcpu = current_vcpu();
    Vmcb& vmcb = vmcb_of(vcpu);
    Guest guest{vcpu, vmcb, registers};
    registers.rax = vmcb.rax;
    if (static_cast<std::int32_t>(vmcb.exit_code) == exit_invalid) {
        if (!state_of(vcpu).entered)
            return false;
        if (!refuses_reserved_bit(vcpu, vmcb))
            crash_on_exit("VMRUN refused the VMCB", registers);
        inject_fault(guest, x86::vector_general_protection);
        return true;
    }
    state_of(vcpu).entered = true;
    vmcb.clean = Clean::all;
    if (shared.watches_cr0) [[unlikely]]
        watch_cr0(vmcb);
    vmcb.tlb_control = 0;
    vmcb.event_injection = 0;
    vcpu.record_exit(exit_counter(vmcb.exit_code), vmcb.rip, vmcb.exit_code);
    VmExit exit = decode(guest);
    apply(guest, exit, dispatch(guest, exit));
    startup::take(vcpu, registers, {reset, start, wait});
    deliver_events(guest);
    follow_cr4(vmcb);
    vmcb.rax = registers.rax;
    return true;
}

} // namespace zpp::svm
