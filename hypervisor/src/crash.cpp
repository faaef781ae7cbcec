#include "crash.hpp"
#include "log.hpp"
#include "virt.hpp"
#include "x86/instructions.hpp"

namespace zpp {
namespace {

// GuestRegisters and ExceptionFrame name their registers alike.
template <class Registers> void report_registers(const Registers& r)
{
    log::line("zpp:   rax {x} rbx {x} rcx {x} rdx {x}", r.rax, r.rbx, r.rcx, r.rdx);
    log::line("zpp:   rsi {x} rdi {x} rbp {x} r8 {x}", r.rsi, r.rdi, r.rbp, r.r8);
    log::line("zpp:   r9 {x} r10 {x} r11 {x} r12 {x}", r.r9, r.r10, r.r11, r.r12);
    log::line("zpp:   r13 {x} r14 {x} r15 {x}", r.r13, r.r14, r.r15);
}

void report_history(const Vcpu& vcpu)
{
    for (u32 i = 0; i < Vcpu::history_length; ++i) {
        const auto& exit = vcpu.history[(vcpu.history_next + i) % Vcpu::history_length];
        log::line("zpp:   exit {} at rip {x}", exit.reason, exit.rip);
    }
}

extern "C" const char zpp_image_start[], zpp_image_end[];

// Return addresses on the host's stack, relative to the ELF file, for an offline symbolizer.
void report_backtrace(u64 rbp)
{
    const auto start = reinterpret_cast<u64>(zpp_image_start);
    const auto end = reinterpret_cast<u64>(zpp_image_end);
    const auto top = current_vcpu().stack_top();
    for (unsigned depth = 0; depth < 32; ++depth) {
        if (rbp < top - 10 * page_size || rbp > top - 16 || rbp % 8 != 0)
            return;
        const u64* frame = reinterpret_cast<const u64*>(rbp);
        if (frame[1] < start || frame[1] >= end)
            return;
        log::line("zpp:   called from {x}", frame[1] - start);
        rbp = frame[0];
    }
}

} // namespace

void report_guest(const char* why, const GuestRegisters& registers)
{
    const Vcpu& vcpu = current_vcpu();
    log::line("zpp: CPU {} (APIC ID {}): {}", vcpu.index, vcpu.apic.id, why);
    report_registers(registers);
    vendor().dump();
    report_history(vcpu);
}

void crash_on_exit(const char* why, const GuestRegisters& registers)
{
    log::break_lock();
    report_guest(why, registers);
    log::line("zpp: CPU {} stopped", current_vcpu().index);
    x86::halt_forever();
}

void crash_on_exception(const x86::ExceptionFrame& frame)
{
    log::break_lock();
    const Vcpu& vcpu = current_vcpu();
    log::line("zpp: CPU {}: exception {} in the host, error code {x}, cr2 {x}", vcpu.index,
              frame.vector, frame.error_code, x86::read_cr2());
    log::line("zpp:   rip {x} (image + {x}) rsp {x}", frame.rip,
              frame.rip - reinterpret_cast<u64>(zpp_image_start), frame.rsp);
    report_registers(frame);
    report_backtrace(frame.rbp);
    report_history(vcpu);
    log::line("zpp: CPU {} stopped", vcpu.index);
    x86::halt_forever();
}

void crash(const char* why, u64 value)
{
    log::break_lock();
    log::line("zpp: CPU {}: {} ({x})", current_vcpu().index, why, value);
    report_backtrace(reinterpret_cast<u64>(__builtin_frame_address(0)));
    x86::halt_forever();
}

} // namespace zpp
