// apic/icr_trap: when writes to the ICR exit, and what was sent while they did not. The ICR of the
// CPU in question is this thread's.
#include "apic/access.hpp"
#include "apic/icr_trap.hpp"
#include "fake_apic.hpp"
#include "fake_cpus.hpp"
#include <doctest/doctest.h>
#include <vector>

namespace zpp::test {
namespace {

using Commands = std::vector<Command>;

bool trapped;
unsigned flushes, switches;

const icr_trap::Switch fake{.set =
                                [](bool on) {
                                    trapped = on;
                                    ++switches;
                                },
                            .flush = [] { ++flushes; }};

void prepare()
{
    flushes = switches = 0;
    icr_trap::prepare(fake);
}

// What the guest has sent last without an exit.
void set_icr(u32 low, u32 apic_id = 0)
{
    apic_access::write(apic_icr_low, low);
    apic_access::write(apic_icr_high, apic_id << 24);
}

// Trapped writes that start no CPU, until the trap goes off; 0 if it does not.
unsigned writes_until_off(Vcpu& vcpu)
{
    for (unsigned count = 1; count < 100'000; ++count) {
        icr_trap::after_write(vcpu);
        if (!trapped)
            return count;
    }
    return 0;
}

Commands kicks_of(std::initializer_list<u32> indices)
{
    Commands commands;
    for (const u32 index : indices)
        commands.push_back({index * 2, nmi});
    return commands;
}

TEST_CASE("ICR trap: on from the start if there are CPUs to start")
{
    const FakeApic apic;
    {
        Cpus cpus(1);
        prepare();
        CHECK_FALSE(trapped);
    }
    Cpus cpus(2);
    prepare();
    CHECK(trapped);
}

TEST_CASE("ICR trap: a bounded number of writes, and a few more after each command")
{
    const FakeApic apic;
    Cpus cpus(3);
    prepare();
    const unsigned first = writes_until_off(cpus[0]);
    CHECK(first > 1000);
    CHECK(first < 20'000);
    CHECK(FakeApic::take_sent().empty()); // nobody has to know

    prepare();
    for (unsigned i = 1; i < first; ++i)
        icr_trap::after_write(cpus[i % 2]);
    CHECK(trapped);
    CHECK(cpus.send(0, init, 2));
    CHECK(cpus.send(0, sipi, 2));
    icr_trap::after_write(cpus[0]);
    cpus.start(1);
    const unsigned more = writes_until_off(cpus[0]);
    CHECK(more > 100);
    CHECK(more < first);
}

TEST_CASE("ICR trap: on while a CPU waits")
{
    const FakeApic apic;
    Cpus cpus(2);
    prepare();
    CHECK(cpus.send(0, init, 2));
    CHECK(writes_until_off(cpus[0]) == 0);
    CHECK(cpus.send(0, sipi, 2));
    cpus.start(1);
    CHECK(writes_until_off(cpus[0]) != 0);
}

TEST_CASE("ICR trap: an INIT by an old translation, after it went off")
{
    const FakeApic apic;
    Cpus cpus(3);
    prepare();
    REQUIRE(writes_until_off(cpus[0]) != 0);
    CHECK(cpus.send(0, init, 2));
    (void)FakeApic::take_sent();
    icr_trap::after_write(cpus[0]);
    CHECK(trapped);
    CHECK(flushes == 1);
    CHECK(FakeApic::take_sent() == kicks_of({2})); // CPU 1 is kicked already
}

TEST_CASE("ICR trap: an INIT that was not trapped, and what its sender does about it")
{
    const FakeApic apic;
    Cpus cpus(4);
    cpus[3].launched = false;
    prepare();
    REQUIRE(writes_until_off(cpus[0]) != 0);
    set_icr(0x40fb, 0); // an IPI
    icr_trap::on_kick(cpus[0]);

    for (const bool sipi_too : {false, true, false, true}) {
        (void)FakeApic::take_sent();
        REQUIRE(startup::init_arrived(cpus[1]));
        icr_trap::on_init(cpus[1]);
        CHECK(trapped);
        CHECK(FakeApic::take_sent() == kicks_of({0, 2}));
        CHECK(startup::take_kick(cpus[2]));
        // CPU 0 takes the kick after one of the two commands, or after both.
        CHECK(startup::take_kick(cpus[0]));
        set_icr(sipi_too ? sipi | 0x9a : init_level, 2);
        const unsigned before = flushes;
        icr_trap::on_kick(cpus[0]);
        CHECK(flushes == before + 1);
        CHECK(FakeApic::take_sent() == kicks_of({0})); // replaces its command
        if (!sipi_too)
            CHECK(cpus.send(0, sipi | 0x9a, 2)); // trapped
        CHECK(cpus.start(1) == 0x9a);
        // The command must not count again, though the kick that replaces it is on its way.
        icr_trap::on_kick(cpus[0]);
        CHECK(cpus.none_waits());
        CHECK(startup::take_kick(cpus[0]));
        set_icr(nmi, 0);
        icr_trap::on_kick(cpus[0]);
        CHECK(cpus.none_waits());
    }
}

TEST_CASE("ICR trap: an INIT to all whose targets wake up at different times")
{
    const FakeApic apic;
    Cpus cpus(3);
    prepare();
    REQUIRE(writes_until_off(cpus[0]) != 0);
    REQUIRE(startup::init_arrived(cpus[1]));
    icr_trap::on_init(cpus[1]);
    set_icr(init | to_others);
    icr_trap::on_kick(cpus[0]);
    CHECK(startup::waits(cpus[2]));
    CHECK(cpus.send(0, sipi | to_others | 0x87));
    CHECK(cpus.start(1) == 0x87);
    CHECK_FALSE(startup::init_arrived(cpus[2])); // only now, and known already
    CHECK(cpus.start(2) == 0x87);                // the SIPI is still there

    // The same, but CPU 0 has sent both before its kick: each target makes it look again.
    REQUIRE(startup::init_arrived(cpus[1]));
    icr_trap::on_init(cpus[1]);
    set_icr(sipi | to_others | 0x88);
    icr_trap::on_kick(cpus[0]);
    CHECK(cpus.start(1) == 0x88);
    CHECK(cpus.none_waits());
}

TEST_CASE("ICR trap: what is no command")
{
    const FakeApic apic;
    Cpus cpus(2);
    prepare();
    for (const u32 low : {0x40fbu, 0x4400u, init_deassert, init_deassert | to_others}) {
        set_icr(low, 2);
        icr_trap::on_kick(cpus[0]);
        CHECK(cpus.none_waits());
    }
    set_icr(sipi | 0x9a, 2); // to a CPU that runs
    icr_trap::on_kick(cpus[0]);
    CHECK(cpus.none_waits());
}

TEST_CASE("ICR trap: a kick brings the destinations of the CPU up to date")
{
    const FakeApic apic;
    Cpus cpus(2);
    prepare();
    set_icr(0x40fb, 0);
    apic_access::write(apic_id_register, 2 << 24);
    apic_access::write(apic_logical_destination, 0x40u << 24);
    apic_access::write(apic_destination_format, 0xffffffff);
    icr_trap::on_kick(cpus[1]);
    CHECK(cpus.send(0, init | 1u << 11, 0x40));
    CHECK(startup::waits(cpus[1]));
    CHECK_FALSE(startup::waits(cpus[0]));
}

TEST_CASE("ICR trap: it gives way to a write that nobody can emulate")
{
    const FakeApic apic;
    Cpus cpus(2);
    prepare();
    icr_trap::give_way();
    CHECK_FALSE(trapped);
}

} // namespace
} // namespace zpp::test
