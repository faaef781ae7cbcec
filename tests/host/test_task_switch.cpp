// emulate/task_switch: what a task switch saves, loads, and refuses (SDM Vol. 3A, 8.3).
#include "emulate/task_switch.hpp"
#include "fake_windows.hpp"
#include "x86/task_state_segment.hpp"
#include <cstring>
#include <doctest/doctest.h>
#include <functional>
#include <string>

namespace zpp::test {
namespace {

using Source = TaskSwitch::Source;
using x86::Tss16;
using x86::Tss32;

constexpr u32 gdt = 0x1000, ldt = 0x1800, old_tss = 0x2000, new_tss = 0x3000, stack = 0x5000;
constexpr u16 code0 = 0x08, data0 = 0x10, old_task = 0x18, new_task = 0x20, code3 = 0x2b;
constexpr u16 data3 = 0x33, absent = 0x38, ldt_selector = 0x40, read_only = 0x48, conforming = 0x50;
constexpr u16 not_code = data0, in_ldt = 0x04, beyond = 0x100;
constexpr u32 nt = 0x4000;
constexpr x86::Event page_fault_event{0x80000b0e, 6}, gp_event{0x80000b0d, 0x18};
constexpr x86::Event interrupt{0x80000030}, software{0x80000420};

struct Machine {
    FakeWindows windows;
    TaskState state{};
    TaskSwitch request{Source::call, new_task};

    Machine()
    {
        describe(code0, 0, 0x409b, 0xfffff);
        describe(data0, 0, 0x4093, 0xfffff);
        describe(old_task, old_tss, 0x8b, 103);
        describe(new_task, new_tss, 0x89, 103);
        describe(code3, 0, 0x40fb, 0xfffff);
        describe(data3, 0, 0x40f2, 0xfffff); // not yet accessed
        describe(absent, 0, 0x4013, 0xfffff);
        describe(ldt_selector, ldt, 0x82, 0xff);
        describe(read_only, 0, 0x4091, 0xfffff);
        describe(conforming, 0, 0x409f, 0xfffff);
        std::memcpy(at(ldt), at(gdt + data0), 8);
        state.gdtr_base = gdt;
        state.gdtr_limit = 0xff;
        for (unsigned i = 0; i < 8; ++i)
            state.general[i] = 0x10000001 * (i + 1);
        state.eip = 0x1234;
        state.eflags = 0x3202 | nt;
        state.cs = {code0, 0, 0xfffff, 0x409b};
        state.ss = state.ds = {data0, 0, 0xfffff, 0x4093};
        state.es = {0x10, 0, 0xfffff, 0x4093};
        state.fs = state.gs = state.ldtr = {0, 0, 0, rights_unusable};
        state.tr = {old_task, old_tss, 103, 0x8b};
        Tss32& tss = new_32();
        tss.eip = 0x8000;
        tss.eflags = 0x246;
        for (unsigned i = 0; i < 8; ++i)
            tss.general[i] = 0x100 * (i + 1);
        tss.general[4] = stack;
        const u32 selectors[6] = {data0, code0, data0, data0, 0, data0};
        std::memcpy(tss.segments, selectors, sizeof selectors);
    }

    u8* at(u32 address) { return windows.page(address / page_size) + address % page_size; }
    Tss32& new_32() { return *reinterpret_cast<Tss32*>(at(new_tss)); }
    Tss32& old_32() { return *reinterpret_cast<Tss32*>(at(old_tss)); }
    u8 type(u16 selector) { return at(gdt + (selector & ~7u) + 5)[0] & 15; }

    void describe(u16 selector, u32 base, u32 rights, u32 limit)
    {
        const u64 value = (limit & 0xffff) | u64{base & 0xffffff} << 16 | u64{rights & 0xff} << 40 |
                          u64{limit >> 16 & 15} << 48 | u64{rights >> 12 & 15} << 52 |
                          u64{base >> 24} << 56;
        std::memcpy(at(gdt + (selector & ~7u)), &value, 8);
    }

