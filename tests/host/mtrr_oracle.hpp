// The memory type of one byte, read off the MTRRs as the manual words it (SDM Vol. 3A, 12.11):
// slow, without any of the core's code, and so its judge.
#pragma once
#include "fake_msrs.hpp"
#include <string>
#include <utility>
#include <vector>

namespace zpp::test {

constexpr u8 UC = 0, WC = 1, WT = 4, WP = 5, WB = 6;

constexpr u64 KiB = 1024, MiB = 1024 * KiB, GiB = 1024 * MiB, TiB = 1024 * GiB;

// Table 12-9: the eight parts of each fixed-range register, from the lowest byte up.
struct FixedRegister {
    u32 msr;
    u64 first, part;
};
inline constexpr FixedRegister fixed_registers[] = {
    {0x250, 0x00000, 64 * KiB}, {0x258, 0x80000, 16 * KiB}, {0x259, 0xa0000, 16 * KiB},
    {0x268, 0xc0000, 4 * KiB},  {0x269, 0xc8000, 4 * KiB},  {0x26a, 0xd0000, 4 * KiB},
    {0x26b, 0xd8000, 4 * KiB},  {0x26c, 0xe0000, 4 * KiB},  {0x26d, 0xe8000, 4 * KiB},
    {0x26e, 0xf0000, 4 * KiB},  {0x26f, 0xf8000, 4 * KiB},
};

struct VariableRange {
    u64 first, size; // size: a power of two; first: a multiple of it
    u8 type;
};

// The MTRRs of a machine.
class MtrrState {
public:
    explicit MtrrState(u8 default_type, std::vector<VariableRange> ranges = {},
                       unsigned address_bits = 39);
    explicit MtrrState(Msrs msrs) : msrs_(std::move(msrs)) {}

    MtrrState& with_fixed(u8 type);                          // all 88 parts, FE on
    MtrrState& with_fixed(u32 msr, u64 types);               // one register, FE on
    MtrrState& with_raw(unsigned index, u64 base, u64 mask); // PHYSBASEn, PHYSMASKn
    MtrrState& with_count(unsigned count);                   // MTRRCAP.VCNT
    MtrrState& with_default(u64 value);                      // IA32_MTRR_DEF_TYPE, whole

    const Msrs& msrs() const { return msrs_; }

    // The type of the byte at `address`.
    u8 type_at(u64 address) const;

    // Every address where a type may begin or end: the first byte after each change.
    std::vector<u64> edges() const;

private:
    unsigned count() const { return msrs_.at(0xfe) & 0xff; }
    Msrs msrs_;
};

// The mask of a range of `size` bytes, with the valid bit.
u64 mask_of(u64 size, unsigned address_bits);

} // namespace zpp::test
