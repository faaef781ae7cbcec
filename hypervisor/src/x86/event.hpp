// An event for the guest, in the format that the VM-entry interruption-information field (SDM
// Vol. 3C, 25.8.3) and EVENTINJ (AMD APM Vol. 2, 15.20) share.
#pragma once
#include "x86/control_registers.hpp"
#include "x86/exceptions.hpp"

namespace zpp::x86 {

struct Event {
    static constexpr u32 valid = 1u << 31;
    static constexpr u32 error_code = 1u << 11; // in a field of its own, or in bits 63:32
    static constexpr u32 type_nmi = 2u << 8;
    static constexpr u32 type_exception = 3u << 8;
    static constexpr u32 type_and_vector = 0x7ff;

    u32 value;
    u32 code = 0; // the error code

    // In real mode exceptions push no error code; VM entry refuses one (SDM Vol. 3C, 27.2.1.3).
    static constexpr Event exception(u8 vector, Cr0 cr0, u32 code = 0)
    {
        const bool pushes = pushes_error_code(vector) && has(cr0, Cr0::pe);
        return {valid | type_exception | vector | (pushes ? error_code : 0), pushes ? code : 0};
    }
    static constexpr Event nmi() { return {valid | type_nmi | vector_nmi}; }

    constexpr u8 vector() const { return static_cast<u8>(value); }
    constexpr bool is_nmi() const { return (value & type_and_vector) == (type_nmi | vector_nmi); }
    constexpr bool is_exception() const { return (value & 0x700) == type_exception; }
    // INT n, INT1, INT3 and INTO: RIP is that of the instruction until they are delivered.
    constexpr bool is_software() const { return (value & 0x700) >= 4u << 8; }
    constexpr bool has_error_code() const { return (value & error_code) != 0; }
};
// Of EVENTINJ and EXITINTINFO.
constexpr bool is_event(u64 field) { return (field & Event::valid) != 0; }

// An exception during the delivery of an event (SDM Vol. 3A, table 7-5).
enum class Meeting : u8 { second, double_fault, shutdown };
constexpr Meeting meet(Event first, Event second)
{
    constexpr auto contributory = [](u8 vector) {
        return vector == vector_divide_error ||
               (vector >= vector_invalid_tss && vector <= vector_general_protection) ||
               vector == vector_control_protection;
    };
    if (!first.is_exception())
        return Meeting::second;
    const u8 a = first.vector(), b = second.vector();
    const bool serious = contributory(b) || b == vector_page_fault;
    if (a == vector_double_fault && serious)
        return Meeting::shutdown;
    if ((contributory(a) && contributory(b)) || (a == vector_page_fault && serious))
        return Meeting::double_fault;
    return Meeting::second;
}

static_assert(Event::exception(vector_general_protection, Cr0::pe).value == 0x80000b0d);
static_assert(Event::exception(vector_general_protection, Cr0{}).value == 0x8000030d);
static_assert(Event::exception(vector_undefined_opcode, Cr0::pe).value == 0x80000306);
static_assert(Event::nmi().value == 0x80000202);

} // namespace zpp::x86
