// The host's access to this CPU's local APIC, in the mode that the guest has set.
#pragma once
#include "core/result.hpp"
#include "core/vcpu.hpp"
#include "lib/address.hpp"

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

// Sends an NMI to a launched CPU.
void send_nmi(const Vcpu& vcpu);

// Sends an interrupt command to one CPU. The guest's ICR keeps its value.
void send(u32 apic_id, u32 low);

} // namespace zpp::apic_access
