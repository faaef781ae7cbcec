// apic/init_state: a local APIC after an INIT, on a model of one (SDM Vol. 3A, 11.4 to 11.8).
#include "apic/init_state.hpp"
#include "x86/apic.hpp"
#include <doctest/doctest.h>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>

namespace zpp::test {
namespace {

constexpr u32 first_isr = 0x100, first_irr = 0x200;

class Model {
public:
    std::map<u32, u32> registers; // all but IRR and ISR
    std::set<unsigned> irr, isr, level;
    unsigned eois = 0, broadcasts = 0, taken = 0, unknown_writes = 0;
    bool x2apic = false;
    std::function<void(Model&)> on_broadcast, on_disable;

    bool enabled() { return (registers[0xf0] & 0x100) != 0; }

    u32 read(u32 offset)
    {
        if (offset >= first_isr && offset < first_isr + 0x80)
            return part(isr, (offset - first_isr) / 16);
        if (offset >= first_irr && offset < first_irr + 0x80)
            return part(irr, (offset - first_irr) / 16);
        return registers[offset];
    }

    void write(u32 offset, u32 value)
    {
        if (offset == 0xb0)
            return end();
        if (!known(offset)) {
            ++unknown_writes;
            return;
        }
        const bool was = enabled();
        registers[offset] = value;
        if (was && !enabled() && on_disable)
            on_disable(*this);
    }

    // Interrupts are enabled in the CPU for a moment.
    void take()
    {
        if (enabled() && !irr.empty() && *irr.rbegin() / 16 > priority()) {
            const unsigned vector = *irr.rbegin();
            REQUIRE(vector >= 32); // the host has a handler for these only
            irr.erase(vector);
            isr.insert(vector);
            ++taken;
            end();
        }
    }

    void send(unsigned vector)
    {
        if (enabled())
            irr.insert(vector);
    }

private:
    static u32 part(const std::set<unsigned>& vectors, u32 number)
    {
        u32 bits = 0;
        for (const unsigned vector : vectors)
            if (vector / 32 == number)
                bits |= 1u << vector % 32;
        return bits;
    }

    unsigned priority()
    {
        const unsigned task = (registers[0x80] & 0xff) / 16;
        return isr.empty() ? task : std::max(task, *isr.rbegin() / 16);
    }

    void end()
    {
        ++eois;
        if (isr.empty())
            return;
        const unsigned vector = *isr.rbegin();
        isr.erase(vector);
        if (level.contains(vector) && (registers[0xf0] & 0x1000) == 0) {
            ++broadcasts;
            if (on_broadcast)
                on_broadcast(*this);
        }
    }

