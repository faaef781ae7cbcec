// Registers with named bits: each is a scoped enumeration of masks, named as in the manuals, so the
// bits of one register do not mix with those of another.
#pragma once
#include "lib/types.hpp"
#include <type_traits>

namespace zpp {

// True for these enumerations.
template <class T> inline constexpr bool is_register = false;
template <class T, class... Others>
concept OneOf = (std::is_same_v<T, Others> || ...);

template <class T>
concept Register = is_register<T>;

template <Register R> constexpr auto raw(R value)
{
    return static_cast<std::underlying_type_t<R>>(value);
}

template <Register R> constexpr R operator|(R a, R b)
{
    return R{static_cast<std::underlying_type_t<R>>(raw(a) | raw(b))};
}
template <Register R> constexpr R operator&(R a, R b)
{
    return R{static_cast<std::underlying_type_t<R>>(raw(a) & raw(b))};
}
template <Register R> constexpr R operator^(R a, R b)
{
    return R{static_cast<std::underlying_type_t<R>>(raw(a) ^ raw(b))};
}
template <Register R> constexpr R operator~(R a)
{
    return R{static_cast<std::underlying_type_t<R>>(~raw(a))};
}
template <Register R> constexpr R& operator|=(R& a, R b) { return a = a | b; }
template <Register R> constexpr R& operator&=(R& a, R b) { return a = a & b; }

// Whether one of the bits is set.
template <Register R> constexpr bool has(R value, R bits) { return raw(value & bits) != 0; }

// Mask of the bits last:first, as the manuals write a field.
constexpr u64 bits(unsigned last, unsigned first)
{
    return (~u64{0} >> (63 - last + first)) << first;
}
static_assert(bits(0, 0) == 1 && bits(51, 12) == 0x000ffffffffff000 && bits(63, 0) == ~u64{0});

} // namespace zpp
