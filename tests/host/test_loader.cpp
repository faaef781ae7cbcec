// The whole loader but its trampoline and cpu.c: memory in any number of pieces, any number of
// CPUs, and every way it can go wrong.
#include "elf_file.hpp"
#include "fake_cpu.hpp"
#include "fake_trampoline.hpp"
#include "page_walk.hpp"
#include "zpp/log_record.h"
#include <algorithm>
#include <cstring>
#include <doctest/doctest.h>
#include <fstream>
#include <iterator>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <string>

extern "C" {
#include "loader/elf.h"
#include "loader/layout.h"
#include "loader/loader.h"
#include "loader/trampoline.h"
}

namespace zpp::test {
namespace {

// The memory that a loader was given, full of rubbish, and the OS's two address wrappers. Access
// to any other page is a failure.
class Memory {
public:
    explicit Memory(std::vector<zpp_memory_range> ranges) : ranges_(std::move(ranges))
    {
        for (const zpp_memory_range& range : ranges_) {
            blocks_.push_back(std::make_unique<Page[]>(range.pages));
            std::memset(blocks_.back().get(), 0xa5, range.pages * page_size);
            for (u64 page = 0; page < range.pages; ++page)
                order_.push_back(range.physical + page * page_size);
        }
    }

    const std::vector<zpp_memory_range>& ranges() const { return ranges_; }
    zpp_os os()
    {
        return {
            this,
            [](void* context, u64 physical) { return static_cast<Memory*>(context)->at(physical); },
            [](void*, const void* address) { return physical_of_code(address); }};
    }

    // The pages in the order of the ranges: what page `n` from ZPP_CORE_BASE is.
    const std::vector<u64>& order() const { return order_; }

    void* at(u64 physical)
    {
        for (std::size_t i = 0; i < ranges_.size(); ++i)
            if (physical >= ranges_[i].physical &&
                physical < ranges_[i].physical + ranges_[i].pages * page_size)
                return reinterpret_cast<u8*>(blocks_[i].get()) + (physical - ranges_[i].physical);
        FAIL("access to memory that is not the core's: ", physical);
        return nullptr;
    }

