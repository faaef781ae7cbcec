// The host's way to this CPU's local APIC, in whichever mode the guest has it.
#pragma once
#include "core/result.hpp"
#include "lib/address.hpp"

namespace zpp::svm::apic_access {

// Once, at PREPARE: maps the xAPIC's page.
Result prepare();

// The page that nested paging must not let the guest write.
Gpa page();

// xAPIC registers by their offset.
u32 read(u32 offset);
void write(u32 offset, u32 value);

// x2APIC mode is on (IA32_APIC_BASE.EXTD).
bool is_x2apic();

// Sends an interrupt command to one CPU; the guest's ICR is as before.
void send(u32 apic_id, u32 low);

} // namespace zpp::svm::apic_access
