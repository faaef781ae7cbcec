// Task-state segments (SDM Vol. 3A, 8.2.1 and 8.6) and segment descriptors (3.4.5).
#pragma once
#include "lib/types.hpp"

namespace zpp::x86 {

struct [[gnu::packed]] Tss32 {
    u32 link;
    u32 stacks[6];
    u32 cr3, eip, eflags;
    u32 general[8];
    u32 segments[6]; // ES, CS, SS, DS, FS, GS
    u32 ldt;
    u16 trap, io_map_base;
};
static_assert(sizeof(Tss32) == 104 && offsetof(Tss32, segments) == 0x48);

struct [[gnu::packed]] Tss16 {
    u16 link;
    u16 stacks[6];
    u16 ip, flags;
    u16 general[8];
    u16 segments[4]; // ES, CS, SS, DS
    u16 ldt;
};
static_assert(sizeof(Tss16) == 44 && offsetof(Tss16, segments) == 34);

// A descriptor of 8 bytes, as the CPU stores it.
class Descriptor {
public:
    explicit constexpr Descriptor(u64 value) : value_{value} {}

    constexpr u32 base() const
    {
        return static_cast<u32>((value_ >> 16 & 0xffffff) | (value_ >> 56) << 24);
    }
    constexpr u32 limit() const
    {
        const auto limit = static_cast<u32>((value_ & 0xffff) | (value_ >> 32 & 0xf0000));
        return (value_ & bit(55)) != 0 ? limit << 12 | 0xfff : limit;
    }
    constexpr u32 rights() const { return value_ >> 40 & 0xf0ff; }
    constexpr unsigned type() const { return value_ >> 40 & 15; }
    constexpr unsigned dpl() const { return value_ >> 45 & 3; }
    constexpr bool is_system() const { return (value_ & bit(44)) == 0; }
    constexpr bool is_present() const { return (value_ & bit(47)) != 0; }
    constexpr bool is_code() const { return !is_system() && (type() & 8) != 0; }
    constexpr bool is_conforming() const { return is_code() && (type() & 4) != 0; }
    constexpr bool is_readable() const { return !is_code() || (type() & 2) != 0; }
    constexpr bool is_writable() const { return !is_code() && (type() & 2) != 0; }

private:
    u64 value_;
};
constexpr u32 access_byte = 5;                             // its place in a descriptor
constexpr u8 descriptor_accessed = 1, descriptor_busy = 2; // bits of that byte

} // namespace zpp::x86
