// emulate/handle.hpp: how the guest continues after an exit, with a guest of plain fields.
#include "core/log.hpp"
#include "emulate/handle.hpp"
#include "fake_core.hpp"
#include "fake_registers.hpp"
#include <doctest/doctest.h>
#include <memory>
#include <string>
#include <vector>

namespace zpp::test {
namespace {

using Reason = VmExit::Reason;

std::string logged_since(u64 position)
{
    const u64 first = position > log::begin() ? position : log::begin();
    std::string text(log::end() - first, ' ');
    log::read(first, text.data(), text.size());
    return text;
}

struct FakeGuest {
    Vcpu& vcpu;
    GuestRegisters& registers;

    u64 rip_ = 0x1000;
    x86::Rflags rflags_ = x86::Rflags::at_reset;
    x86::Cr0 cr0_ = x86::Cr0::pe;
    x86::Cr4 cr4_{};
    x86::DebugCtl debug_control_{};
    unsigned cpl_ = 0;
    CodeSize size = CodeSize::bits64;
    bool shadow = false, single_step = false, nmi_allowed = true, window = false;
    bool exits_at_once = false;
    std::vector<u32> injected{};
    x86::Cr0 cr0_shadow{};
    x86::Cr4 cr4_shadow{};

    static MsrHandlers msr_handlers()
    {
        static constexpr MsrHandler table[] = {
            {x86::Msr{0x10}, x86::Msr{0x11}, refuse_rdmsr, ignore_wrmsr}};
        return table;
    }
    u64 rip() const { return rip_; }
    x86::Rflags rflags() const { return rflags_; }
    x86::Cr0 cr0() const { return cr0_; }
    x86::Cr4 cr4() const { return cr4_; }
    bool cpuid_shows_syscall() const { return size == CodeSize::bits64; }
    unsigned cpl() const { return cpl_; }
    CodeSize code_size() const { return size; }
    x86::DebugCtl debug_control() const { return debug_control_; }
    void set_rip(u64 value) { rip_ = value; }
    void set_rflags(x86::Rflags value) { rflags_ = value; }
    void end_interrupt_shadow() { shadow = false; }
    void pend_single_step() { single_step = true; }
    void inject(x86::Event event) { injected.push_back(event.value); }
    bool injects_event() const { return !injected.empty(); }
    void exit_at_once() { exits_at_once = true; }
    void inject_machine_check() { inject(x86::Event::exception(x86::vector_machine_check, cr0_)); }
    bool takes_nmi() const { return nmi_allowed; }
    void open_nmi_window() { window = true; }
    void close_nmi_window() { window = false; }
    void inject_nmi() { inject(x86::Event::nmi()); }
    void devirtualize(zpp_cpu_call&) { throw Crash{"devirtualized"}; }
    x86::Cr0 allowed_cr0() const { return x86::Cr0{0xffffffff}; }
    x86::Cr4 hidden_cr4() const { return x86::Cr4::vmxe; }
    void set_cr0_shadow(x86::Cr0 value) { cr0_shadow = value; }
    void set_cr4_shadow(x86::Cr4 value) { cr4_shadow = value; }
};

struct Machine {
    std::unique_ptr<Vcpu> vcpu = std::make_unique<Vcpu>();
    GuestRegisters registers{};
    FakeGuest guest{*vcpu, registers};

