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
    static constexpr u32 type_and_vector = 0x7ff;

    u32 value;

    static constexpr Event exception(u8 vector)
    {
        return {valid | type_exception | vector | (pushes_error_code(vector) ? error_code : 0)};
    }
    static constexpr Event nmi() { return {valid | type_nmi | vector_nmi}; }

    constexpr bool is_nmi() const { return (value & type_and_vector) == (type_nmi | vector_nmi); }
    constexpr bool has_error_code() const { return (value & error_code) != 0; }
};
// Of EVENTINJ and EXITINTINFO.
constexpr bool is_event(u64 field) { return (field & Event::valid) != 0; }

static_assert(Event::exception(vector_general_protection).value == 0x80000b0d);
static_assert(Event::exception(vector_undefined_opcode).value == 0x80000306);
static_assert(Event::nmi().value == 0x80000202);

} // namespace zpp::x86
