#include "emulate/features.hpp"
#include "emulate/feature_table.hpp"

namespace zpp {
namespace {

constinit Support met{};
constinit u64 xss_mask = 0;

// The part of a row that hide_features() needs; the texts stay out of the core.
struct Mask {
    u32 leaf, subleaf;
    Output output;
    u32 bits;
    Support needs;
};

constexpr std::size_t mask_count = [] {
    std::size_t count = 0;
    for (const Feature& feature : features)
        count += feature.needs != no_need;
    return count;
}();

struct Masks {
    Mask rows[mask_count];
};

constexpr Masks masks = [] {
    Masks all{};
    std::size_t count = 0;
    for (const Feature& feature : features)
        if (feature.needs != no_need)
            all.rows[count++] = {feature.leaf, feature.subleaf, feature.output, feature.bits,
                                 feature.needs};
    return all;
}();

struct MsrRange {
    x86::Msr first, last;
    Support needs;
};

constexpr std::size_t msr_range_count = sizeof feature_msrs / sizeof feature_msrs[0];

struct MsrRanges {
    MsrRange rows[msr_range_count];
};

constexpr MsrRanges msr_ranges = [] {
    MsrRanges all{};
    std::size_t count = 0;
    for (const FeatureMsrs& msrs : feature_msrs)
        all.rows[count++] = {msrs.first, msrs.last, msrs.needs};
    return all;
}();

void clear(x86::CpuidResult& result, Output output, u32 bits)
{
    switch (output) {
    case Output::eax: result.eax &= ~bits; break;
    case Output::ebx: result.ebx &= ~bits; break;
    case Output::ecx: result.ecx &= ~bits; break;
    case Output::edx: result.edx &= ~bits; break;
    case Output::all: result = {}; break;
    }
}

} // namespace

bool is_supported(Support needs) { return !has(needs, ~met); }

void hide_features(u32 leaf, u32 subleaf, x86::CpuidResult& result)
{
    for (const Mask& row : masks.rows)
        if (row.leaf == leaf && (row.subleaf == subleaf || row.subleaf == any_subleaf) &&
            !is_supported(row.needs))
            clear(result, row.output, row.bits);
}

void set_support(Support support, ReadCpuid cpuid)
{
    met = support;
    xss_mask = 0;
    if (cpuid(0, 0).eax < 0xd)
        return;
    const x86::CpuidResult bare = cpuid(0xd, 1);
    x86::CpuidResult seen = bare;
    hide_features(0xd, 1, seen);
    xss_mask = (bare.ecx | u64{bare.edx} << 32) & ~(seen.ecx | u64{seen.edx} << 32);
}

u64 hidden_xss() { return xss_mask; }

bool is_hidden_msr(x86::Msr msr)
{
    for (const MsrRange& range : msr_ranges.rows)
        if (msr - range.first <= range.last - range.first && !is_supported(range.needs))
            return true;
    return false;
}

void for_each_hidden_msr(void (*visit)(void* context, x86::Msr first, x86::Msr last), void* context)
{
    for (const MsrRange& range : msr_ranges.rows)
        if (!is_supported(range.needs))
            visit(context, range.first, range.last);
}

} // namespace zpp
