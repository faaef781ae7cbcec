#include "apic/init_state.hpp"
#include "x86/apic.hpp"

namespace zpp {
namespace {

constexpr u32 lvt_masked = 1u << 16;
constexpr u32 vectors = 256;
// Interrupts may still arrive, or come again after their EOI: level-triggered ones from an I/O APIC.
constexpr unsigned most_rounds = 4;

// Local vector table entries, by the number of the last one (version register, bits 23:16).
struct Lvt {
    u32 offset;
    u32 needs_entry;
};
constexpr Lvt lvts[] = {{apic_lvt_timer, 0}, {apic_lvt_lint0, 1},       {apic_lvt_lint1, 2},
                        {apic_lvt_error, 3}, {apic_lvt_performance, 4}, {apic_lvt_thermal, 5},
                        {apic_lvt_cmci, 6}};

void mask_lvts(const ApicRegisters& apic, u32 version)
{
    const u32 last = version >> 16 & 0xff;
    for (const Lvt& lvt : lvts)
        if (lvt.needs_entry <= last)
            apic.write(lvt.offset, lvt_masked);
    if ((version & apic_version_extended) == 0)
        return;
    const u32 extended = apic.read(apic_extended_feature) >> 16 & 0xff;
    for (u32 i = 0; i < extended && i < apic_extended_lvts; ++i)
        apic.write(apic_extended_lvt + 16 * i, lvt_masked);
}

// Whether a bit is set in IRR or ISR, from this vector on.
bool any(const ApicRegisters& apic, u32 offset, u32 first_vector)
{
    for (u32 part = first_vector / 32; part < vectors / 32; ++part)
        if (apic.read(offset + 16 * part) != 0)
            return true;
    return false;
}

// Only the CPU can empty IRR and ISR: by taking the interrupts, and by EOIs.
void drain(const ApicRegisters& apic, u32 spurious)
{
    constexpr u32 first = 32; // below, the host would take it for an exception: TPR holds it back
    apic.write(apic_task_priority, first - 1);
    for (unsigned round = 0; round < most_rounds; ++round) {
        apic.write(apic_spurious_vector, spurious | apic_enabled);
        for (u32 i = 0; i < vectors && any(apic, apic_isr, 0); ++i)
            apic.write(apic_eoi, 0);
        for (u32 i = 0; i < vectors && any(apic, apic_irr, first); ++i)
            apic.take_interrupt();
        apic.write(apic_spurious_vector, spurious); // from now on it accepts no interrupt
        if (!any(apic, apic_isr, 0) && !any(apic, apic_irr, first))
            break;
    }
    apic.write(apic_task_priority, 0);
}

} // namespace

void reset_apic(const ApicRegisters& apic, bool x2apic)
{
    const u32 version = apic.read(apic_version);
    mask_lvts(apic, version);
    apic.write(apic_timer_initial_count, 0);
    apic.write(apic_timer_divide, 0);
    constexpr u32 spurious = 0xff;
    // An INIT sends no EOI to the I/O APICs either.
    const bool can_suppress = (version & apic_version_suppresses_broadcast) != 0;
    drain(apic, spurious | (can_suppress ? apic_suppress_broadcast : 0));
    apic.write(apic_spurious_vector, spurious);
    if (!x2apic) {
        apic.write(apic_logical_destination, 0);
        apic.write(apic_destination_format, 0xffffffff);
        apic.write(apic_icr_high, 0);
    }
    apic.write(apic_error_status, 0); // the first write only latches new errors
    apic.write(apic_error_status, 0);
}

} // namespace zpp