    static u64 physical_of_code(const void* address)
    {
        return 0x3'0000'0000 + (reinterpret_cast<u64>(address) & 0xffff'ffff);
    }

private:
    struct alignas(page_size) Page {
        u8 bytes[page_size];
    };
    std::vector<zpp_memory_range> ranges_;
    std::vector<std::unique_ptr<Page[]>> blocks_;
    std::vector<u64> order_;
};

// `pages` pages in `pieces` pieces of random lengths, far apart, in no order of address.
std::vector<zpp_memory_range> scattered(u64 pages, unsigned pieces, unsigned seed)
{
    std::mt19937_64 random(seed);
    std::vector<u64> places(pieces);
    std::iota(places.begin(), places.end(), 0);
    std::shuffle(places.begin(), places.end(), random);
    std::vector<zpp_memory_range> ranges;
    for (unsigned i = 0; i < pieces; ++i) {
        const u64 left = pieces - i - 1;
        const u64 length = left == 0    ? pages
                           : i % 3 == 0 ? 1
                                        : 1 + random() % ((pages - left) / 2 + 1);
        ranges.push_back({0x9f000 + places[i] * 0x2'4000'0000, std::min(length, pages - left)});
        pages -= ranges.back().pages;
    }
    return ranges;
}

// A loader with its memory, and a core that a test drives.
class Machine {
public:
    Machine(std::vector<u8> elf, u32 cpus, unsigned pieces, int spare_pages = 0)
        : elf_(std::move(elf)),
          memory_(scattered(zpp_loader_pages(elf_.data(), elf_.size(), cpus) + spare_pages, pieces,
                            cpus))
    {
        request_.os = memory_.os();
        request_.elf = elf_.data();
        request_.elf_size = elf_.size();
        request_.ranges = memory_.ranges().data();
        request_.range_count = static_cast<u32>(memory_.ranges().size());
        request_.cpu_count = cpus;
        for (u32 cpu = 0; cpu < cpus + 1; ++cpu) // one more than there is memory for
            apic_ids_.push_back(2 * cpu);
        request_.apic_ids = apic_ids_.data();
        request_.serial_port = 0x2f8;
        request_.wait_for_debugger = 1;
        request_.visible = 1;
        request_.reset_after = 300;
        request_.trace_port = 0xe9;
        request_.sleep = {.facs = 0x7f7d'd000, .pm1a_control = 0x604, .reserved = {}};
        request_.frame_buffer = {0x8000'0000, 0x3e'8000,      1280,        800,
                                 1280,        ZPP_PIXELS_BGR, 0x8000'0810, 0};
        fake_trampoline.call = [this](zpp_cpu_call& call) { return core(call); };
        fake_trampoline.devirtualize = [this](zpp_cpu_call& call) {
            devirtualized.push_back(call.cpu);
            return devirtualize_status;
        };
    }
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    zpp_status prepare() { return zpp_loader_prepare(&loader, &request_); }

    zpp_loader_request& request() { return request_; }
    Memory& memory() { return memory_; }
    const elf_header& elf() const { return *zpp_elf_check(elf_.data(), elf_.size()); }
    zpp_layout layout() const { return zpp_layout_of(&elf(), request_.cpu_count); }

    // Through the core's own page tables.
    void* core_pointer(u64 address)
    {
        const auto mapping = translate(table_at(), root(), fake_cpu.paging_levels, address);
        REQUIRE(mapping.has_value());
        return static_cast<u8*>(memory_.at(mapping->physical)) + address % page_size;
    }
    TableAt table_at()
    {
        return [this](u64 physical) { return static_cast<const u64*>(memory_.at(physical)); };
    }
    u64 root() const { return calls.at(0).core_cr3; }

    zpp_loader loader{};
    std::vector<zpp_cpu_call> calls; // as the core got them
    std::vector<u32> devirtualized;
    std::function<u64(zpp_cpu_call&)> answer = [](zpp_cpu_call&) { return ZPP_OK; };
    u64 devirtualize_status = ZPP_HYPERCALL_OK;

private:
    u64 core(zpp_cpu_call& call)
    {
        calls.push_back(call);
        return answer(call);
    }

    std::vector<u8> elf_;
    Memory memory_;
    zpp_loader_request request_{};
    std::vector<u32> apic_ids_;
};

std::vector<u8> small_elf() { return TestElf().bytes(); }

std::vector<u8> real_elf()
{
    std::ifstream file(ZPP_HYPERVISOR_ELF, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

enum class Access { none, read, write, execute };

// What each page from ZPP_CORE_BASE must be, by the contract (boot_info.h).
std::vector<Access> expected_access(const Machine& machine)
{
    const zpp_layout layout = machine.layout();
    std::vector<Access> pages(layout.total_pages, Access::write);
    std::fill_n(pages.begin(), layout.image_pages, Access::none);
    const elf_segment* segment;
    for (unsigned i = 0; (segment = zpp_elf_segment(&machine.elf(), i)) != nullptr; ++i)
        if (segment->type == PT_LOAD)
            for (u64 n = 0; n < segment->memory_size; n += page_size)
                pages[(segment->virtual_address + n) / page_size] =
                    (segment->flags & PF_X) != 0   ? Access::execute
                    : (segment->flags & PF_W) != 0 ? Access::write
                                                   : Access::read;
    for (u64 block = layout.cpu_blocks_page; block < layout.calls_page; block += 16)
        // The windows, and the guard below the host stack.
        for (const u64 page : {4, 5, 6, 7, 8, 9, 11})
            pages[block + page] = Access::none;
    return pages;
}

void check_mappings(Machine& machine)
{
    auto found = all_mappings(machine.table_at(), machine.root(), fake_cpu.paging_levels);
    const std::vector<Access> expected = expected_access(machine);
    u64 wrong = 0;
    for (u64 page = 0; page < expected.size(); ++page) {
        const auto at = found.find(ZPP_CORE_BASE + page * page_size);
        if (at == found.end()) {
            wrong += expected[page] != Access::none;
            continue;
        }
        const Mapping& mapping = at->second;
        wrong += expected[page] == Access::none || mapping.user ||
                 mapping.physical != machine.memory().order()[page] ||
                 mapping.writable != (expected[page] == Access::write) ||
                 mapping.executable != (expected[page] == Access::execute);
        found.erase(at);
    }
    CHECK(wrong == 0);

    const u64 first = reinterpret_cast<u64>(zpp_trampoline_start) & ~(page_size - 1);
    const u64 last = (reinterpret_cast<u64>(zpp_trampoline_end) - 1) & ~(page_size - 1);
    REQUIRE(last == first + page_size); // as fake_trampoline.cpp lays it out
    for (const u64 page : {first, last}) {
        REQUIRE(found.contains(page));
        CHECK(found[page].physical == Memory::physical_of_code(reinterpret_cast<void*>(page)));
        CHECK(found[page].executable);
        CHECK_FALSE(found[page].writable);
        CHECK_FALSE(found[page].user);
        found.erase(page);
    }
    CHECK(found.empty()); // nothing else
}

void check_image(Machine& machine)
{
    const elf_header& elf = machine.elf();
    std::vector<u8> expected(machine.layout().image_pages * page_size);
    const elf_segment* segment;
    for (unsigned i = 0; (segment = zpp_elf_segment(&elf, i)) != nullptr; ++i)
        if (segment->type == PT_LOAD)
            std::memcpy(&expected[segment->virtual_address],
                        reinterpret_cast<const u8*>(&elf) + segment->offset, segment->file_size);
    u64 count;
    const elf_relocation* relocations = zpp_elf_relocations(&elf, &count);
    CHECK(count != 0);
    for (u64 i = 0; i < count; ++i) {
        const u64 value = ZPP_CORE_BASE + static_cast<u64>(relocations[i].addend);
        std::memcpy(&expected[relocations[i].offset], &value, sizeof value);
    }
    std::vector<u8> placed(expected.size());
    for (u64 page = 0; page < machine.layout().image_pages; ++page)
        std::memcpy(&placed[page * page_size], machine.memory().at(machine.memory().order()[page]),
                    page_size);
    CHECK(placed == expected);
}

void check_boot_info(Machine& machine)
{
    const auto& info =
        *static_cast<zpp_boot_info*>(machine.core_pointer(machine.calls[0].boot_info));
    const zpp_layout layout = machine.layout();
    CHECK(info.magic == ZPP_BOOT_INFO_MAGIC);
    CHECK(info.version == ZPP_BOOT_INFO_VERSION);
    CHECK(info.size == sizeof info);
    CHECK(info.cpu_count == machine.request().cpu_count);
    CHECK(info.heap_page == layout.heap_page);
    CHECK(info.heap_pages == layout.heap_pages);
    CHECK(info.cpu_blocks_page == layout.cpu_blocks_page);
    CHECK(info.calls_page == layout.calls_page);
    CHECK(info.total_pages == layout.total_pages);
    CHECK(info.log_page == layout.log_page);
    CHECK(info.trampoline_start == reinterpret_cast<u64>(zpp_trampoline_start));
    CHECK(info.trampoline_leave == reinterpret_cast<u64>(zpp_trampoline_leave));
    CHECK(info.trampoline_end == reinterpret_cast<u64>(zpp_trampoline_end));
    CHECK(info.serial_port == 0x2f8);
    CHECK(info.wait_for_debugger == 1);
    CHECK(info.visible == 1);
    CHECK(info.reset_after == 300);
    CHECK(info.trace_port == 0xe9);
    CHECK(info.frame_buffer.physical == 0x8000'0000);
    CHECK(info.frame_buffer.pci_register == 0x8000'0810);
    CHECK(info.sleep.facs == 0x7f7d'd000);
    CHECK(info.sleep.pm1a_control == 0x604);
    REQUIRE(info.range_count == machine.memory().ranges().size());
    for (u32 i = 0; i < info.range_count; ++i) {
        CHECK(info.ranges[i].physical == machine.memory().ranges()[i].physical);
        CHECK(info.ranges[i].pages == machine.memory().ranges()[i].pages);
    }
}

// The log, the heap, the blocks and the tables' rest must come zeroed.
void check_zeroed(Machine& machine)
{
    const zpp_layout layout = machine.layout();
    u64 dirty = 0;
    std::vector<u64> zeroed(layout.calls_page - layout.heap_page);
    std::iota(zeroed.begin(), zeroed.end(), layout.heap_page);
    for (u64 page = 0; page < ZPP_LOG_PAGES; ++page)
        zeroed.push_back(layout.log_page + page);
    for (const u64 page : zeroed) {
        const auto* bytes =
            static_cast<const u8*>(machine.memory().at(machine.memory().order()[page]));
        dirty += std::any_of(bytes, bytes + page_size, [](u8 byte) { return byte != 0; });
    }
    CHECK(dirty == 0);
}

void check_call(Machine& machine, const zpp_cpu_call& call, u32 cpu)
{
    const zpp_layout layout = machine.layout();
    CHECK(call.cpu == cpu);
    CHECK(call.entry == ZPP_CORE_BASE + machine.elf().entry);
    CHECK(call.core_cr3 == machine.root());
    CHECK(call.core_stack ==
          ZPP_CORE_BASE + (layout.cpu_blocks_page + 16 * (cpu + 1ull)) * page_size);
    CHECK(call.boot_info == ZPP_CORE_BASE + layout.boot_info_page * page_size);
    // The same structure through the OS's mapping and through the core's.
    CHECK(machine.core_pointer(call.core_call) == reinterpret_cast<void*>(call.os_call));
    CHECK(reinterpret_cast<zpp_cpu_call*>(call.os_call)->cpu == cpu);
    CHECK(call.core_call >= ZPP_CORE_BASE + layout.calls_page * page_size);
    CHECK(call.core_call % page_size <= page_size - sizeof call);
}

struct Shape {
    u32 cpus;
    unsigned pieces;
    unsigned levels;
};

constexpr Shape shapes[] = {{1, 1, 4}, {1, 64, 4}, {4, 1, 4},   {4, 7, 4},    {4, 64, 5},
                            {8, 3, 4}, {9, 5, 5},  {300, 1, 5}, {300, 20, 4}, {300, 64, 4}};

TEST_CASE("loader: prepare, launch and commit")
{
    std::vector<std::vector<u8>> files{small_elf()};
    if (auto real = real_elf(); !real.empty())
        files.push_back(std::move(real));
    for (const auto& file : files)
        for (const Shape& shape : shapes) {
            CAPTURE(file.size());
            CAPTURE(shape.cpus);
            CAPTURE(shape.pieces);
            CAPTURE(shape.levels);
            fake_cpu = {};
            fake_cpu.paging_levels = shape.levels;
            Machine machine(file, shape.cpus, shape.pieces);
            machine.answer = [&](zpp_cpu_call& call) {
                if (call.phase == ZPP_PHASE_PREPARE) { // the core's memory as the core finds it
                    check_mappings(machine);
                    check_image(machine);
                    check_boot_info(machine);
                    check_zeroed(machine);
                }
                return ZPP_OK;
            };
            CHECK(machine.prepare() == ZPP_OK);
            REQUIRE(machine.calls.size() == 1);
            CHECK(machine.calls[0].phase == ZPP_PHASE_PREPARE);
            CHECK(machine.calls[0].launched == 0);
            CHECK(fake_cpu.hypercalls.empty());
            for (u32 cpu = shape.cpus; cpu-- > 0;) { // the BSP last
                fake_cpu.cr3 = 0x1000 * (cpu + 1);
                CHECK(zpp_loader_launch(&machine.loader, cpu) == ZPP_OK);
                const zpp_cpu_call& call = machine.calls.back();
                CHECK(call.phase == ZPP_PHASE_LAUNCH);
                CHECK(call.os.cr3 == fake_cpu.cr3);
                check_call(machine, call, cpu);
            }
            CHECK(machine.calls.size() == 1 + shape.cpus);
            CHECK(fake_cpu.hypercalls == std::vector<u32>(shape.cpus, ZPP_HYPERCALL_CONFIRM));
            CHECK(zpp_loader_commit() == ZPP_OK);
            CHECK(fake_cpu.hypercalls.back() == ZPP_HYPERCALL_COMMIT);
            CHECK(fake_cpu.rflags == FakeCpu::interrupts_on);
            CHECK(std::string(zpp_loader_detail(&machine.loader, 0)).empty());
        }
}

TEST_CASE("loader: the log's address, if it is in one piece")
{
    for (const unsigned pieces : {1u, 7u, 64u}) {
        fake_cpu = {};
        Machine machine(small_elf(), 4, pieces);
        REQUIRE(machine.prepare() == ZPP_OK);
        const u64 first = machine.layout().log_page;
        const auto& order = machine.memory().order();
        bool contiguous = true;
        for (u64 page = 1; page < ZPP_LOG_PAGES; ++page)
            contiguous &= order[first + page] == order[first] + page * page_size;
        CHECK(zpp_loader_log_record(&machine.loader) == (contiguous ? order[first] : 0));
        CHECK((pieces > 1 || contiguous));
    }
}

TEST_CASE("loader: each CPU has a call and a stack of its own")
{
    fake_cpu = {};
    Machine machine(small_elf(), 300, 10);
    REQUIRE(machine.prepare() == ZPP_OK);
    std::set<u64> calls, stacks;
    for (u32 cpu = 0; cpu < 300; ++cpu) {
        REQUIRE(zpp_loader_launch(&machine.loader, cpu) == ZPP_OK);
        calls.insert(machine.calls.back().os_call);
        stacks.insert(machine.calls.back().core_stack);
    }
    CHECK(calls.size() == 300);
    CHECK(stacks.size() == 300);
    CHECK(zpp_loader_launch(&machine.loader, 300) == ZPP_BAD_CALL);
    CHECK(zpp_loader_devirtualize(&machine.loader, 300) == ZPP_BAD_CALL);
    CHECK(machine.calls.size() == 301);
}

TEST_CASE("loader: pages to allocate")
{
    fake_cpu = {};
    std::vector<u8> elf = small_elf();
    u64 before = 0;
    for (u32 cpus = 1; cpus < 400; ++cpus) {
        const u64 pages = zpp_loader_pages(elf.data(), elf.size(), cpus);
        CHECK(pages >= before + 16); // a block each
        CHECK(pages < before + 16 + 120);
        before = pages;
    }
    elf[0] ^= 1;
    CHECK(zpp_loader_pages(elf.data(), elf.size(), 1) == 0);
}

struct Refusal {
    const char* name;
    std::function<void(Machine&)> change;
    zpp_status status;
    const char* detail = "";
};

const std::vector<Refusal> refusals = {
    {"a damaged ELF", [](Machine& m) { --m.request().elf_size; }, ZPP_BAD_ELF},
    {"under zpp already", [](Machine&) { fake_cpu.held = true; }, ZPP_IN_USE},
    {"a CPU without no-execute", [](Machine&) { fake_cpu.no_execute = false; }, ZPP_MISSING_FEATURE,
     "no-execute pages"},
    {"no CPU", [](Machine& m) { m.request().cpu_count = 0; }, ZPP_NO_MEMORY},
    {"no memory", [](Machine& m) { m.request().range_count = 0; }, ZPP_NO_MEMORY},
    {"one range too few", [](Machine& m) { --m.request().range_count; }, ZPP_NO_MEMORY},
    {"too many ranges", [](Machine& m) { m.request().range_count = 65; }, ZPP_NO_MEMORY},
    {"one CPU more than there is memory for", [](Machine& m) { ++m.request().cpu_count; },
     ZPP_NO_MEMORY},
};

TEST_CASE("loader: refuses before it has touched anything")
{
    for (const Refusal& refusal : refusals) {
        INFO(std::string(refusal.name));
        fake_cpu = {};
        Machine machine(small_elf(), 4, 3);
        refusal.change(machine);
        CHECK(machine.prepare() == refusal.status);
        CHECK(machine.calls.empty());
        CHECK(std::string(zpp_loader_detail(&machine.loader, 0)) == refusal.detail);
        u64 touched = 0;
        for (const u64 physical : machine.memory().order())
            touched += *static_cast<const u8*>(machine.memory().at(physical)) != 0xa5;
        CHECK(touched == 0);
    }
}

TEST_CASE("loader: a page less is too little, a page more is not used")
{
    fake_cpu = {};
    Machine less(small_elf(), 4, 3, -1);
    CHECK(less.prepare() == ZPP_NO_MEMORY);
    Machine more(small_elf(), 4, 3, 1);
    CHECK(more.prepare() == ZPP_OK);
    CHECK(*static_cast<const u8*>(more.memory().at(more.memory().order().back())) == 0xa5);
}

u64 fail(zpp_cpu_call& call, zpp_status status, const char* detail)
{
    std::strcpy(call.detail, detail);
    call.status = status;
    return status;
}

TEST_CASE("loader: the core refuses to prepare")
{
    fake_cpu = {};
    Machine machine(small_elf(), 4, 3);
    machine.answer = [](auto& call) {
        return fail(call, ZPP_MISSING_FEATURE, "unrestricted guest");
    };
    CHECK(machine.prepare() == ZPP_MISSING_FEATURE);
    CHECK(std::string(zpp_loader_detail(&machine.loader, 0)) == "unrestricted guest");
    CHECK(fake_cpu.rflags == FakeCpu::interrupts_on);
    for (u32 cpu = 0; cpu < 4; ++cpu)
        CHECK(zpp_loader_devirtualize(&machine.loader, cpu) == ZPP_OK);
    CHECK(machine.devirtualized.empty());
}

TEST_CASE("loader: a CPU that fails to launch, and the roll-back of the others")
{
    for (u32 failing = 0; failing < 4; ++failing) {
        CAPTURE(failing);
        fake_cpu = {};
        Machine machine(small_elf(), 4, 5);
        REQUIRE(machine.prepare() == ZPP_OK);
        machine.answer = [&](zpp_cpu_call& call) {
            return call.cpu == failing ? fail(call, ZPP_ENTRY_FAILED, "error 7") : u64{ZPP_OK};
        };
        std::vector<u32> launched;
        for (u32 cpu = 4; cpu-- > 0;) {
            fake_cpu.cr3 = 0x1000 * (cpu + 1);
            const zpp_status status = zpp_loader_launch(&machine.loader, cpu);
            CHECK(status == (cpu == failing ? ZPP_ENTRY_FAILED : ZPP_OK));
            if (status != ZPP_OK)
                break;
            launched.push_back(cpu);
        }
        for (u32 cpu = 0; cpu < 5; ++cpu)
            CHECK(std::string(zpp_loader_detail(&machine.loader, cpu)) ==
                  (cpu == failing ? "error 7" : ""));
        CHECK(fake_cpu.hypercalls == std::vector<u32>(launched.size(), ZPP_HYPERCALL_CONFIRM));
        for (u32 cpu = 4; cpu-- > 0;)
            CHECK(zpp_loader_devirtualize(&machine.loader, cpu) == ZPP_OK);
        CHECK(machine.devirtualized == launched); // only those, each once
        // Each has its own state again, the one that failed first.
        std::vector<u32> restored = launched;
        restored.insert(restored.begin(), failing);
        REQUIRE(fake_cpu.restored.size() == restored.size());
        for (std::size_t i = 0; i < restored.size(); ++i)
            CHECK(fake_cpu.restored[i].cr3 == 0x1000 * (restored[i] + 1));
        CHECK(fake_cpu.rflags == FakeCpu::interrupts_on);
        for (u32 cpu = 0; cpu < 4; ++cpu) // again: nothing more to leave
            CHECK(zpp_loader_devirtualize(&machine.loader, cpu) == ZPP_OK);
        CHECK(machine.devirtualized == launched);
    }
}

TEST_CASE("loader: a CPU that left can be launched again")
{
    fake_cpu = {};
    Machine machine(small_elf(), 2, 2);
    REQUIRE(machine.prepare() == ZPP_OK);
    for (unsigned round = 0; round < 3; ++round) {
        CHECK(zpp_loader_launch(&machine.loader, 1) == ZPP_OK);
        CHECK(zpp_loader_devirtualize(&machine.loader, 1) == ZPP_OK);
    }
    CHECK(machine.devirtualized == std::vector<u32>{1, 1, 1});
}

TEST_CASE("loader: leaving is refused")
{
    fake_cpu = {};
    Machine machine(small_elf(), 1, 1);
    REQUIRE(machine.prepare() == ZPP_OK);
    REQUIRE(zpp_loader_launch(&machine.loader, 0) == ZPP_OK);
    machine.devirtualize_status = ZPP_HYPERCALL_REFUSED;
    CHECK(zpp_loader_devirtualize(&machine.loader, 0) == ZPP_BAD_CALL);
    CHECK(fake_cpu.restored.empty());
    CHECK(fake_cpu.rflags == FakeCpu::interrupts_on);
    machine.devirtualize_status = ZPP_HYPERCALL_OK; // it is still launched
    CHECK(zpp_loader_devirtualize(&machine.loader, 0) == ZPP_OK);
    CHECK(machine.devirtualized.size() == 2);
}

TEST_CASE("loader: commit is refused")
{
    fake_cpu = {};
    fake_cpu.hypercall_status = ZPP_HYPERCALL_REFUSED;
    CHECK(zpp_loader_commit() == ZPP_BAD_CALL);
}

TEST_CASE("loader: interrupts that were off stay off")
{
    fake_cpu = {};
    fake_cpu.rflags = FakeCpu::interrupts_off;
    Machine machine(small_elf(), 1, 1);
    CHECK(machine.prepare() == ZPP_OK);
    CHECK(zpp_loader_launch(&machine.loader, 0) == ZPP_OK);
    CHECK(zpp_loader_devirtualize(&machine.loader, 0) == ZPP_OK);
    CHECK(fake_cpu.rflags == FakeCpu::interrupts_off);
}

TEST_CASE("loader: a CPU that an INIT has taken from the core is free already")
{
    fake_cpu = {};
    Machine machine(small_elf(), 1, 1);
    REQUIRE(machine.prepare() == ZPP_OK);
    REQUIRE(zpp_loader_launch(&machine.loader, 0) == ZPP_OK);
    fake_cpu.held = false;
    CHECK(zpp_loader_devirtualize(&machine.loader, 0) == ZPP_OK);
    CHECK(machine.devirtualized.empty());
}

TEST_CASE("loader: the calls tell each CPU's APIC ID")
{
    fake_cpu = {};
    Machine machine(small_elf(), 3, 1);
    REQUIRE(machine.prepare() == ZPP_OK);
    for (u32 cpu = 0; cpu < 3; ++cpu)
        REQUIRE(zpp_loader_launch(&machine.loader, cpu) == ZPP_OK);
    REQUIRE(machine.calls.size() == 4); // the first is PREPARE's
    for (u32 cpu = 0; cpu < 3; ++cpu)
        CHECK(machine.calls[cpu + 1].apic_id == 2 * cpu);
}

} // namespace
} // namespace zpp::test
