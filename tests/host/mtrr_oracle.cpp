#include "mtrr_oracle.hpp"
#include <algorithm>

namespace zpp::test {
namespace {

constexpr u64 type_enable = 1 << 11, fixed_enable = 1 << 10, fixed_support = 1 << 8;
constexpr u64 mask_valid = 1 << 11;
constexpr u32 capability = 0xfe, default_type_msr = 0x2ff, first_variable = 0x200;

} // namespace

u64 mask_of(u64 size, unsigned address_bits)
{
    return (((u64{1} << address_bits) - 1) & ~(size - 1)) | mask_valid;
}

MtrrState::MtrrState(u8 default_type, std::vector<VariableRange> ranges, unsigned address_bits)
{
    msrs_[capability] = fixed_support | std::max<u64>(10, ranges.size());
    msrs_[default_type_msr] = type_enable | default_type;
    for (const FixedRegister& fixed : fixed_registers)
        msrs_[fixed.msr] = 0;
    for (unsigned i = 0; i < count(); ++i)
        with_raw(i, 0, 0);
    for (unsigned i = 0; i < ranges.size(); ++i)
        with_raw(i, ranges[i].first | ranges[i].type, mask_of(ranges[i].size, address_bits));
}

MtrrState& MtrrState::with_fixed(u8 type)
{
    for (const FixedRegister& fixed : fixed_registers)
        with_fixed(fixed.msr, 0x0101010101010101 * type);
    return *this;
}

MtrrState& MtrrState::with_fixed(u32 msr, u64 types)
{
    msrs_[msr] = types;
    msrs_[default_type_msr] |= fixed_enable;
    return *this;
}

MtrrState& MtrrState::with_raw(unsigned index, u64 base, u64 mask)
{
    msrs_[first_variable + 2 * index] = base;
    msrs_[first_variable + 2 * index + 1] = mask;
    return *this;
}

MtrrState& MtrrState::with_count(unsigned count)
{
    msrs_[capability] = (msrs_[capability] & ~u64{0xff}) | count;
    return *this;
}

MtrrState& MtrrState::with_default(u64 value)
{
    msrs_[default_type_msr] = value;
    return *this;
}

u8 MtrrState::type_at(u64 address) const
{
    const u64 def = msrs_.at(default_type_msr);
    if ((def & type_enable) == 0)
        return UC;
    if (address < MiB && (def & fixed_enable) != 0)
        for (const FixedRegister& fixed : fixed_registers)
            for (unsigned part = 0; part < 8; ++part)
                if (const u64 first = fixed.first + part * fixed.part;
                    address >= first && address < first + fixed.part)
                    return static_cast<u8>(msrs_.at(fixed.msr) >> (8 * part));
    bool matched = false, all_same = true, any_uc = false, only_wt_and_wb = true;
    u8 type = 0;
    for (unsigned i = 0; i < count(); ++i) {
        const u64 base = msrs_.at(first_variable + 2 * i);
        const u64 mask = msrs_.at(first_variable + 2 * i + 1);
        if ((mask & mask_valid) == 0 ||
            (address & mask & ~u64{0xfff}) != (base & mask & ~u64{0xfff}))
            continue;
        const u8 here = base & 0xff;
        all_same = all_same && (!matched || here == type);
        any_uc = any_uc || here == UC;
        only_wt_and_wb = only_wt_and_wb && (here == WT || here == WB);
        type = here;
        matched = true;
    }
    if (!matched)
        return def & 0xff;
    if (all_same)
        return type;
    if (!any_uc && only_wt_and_wb)
        return WT;
    return UC; // UC wins; what the manual leaves undefined, zpp makes UC
}

std::vector<u64> MtrrState::edges() const
{
    std::vector<u64> edges{MiB};
    for (const FixedRegister& fixed : fixed_registers)
        for (unsigned part = 0; part < 8; ++part)
            edges.push_back(fixed.first + part * fixed.part);
    for (unsigned i = 0; i < count(); ++i) {
        const u64 mask = msrs_.at(first_variable + 2 * i + 1) & ~u64{0xfff};
        const u64 base = msrs_.at(first_variable + 2 * i) & mask;
        const u64 size = mask & -mask; // of each piece, if the mask is not contiguous
        edges.push_back(base);
        edges.push_back(base + size);
    }
    std::sort(edges.begin(), edges.end());
    return edges;
}

} // namespace zpp::test
