// svm/events: NMIs and interrupted event deliveries, with and without vNMI (AMD APM Vol. 2, 15.20,
// 15.21.10 and 15.22). The CPU's side is played by the test.
#include "apic/access.hpp"
#include "apic/startup.hpp"
#include "fake_apic.hpp"
#include "fake_core.hpp"
#include "fake_registers.hpp"
#include "svm/events.hpp"
#include "svm/exit_code.hpp"
#include "svm/shared.hpp"
#include <cstdlib>
#include <cstring>
#include <doctest/doctest.h>
#include <memory>
#include <vector>

namespace zpp::test {
namespace {

using namespace svm;
using Commands = std::vector<Command>;

constexpr u64 TF = 1 << 8, IF = 1 << 9, NT = 1 << 14, RF = 1 << 16;
constexpr u64 dr6_default = 0xffff0ff0, BS = 1 << 14;
constexpr u64 nmi_event = 0x80000202, db_event = 0x80000301, gp_event = 0x80000b0d;
constexpr u64 mc_event = 0x80000312;
constexpr u64 iret_rip = 0x1000, target = 0x2000;
constexpr u32 nmi_to_self = 0x4400;

// One CPU, and its guest at an exit.
class Cpu {
public:
    explicit Cpu(bool virtual_nmi = false)
        : block_(std::aligned_alloc(ZPP_CPU_BLOCK_SIZE, ZPP_CPU_BLOCK_SIZE))
    {
        std::memset(block_, 0, ZPP_CPU_BLOCK_SIZE);
        shared.virtual_nmi = virtual_nmi;
        vcpu().apic_id = 5;
        vmcb().rflags = x86::Rflags{2};
        vmcb().dr6 = x86::Dr6{dr6_default};
        vmcb().dr7 = 0x400;
        vmcb().rip = 0x500;
        vmcb().cr0 = x86::Cr0::pe;
        if (virtual_nmi)
            vmcb().virtual_interrupt = VirtualInterrupt::v_nmi_enable;
    }
    ~Cpu()
    {
        shared.virtual_nmi = false;
        std::free(block_);
    }
    Cpu(const Cpu&) = delete;
    Cpu& operator=(const Cpu&) = delete;

    Vcpu& vcpu() { return *static_cast<Vcpu*>(block_); }
    Vmcb& vmcb() { return vmcb_of(vcpu()); }
    Guest guest() { return {vcpu(), vmcb(), registers_}; }

    // Up to the next VMRUN; returns what is injected.
    u64 exit(u64 code)
    {
        vmcb().exit_code = code;
        vmcb().event_injection = 0;
        vmcb().clean = Clean::all;
        Guest at_exit = guest();
        if (code == static_cast<u64>(ExitCode::nmi))
            receive_nmi();
        else if (code == static_cast<u64>(ExitCode::iret))
            on_iret(at_exit);
        else if (is_exception(code))
            at_exit.close_nmi_window();
        deliver_events(at_exit);
        return vmcb().event_injection;
    }
    u64 exit(ExitCode code) { return exit(static_cast<u64>(code)); }

    // As the host's NMI handler.
    void receive_nmi()
    {
        const bool kicked = startup::take_kick(vcpu());
        if (!take_window_nmi(vcpu()) && !kicked)
            vcpu().nmi_pending = true;
    }

