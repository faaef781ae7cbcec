// Fixed-width integers, for hardware structures.
#pragma once
#include <cstddef>
#include <cstdint>

namespace zpp {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr u64 page_size = 4096;

constexpr u64 bit(unsigned position) { return u64{1} << position; }

} // namespace zpp
