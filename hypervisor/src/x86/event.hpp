// An event for the guest, in the format that the VM-entry interruption-information field (SDM
// Vol. 3C, 25.8.3) and EVENTINJ (AMD APM Vol. 2, 15.20) share.
#pragma once
#include "x86/exceptions.hpp"

namespace zpp::x86 {

struct Event {
    static constexpr u32 valid = 1u << 31;
    static constexpr u32 error_code = 1u << 11; // in a field of its own, or in bits 63:32
    static constexpr u32 type_nmi = 2u << 8;
    static constexpr u32 type_exception = 3u << 8;
    static constexpr u32 type = 7u << 8;
    static constexpr u32 type_and_vector = 0x7ff;

    u32 value;

    static constexpr Event exception(u8 vector)
    {
        return {valid | type_exception | vector | (pushes_error_code(vector) ? error_code : 0)};
    }
    static constexpr Event nmi() { return {valid | type_nmi | vector_nmi}; }

    constexpr bool is_nmi() const { return (value & type_and_vector) == (type_nmi | vector_nmi); }
    constexpr bool is_exception() const { return (value & type) == type_exception; }
    constexpr u8 vector() const { return static_cast<u8>(value); }
    constexpr bool has_error_code() const { return (value & error_code) != 0; }
};

// What an exception becomes that comes while another one is delivered (SDM Vol. 3A, 7.15, table
// 7-5; APM Vol. 2, 8.2.9).
enum class Nested : u8 { itself, double_fault, shutdown };

constexpr Nested nested(u8 first, u8 second)
{
    constexpr u32 contributory = 1u << 0 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 21 |
                                 1u << 29 | 1u << 30; // #DE, #TS, #NP, #SS, #GP, #CP, #VC, #SX
    constexpr u32 page_fault = 1u << vector_page_fault;
    const auto is = [](u8 vector, u32 set) { return vector < 32 && (set >> vector & 1) != 0; };
    if (first == vector_double_fault)
        return is(second, contributory | page_fault) ? Nested::shutdown : Nested::itself;
    if (is(first, contributory))
        return is(second, contributory) ? Nested::double_fault : Nested::itself;
    if (is(first, page_fault))
        return is(second, contributory | page_fault) ? Nested::double_fault : Nested::itself;
    return Nested::itself;
}

// Of EVENTINJ and EXITINTINFO.
constexpr bool is_event(u64 field) { return (field & Event::valid) != 0; }

static_assert(Event::exception(vector_general_protection).value == 0x80000b0d);
static_assert(Event::exception(vector_undefined_opcode).value == 0x80000306);
static_assert(Event::nmi().value == 0x80000202);

} // namespace zpp::x86