    bool intercepts_iret() { return has(vmcb().intercept_vector_3, InterceptVector3::iret); }

private:
    void* block_;
    GuestRegisters registers_{};
    FakeApic apic_;
};

// The guest is at the IRET of its NMI handler, and another NMI is pending.
void reach_iret(Cpu& cpu, u64 rflags)
{
    CHECK(cpu.exit(ExitCode::nmi) == nmi_event);
    CHECK(cpu.intercepts_iret());
    CHECK(cpu.exit(ExitCode::nmi) == 0); // masked
    cpu.vmcb().rip = iret_rip;
    cpu.vmcb().rflags = x86::Rflags{rflags};
    CHECK(cpu.exit(ExitCode::iret) == 0);
    CHECK_FALSE(cpu.intercepts_iret());
}

// The IRET has run.
void run_iret(Cpu& cpu, u64 rflags, u64 dr6 = dr6_default | BS)
{
    cpu.vmcb().rip = target;
    cpu.vmcb().rflags = x86::Rflags{rflags};
    cpu.vmcb().dr6 = x86::Dr6{dr6};
}

constexpr u64 exception(unsigned vector)
{
    return static_cast<u64>(ExitCode::exception_0) + vector;
}

TEST_CASE("NMI: injected, masked until the IRET")
{
    Cpu cpu;
    CHECK(cpu.exit(ExitCode::nmi) == nmi_event);
    CHECK_FALSE(cpu.vcpu().nmi_pending);
    CHECK(cpu.exit(ExitCode::cpuid) == 0);
    CHECK(cpu.exit(ExitCode::nmi) == 0);
    CHECK(cpu.vcpu().nmi_pending);
    CHECK(cpu.exit(ExitCode::cpuid) == 0);
    CHECK(FakeApic::take_sent().empty()); // the IRET's intercept is the window
}

TEST_CASE("NMI: none is pending at the IRET, so it is not stepped")
{
    Cpu cpu;
    CHECK(cpu.exit(ExitCode::nmi) == nmi_event);
    cpu.vmcb().rip = iret_rip;
    CHECK(cpu.exit(ExitCode::iret) == 0);
    CHECK(raw(cpu.vmcb().rflags) == 2);
    CHECK(cpu.vmcb().intercept_exceptions == 0);

    // One comes before the IRET has run.
    CHECK(cpu.exit(ExitCode::nmi) == 0);
    CHECK(has(cpu.vmcb().rflags, x86::Rflags::tf));
    run_iret(cpu, 2);
    CHECK(cpu.exit(exception(1)) == nmi_event);
}

TEST_CASE("NMI: a pending one comes right after the IRET, whatever RFLAGS it loads")
{
    for (const u64 before : {u64{2}, 2 | IF})
        for (const u64 loaded : {u64{2}, 2 | IF, 2 | TF, 2 | RF}) {
            Cpu cpu;
            cpu.vmcb().intercept_exceptions = 1u << 18;
            reach_iret(cpu, before);
            // No interrupt can save the flag on a stack, and the breakpoint at the IRET is past.
            CHECK(raw(cpu.vmcb().rflags) == (2 | TF | RF));
            CHECK(cpu.vmcb().intercept_exceptions == ~(1u << 2 | 1u << 9));
            CHECK_FALSE(has(cpu.vmcb().clean, Clean::intercepts));
            CHECK_FALSE(has(cpu.vmcb().clean, Clean::drx));

            // Exits before the IRET runs change nothing.
            CHECK(cpu.exit(ExitCode::smi) == 0);
            CHECK(cpu.exit(ExitCode::nmi) == 0);

            run_iret(cpu, loaded);
            CHECK(cpu.exit(exception(1)) == nmi_event);
            CHECK(raw(cpu.vmcb().rflags) == loaded);
            CHECK(raw(cpu.vmcb().dr6) == dr6_default);
            CHECK(cpu.vmcb().intercept_exceptions == 1u << 18);
            CHECK_FALSE(has(cpu.vmcb().clean, Clean::intercepts));
            CHECK_FALSE(has(cpu.vmcb().clean, Clean::drx));
            CHECK(cpu.intercepts_iret());
            CHECK_FALSE(cpu.vcpu().nmi_pending); // two of them merged
            CHECK(FakeApic::take_sent().empty());
        }
}

TEST_CASE("NMI: the guest steps the IRET itself")
{
    Cpu cpu;
    cpu.vmcb().dr6 = x86::Dr6{dr6_default | 4};
    reach_iret(cpu, 2 | TF);
    run_iret(cpu, 2);
    CHECK(cpu.exit(exception(1)) == db_event);
    CHECK(raw(cpu.vmcb().dr6) == (dr6_default | 4 | BS));

    // The NMI comes where the handler of the #DB starts.
    CHECK(FakeApic::take_sent() == Commands{{5, nmi_to_self}});
    CHECK(cpu.exit(ExitCode::nmi) == nmi_event);
}

TEST_CASE("NMI: the IRET reads what the guest watches")
{
    struct {
        u64 dr7, hits;
        bool reported;
    } const cases[] = {
        {0x400, 0, false}, {0x400, 1, false}, // not enabled
        {0x401, 1, true},  {0x402, 1, true},  {0x402, 2, false}, {0x480, 8, true},
    };
    for (const auto& c : cases) {
        INFO("DR7 ", c.dr7, " hits ", c.hits);
        Cpu cpu;
        cpu.vmcb().dr7 = c.dr7;
        reach_iret(cpu, 2);
        run_iret(cpu, 2, dr6_default | BS | c.hits);
        CHECK(cpu.exit(exception(1)) == (c.reported ? db_event : nmi_event));
        CHECK(raw(cpu.vmcb().dr6) == (dr6_default | (c.reported ? c.hits : 0)));
    }
}

TEST_CASE("NMI: the IRET faults")
{
    constexpr u64 page_fault = 14;
    for (const u64 vector : {u64{13}, page_fault}) {
        Cpu cpu;
        cpu.vmcb().cr2 = 1;
        cpu.vmcb().dr6 = x86::Dr6{dr6_default | BS};
        reach_iret(cpu, 2 | IF);
        cpu.vmcb().exit_info_1 = 0x18;
        cpu.vmcb().exit_info_2 = 0x7000;
        CHECK(cpu.exit(exception(static_cast<unsigned>(vector))) ==
              (gp_event - 13 + vector + (u64{0x18} << 32)));
        CHECK(cpu.vmcb().rip == iret_rip);
        CHECK(raw(cpu.vmcb().rflags) == (2 | IF | RF));
        CHECK(raw(cpu.vmcb().dr6) == (dr6_default | BS));
        CHECK(cpu.vmcb().cr2 == (vector == page_fault ? 0x7000 : 1));
        CHECK(cpu.vmcb().intercept_exceptions == 0);

        CHECK(FakeApic::take_sent() == Commands{{5, nmi_to_self}});
        CHECK(cpu.exit(ExitCode::nmi) == nmi_event);
    }
}

TEST_CASE("NMI: an IRET that switches tasks is not stepped")
{
    Cpu cpu;
    reach_iret(cpu, 2 | NT);
    CHECK(raw(cpu.vmcb().rflags) == (2 | NT));
    CHECK(FakeApic::take_sent().empty());
    cpu.vmcb().rip = target;
    CHECK(cpu.exit(ExitCode::cpuid) == nmi_event);

    Cpu in_long_mode;
    in_long_mode.vmcb().efer = x86::Efer::lma;
    reach_iret(in_long_mode, 2 | NT); // #GP
    CHECK(has(in_long_mode.vmcb().rflags, x86::Rflags::tf));
}

TEST_CASE("NMI: after an event that is injected")
{
    Cpu cpu;
    cpu.vcpu().nmi_pending = true;
    cpu.vmcb().exit_interrupt_info = 0x80000020; // an interrupt whose delivery was interrupted
    CHECK(cpu.exit(ExitCode::nested_page_fault) == 0x80000020);
    CHECK(FakeApic::take_sent() == Commands{{5, nmi_to_self}});

    // Another NMI and another exit meet the open window; no second one is opened.
    cpu.vmcb().exit_interrupt_info = 0;
    CHECK(cpu.exit(ExitCode::cpuid) == 0);
    CHECK(FakeApic::take_sent().empty());
    CHECK(cpu.exit(ExitCode::nmi) == nmi_event);
    CHECK_FALSE(cpu.vcpu().nmi_pending);

    // The next NMI is the guest's.
    cpu.vmcb().rip = iret_rip;
    CHECK(cpu.exit(ExitCode::iret) == 0);
    cpu.vmcb().rip = target;
    CHECK(cpu.exit(ExitCode::nmi) == nmi_event);
}

TEST_CASE("NMI: an event that a CPU delivers after the NMI does not loop")
{
    Cpu cpu;
    cpu.vmcb().exit_interrupt_info = 0x80000020;
    CHECK(cpu.exit(ExitCode::nmi) == 0x80000020);
    CHECK(FakeApic::take_sent() == Commands{{5, nmi_to_self}});
    CHECK(cpu.exit(ExitCode::nmi) == 0x80000020); // the window
    CHECK(FakeApic::take_sent().empty());
    cpu.vmcb().exit_interrupt_info = 0;
    CHECK(cpu.exit(ExitCode::cpuid) == nmi_event);
}

TEST_CASE("NMI: the shadow of STI and MOV SS")
{
    Cpu cpu;
    cpu.vcpu().nmi_pending = true;
    cpu.vmcb().interrupt_state = interrupt_shadow;
    CHECK(cpu.exit(ExitCode::smi) == 0);
    CHECK(FakeApic::take_sent() == Commands{{5, nmi_to_self}});

    // The CPU exits where it takes NMIs, even if that is in the shadow.
    CHECK(cpu.exit(ExitCode::nmi) == nmi_event);
    CHECK(cpu.vmcb().interrupt_state == 0);
}

TEST_CASE("NMI: one that meets a kick, and a window that meets a kick")
{
    Cpu cpu;
    cpu.vcpu().startup.kicked = true;
    CHECK(cpu.exit(ExitCode::nmi) == 0);
    CHECK_FALSE(cpu.vcpu().nmi_pending);

    cpu.vcpu().nmi_pending = true;
    cpu.vmcb().interrupt_state = interrupt_shadow;
    CHECK(cpu.exit(ExitCode::smi) == 0);
    cpu.vcpu().startup.kicked = true;
    CHECK(cpu.exit(ExitCode::nmi) == nmi_event);
    CHECK_FALSE(cpu.vcpu().startup.kicked);
    cpu.receive_nmi(); // neither
    CHECK(cpu.vcpu().nmi_pending);
}

TEST_CASE("NMI: INIT drops what is pending, and ends a step")
{
    Cpu cpu;
    cpu.vmcb().intercept_exceptions = 1u << 18;
    reach_iret(cpu, 2);
    Guest guest = cpu.guest();
    forget_events(guest);
    CHECK(cpu.vmcb().intercept_exceptions == 1u << 18);
    CHECK_FALSE(cpu.vcpu().nmi_pending);
    cpu.vmcb().rip = iret_rip; // by chance
    CHECK(cpu.exit(ExitCode::nmi) == nmi_event);
}

TEST_CASE("NMI: an exception that nothing intercepts")
{
    Cpu cpu;
    CHECK_THROWS_AS(cpu.exit(exception(1)), Crash);
}

// A machine check that was taken in the host's window, before the end of an exit.
struct MachineCheck {
    FakeRegisters registers;

