// Nested paging on recorded machines: it fits into the memory that a loader allocates, and has the
// types of the machine's MTRRs.
#include "arena.hpp"
#include "ept_walk.hpp"
#include "fake_cpu.hpp"
#include "mtrr_oracle.hpp"
#include "npt_walk.hpp"
#include "paging/nested_paging.hpp"
#include "recorded_machines.hpp"
#include "svm/npt.hpp"
#include "vmx/ept.hpp"
#include <algorithm>
#include <doctest/doctest.h>
#include <memory>

extern "C" {
#include "loader/layout.h"
}

namespace zpp::test {
namespace {

constexpr u64 hidden_first = 0x6b00'0000, hidden_pages = 600;
// Of the heap: the local APIC, the MSR bitmaps or permissions map and what its pages skip, the log.
constexpr u64 other_pages = 8;

bool has_large_pages(const RecordedCpu& cpu, bool vtx)
{
    return vtx ? (cpu.msrs().at(0x48c) & bit(17)) != 0
               : (cpu.cpuid(0x80000001).edx & 1u << 26) != 0;
}

NestedPaging::Format format_of(const RecordedCpu& cpu, bool vtx)
{
    const unsigned bits = cpu.physical_address_bits();
    const bool large = has_large_pages(cpu, vtx);
    const Msrs msrs = cpu.msrs();
    if (vtx) {
        const auto tme = msrs.find(0x982);
        return vmx::ept::format(bits, vmx::ept::key_bits(tme == msrs.end() ? 0 : tme->second),
                                large, (msrs.at(0x48c) & bit(7)) != 0);
    }
    const auto syscfg = msrs.find(0xc0010010);
    const bool encrypts = syscfg != msrs.end() && (syscfg->second & bit(23)) != 0;
    return svm::npt::format(
        bits, encrypts ? svm::npt::encrypted_width(bits, cpu.cpuid(0x8000001f).ebx) : bits, large,
        4);
}

u64 heap_pages(const RecordedCpu& cpu, bool vtx)
{
    fake_cpu = {};
    fake_cpu.physical_address_bits = cpu.physical_address_bits();
    fake_cpu.large_nested_pages = has_large_pages(cpu, vtx);
    return zpp_layout_of(std::make_unique<elf_header>().get(), 1).heap_pages;
}

bool is_hidden(u64 page)
{
    return page >= hidden_first && page < hidden_first + hidden_pages * page_size;
}

const u64* table_at(u64 physical) { return static_cast<const u64*>(Arena::virtual_of({physical})); }

// The type of a page by the oracle, which is slow: it is asked once between two edges.
class Types {
public:
    explicit Types(const MtrrState& state) : state_(state), edges_(state.edges())
    {
        edges_.push_back(~u64{0});
    }

    u8 at(u64 page)
    {
        if (page < start_ || page >= end_) {
            const auto next = std::upper_bound(edges_.begin(), edges_.end(), page);
            start_ = page;
            end_ = *next;
            type_ = state_.type_at(page);
        }
        return type_;
    }

    // Whether a type can begin or end within the bytes.
    bool changes_in(u64 first, u64 size) const
    {
        const auto next = std::upper_bound(edges_.begin(), edges_.end(), first);
        return *next < first + size;
    }

private:
    const MtrrState& state_;
    std::vector<u64> edges_; // in order
    u64 start_ = 0, end_ = 0;
    u8 type_ = 0;
};

struct Verdict {
    u64 mapped = 0, holes = 0, malformed = 0, wrong_address = 0, wrong_type = 0, hidden = 0;
};

void judge_ept(const NestedPaging& paging, const NestedPaging::Format& format,
               const MtrrState& state, Verdict& verdict)
{
    Types types(state);
    EptWalk w{};
    w.levels = format.levels;
    w.table_at = table_at;
    w.on_leaf = [&](const EptLeaf& leaf) {
        const u64 end = leaf.base + leaf.size;
        verdict.holes += leaf.base != verdict.mapped;
        verdict.mapped = end;
        if (is_hidden(leaf.base)) {
            verdict.hidden += leaf.size / page_size;
            verdict.wrong_address += leaf.physical == leaf.base;
            return;
        }
        verdict.wrong_address += leaf.physical != leaf.base;
        const u64 step = types.changes_in(leaf.base, leaf.size) ? page_size : leaf.size;
        for (u64 page = leaf.base; page < end; page += step)
            verdict.wrong_type += leaf.type != types.at(page);
    };
    walk(w, paging.root().value);
    verdict.malformed = w.misconfigured;
}

void judge_npt(const NestedPaging& paging, const NestedPaging::Format& format, Verdict& verdict)
{
    NptWalk w{};
    w.levels = format.levels;
    w.table_at = table_at;
    w.on_leaf = [&](const NptLeaf& leaf) {
        verdict.holes += leaf.base != verdict.mapped;
        verdict.mapped = leaf.base + leaf.size;
        if (is_hidden(leaf.base)) {
            verdict.hidden += leaf.size / page_size;
            verdict.wrong_address += leaf.physical == leaf.base;
            return;
        }
        verdict.wrong_address += leaf.physical != leaf.base;
    };
    walk(w, paging.root().value);
    verdict.malformed = w.malformed;
}

void set_up(NestedPaging& paging, const NestedPaging::Format& format, bool vtx)
{
    paging.set_format(format);
    paging.set_pages({Arena::allocate, Arena::physical_of, Arena::virtual_of});
    REQUIRE(paging.hide({hidden_first}, hidden_pages));
    if (!vtx)
        paging.protect({0xfee00000}); // under VT-x the walk takes it for a hole
}

TEST_CASE("machines: nested paging fits and is correct")
{
    for (const RecordedMachine& machine : recorded_machines) {
        if (!machine.verdict.runs)
            continue;
        INFO(machine.name);
        const RecordedCpu& cpu = machine.bsp();
        const bool vtx = machine.has_vtx();
        NestedPaging::Format format = format_of(cpu, vtx);
        REQUIRE((cpu.cpuid(1).edx & 1u << 12) != 0);
        const MtrrState state(cpu.msrs());
        Mtrrs mtrrs;
        use_cpu(cpu);
        mtrrs.refresh(vtx, read_msr); // under AMD-V the CPU combines the types itself

        Arena::reset(heap_pages(cpu, vtx) - other_pages);
        NestedPaging whole;
        set_up(whole, format, vtx);
        CHECK(whole.build(mtrrs));

        // Without the aliases, which test_aliases.cpp judges: a walk of their pages would not end.
        format.guest_bits = format.address_bits;
        Arena::reset(heap_pages(cpu, vtx) - other_pages);
        NestedPaging paging;
        set_up(paging, format, vtx);
        REQUIRE(paging.build(mtrrs));
        Verdict verdict;
        if (vtx)
            judge_ept(paging, format, state, verdict);
        else
            judge_npt(paging, format, verdict);
        CHECK(verdict.mapped == u64{1} << format.address_bits);
        CHECK(verdict.holes == 0);
        CHECK(verdict.malformed == 0);
        CHECK(verdict.wrong_address == 0);
        CHECK(verdict.wrong_type == 0);
        CHECK(verdict.hidden == hidden_pages);
    }
}

} // namespace
} // namespace zpp::test