    void finish(Outcome outcome, unsigned length = 2)
    {
        VmExit exit{.reason = Reason::cpuid, .code = 0};
        exit.instruction_length = length;
        apply(guest, exit, outcome);
    }
};

TEST_CASE("advance: RIP has the size of the code segment")
{
    struct {
        CodeSize size;
        u64 rip, next;
    } const cases[] = {
        {CodeSize::bits64, 0x1000, 0x1002},
        {CodeSize::bits64, 0xffff, 0x10001},
        {CodeSize::bits64, 0xffffffff, 0x100000001},
        {CodeSize::bits64, 0xfffffffffffffffe, 0},
        {CodeSize::bits32, 0xffff, 0x10001},
        {CodeSize::bits32, 0xffffffff, 1},
        {CodeSize::bits16, 0xfffd, 0xffff},
        {CodeSize::bits16, 0xfffe, 0},
        {CodeSize::bits16, 0xffff, 1},
    };
    for (const auto& c : cases) {
        CAPTURE(c.rip);
        Machine machine;
        machine.guest.size = c.size;
        machine.guest.rip_ = c.rip;
        machine.finish(Outcome::advance);
        CHECK(machine.guest.rip_ == c.next);
    }
}

TEST_CASE("advance: the interrupt shadow ends")
{
    Machine machine;
    machine.guest.shadow = true;
    machine.finish(Outcome::advance);
    CHECK_FALSE(machine.guest.shadow);
    CHECK_FALSE(machine.guest.single_step);
    CHECK(machine.guest.injected.empty());
}

TEST_CASE("advance: RFLAGS.TF traps, but for DEBUGCTL.BTF")
{
    Machine machine;
    machine.guest.rflags_ |= x86::Rflags::tf;
    machine.guest.debug_control_ = x86::DebugCtl::btf;
    machine.finish(Outcome::advance);
    CHECK_FALSE(machine.guest.single_step);
    machine.guest.debug_control_ = x86::DebugCtl::lbr;
    machine.finish(Outcome::advance);
    CHECK(machine.guest.single_step);
}

TEST_CASE("advance: RFLAGS.RF ends with the instruction, with and without a trap")
{
    for (const bool traps : {false, true}) {
        Machine machine;
        const x86::Rflags others = x86::Rflags{0x246} | (traps ? x86::Rflags::tf : x86::Rflags{});
        machine.guest.rflags_ = others | x86::Rflags::rf;
        machine.finish(Outcome::advance);
        CHECK(machine.guest.rflags_ == others);
        CHECK(machine.guest.single_step == traps);
    }
    Machine machine; // the instruction will run again
    machine.guest.rflags_ |= x86::Rflags::rf;
    machine.finish(Outcome::retry);
    CHECK(has(machine.guest.rflags_, x86::Rflags::rf));
}

TEST_CASE("advance: an instruction of unknown length is a crash")
{
    Machine machine;
    CHECK_THROWS_AS(machine.finish(Outcome::advance, 0), Crash);
    CHECK(machine.guest.rip_ == 0x1000);
}

TEST_CASE("apply: RIP moves only after an emulated instruction")
{
    Machine machine;
    machine.guest.shadow = true;
    machine.finish(Outcome::retry, 0);
    CHECK(machine.guest.injected.empty());
    machine.finish(Outcome::undefined_opcode, 0);
    machine.finish(Outcome::general_protection, 0);
    CHECK(machine.guest.injected == std::vector<u32>{0x80000306, 0x80000b0d});
    CHECK(machine.guest.rip_ == 0x1000);
    CHECK(machine.guest.shadow);
}

TEST_CASE("apply: a fault pushes RF, and an error code in protected mode only")
{
    Machine machine;
    machine.finish(Outcome::general_protection);
    CHECK(has(machine.guest.rflags_, x86::Rflags::rf));
    CHECK(machine.guest.injected.back() == 0x80000b0d);
    Machine real_mode;
    real_mode.guest.cr0_ = {};
    real_mode.finish(Outcome::general_protection);
    CHECK_FALSE(has(real_mode.guest.rflags_, x86::Rflags::rf)); // 16 bits
    CHECK(real_mode.guest.injected.back() == 0x8000030d);
}

TEST_CASE("machine check: after the event that is due")
{
    FakeRegisters cpu;
    cpu.msrs = {{0x179, 0}, {0x17a, 5}};
    Machine machine;
    deliver_machine_check(machine.guest);
    CHECK(machine.guest.injected.empty());
    machine.guest.cr4_ = x86::Cr4::mce;
    machine.vcpu->machine_check_pending = true;
    machine.guest.inject(x86::Event::nmi());
    deliver_machine_check(machine.guest);
    CHECK(machine.guest.injected == std::vector<u32>{0x80000202});
    CHECK(machine.guest.exits_at_once);
    CHECK(machine.vcpu->machine_check_pending);
    machine.guest.injected.clear(); // it was delivered
    deliver_machine_check(machine.guest);
    CHECK(machine.guest.injected == std::vector<u32>{0x80000312});
    CHECK_FALSE(machine.vcpu->machine_check_pending);
}

TEST_CASE("machine check: without CR4.MCE the CPU shuts down")
{
    for (const bool injects : {false, true}) {
        FakeRegisters cpu;
        cpu.msrs = {{0x179, 0}, {0x17a, 5}};
        Machine machine;
        machine.vcpu->machine_check_pending = true;
        if (injects)
            machine.guest.inject(x86::Event::nmi());
        CHECK_THROWS_AS(deliver_machine_check(machine.guest), Crash);
    }
}

TEST_CASE("machine check: the guest takes it before zpp leaves")
{
    Machine machine;
    machine.vcpu->machine_check_pending = true;
    machine.registers.rax = ZPP_HYPERCALL(ZPP_HYPERCALL_DEVIRTUALIZE);
    const VmExit exit{.reason = Reason::hypercall, .code = 0};
    CHECK(handle_exit(machine.guest, exit) == Outcome::retry);
}

TEST_CASE("NMI: at once, or at the window")
{
    Machine machine;
    deliver_nmi(machine.guest);
    CHECK(machine.guest.injected.empty());
    machine.vcpu->nmi_pending = true;
    machine.guest.nmi_allowed = false;
    deliver_nmi(machine.guest);
    CHECK(machine.guest.window);
    CHECK(machine.vcpu->nmi_pending);
    machine.guest.nmi_allowed = true;
    on_nmi_window(machine.guest);
    CHECK_FALSE(machine.guest.window);
    CHECK_FALSE(machine.vcpu->nmi_pending);
    CHECK(machine.guest.injected == std::vector<u32>{0x80000202});
    on_nmi_window(machine.guest);
    CHECK(machine.guest.injected.size() == 1);
}

TEST_CASE("MOV to CR: the read shadow follows a valid value")
{
    struct {
        u32 number;
        u64 value;
        Outcome outcome;
    } const cases[] = {
        {0, 0x80000031, Outcome::retry},
        {0, 0x80000000, Outcome::general_protection}, // PG without PE
        {0, bit(32) | 1, Outcome::general_protection},
        {4, 0x20, Outcome::retry},
        {4, bit(13), Outcome::general_protection}, // hidden
        {3, 0x1000, Outcome::general_protection},
    };
    for (const auto& c : cases) {
        CAPTURE(c.number);
        CAPTURE(c.value);
        Machine machine;
        VmExit exit{.reason = Reason::mov_to_cr, .code = 28};
        exit.index = c.number;
        exit.value = c.value;
        CHECK(on_mov_to_cr(machine.guest, exit) == c.outcome);
        const bool taken = c.outcome == Outcome::retry;
        CHECK(raw(machine.guest.cr0_shadow) == (taken && c.number == 0 ? c.value : 0));
        CHECK(raw(machine.guest.cr4_shadow) == (taken && c.number == 4 ? c.value : 0));
    }
}

TEST_CASE("handle_exit: what the guest must not have is #UD, what cannot be is a crash")
{
    Machine machine;
    const auto handle = [&](Reason reason) {
        return handle_exit(machine.guest, {.reason = reason, .code = 0});
    };
    CHECK(handle(Reason::hidden_instruction) == Outcome::undefined_opcode);
    CHECK(handle(Reason::hypercall) == Outcome::undefined_opcode); // without the magic
    machine.registers.rax = ZPP_HYPERCALL(ZPP_HYPERCALL_VERSION);
    machine.guest.cpl_ = 3;
    CHECK(handle(Reason::hypercall) == Outcome::undefined_opcode);
    for (const Reason reason : {Reason::nested_paging, Reason::unexpected})
        CHECK_THROWS_AS((void)handle(reason), Crash);
}

TEST_CASE("handle_exit: CPUID answers for the guest's mode")
{
    for (const CodeSize size : {CodeSize::bits16, CodeSize::bits32, CodeSize::bits64}) {
        Machine machine;
        machine.guest.size = size;
        machine.registers.rax = 0x80000001;
        CHECK(handle_exit(machine.guest, {.reason = Reason::cpuid, .code = 0}) == Outcome::advance);
        const u32 bare = x86::cpuid(0x80000001).edx & 1u << 11;
        CHECK((machine.registers.rdx & 1u << 11) == (size == CodeSize::bits64 ? bare : 0));
    }
}

TEST_CASE("handle_exit: a triple fault is one line, since some systems restart this way")
{
    const LogRecord record;
    Machine machine;
    machine.vcpu->index = 3;
    machine.guest.rip_ = 0xffffffff81000000;
    const u64 before = log::end();
    CHECK_THROWS_AS((void)handle_exit(machine.guest, {.reason = Reason::triple_fault, .code = 2}),
                    Crash);
    CHECK(logged_since(before) ==
          "zpp: CPU 3: triple fault in the guest at rip ffffffff81000000: shutdown\n");
    CHECK(LogRecord::memory.end == ZPP_LOG_TRIPLE_FAULT);
    CHECK(std::string(LogRecord::memory.reason) ==
          "CPU 3: triple fault in the guest at rip ffffffff81000000");
}

TEST_CASE("handle_exit: an address that nested paging does not reach has no memory")
{
    Machine machine;
    VmExit exit{.reason = Reason::nested_paging, .code = 48};
    exit.address = {u64{1} << 48};
    CHECK(handle_exit(machine.guest, exit) == Outcome::general_protection);
    exit.address = {(u64{1} << 48) - 1};
    CHECK_THROWS_AS((void)handle_exit(machine.guest, exit), Crash);
}

TEST_CASE("handle_exit: CPUID faulting gives #GP above CPL 0")
{
    for (const bool faults : {false, true})
        for (const unsigned cpl : {0u, 1u, 3u}) {
            Machine machine;
            machine.vcpu->cpuid_faults = faults;
            machine.guest.cpl_ = cpl;
            machine.registers.rbx = 0x1234;
            const bool refused = faults && cpl != 0;
            CHECK(handle_exit(machine.guest, {.reason = Reason::cpuid, .code = 0}) ==
                  (refused ? Outcome::general_protection : Outcome::advance));
            CHECK((machine.registers.rbx == 0x1234) == refused);
        }
}

TEST_CASE("handle_exit: MSRs by the table")
{
    Machine machine;
    machine.registers.rax = 7;
    VmExit exit{.reason = Reason::rdmsr, .code = 0};
    exit.index = 0x11;
    CHECK(handle_exit(machine.guest, exit) == Outcome::general_protection);
    CHECK(machine.registers.rax == 7);
    exit.reason = Reason::wrmsr;
    CHECK(handle_exit(machine.guest, exit) == Outcome::advance);
}

TEST_CASE("registers by their number")
{
    GuestRegisters registers{};
    u64* const expected[16] = {&registers.rax, &registers.rcx, &registers.rdx, &registers.rbx,
                               nullptr,        &registers.rbp, &registers.rsi, &registers.rdi,
                               &registers.r8,  &registers.r9,  &registers.r10, &registers.r11,
                               &registers.r12, &registers.r13, &registers.r14, &registers.r15};
    ScratchRegisters scratch{};
    const u64* const at_hand[16] = {&scratch.rax, &scratch.rcx, &scratch.rdx, &scratch.rbx,
                                    nullptr,      nullptr,      &scratch.rsi, &scratch.rdi,
                                    &scratch.r8,  &scratch.r9,  &scratch.r10, &scratch.r11,
                                    nullptr,      nullptr,      nullptr,      nullptr};
    for (unsigned number = 0; number < 16; ++number) {
        CAPTURE(number);
        CHECK(find_register(registers, number) == expected[number]);
        CHECK(find_register(scratch, number) == at_hand[number]);
    }
}

} // namespace
} // namespace zpp::test