    explicit MachineCheck(Cpu& cpu)
    {
        registers.msrs = {{0x1b, 0xfee00900}, {0x179, 0}, {0x17a, 5}};
        cpu.vmcb().cr4 = x86::Cr4::mce;
        cpu.vcpu().machine_check_pending = true;
    }
};

TEST_CASE("machine check: injected at once, and an NMI after it")
{
    Cpu cpu;
    const MachineCheck pending(cpu);
    CHECK(cpu.exit(ExitCode::nmi) == mc_event);
    CHECK_FALSE(cpu.vcpu().machine_check_pending);
    CHECK(FakeApic::take_sent() == Commands{{5, nmi_to_self}});
    CHECK(cpu.exit(ExitCode::nmi) == nmi_event); // the window
    CHECK_FALSE(cpu.vcpu().nmi_pending);
}

TEST_CASE("machine check: after an event that is injected")
{
    Cpu cpu;
    const MachineCheck pending(cpu);
    cpu.vmcb().exit_interrupt_info = 0x80000020;
    CHECK(cpu.exit(ExitCode::nested_page_fault) == 0x80000020);
    CHECK(FakeApic::take_sent() == Commands{{5, nmi_to_self}});
    cpu.vmcb().exit_interrupt_info = 0;
    CHECK(cpu.exit(ExitCode::nmi) == mc_event); // the window
    CHECK_FALSE(cpu.vcpu().nmi_pending);
    CHECK(FakeApic::take_sent().empty());
}

TEST_CASE("machine check: one in place of the IRET masks NMIs again")
{
    Cpu cpu;
    CHECK(cpu.exit(ExitCode::nmi) == nmi_event);
    cpu.vmcb().rip = iret_rip;
    CHECK(cpu.exit(ExitCode::iret) == 0);
    CHECK_FALSE(cpu.intercepts_iret());
    const MachineCheck pending(cpu);
    CHECK(cpu.exit(ExitCode::nmi) == mc_event);
    CHECK(cpu.intercepts_iret());
    CHECK_FALSE(has(cpu.vmcb().rflags, x86::Rflags::tf));
    cpu.vmcb().rip = 0x3000; // its handler; any IRET ends the mask
    CHECK(cpu.exit(ExitCode::cpuid) == 0);
    CHECK(cpu.exit(ExitCode::iret) == 0);
    CHECK(has(cpu.vmcb().rflags, x86::Rflags::tf));
    cpu.vmcb().rip = iret_rip;
    CHECK(cpu.exit(exception(1)) == nmi_event);
}

TEST_CASE("machine check: not during the step over an IRET")
{
    Cpu cpu;
    reach_iret(cpu, 2);
    const MachineCheck pending(cpu);
    CHECK(cpu.exit(ExitCode::smi) == 0);
    CHECK(FakeApic::take_sent().empty());
    run_iret(cpu, 2);
    CHECK(cpu.exit(exception(1)) == mc_event);
    CHECK(raw(cpu.vmcb().rflags) == 2);
    CHECK(cpu.vcpu().nmi_pending);
    CHECK(FakeApic::take_sent() == Commands{{5, nmi_to_self}});
    CHECK(cpu.exit(ExitCode::nmi) == nmi_event);
}

TEST_CASE("machine check: of the guest, during the step over an IRET")
{
    Cpu cpu;
    reach_iret(cpu, 2);
    CHECK(cpu.exit(exception(18)) == mc_event);
}

TEST_CASE("vNMI: the CPU does it all")
{
    constexpr auto pending = VirtualInterrupt::v_nmi_pending, mask = VirtualInterrupt::v_nmi_mask,
                   enable = VirtualInterrupt::v_nmi_enable;
    Cpu cpu(true);
    CHECK(cpu.exit(ExitCode::nmi) == 0);
    CHECK(raw(cpu.vmcb().virtual_interrupt) == raw(enable | pending));
    CHECK_FALSE(has(cpu.vmcb().clean, Clean::tpr));
    CHECK_FALSE(cpu.intercepts_iret());
    CHECK_FALSE(cpu.vcpu().nmi_pending);

    // In the handler, and with an event that is injected again.
    cpu.vmcb().virtual_interrupt = enable | mask;
    cpu.vmcb().exit_interrupt_info = 0x80000020;
    cpu.vmcb().interrupt_state = interrupt_shadow;
    CHECK(cpu.exit(ExitCode::nmi) == 0x80000020);
    CHECK(raw(cpu.vmcb().virtual_interrupt) == raw(enable | mask | pending));
    CHECK(FakeApic::take_sent().empty());
}

} // namespace
} // namespace zpp::test
