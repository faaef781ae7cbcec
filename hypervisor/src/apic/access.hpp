// The host's access to this CPU's local APIC, in the mode that the guest has set.
#pragma once
#include "core/result.hpp"
#include "core/vcpu.hpp"
#include "lib/address.hpp"
#include "x86/apic.hpp"

namespace zpp::apic_access {

// Once, at PREPARE: maps the xAPIC page.
Result prepare();

// The page that the guest must not write: the xAPIC's.
Gpa page();

// xAPIC registers, by offset.
u32 read(u32 offset);
void write(u32 offset, u32 value);

// Whether x2APIC mode is enabled (IA32_APIC_BASE.EXTD).
bool is_x2apic();

// Any register but the ICR by its xAPIC offset, in the mode that is enabled. One that does not exist
// reads as 0.
u32 read_register(u32 offset);
void write_register(u32 offset, u32 value);

// On an INIT: resets the registers of this CPU's local APIC, if it is enabled. `take_interrupt`
// lets the CPU take one that is pending.
void reset(void (*take_interrupt)());

// What this CPU has sent last, in its ICR.
Icr last_command();

// Sends an NMI to a launched CPU.
void send_nmi(const Vcpu& vcpu);

// Sends an interrupt command to one CPU. The guest's ICR keeps its value.
void send(u32 apic_id, u32 low);

} // namespace zpp::apic_access
