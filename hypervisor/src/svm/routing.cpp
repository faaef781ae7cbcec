#include "svm/routing.hpp"
#include "core/machine.hpp"
#include "emulate/msr.hpp"
#include "x86/safe.hpp"

namespace zpp::svm::routing {
namespace {

using x86::Msr;
using x86::SysCfg;

constexpr u64 address_bits = bits(51, 12);
constexpr u64 end_of_low_memory = u64{1} << 32;

// What CPUID.8000001FH shows in CPUs that have it.
constexpr SysCfg encryption = SysCfg::mem_encryption_mod_en | SysCfg::secure_nested_paging_en |
                              SysCfg::vmpl_en | SysCfg::hmk_en;

// Whether a page of the core is in the range: from `first` to `last`, with `base` in the bits of
// `mask`.
struct Range {
    u64 first = 0, last = ~u64{0}, mask = 0, base = 0;
    bool hit = false;
};

bool has_hidden_page(Range range)
{
    machine.for_each_hidden_range(
        [](void* context, Hpa start, u64 pages) {
            auto& wanted = *static_cast<Range*>(context);
            for (u64 page = start.value; page < start.value + pages * page_size; page += page_size)
                wanted.hit |= page >= wanted.first && page <= wanted.last &&
                              (page & wanted.mask) == (wanted.base & wanted.mask);
        },
        &range);
    return range.hit;
}

Outcome write_unless(bool refused, Msr msr, u64 value)
{
    return refused ? Outcome::general_protection : pass_wrmsr(msr, value);
}

} // namespace

Outcome read_syscfg(Msr msr, u64& value)
{
    if (!x86::safe_rdmsr(msr, value))
        return Outcome::general_protection;
    value = raw(SysCfg{value} & ~encryption);
    return Outcome::advance;
}

Outcome write_syscfg(Msr msr, u64 value)
{
    u64 now = 0;
    if (!x86::safe_rdmsr(msr, now))
        return Outcome::general_protection;
    const SysCfg wanted{value};
    const bool refused = has(wanted, encryption) ||
                         has(wanted ^ SysCfg{now}, SysCfg::mtrr_var_dram_en | SysCfg::mtrr_tom2_en);
    return write_unless(refused, msr, raw(wanted | (SysCfg{now} & encryption)));
}

// A range of a base and a mask; it routes to DRAM with both bits of its base set.
Outcome write_iorr(Msr msr, u64 value)
{
    constexpr u64 read_write_dram = bit(3) | bit(4);
    constexpr u64 valid = bit(11);
    const bool is_base = (msr - Msr::iorr_base_0) % 2 == 0;
    u64 other = 0;
    if (!x86::safe_rdmsr(is_base ? msr + 1 : Msr{static_cast<u32>(msr) - 1}, other))
        return Outcome::general_protection;
    const u64 base = is_base ? value : other;
    const u64 mask = is_base ? other : value;
    const bool elsewhere = (mask & valid) != 0 && (base & read_write_dram) != read_write_dram;
    return write_unless(elsewhere && has_hidden_page({.mask = mask & address_bits, .base = base}),
                        msr, value);
}

// DRAM ends there, below and above 4 GiB.
Outcome write_top_mem(Msr msr, u64 value)
{
    const u64 top = value & address_bits;
    const Range beyond = msr == Msr::top_mem
                             ? Range{.first = top, .last = end_of_low_memory - 1}
                             : Range{.first = top > end_of_low_memory ? top : end_of_low_memory};
    return write_unless(has_hidden_page(beyond), msr, value);
}

Outcome write_mmio_cfg_base(Msr msr, u64 value)
{
    constexpr u64 enable = bit(0);
    const u64 buses_shift = value >> 2 & 15; // 1 MiB for each bus
    const u64 first = value & bits(51, 20);
    const Range window{.first = first, .last = first + ((u64{1} << (20 + buses_shift)) - 1)};
    return write_unless((value & enable) != 0 && has_hidden_page(window), msr, value);
}

Outcome write_locked(Msr msr, u64 value)
{
    u64 now = 0;
    return x86::safe_rdmsr(msr, now) && now == value ? Outcome::advance
                                                     : Outcome::general_protection;
}

} // namespace zpp::svm::routing
