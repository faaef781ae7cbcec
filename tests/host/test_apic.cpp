// apic: whom an interrupt command addresses (SDM Vol. 3A, 11.6.1, 11.6.2 and 11.12.10; AMD APM
// Vol. 2, 16.5 to 16.7 and 16.14).
#include "x86/apic.hpp"
#include <doctest/doctest.h>
#include <string>

namespace zpp::test {
namespace {

constexpr u32 logical_mode = 1u << 11, assert_level = 1u << 14, level_triggered = 1u << 15;
constexpr u32 to_self = 1u << 18, to_all = 2u << 18, to_others = 3u << 18;
constexpr u32 flat = 0xffffffff, cluster = 0x0fffffff;

ApicIdentity with_id(u32 id) { return {id, 0, flat}; }
ApicIdentity with_logical(u32 logical, u32 format) { return {0x55, logical << 24, format}; }

TEST_CASE("ICR: the shorthands, whatever the destination")
{
    for (const u32 destination : {0u, 3u, 7u, 0xffu})
        for (const u32 mode : {0u, logical_mode}) {
            const auto both = [&](u32 shorthand, bool same, bool expected) {
                CAPTURE(shorthand);
                CAPTURE(destination);
                const ApicIdentity target{3, 1u << 24, flat};
                CHECK(Icr::xapic(shorthand | mode, destination << 24).addresses(target, same) ==
                      expected);
                CHECK(Icr::x2apic(u64{destination} << 32 | shorthand | mode)
                          .addresses(target, same) == expected);
            };
            both(to_self, true, true);
            both(to_self, false, false);
            both(to_all, true, true);
            both(to_all, false, true);
            both(to_others, true, false);
            both(to_others, false, true);
        }
}

TEST_CASE("ICR: physical destinations")
{
    for (const u32 id : {0u, 1u, 15u, 0x10u, 0x7fu, 0xfeu})
        for (const u32 to : {0u, 1u, 15u, 0x10u, 0x7fu, 0xfeu, 0xffu}) {
            CAPTURE(id);
            CAPTURE(to);
            for (const bool same : {false, true}) { // no shorthand: the sender may be meant
                CHECK(Icr::xapic(0, to << 24).addresses(with_id(id), same) ==
                      (id == to || to == 0xff));
                CHECK(Icr::x2apic(u64{to} << 32).addresses(with_id(id), same) == (id == to));
            }
        }
    // Only bits 31:24 of the xAPIC's upper half are the destination.
    CHECK(Icr::xapic(0, 0x02ffffff).addresses(with_id(2), false));
    CHECK_FALSE(Icr::xapic(0, 0x00000002).addresses(with_id(2), false));
}

TEST_CASE("ICR: x2APIC IDs of 32 bits, and its broadcast")
{
    for (const u32 id : {0u, 0xffu, 0x100u, 0x1234u, 0xfffffffeu}) {
        CAPTURE(id);
        CHECK(Icr::x2apic(u64{id} << 32).addresses(with_id(id), false));
        CHECK(Icr::x2apic(0xffffffffull << 32).addresses(with_id(id), false));
        CHECK(Icr::x2apic(0xffffffffull << 32 | logical_mode).addresses(with_id(id), false));
        CHECK(Icr::x2apic(u64{0xff} << 32).addresses(with_id(id), false) == (id == 0xff));
    }
    CHECK_FALSE(Icr::x2apic(u64{0x100} << 32).addresses(with_id(0), false));
    CHECK_FALSE(Icr::x2apic(u64{0x1ff} << 32).addresses(with_id(0xff), false));
}

struct Logical {
    const char* name;
    u32 format, logical, to;
    bool addressed;
};

constexpr Logical logical_cases[] = {
    {"flat: its bit", flat, 0x04, 0x04, true},
    {"flat: among others", flat, 0x04, 0x07, true},
    {"flat: another bit", flat, 0x04, 0x08, false},
    {"flat: all but its bit", flat, 0x04, 0xfb, false},
    {"flat: the highest bit", flat, 0x80, 0xf0, true},
    {"flat: nobody", flat, 0x04, 0x00, false},
    {"flat: broadcast", flat, 0x04, 0xff, true},
    {"flat: broadcast, no logical ID given", flat, 0x00, 0xff, true},
    {"flat: no logical ID given", flat, 0x00, 0xfe, false},
    {"cluster: its bit", cluster, 0x12, 0x12, true},
    {"cluster: among others", cluster, 0x12, 0x1f, true},
    {"cluster: another bit", cluster, 0x12, 0x1d, false},
    {"cluster: its bit in another cluster", cluster, 0x12, 0x22, false},
    {"cluster: clusters are numbers, not bits", cluster, 0x12, 0x32, false},
    {"cluster: cluster 0", cluster, 0x08, 0x08, true},
    {"cluster: nobody", cluster, 0x12, 0x10, false},
    {"cluster: broadcast", cluster, 0x12, 0xff, true},
    {"cluster: only the model's bits of the format register count", 0x00000000, 0x12, 0x22, false},
};

TEST_CASE("ICR: logical destinations of the xAPIC")
{
    for (const Logical& c : logical_cases) {
        INFO(std::string(c.name));
        const ApicIdentity target = with_logical(c.logical, c.format);
        CHECK(Icr::xapic(logical_mode, c.to << 24).addresses(target, false) == c.addressed);
        CHECK(Icr::xapic(logical_mode, c.to << 24).addresses(target, true) == c.addressed);
        // The reserved bits of the logical destination register have no say.
        const ApicIdentity noisy{target.id, target.logical | 0xffffff, c.format};
        CHECK(Icr::xapic(logical_mode, c.to << 24).addresses(noisy, false) == c.addressed);
    }
}

TEST_CASE("ICR: logical destinations of the x2APIC follow from the ID")
{
    // The xAPIC's registers must have no say.
    const auto addressed = [](u32 id, u32 to) {
        const bool one = Icr::x2apic(u64{to} << 32 | logical_mode).addresses({id, 0, flat}, false);
        const bool two =
            Icr::x2apic(u64{to} << 32 | logical_mode).addresses({id, ~0u, cluster}, false);
        CHECK(one == two);
        return one;
    };
    for (const u32 id : {0u, 1u, 5u, 15u, 16u, 31u, 0x105u, 0xff00u, 0xfffefu}) {
        CAPTURE(id);
        const u32 of_cluster = id / 16 * 0x10000, own = 1u << id % 16;
        CHECK(addressed(id, of_cluster | own));
        CHECK(addressed(id, of_cluster | 0xffff));
        CHECK_FALSE(addressed(id, of_cluster | (0xffff & ~own)));
        CHECK_FALSE(addressed(id, of_cluster));
        CHECK_FALSE(addressed(id, (of_cluster ^ 0x10000) | own));
        CHECK_FALSE(addressed(id, (of_cluster ^ 0x80000000) | own));
    }
}

TEST_CASE("ICR: what Linux, Windows and firmware send")
{
    struct {
        const char* name;
        u32 low;
        DeliveryMode delivery;
        u8 vector;
        bool deassert;
    } const commands[] = {
        {"INIT, asserted, level (Linux)", 0xc500, DeliveryMode::init, 0, false},
        {"INIT, de-asserted (Linux)", 0x8500, DeliveryMode::init, 0, true},
        {"INIT, asserted, edge (OVMF)", 0x4500, DeliveryMode::init, 0, false},
        {"INIT, edge, no level given", 0x0500, DeliveryMode::init, 0, false},
        {"INIT to all others (OVMF)", 0xc4500, DeliveryMode::init, 0, false},
        {"INIT de-asserted, to all", 0x88500, DeliveryMode::init, 0, true},
        {"SIPI (Linux)", 0x0699, DeliveryMode::startup, 0x99, false},
        {"SIPI to all others (OVMF)", 0xc4687, DeliveryMode::startup, 0x87, false},
        {"NMI", 0x4400, DeliveryMode::nmi, 0, false},
        {"SMI", 0x4200, DeliveryMode::smi, 0, false},
        {"an interrupt", 0x00fb, DeliveryMode::fixed, 0xfb, false},
        {"lowest priority", 0x09ef, DeliveryMode::lowest, 0xef, false},
    };
    for (const auto& c : commands) {
        INFO(std::string(c.name));
        for (const Icr& icr : {Icr::xapic(c.low, 0x02000000), Icr::x2apic(u64{2} << 32 | c.low)}) {
            CHECK(icr.delivery() == c.delivery);
            CHECK(icr.vector() == c.vector);
            CHECK(icr.is_deassert() == c.deassert);
            CHECK(icr.destination() == 2);
        }
    }
}

TEST_CASE("ICR: de-assert is level-triggered and without the level")
{
    CHECK(Icr::xapic(level_triggered, 0).is_deassert());
    CHECK_FALSE(Icr::xapic(level_triggered | assert_level, 0).is_deassert());
    CHECK_FALSE(Icr::xapic(assert_level, 0).is_deassert());
    CHECK_FALSE(Icr::xapic(0, 0).is_deassert());
    CHECK_FALSE(Icr::xapic(0, 0xffffffff).is_deassert());
}

TEST_CASE("apic: the writes that have to do with starting CPUs")
{
    for (u32 low :
         {0u, 0x4500u, 0xc4500u, 0x4687u, 0x8500u, 0xc469fu, 0x40fbu, 0x0400u, 0x200u, ~0u}) {
        const DeliveryMode delivery = Icr::xapic(low, 0).delivery();
        const bool starts = delivery == DeliveryMode::init || delivery == DeliveryMode::startup;
        unsigned found = 0;
        for (u64 offset = 0; offset < 0x1000; offset += 4) {
            const u64 number = offset >> 4;
            const bool expected =
                number == 0x02 || number == 0x0d || number == 0x0e || (number == 0x30 && starts);
            CHECK(is_startup_write(offset, low) == expected);
            found += is_startup_write(offset, low) ? 1 : 0;
        }
        CHECK(found == (starts ? 16 : 12));
        CHECK_FALSE(is_startup_write(0x1020, low));
    }
}

} // namespace
} // namespace zpp::test