    TaskResult run()
    {
        LinearMemory memory{windows.vcpu(), {x86::Cr0::pe, 0, {}, {}}, 36};
        return switch_task(request, state, memory);
    }
};

TEST_CASE("task switch: busy flags, NT and the back link by source")
{
    struct {
        Source source;
        u8 old_type, new_type;
        bool link, nt_in_new, nt_in_old;
    } const cases[] = {
        {Source::call, 11, 11, true, true, true},
        {Source::gate, 11, 11, true, true, true},
        {Source::jump, 9, 11, false, false, true},
        {Source::iret, 9, 11, false, false, false},
    };
    for (const auto& c : cases) {
        CAPTURE(static_cast<int>(c.source));
        Machine machine;
        machine.request.source = c.source;
        machine.request.event = interrupt;
        if (c.source == Source::iret)
            machine.describe(new_task, new_tss, 0x8b, 103);
        const TaskResult result = machine.run();
        CHECK(result.switched);
        CHECK_FALSE(result.fault.has_value());
        CHECK(machine.type(old_task) == c.old_type);
        CHECK(machine.type(new_task) == c.new_type);
        CHECK(machine.new_32().link == (c.link ? old_task : 0));
        CHECK(machine.state.eflags == (0x246 | (c.nt_in_new ? nt : 0)));
        CHECK(machine.old_32().eflags == (0x3202 | (c.nt_in_old ? nt : 0)));
        CHECK(machine.state.tr.selector == new_task);
        CHECK(machine.state.tr.rights == 0x8b);
        CHECK(machine.windows.writable().empty());
    }
}

TEST_CASE("task switch: the old task is saved and the new one loaded")
{
    Machine machine;
    const TaskState old = machine.state;
    machine.new_32().ldt = ldt_selector;
    machine.new_32().segments[3] = in_ldt;
    REQUIRE(machine.run().switched);
    const Tss32& saved = machine.old_32();
    CHECK(saved.eip == old.eip);
    for (unsigned i = 0; i < 8; ++i)
        CHECK(saved.general[i] == old.general[i]);
    const u32 selectors[6] = {
        old.es.selector, old.cs.selector, old.ss.selector, old.ds.selector, 0, 0};
    for (unsigned i = 0; i < 6; ++i)
        CHECK(saved.segments[i] == selectors[i]);
    CHECK(saved.link == 0);
    CHECK(saved.cr3 == 0);

    const TaskState& now = machine.state;
    CHECK(now.eip == 0x8000);
    CHECK(now.general[0] == 0x100);
    CHECK(now.general[4] == stack);
    CHECK(now.cs.rights == 0x409b);
    CHECK(now.cs.limit == 0xfffff);
    CHECK(now.ds.selector == in_ldt);
    CHECK(now.ds.rights == 0x4093);
    CHECK(now.fs.rights == rights_unusable);
    CHECK(now.ldtr.base == ldt);
    CHECK(now.ldtr.rights == 0x82);
    CHECK(now.tr.base == new_tss);
}

TEST_CASE("task switch: 16-bit TSSs")
{
    Machine machine;
    machine.describe(new_task, new_tss, 0x81, 43);
    Tss16& tss = *reinterpret_cast<Tss16*>(machine.at(new_tss));
    tss = {};
    tss.ip = 0x7000;
    tss.flags = 0x202;
    tss.general[0] = 0x1111;
    tss.general[4] = stack;
    const u16 selectors[4] = {data0, code0, data0, data0};
    std::memcpy(tss.segments, selectors, sizeof selectors);
    REQUIRE(machine.run().switched);
    CHECK(tss.link == old_task);
    CHECK(machine.state.eip == 0x7000);
    CHECK(machine.state.general[0] == 0xffff1111);
    CHECK(machine.state.eflags == (0x202 | nt));
    CHECK(machine.state.tr.rights == 0x83);
    CHECK(machine.state.gs.rights == rights_unusable);

    // And back to the 32-bit one.
    machine.request = {Source::iret, old_task};
    machine.state.eip = 0x7010;
    machine.state.general[0] = 0x2222;
    REQUIRE(machine.run().switched);
    CHECK(tss.ip == 0x7010);
    CHECK(tss.general[0] == 0x2222);
    CHECK(tss.flags == 0x202);
    CHECK(machine.state.eip == 0x1234);
    CHECK(machine.type(new_task) == 1);
}

TEST_CASE("task switch: CPL 3, and the accessed flag of a segment")
{
    Machine machine;
    const u32 selectors[6] = {data3, code3, data3, data3, 0, 0};
    std::memcpy(machine.new_32().segments, selectors, sizeof selectors);
    REQUIRE_FALSE(machine.run().fault.has_value());
    CHECK(machine.state.cs.rights == 0x40fb);
    CHECK(machine.state.ss.rights == 0x40f3);
    CHECK(machine.type(data3) == 3);
}

TEST_CASE("task switch: virtual-8086 mode")
{
    Machine machine;
    machine.new_32().eflags |= 0x20000;
    machine.new_32().segments[1] = 0x1234;
    REQUIRE_FALSE(machine.run().fault.has_value());
    CHECK(machine.state.cs.base == 0x12340);
    CHECK(machine.state.cs.limit == 0xffff);
    CHECK(machine.state.cs.rights == 0xf3);
}

TEST_CASE("task switch: an error code is pushed on the new stack")
{
    Machine machine;
    machine.request = {Source::gate, new_task, page_fault_event};
    REQUIRE_FALSE(machine.run().fault.has_value());
    CHECK(machine.state.general[4] == stack - 4);
    CHECK(*reinterpret_cast<u32*>(machine.at(stack - 4)) == 6);

    Machine overflow;
    overflow.request = {Source::gate, new_task, gp_event};
    overflow.new_32().general[4] = 2;
    const TaskResult result = overflow.run();
    CHECK(result.switched);
    REQUIRE(result.fault.has_value());
    CHECK(result.fault->vector == x86::vector_stack_fault);
    CHECK(result.fault->code == 1); // EXT
}

TEST_CASE("task switch: the T flag of the TSS traps")
{
    Machine machine;
    machine.new_32().trap = 1;
    CHECK(machine.run().trap);
}

TEST_CASE("task switch: faults of the new task")
{
    struct {
        const char* name;
        std::function<void(Machine&)> spoil;
        u8 vector;
        u32 code;
    } const cases[] = {
        {"LDT in the LDT", [](Machine& m) { m.new_32().ldt = 4; }, 10, 4},
        {"LDT that is not one", [](Machine& m) { m.new_32().ldt = data0; }, 10, data0},
        {"LDT beyond the GDT", [](Machine& m) { m.new_32().ldt = beyond; }, 10, beyond},
        {"no CS", [](Machine& m) { m.new_32().segments[1] = 0; }, 10, 0},
        {"CS is data", [](Machine& m) { m.new_32().segments[1] = not_code; }, 10, not_code},
        {"CS with a wrong RPL", [](Machine& m) { m.new_32().segments[1] = code0 | 3; }, 10, code0},
        {"conforming CS of a lower privilege",
         [](Machine& m) {
             m.describe(conforming, 0, 0x40ff, 0xfffff);
             m.new_32().segments[1] = conforming;
         },
         10, conforming},
        {"CS not present",
         [](Machine& m) {
             m.describe(absent, 0, 0x401b, 0xfffff);
             m.new_32().segments[1] = absent;
         },
         11, absent},
        {"no SS", [](Machine& m) { m.new_32().segments[2] = 0; }, 10, 0},
        {"SS is read-only", [](Machine& m) { m.new_32().segments[2] = read_only; }, 10, read_only},
        {"SS with a wrong RPL", [](Machine& m) { m.new_32().segments[2] = data0 | 3; }, 10, data0},
        {"SS of another privilege", [](Machine& m) { m.new_32().segments[2] = data3; }, 10, 0x30},
        {"SS not present", [](Machine& m) { m.new_32().segments[2] = absent; }, 12, absent},
        {"DS not present", [](Machine& m) { m.new_32().segments[3] = absent; }, 11, absent},
        {"DS is a TSS", [](Machine& m) { m.new_32().segments[3] = old_task; }, 10, old_task},
        {"DS in no LDT", [](Machine& m) { m.new_32().segments[3] = in_ldt; }, 10, in_ldt},
        {"DS with too weak an RPL", [](Machine& m) { m.new_32().segments[3] = data0 | 3; }, 10,
         data0},
        {"GS beyond the GDT", [](Machine& m) { m.new_32().segments[5] = beyond; }, 10, beyond},
    };
    for (const auto& c : cases) {
        INFO(std::string(c.name));
        Machine machine;
        c.spoil(machine);
        const TaskResult result = machine.run();
        CHECK(result.switched);
        REQUIRE(result.fault.has_value());
        CHECK(result.fault->vector == c.vector);
        CHECK(result.fault->code == c.code);
        CHECK(machine.state.tr.selector == new_task);
        CHECK(machine.state.eip == 0x8000);
        // VM entry must accept it.
        CHECK((machine.state.cs.rights & 0x9009b) == 0x9b);
        CHECK((machine.state.ss.rights >> 5 & 3) == (machine.state.cs.rights >> 5 & 3));
    }
}

TEST_CASE("task switch: EXT is set in the error code if an event from outside caused it")
{
    for (const auto& [event, expected] :
         {std::pair{interrupt, 1u}, {gp_event, 1u}, {software, 0u}}) {
        Machine machine;
        machine.request = {Source::gate, new_task, event};
        machine.new_32().segments[3] = absent;
        CHECK(machine.run().fault->code == (absent | expected));
    }
}

TEST_CASE("task switch: faults of the old task change nothing")
{
    const std::function<void(Machine&)> cases[] = {
        [](Machine& m) { m.state.tr.limit = 0x5e; },
        [](Machine& m) { m.describe(new_task, new_tss, 0x89, 102); },
        [](Machine& m) { m.describe(new_task, new_tss, 0x92, 103); },
        [](Machine& m) { m.request.selector = beyond; },
        [](Machine& m) { m.state.shadow_stack = true; },
    };
    for (const auto& spoil : cases) {
        Machine machine;
        spoil(machine);
        const std::vector<u8> before(machine.windows.page(0),
                                     machine.windows.page(FakeWindows::pages));
        const TaskResult result = machine.run();
        CHECK_FALSE(result.switched);
        REQUIRE(result.fault.has_value());
        CHECK(result.fault->vector == x86::vector_invalid_tss);
        CHECK(std::memcmp(before.data(), machine.windows.page(0), before.size()) == 0);
        CHECK(machine.state.eip == 0x1234);
    }
}

// Pages of 4 KiB: the directory in page 8, the table in page 9.
struct PagedMachine : Machine {
    PagedMachine()
    {
        u32* table = reinterpret_cast<u32*>(windows.page(9));
        for (u32 i = 0; i < FakeWindows::pages; ++i)
            table[i] = i << 12 | 3;
        reinterpret_cast<u32*>(windows.page(8))[0] = 9 << 12 | 3;
        std::memcpy(windows.page(10), windows.page(8), page_size);
        state.paging = true;
        state.cr3 = 8 << 12;
        new_32().cr3 = 10 << 12;
    }
    u32& entry(unsigned page) { return reinterpret_cast<u32*>(windows.page(9))[page]; }
    TaskResult run()
    {
        LinearMemory memory{
            windows.vcpu(), {x86::Cr0::pe | x86::Cr0::pg | x86::Cr0::wp, state.cr3, {}, {}}, 36};
        return switch_task(request, state, memory);
    }
};

TEST_CASE("task switch: CR3, and page faults that leave the old task as it is")
{
    PagedMachine machine;
    CHECK(machine.run().switched);
    CHECK(machine.state.cr3 == 10 << 12);

    struct {
        unsigned page;
        u32 entry, code, address;
    } const cases[] = {
        {old_tss >> 12, 0, 2, old_tss + 0x20},
        {old_tss >> 12, old_tss | 1, 3, old_tss + 0x20},
        {new_tss >> 12, 0, 0, new_tss},
        {new_tss >> 12, new_tss | 1, 3, new_tss}, // the link is written
        {gdt >> 12, 0, 0, gdt + new_task},
    };
    for (const auto& c : cases) {
        CAPTURE(c.page);
        PagedMachine paged;
        paged.entry(c.page) = c.entry;
        const TaskResult result = paged.run();
        CHECK_FALSE(result.switched);
        REQUIRE(result.fault.has_value());
        CHECK(result.fault->vector == x86::vector_page_fault);
        CHECK(result.fault->code == c.code);
        CHECK(result.fault->address == c.address);
        CHECK(paged.old_32().eip == 0);
        CHECK(paged.type(old_task) == 11);
    }
}

} // namespace
} // namespace zpp::test