    bool known(u32 offset)
    {
        const u32 last = registers[0x30] >> 16 & 0xff;
        switch (offset) {
        case 0xd0:
        case 0xe0:
        case 0x310:
            return !x2apic;
        case 0x2f0:
            return last >= 6;
        case 0x330:
            return last >= 5;
        case 0x340:
            return last >= 4;
        case 0x500:
        case 0x510:
            return (registers[0x30] & 0x80000000) != 0;
        case 0x80:
        case 0xf0:
        case 0x280:
        case 0x320:
        case 0x350:
        case 0x360:
        case 0x370:
        case 0x380:
        case 0x3e0:
            return true;
        default:
            return false;
        }
    }
};

Model* model;

void reset(Model& subject)
{
    model = &subject;
    reset_apic({[](u32 offset) { return model->read(offset); },
                [](u32 offset, u32 value) { model->write(offset, value); }, [] { model->take(); }},
               subject.x2apic);
}

// As an OS leaves it.
Model used(u32 version = 0x00050014)
{
    Model m;
    m.registers = {{0x20, 0x03000000}, {0x30, version}, {0x80, 0x30},   {0xd0, 0x08000000},
                   {0xe0, 0x0fffffff}, {0xf0, 0x1ff},   {0x280, 0x40},  {0x310, 0x02000000},
                   {0x320, 0x200ec},   {0x330, 0xfa},   {0x340, 0x400}, {0x350, 0x700},
                   {0x360, 0x400},     {0x370, 0xfe},   {0x380, 50000}, {0x3e0, 0xb}};
    return m;
}

void check_init_state(Model& m)
{
    for (const u32 lvt : {0x320, 0x350, 0x360, 0x370})
        CHECK(m.read(lvt) == 0x10000);
    for (const u32 zero : {0x80, 0x280, 0x380, 0x3e0})
        CHECK(m.read(zero) == 0);
    CHECK(m.read(0xf0) == 0xff);
    CHECK(m.read(0x20) == 0x03000000); // the ID stays
    CHECK(m.isr.empty());
    CHECK(m.unknown_writes == 0);
    if (!m.x2apic) {
        CHECK(m.read(0xd0) == 0);
        CHECK(m.read(0xe0) == 0xffffffff);
        CHECK(m.read(0x310) == 0);
    }
}

TEST_CASE("APIC INIT: the registers, in both modes and with each number of LVT entries")
{
    for (const bool x2apic : {false, true})
        for (const u32 last : {3u, 4u, 5u, 6u}) {
            Model m = used(last << 16 | 0x14);
            m.x2apic = x2apic;
            reset(m);
            check_init_state(m);
            CHECK((m.read(0x340) == 0x10000) == (last >= 4));
            CHECK((m.read(0x330) == 0x10000) == (last >= 5));
            CHECK((m.read(0x2f0) == 0x10000) == (last >= 6));
        }
}

TEST_CASE("APIC INIT: the extended LVT of AMD")
{
    Model m = used(0x80050010);
    m.registers[0x400] = 2 << 16;
    m.registers[0x500] = m.registers[0x510] = 0x400;
    reset(m);
    check_init_state(m);
    CHECK(m.read(0x500) == 0x10000);
    CHECK(m.read(0x510) == 0x10000);
}

TEST_CASE("APIC INIT: whatever is pending and in service")
{
    std::mt19937 random(3);
    for (unsigned round = 0; round < 200; ++round) {
        Model m = used();
        for (unsigned i = random() % 20; i-- > 0;)
            m.irr.insert(32 + random() % 224);
        for (unsigned i = random() % 6; i-- > 0;)
            m.isr.insert(16 + random() % 240);
        m.registers[0x80] = random() % 256;
        m.registers[0xf0] = 0xff | (random() % 2 != 0 ? 0x100u : 0u);
        const auto pending = m.irr.size();
        reset(m);
        check_init_state(m);
        CHECK(m.irr.empty());
        CHECK(m.taken == pending);
    }
}

TEST_CASE("APIC INIT: all vectors at once")
{
    Model m = used();
    for (unsigned vector = 32; vector < 256; ++vector) {
        m.irr.insert(vector);
        m.isr.insert(vector);
    }
    reset(m);
    check_init_state(m);
    CHECK(m.irr.empty());
}

TEST_CASE("APIC INIT: the host takes no vector that is an exception's")
{
    Model m = used();
    m.irr = {16, 18, 31, 32};
    reset(m);
    check_init_state(m);
    CHECK(m.irr == std::set<unsigned>{16, 18, 31});
}

TEST_CASE("APIC INIT: level-triggered interrupts")
{
    SUBCASE("no EOI is broadcast where that can be suppressed")
    {
        Model m = used(0x01050014);
        m.irr = m.level = {0x41, 0x52};
        m.isr = {0x41};
        reset(m);
        check_init_state(m);
        CHECK(m.irr.empty());
        CHECK(m.broadcasts == 0);
    }
    SUBCASE("elsewhere, one that comes again at once does not hang the CPU")
    {
        Model m = used();
        m.irr = m.level = {0x41};
        m.on_broadcast = [](Model& apic) {
            if (apic.broadcasts < 5000)
                apic.send(0x41);
        };
        reset(m);
        check_init_state(m);
        CHECK(m.taken <= 2000);
    }
}

TEST_CASE("APIC INIT: an interrupt that arrives at the last moment")
{
    Model m = used();
    m.irr = {0x41};
    m.on_disable = [](Model& apic) {
        if (apic.taken < 3)
            apic.irr.insert(0x99);
    };
    reset(m);
    check_init_state(m);
    CHECK(m.irr.empty());
    CHECK(m.taken == 3);
}

} // namespace
} // namespace zpp::test
