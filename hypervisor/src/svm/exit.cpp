// VM exits under AMD-V: from the exit code to the handler, and the outcome back to the guest.
#include "core/crash.hpp"
#include "core/machine.hpp"
#include "emulate/emulate.hpp"
#include "svm/apic_access.hpp"
#include "svm/events.hpp"
#include "svm/guest_instruction.hpp"
#include "svm/guest_state.hpp"
#include "svm/instructions.hpp"
#include "svm/shared.hpp"
#include "svm/startup.hpp"
#include "x86/exceptions.hpp"
#include "x86/msr.hpp"
#include "x86/safe.hpp"

namespace zpp::svm {
namespace {

namespace msr = x86::msr;

u64 wrap_rip(u64 rip, CodeSize size)
{
    switch (size) {
    case CodeSize::bits64:
        return rip;
    case CodeSize::bits32:
        return static_cast<u32>(rip);
    case CodeSize::bits16:
        return static_cast<u16>(rip);
    }
    return rip;
}

u64 next_rip(Vcpu& vcpu, const Vmcb& vmcb)
{
    const u64 next = find_next_rip(vcpu, vmcb);
    if (next == 0)
        crash("the length of an instruction is unknown", vmcb.rip);
    return next;
}

// RFLAGS.TF traps after each instruction, under DEBUGCTL.BTF after each branch: none exits. Without LBR
// virtualization the MSR stays the guest's.
bool traps_after_instruction(const Vmcb& vmcb)
{
    return (vmcb.rflags & x86::rflags_tf) != 0 &&
           (x86::rdmsr_or_zero(msr::debug_control) & msr::debug_control_btf) == 0;
}

// After an emulated instruction: as the CPU does at an instruction boundary.
void advance_to(Vmcb& vmcb, u64 rip)
{
    constexpr u64 dr6_single_step = bit(14);
    vmcb.rip = wrap_rip(rip, code_size(vmcb));
    vmcb.interrupt_state &= ~shadow;
    if (traps_after_instruction(vmcb)) {
        vmcb.dr6 |= dr6_single_step;
        vmcb.clean &= ~clean_debug_registers;
        inject_exception(vmcb, x86::vector_debug);
    }
}

void apply(Vcpu& vcpu, Vmcb& vmcb, Outcome outcome)
{
    switch (outcome) {
    case Outcome::advance:
        return advance_to(vmcb, next_rip(vcpu, vmcb));
    case Outcome::retry:
        return;
    case Outcome::undefined_opcode:
        return inject_exception(vmcb, x86::vector_undefined_opcode);
    case Outcome::general_protection:
        return inject_exception(vmcb, x86::vector_general_protection);
    }
}

Outcome write_efer(Vmcb& vmcb, u64 value)
{
    const u64 changed = value ^ vmcb.efer;
    if ((value & ~shared.efer_allowed) != 0 ||
        ((changed & msr::efer_lme) != 0 && (vmcb.cr0 & x86::cr0_pg) != 0))
        return Outcome::general_protection;
    vmcb.efer = (value & ~msr::efer_lma) | (vmcb.efer & msr::efer_lma) | msr::efer_svme;
    vmcb.clean &= ~clean_control_registers;
    return Outcome::advance;
}

// The xAPIC's page must stay where nested paging protects it.
Outcome write_apic_base(u64 value)
{
    if ((value & msr::apic_base_address) != apic_access::page().value ||
        !x86::safe_wrmsr(msr::apic_base, value))
        return Outcome::general_protection;
    return Outcome::advance;
}

Outcome on_msr(Vcpu& vcpu, Vmcb& vmcb, GuestRegisters& registers)
{
    const auto index = static_cast<u32>(registers.rcx);
    const bool write = vmcb.exit_info_1 != 0;
    const u64 value = static_cast<u32>(registers.rax) | registers.rdx << 32;
    if (index == msr::efer) {
        if (write)
            return write_efer(vmcb, value);
        registers.rax = static_cast<u32>(vmcb.efer & ~msr::efer_svme);
        registers.rdx = vmcb.efer >> 32;
        return Outcome::advance;
    }
    if (write && index == msr::apic_base)
        return write_apic_base(value);
    if (write && index == msr::x2apic_icr && apic_access::is_x2apic() &&
        startup::intercept(vcpu, Icr::x2apic(value)))
        return Outcome::advance;
    return write ? emulate_wrmsr(registers) : emulate_rdmsr(registers);
}

u64& register_of(GuestRegisters& registers, Vmcb& vmcb, unsigned number)
{
    u64* const by_number[16] = {&registers.rax, &registers.rcx, &registers.rdx, &registers.rbx,
                                &vmcb.rsp,      &registers.rbp, &registers.rsi, &registers.rdi,
                                &registers.r8,  &registers.r9,  &registers.r10, &registers.r11,
                                &registers.r12, &registers.r13, &registers.r14, &registers.r15};
    return *by_number[number];
}

void write_apic(Vcpu& vcpu, u32 offset, u32 value)
{
    switch (offset) {
    case apic_icr_low:
        if (startup::intercept(vcpu, Icr::xapic(value, apic_access::read(apic_icr_high))))
            return;
        break;
    case apic_id_register:
        vcpu.apic.id = value >> 24;
        break;
    case apic_logical_destination:
        vcpu.apic.logical = value;
        break;
    case apic_destination_format:
        vcpu.apic.format = value;
        break;
    default:
        break;
    }
    apic_access::write(offset, value);
}

// The only page the guest may not write is the local APIC's.
Outcome on_nested_page_fault(Vcpu& vcpu, Vmcb& vmcb, GuestRegisters& registers)
{
    const u64 offset = vmcb.exit_info_2 - apic_access::page().value;
    if (offset >= page_size || (vmcb.exit_info_1 & fault_write) == 0)
        crash_on_exit("nested page fault", registers);
    const GuestCode code = code_at_rip(vcpu, vmcb);
    const auto store = decode_store(code.bytes, code.count, code_size(vmcb));
    if (!store)
        crash_on_exit("a store to the local APIC that zpp does not know", registers);
    u64& source = register_of(registers, vmcb, store->source);
    const u32 old = store->exchange ? apic_access::read(static_cast<u32>(offset)) : 0;
    write_apic(vcpu, static_cast<u32>(offset),
               store->from_register ? static_cast<u32>(source) : store->immediate);
    if (store->exchange)
        source = old;
    advance_to(vmcb, vmcb.rip + store->length);
    return Outcome::retry;
}

extern "C" [[noreturn]] void zpp_jump_to_loader(zpp_cpu_call* call, u64 target);

[[noreturn]] void devirtualize(Vcpu& vcpu, const Vmcb& vmcb, zpp_cpu_call& call)
{
    while (startup::is_kicked(vcpu))
        open_window();
    restore_to_cpu(vmcb, machine.physical_of(&vmcb), call.os);
    x86::write_cr4(x86::read_cr4() & ~shared.host_cr4); // the rest of the OS's is the trampoline's
    call.status = ZPP_OK;
    const u64 target = machine.info().trampoline_leave;
    __atomic_store_n(&vcpu.launched, false, __ATOMIC_RELEASE);
    stgi();
    zpp_jump_to_loader(&call, target);
}

bool may_devirtualize(const Vcpu& vcpu, const Vmcb& vmcb)
{
    return !machine.committed() && vcpu.call != nullptr &&
           vmcb.rip >= machine.info().trampoline_start && vmcb.rip < machine.info().trampoline_end;
}

Outcome on_vmmcall(Vcpu& vcpu, const Vmcb& vmcb, GuestRegisters& registers)
{
    if (!is_hypercall(registers) || vmcb.cpl != 0)
        return Outcome::undefined_opcode;
    if (registers.rax == ZPP_HYPERCALL(ZPP_HYPERCALL_DEVIRTUALIZE) && may_devirtualize(vcpu, vmcb))
        devirtualize(vcpu, vmcb, *vcpu.call);
    return emulate_hypercall(registers);
}

// As the bare machine: shutdown, which the platform answers with a reset.
[[noreturn]] void on_shutdown(const GuestRegisters& registers)
{
    report_guest("triple fault in the guest: shutdown", registers);
    const struct [[gnu::packed]] {
        u16 limit;
        u64 base;
    } no_idt{0, 0};
    asm volatile("lidt %0\n stgi\n ud2" : : "m"(no_idt));
    x86::halt_forever();
}

void reset(GuestRegisters& registers)
{
    Vcpu& vcpu = current_vcpu();
    forget_events(vcpu, vmcb_of(vcpu));
    write_init_state(vmcb_of(vcpu), registers);
}

void start(u8 vector) { write_sipi_state(vmcb_of(current_vcpu()), vector); }

unsigned exit_counter(u64 code)
{
    if (code == static_cast<u64>(ExitCode::nested_page_fault))
        return nested_page_fault_counter;
    return static_cast<unsigned>(code < Vcpu::exit_counters ? code : Vcpu::exit_counters - 1);
}

void record(Vcpu& vcpu, const Vmcb& vmcb)
{
    ++vcpu.exits[exit_counter(vmcb.exit_code)];
    vcpu.history[vcpu.history_next++ % Vcpu::history_length] = {vmcb.rip, vmcb.exit_code};
}

Outcome dispatch(Vcpu& vcpu, Vmcb& vmcb, GuestRegisters& registers)
{
    switch (static_cast<ExitCode>(vmcb.exit_code)) {
    case ExitCode::cpuid:
        emulate_cpuid(registers, vmcb.cr4);
        return Outcome::advance;
    case ExitCode::msr:
        return on_msr(vcpu, vmcb, registers);
    case ExitCode::nested_page_fault:
        return on_nested_page_fault(vcpu, vmcb, registers);
    case ExitCode::vmmcall:
        return on_vmmcall(vcpu, vmcb, registers);
    case ExitCode::nmi:
    case ExitCode::init:
        open_window(); // the host's handlers note what it was
        return Outcome::retry;
    case ExitCode::iret:
        on_iret(vcpu, vmcb);
        return Outcome::retry;
    case ExitCode::vintr:
        on_virtual_interrupt(vcpu, vmcb);
        return Outcome::retry;
    case ExitCode::invd: // the host's dirty lines must survive
        x86::wbinvd();
        return Outcome::advance;
    case ExitCode::invlpga:
    case ExitCode::vmrun:
    case ExitCode::vmload:
    case ExitCode::vmsave:
    case ExitCode::stgi:
    case ExitCode::clgi:
    case ExitCode::skinit:
        return Outcome::undefined_opcode; // SVM is hidden
    case ExitCode::shutdown:
        on_shutdown(registers);
    default:
        crash_on_exit("VM exit that zpp does not know", registers);
    }
}

// Bits without a meaning for the core, but where any bit on which translations depend is another one in
// the guest, QEMU's TCG flushes once more at VMRUN and at #VMEXIT. Linux has PSE on the BSP only.
void follow_cr4(const Vmcb& vmcb)
{
    constexpr u64 followed = x86::cr4_pse | x86::cr4_pge;
    const u64 host = x86::read_cr4();
    const u64 wanted = (host & ~followed) | (vmcb.cr4 & followed);
    if (wanted != host)
        x86::write_cr4(wanted);
}

} // namespace

// QEMU's TCG gives VMEXIT_INVALID, not #GP, when the guest sets a reserved bit of CR4. If it was
// VMRUN that failed, an injected #GP is still there.
bool refuses_reserved_cr4(Vcpu& vcpu, const Vmcb& vmcb)
{
    if ((vmcb.event_injection & event_valid) != 0)
        return false;
    const GuestCode code = code_at_rip(vcpu, vmcb);
    return is_mov_to_cr4(code.bytes, code.count, code_size(vmcb));
}

extern "C" bool zpp_svm_on_exit(GuestRegisters& registers);

// False: the CPU refused the first VMRUN, the launch has failed.
bool zpp_svm_on_exit(GuestRegisters& registers)
{
    Vcpu& vcpu = current_vcpu();
    Vmcb& vmcb = vmcb_of(vcpu);
    registers.rax = vmcb.rax;
    if (static_cast<std::int32_t>(vmcb.exit_code) == exit_invalid) {
        if (!vcpu.entered)
            return false;
        if (!refuses_reserved_cr4(vcpu, vmcb))
            crash_on_exit("VMRUN refused the VMCB", registers);
        inject_exception(vmcb, x86::vector_general_protection);
        return true;
    }
    vcpu.entered = true;
    vmcb.clean = clean_all;
    vmcb.tlb_control = 0;
    vmcb.event_injection = 0;
    record(vcpu, vmcb);
    apply(vcpu, vmcb, dispatch(vcpu, vmcb, registers));
    deliver_events(vcpu, vmcb);
    startup::take(vcpu, registers, {reset, start, x86::pause});
    follow_cr4(vmcb);
    vmcb.rax = registers.rax;
    return true;
}

} // namespace zpp::svm
