#include "paging/mtrr.hpp"
#include "x86/msr.hpp"

namespace zpp {

using x86::Msr;

namespace {

constexpr u64 default_type_fixed_enable = bit(10);
constexpr u64 mask_valid = bit(11);
constexpr u64 address_bits = 0x000ffffffffff000;
constexpr u64 fixed_end = 0x100000;

constexpr Msr fixed_msrs[] = {
    Msr::ia32_mtrr_fix64k_00000,    Msr::ia32_mtrr_fix16k_80000,    Msr::ia32_mtrr_fix16k_80000 + 1,
    Msr::ia32_mtrr_fix4k_c0000,     Msr::ia32_mtrr_fix4k_c0000 + 1, Msr::ia32_mtrr_fix4k_c0000 + 2,
    Msr::ia32_mtrr_fix4k_c0000 + 3, Msr::ia32_mtrr_fix4k_c0000 + 4, Msr::ia32_mtrr_fix4k_c0000 + 5,
    Msr::ia32_mtrr_fix4k_c0000 + 6, Msr::ia32_mtrr_fix4k_c0000 + 7,
};

// Where variable ranges overlap (SDM Vol. 3A, 12.11.4.1): UC wins, WT wins over WB, the rest is
// undefined; UC is the safe choice.
MemoryType combine(MemoryType a, MemoryType b)
{
    if (a == b)
        return a;
    const auto is = [&](MemoryType x, MemoryType y) {
        return (a == x && b == y) || (a == y && b == x);
    };
    if (is(MemoryType::write_through, MemoryType::write_back))
        return MemoryType::write_through;
    return MemoryType::uncacheable;
}

} // namespace

bool Mtrrs::set(u64& field, u64 value)
{
    const bool changed = field != value;
    field = value;
    return changed;
}

bool Mtrrs::refresh(bool present, ReadMsr read)
{
    present_ = present;
    enabled_ = false;
    if (!present)
        return false;
    const u64 capability = read(Msr::ia32_mtrrcap);
    variable_count_ = capability & 0xff;
    bool changed = set(default_type_, read(Msr::ia32_mtrr_def_type));
    enabled_ = (default_type_ & enable) != 0;
    const bool fixed_supported = (capability & bit(8)) != 0;
    for (unsigned i = 0; i < fixed_registers; ++i)
        changed |= set(fixed_[i], fixed_supported ? read(fixed_msrs[i]) : 0);
    for (unsigned i = 0; i < variable_count_; ++i) {
        changed |= set(variable_[i].base, read(Msr::ia32_mtrr_physbase0 + 2 * i));
        changed |= set(variable_[i].mask, read(Msr::ia32_mtrr_physbase0 + 2 * i + 1));
    }
    return changed;
}

bool Mtrrs::is_mtrr(Msr msr, unsigned variable_count)
{
    if (msr >= Msr::ia32_mtrr_physbase0 && msr < Msr::ia32_mtrr_physbase0 + 2 * variable_count)
        return true;
    for (const Msr fixed : fixed_msrs)
        if (msr == fixed)
            return true;
    return msr == Msr::ia32_mtrr_def_type;
}

// Each fixed-range register has eight types, lowest address first.
MemoryType Mtrrs::fixed_type(Hpa fixed) const
{
    const u64 address = fixed.value;
    unsigned index, byte;
    if (address < 0x80000) {
        index = 0;
        byte = static_cast<unsigned>(address >> 16);
    } else if (address < 0xc0000) {
        index = 1 + static_cast<unsigned>((address - 0x80000) >> 17);
        byte = (address >> 14) & 7;
    } else {
        index = 3 + static_cast<unsigned>((address - 0xc0000) >> 15);
        byte = (address >> 12) & 7;
    }
    return static_cast<MemoryType>((fixed_[index] >> (8 * byte)) & 0xff);
}

std::optional<MemoryType> Mtrrs::variable_type(Hpa base, u64 size) const
{
    std::optional<MemoryType> type;
    for (unsigned i = 0; i < variable_count_; ++i) {
        const auto& [range_base, range_mask] = variable_[i];
        const u64 mask = range_mask & address_bits;
        if ((range_mask & mask_valid) == 0 || ((base.value ^ range_base) & mask & ~(size - 1)) != 0)
            continue;
        if ((mask & (size - 1)) != 0)
            return std::nullopt; // the range covers a part of these bytes
        const auto here = static_cast<MemoryType>(range_base & 0xff);
        type = type ? combine(*type, here) : here;
    }
    return type ? *type : static_cast<MemoryType>(default_type_ & 0xff);
}

std::optional<MemoryType> Mtrrs::type_of(Hpa base, u64 size) const
{
    if (!present_)
        return MemoryType::write_back;
    if (!enabled_)
        return MemoryType::uncacheable;
    if (base.value < fixed_end && (default_type_ & default_type_fixed_enable) != 0) {
        if (size > page_size)
            return std::nullopt;
        return fixed_type(base);
    }
    return variable_type(base, size);
}

} // namespace zpp
