#include "core/crash.hpp"
#include "core/build_id.hpp"
#include "core/crash_screen.hpp"
#include "core/log.hpp"
#include "core/machine_check.hpp"
#include "core/stop.hpp"
#include "core/virt.hpp"
#include "lib/spinlock.hpp"
#include "x86/instructions.hpp"

namespace zpp {
namespace {

// One report at a time.
constinit Spinlock report_lock;

extern "C" const char zpp_image_start[], zpp_image_end[];

// `zpp-image symbolize` compares this start of the build ID.
void report_build()
{
    constexpr unsigned shown = 6;
    char text[2 * shown + 1] = {};
    for (unsigned i = 0; i < 2 * shown; ++i) {
        const u8 byte = build_id()[i / 2];
        text[i] = "0123456789abcdef"[i % 2 == 0 ? byte >> 4 : byte & 15];
    }
    log::line("zpp: crash report of build {}", static_cast<const char*>(text));
}

[[noreturn]] void end(Vcpu& vcpu)
{
    constexpr unsigned in_the_end = 3;
    if (vcpu.crashes >= in_the_end)
        x86::triple_fault();
    if (vcpu.crashed_first)
        reset_after_crash();
    stop_this_cpu();
}

void begin_report()
{
    Vcpu& vcpu = current_vcpu();
    if (++vcpu.crashes > 1)
        end(vcpu); // in its own report
    log::break_lock();
    vcpu.crashed_first = stop_other_cpus();
    if (vcpu.crashed_first)
        crash_screen::begin_report();
    (void)report_lock.lock_within(100'000'000);
    report_build();
}

[[noreturn]] void stop()
{
    Vcpu& vcpu = current_vcpu();
    log::line("zpp: CPU {} stopped", vcpu.index);
    report_lock.unlock();
    end(vcpu);
}

// Registers: GuestRegisters or ExceptionFrame.
template <class Registers> void report_registers(const Registers& r)
{
    log::line("zpp:   rax {x} rbx {x} rcx {x} rdx {x}", r.rax, r.rbx, r.rcx, r.rdx);
    log::line("zpp:   rsi {x} rdi {x} rbp {x} r8 {x}", r.rsi, r.rdi, r.rbp, r.r8);
    log::line("zpp:   r9 {x} r10 {x} r11 {x} r12 {x}", r.r9, r.r10, r.r11, r.r12);
    log::line("zpp:   r13 {x} r14 {x} r15 {x}", r.r13, r.r14, r.r15);
}

void report_history(const Vcpu& vcpu)
{
    const u32 end = vcpu.history_next;
    for (u32 i = end > Vcpu::history_length ? end - Vcpu::history_length : 0; i < end; ++i) {
        const auto& exit = vcpu.history[i % Vcpu::history_length];
        log::line("zpp:   exit {} ({}) at rip {x}", exit.reason, vendor().exit_name(exit.reason),
                  exit.rip);
    }
}

// Return addresses on the host's stack, relative to the ELF file, for `zpp-image symbolize`.
void report_backtrace(u64 rbp)
{
    const auto start = reinterpret_cast<u64>(zpp_image_start);
    const auto end = reinterpret_cast<u64>(zpp_image_end);
    constexpr u64 stack_size = ZPP_CPU_BLOCK_SIZE - (ZPP_CPU_STACK_GUARD_PAGE + 1) * page_size;
    const auto top = current_vcpu().stack_top();
    for (unsigned depth = 0; depth < 32; ++depth) {
        if (rbp < top - stack_size || rbp > top - 16 || rbp % 8 != 0)
            return;
        const u64* frame = reinterpret_cast<const u64*>(rbp);
        if (frame[1] < start || frame[1] >= end)
            return;
        log::line("zpp:   called from {x}", frame[1] - start);
        rbp = frame[0];
    }
}

void write_guest_report(const char* why, const GuestRegisters& registers)
{
    const Vcpu& vcpu = current_vcpu();
    log::line("zpp: CPU {} (APIC ID {}): {}", vcpu.index, vcpu.apic_id, why);
    log::note_end(ZPP_LOG_CRASH, "CPU {}: {}", vcpu.index, why);
    report_registers(registers);
    vendor().dump();
    report_history(vcpu);
}

} // namespace

void crash_on_exit(const char* why, const GuestRegisters& registers)
{
    begin_report();
    write_guest_report(why, registers);
    stop();
}

void crash_on_exception(const x86::ExceptionFrame& frame)
{
    begin_report();
    const Vcpu& vcpu = current_vcpu();
    log::line("zpp: CPU {}: exception {} in the host, error code {x}, cr2 {x}", vcpu.index,
              frame.vector, frame.error_code, x86::read_cr2());
    log::note_end(ZPP_LOG_CRASH, "CPU {}: exception {} in the host at image + {x}", vcpu.index,
                  frame.vector, frame.rip - reinterpret_cast<u64>(zpp_image_start));
    log::line("zpp:   rip {x} (image + {x}) rsp {x}", frame.rip,
              frame.rip - reinterpret_cast<u64>(zpp_image_start), frame.rsp);
    if (frame.vector == x86::vector_machine_check)
        machine_check::report(vcpu);
    report_registers(frame);
    report_backtrace(frame.rbp);
    report_history(vcpu);
    stop();
}

void crash(const char* why, u64 value)
{
    begin_report();
    log::line("zpp: CPU {}: {} ({x})", current_vcpu().index, why, value);
    log::note_end(ZPP_LOG_CRASH, "CPU {}: {} ({x})", current_vcpu().index, why, value);
    report_backtrace(reinterpret_cast<u64>(__builtin_frame_address(0)));
    stop();
}

} // namespace zpp
