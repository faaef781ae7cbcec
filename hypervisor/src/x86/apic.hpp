// The local APIC's interrupt command register (ICR) and its destinations (SDM Vol. 3A, 11.6; AMD
// APM Vol. 2, 16.5). Pure logic.
#pragma once
#include "lib/types.hpp"

namespace zpp {

// Register offsets in the xAPIC page.
constexpr u32 apic_id_register = 0x20;
constexpr u32 apic_version = 0x30;
constexpr u32 apic_task_priority = 0x80;
constexpr u32 apic_eoi = 0xb0;
constexpr u32 apic_logical_destination = 0xd0;
constexpr u32 apic_destination_format = 0xe0;
constexpr u32 apic_spurious_vector = 0xf0;
constexpr u32 apic_isr = 0x100; // eight registers of 32 bits each
constexpr u32 apic_irr = 0x200;
constexpr u32 apic_error_status = 0x280;
constexpr u32 apic_lvt_cmci = 0x2f0;
constexpr u32 apic_icr_low = 0x300;
constexpr u32 apic_icr_high = 0x310;
constexpr u32 apic_lvt_timer = 0x320;
constexpr u32 apic_lvt_thermal = 0x330;
constexpr u32 apic_lvt_performance = 0x340;
constexpr u32 apic_lvt_lint0 = 0x350;
constexpr u32 apic_lvt_lint1 = 0x360;
constexpr u32 apic_lvt_error = 0x370;
constexpr u32 apic_timer_initial_count = 0x380;
constexpr u32 apic_timer_divide = 0x3e0;
constexpr u32 apic_extended_feature = 0x400; // AMD
constexpr u32 apic_extended_lvt = 0x500;
constexpr u32 apic_extended_lvts = 4; // at most

// Bits of the version register and of the spurious-interrupt vector register.
constexpr u32 apic_version_suppresses_broadcast = 1u << 24;
constexpr u32 apic_version_extended = 1u << 31; // AMD
constexpr u32 apic_enabled = 1u << 8;
constexpr u32 apic_suppress_broadcast = 1u << 12;

// The registers that decide which destinations match this local APIC.
struct ApicIdentity {
    u32 id;
    u32 logical; // logical destination register
    u32 format;  // destination format register, xAPIC only
};

enum class DeliveryMode : u8 { fixed = 0, lowest = 1, smi = 2, nmi = 4, init = 5, startup = 6 };

class Icr {
public:
    static Icr xapic(u32 low, u32 high) { return {u64{high >> 24} << 32 | low, false}; }
    static Icr x2apic(u64 value) { return {value, true}; }

    DeliveryMode delivery() const { return static_cast<DeliveryMode>((value_ >> 8) & 7); }
    u8 vector() const { return static_cast<u8>(value_); }
    u32 destination() const { return static_cast<u32>(value_ >> 32); }

    // Without the delivery status.
    u64 raw() const { return value_ & ~bit(12); }

    bool starts_cpus() const
    {
        return delivery() == DeliveryMode::init || delivery() == DeliveryMode::startup;
    }

    // INIT level de-assert: old software sends it, today's CPUs ignore it.
    bool is_deassert() const { return (value_ & bit(14)) == 0 && (value_ & bit(15)) != 0; }

    // Whether `target` is a destination. same: the target is the sender.
    bool addresses(const ApicIdentity& target, bool same) const
    {
        switch ((value_ >> 18) & 3) {
        case 1: return same;
        case 2: return true;
        case 3: return !same;
        default:
            return (value_ & bit(11)) != 0 ? matches_logical(target) : matches_physical(target);
        }
    }

private:
    Icr(u64 value, bool x2apic) : value_(value), x2apic_(x2apic) {}

    u32 broadcast() const { return x2apic_ ? 0xffffffff : 0xff; }

    bool matches_physical(const ApicIdentity& target) const
    {
        return destination() == broadcast() || destination() == target.id;
    }

    bool matches_logical(const ApicIdentity& target) const
    {
        const u32 to = destination();
        if (to == broadcast())
            return true;
        if (x2apic_) {
            const u32 logical = (target.id >> 4) << 16 | 1u << (target.id & 15);
            return to >> 16 == logical >> 16 && (to & logical & 0xffff) != 0;
        }
        const u32 logical = target.logical >> 24;
        if (target.format >> 28 == 0xf) // flat model
            return (to & logical) != 0;
        return to >> 4 == logical >> 4 && (to & logical & 0xf) != 0;
    }

    u64 value_;
    bool x2apic_;
};

// Whether this xAPIC write sends INIT or SIPI, or changes the registers of ApicIdentity.
inline bool is_startup_write(u64 offset, u32 value)
{
    constexpr u64 mask = ~u64{0xf}; // registers are 16 bytes apart
    switch (offset & mask) {
    case apic_icr_low: return Icr::xapic(value, 0).starts_cpus();
    case apic_id_register:
    case apic_logical_destination:
    case apic_destination_format: return true;
    default: return false;
    }
}

} // namespace zpp
