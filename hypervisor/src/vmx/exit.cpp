#include "vmx/exit.hpp"
#include "core/crash.hpp"
#include "core/log.hpp"
#include "core/machine.hpp"
#include "emulate/emulate.hpp"
#include "guest/memory.hpp"
#include "vmx/controls.hpp"
#include "vmx/guest_state.hpp"
#include "vmx/shared.hpp"
#include "vmx/vmcs.hpp"
#include "x86/bsp.hpp"
#include "x86/msr.hpp"

namespace zpp::vmx {
namespace {

// The CR4 that the guest sees.
u64 guest_visible_cr4()
{
    return (vmcs::read(FieldNatural::guest_cr4) & ~cr4_mask()) |
           (vmcs::read(FieldNatural::cr4_shadow) & cr4_mask());
}

unsigned guest_cpl() { return (vmcs::read(guest_ss.rights) >> 5) & 3; }

// RIP has as many bits as the code segment: 64, 32 or 16 (CS.L and CS.D).
[[gnu::noinline, gnu::cold]] u64 wrap_rip(u64 rip)
{
    constexpr u32 rights_l = 1u << 13, rights_d = 1u << 14;
    const u32 rights = vmcs::read(guest_cs.rights);
    if ((rights & rights_l) != 0 && (vmcs::read(Field64::guest_efer) & x86::msr::efer_lma) != 0)
        return rip;
    return (rights & rights_d) != 0 ? static_cast<u32>(rip) : static_cast<u16>(rip);
}

// RFLAGS.TF traps after each instruction, under DEBUGCTL.BTF after each branch: none exits.
bool traps_after_instruction()
{
    return (vmcs::read(FieldNatural::guest_rflags) & x86::rflags_tf) != 0 &&
           (vmcs::read(Field64::guest_debug_control) & x86::msr::debug_control_btf) == 0;
}

// After an emulated instruction: as the CPU does at an instruction boundary.
void advance()
{
    const u64 rip = vmcs::read(FieldNatural::guest_rip);
    u64 next = rip + vmcs::read(Field32::exit_instruction_length);
    if ((rip ^ next) >> 16 != 0) [[unlikely]]
        next = wrap_rip(next);
    vmcs::write(FieldNatural::guest_rip, next);
    const u32 interruptibility = vmcs::read(Field32::guest_interruptibility);
    if ((interruptibility & (blocking_by_sti | blocking_by_mov_ss)) != 0) [[unlikely]]
        vmcs::write(Field32::guest_interruptibility,
                    interruptibility & ~(blocking_by_sti | blocking_by_mov_ss));
    if (traps_after_instruction()) [[unlikely]]
        vmcs::write(FieldNatural::guest_pending_debug,
                    vmcs::read(FieldNatural::guest_pending_debug) | pending_debug_bs);
}

void inject_exception(u8 vector)
{
    const bool has_error_code = vector == x86::vector_general_protection;
    vmcs::write(Field32::entry_interruption_information,
                event_valid | event_hardware_exception | vector |
                    (has_error_code ? event_error_code : 0));
    if (has_error_code)
        vmcs::write(Field32::entry_exception_error_code, 0);
}

void apply(Outcome outcome)
{
    switch (outcome) {
    case Outcome::advance:
        return advance();
    case Outcome::retry:
        return;
    case Outcome::undefined_opcode:
        return inject_exception(x86::vector_undefined_opcode);
    case Outcome::general_protection:
        return inject_exception(x86::vector_general_protection);
    }
}

u64 read_register(const GuestRegisters& registers, unsigned number)
{
    const u64 by_number[16] = {registers.rax,
                               registers.rcx,
                               registers.rdx,
                               registers.rbx,
                               vmcs::read(FieldNatural::guest_rsp),
                               registers.rbp,
                               registers.rsi,
                               registers.rdi,
                               registers.r8,
                               registers.r9,
                               registers.r10,
                               registers.r11,
                               registers.r12,
                               registers.r13,
                               registers.r14,
                               registers.r15};
    return by_number[number];
}

// MOV to CR0 or CR4 with a host-owned bit that differs from the read shadow. Once the shadow has
// the guest's value nothing differs any more, so the CPU can run the instruction itself, with all
// its checks and effects on paging.
Outcome on_control_register(const GuestRegisters& registers)
{
    const u64 qualification = vmcs::read(FieldNatural::exit_qualification); // table 28-3
    const unsigned number = qualification & 15;
    const unsigned access = (qualification >> 4) & 3;
    u64 value = read_register(registers, (qualification >> 8) & 15);
    if ((vmcs::read(Field64::guest_efer) & x86::msr::efer_lma) == 0)
        value = static_cast<u32>(value);
    if (access != 0)
        crash_on_exit("unexpected CR access", registers);
    if (number == 0 && cr0_is_valid(value) && (value & ~shared.capabilities.cr0_fixed1) == 0) {
        vmcs::write(FieldNatural::cr0_shadow, value);
        return Outcome::retry;
    }
    // The guest may clear what the OS had set before the launch (SMXE), but set none of them.
    if (number == 4 && cr4_is_valid(value, cr4_mask())) {
        vmcs::write(FieldNatural::cr4_shadow, value);
        return Outcome::retry;
    }
    return Outcome::general_protection;
}

[[noreturn]] void devirtualize(Vcpu& vcpu, zpp_cpu_call& call);

bool may_devirtualize(const Vcpu& vcpu)
{
    const u64 rip = vmcs::read(FieldNatural::guest_rip);
    return !machine.committed() && vcpu.call != nullptr && rip >= machine.info().trampoline_start &&
           rip < machine.info().trampoline_end;
}

Outcome on_vmcall(GuestRegisters& registers)
{
    if (!is_hypercall(registers) || guest_cpl() != 0)
        return Outcome::undefined_opcode;
    Vcpu& vcpu = current_vcpu();
    if (registers.rax == ZPP_HYPERCALL(ZPP_HYPERCALL_DEVIRTUALIZE) && may_devirtualize(vcpu))
        devirtualize(vcpu, *vcpu.call);
    return emulate_hypercall(registers);
}

extern "C" [[noreturn]] void zpp_jump_to_loader(zpp_cpu_call* call, u64 target);

void devirtualize(Vcpu& vcpu, zpp_cpu_call& call)
{
    restore_to_cpu(call.os);
    call.status = ZPP_OK;
    vcpu.launched = false;
    const u64 target = machine.info().trampoline_leave;
    vmxoff();
    x86::write_cr4(x86::read_cr4() & ~x86::cr4_vmxe);
    zpp_jump_to_loader(&call, target);
}

Outcome on_wrmsr(const GuestRegisters& registers)
{
    const Outcome outcome = emulate_wrmsr(registers);
    Vcpu& vcpu = current_vcpu();
    if (vcpu.nested_paging_generation != guest_memory::generation()) {
        vcpu.nested_paging_generation = guest_memory::generation();
        flush_nested_tlb();
    }
    return outcome;
}

void on_nmi(const GuestRegisters& registers)
{
    constexpr u32 type_and_vector = 0x7ff;
    const u32 information = vmcs::read(Field32::exit_interruption_information);
    if ((information & type_and_vector) != (event_nmi | x86::vector_nmi))
        crash_on_exit("unexpected exception exit", registers);
    current_vcpu().nmi_pending = true;
    vmcs::write(Field32::primary_controls, shared.capabilities.primary | primary_nmi_window);
    x86::unblock_nmi();
}

void on_nmi_window()
{
    Vcpu& vcpu = current_vcpu();
    // In this order: an NMI that arrives between the steps sets both again.
    vmcs::write(Field32::primary_controls, shared.capabilities.primary);
    if (!vcpu.nmi_pending)
        return;
    vcpu.nmi_pending = false;
    vmcs::write(Field32::entry_interruption_information, event_valid | event_nmi | x86::vector_nmi);
}

void on_init(GuestRegisters& registers)
{
    current_vcpu().nmi_pending = false;
    vmcs::write(Field32::primary_controls, shared.capabilities.primary);
    if (x86::is_bsp())
        write_init_state(registers);
    else // at once, the reset comes with the SIPI: one sent before this VM entry is lost
        write_wait_for_sipi();
}

// As the bare machine: shutdown, which the platform answers with a reset.
[[noreturn]] void on_triple_fault(const GuestRegisters& registers)
{
    report_guest("triple fault in the guest: shutdown", registers);
    vmxoff();
    const struct [[gnu::packed]] {
        u16 limit;
        u64 base;
    } no_idt{0, 0};
    asm volatile("lidt %0\n ud2" : : "m"(no_idt));
    x86::halt_forever();
}

void record(Vcpu& vcpu, u32 reason)
{
    auto& entry = vcpu.history[vcpu.history_next++ % Vcpu::history_length];
    entry.rip = vmcs::read(FieldNatural::guest_rip);
    entry.reason = reason;
}

Outcome dispatch(GuestRegisters& registers, ExitReason reason)
{
    switch (reason) {
    case ExitReason::cpuid:
        emulate_cpuid(registers, guest_visible_cr4());
        return Outcome::advance;
    case ExitReason::rdmsr:
        return emulate_rdmsr(registers);
    case ExitReason::wrmsr:
        return on_wrmsr(registers);
    case ExitReason::control_register:
        return on_control_register(registers);
    case ExitReason::init:
        on_init(registers);
        return Outcome::retry;
    case ExitReason::sipi:
        write_sipi_state(registers, static_cast<u8>(vmcs::read(FieldNatural::exit_qualification)));
        return Outcome::retry;
    case ExitReason::exception_or_nmi:
        on_nmi(registers);
        return Outcome::retry;
    case ExitReason::nmi_window:
        on_nmi_window();
        return Outcome::retry;
    case ExitReason::xsetbv:
        return emulate_xsetbv(registers, guest_cpl());
    case ExitReason::vmcall:
        return on_vmcall(registers);
    case ExitReason::invd: // the host's dirty lines must survive
        x86::wbinvd();
        return Outcome::advance;
    case ExitReason::getsec:
    case ExitReason::vmclear:
    case ExitReason::vmlaunch:
    case ExitReason::vmptrld:
    case ExitReason::vmptrst:
    case ExitReason::vmread:
    case ExitReason::vmresume:
    case ExitReason::vmwrite:
    case ExitReason::vmxoff:
    case ExitReason::vmxon:
    case ExitReason::invept:
    case ExitReason::invvpid:
    case ExitReason::vmfunc:
        return Outcome::undefined_opcode; // VMX is hidden
    case ExitReason::triple_fault:
        on_triple_fault(registers);
    case ExitReason::entry_failed_guest_state:
    case ExitReason::entry_failed_msr_loading:
    case ExitReason::entry_failed_machine_check:
        crash_on_exit("VM entry failed", registers);
    case ExitReason::ept_violation:
        crash_on_exit("EPT violation", registers);
    case ExitReason::ept_misconfiguration:
        crash_on_exit("EPT misconfiguration", registers);
    default:
        crash_on_exit("VM exit that zpp does not know", registers);
    }
}

} // namespace

extern "C" {
void zpp_vmx_on_exit(GuestRegisters& registers);
[[noreturn]] void zpp_vmx_on_failed_resume(const GuestRegisters& registers);
}

void zpp_vmx_on_exit(GuestRegisters& registers)
{
    const u32 reason = vmcs::read(Field32::exit_reason);
    Vcpu& vcpu = current_vcpu();
    const u32 basic = static_cast<u16>(reason);
    ++vcpu.exits[basic < Vcpu::exit_counters ? basic : Vcpu::exit_counters - 1];
    record(vcpu, reason);
    apply(dispatch(registers, static_cast<ExitReason>(basic)));
}

void zpp_vmx_on_failed_resume(const GuestRegisters& registers)
{
    crash_on_exit(entry_error_text(vmcs::read(Field32::instruction_error)), registers);
}

const char* entry_error_text(u32 error)
{
    switch (error) {
    case 4:
        return "VMLAUNCH with non-clear VMCS";
    case 5:
        return "VMRESUME with non-launched VMCS";
    case 7:
        return "VM entry with invalid control fields";
    case 8:
        return "VM entry with invalid host-state fields";
    case 26:
        return "VM entry with events blocked by MOV SS";
    default:
        return "VM entry failed for a reason the manual numbers otherwise";
    }
}

} // namespace zpp::vmx
