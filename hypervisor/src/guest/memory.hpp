// The guest's physical memory: one set of nested page tables for all CPUs.
#pragma once
#include "core/result.hpp"
#include "paging/nested_paging.hpp"
#include "x86/msr.hpp"
#include <optional>

namespace zpp::guest_memory {

// Who applies the memory types of the MTRRs: the tables (EPT) or the CPU (NPT).
enum class Types { from_mtrrs, by_cpu };

// Once, at PREPARE: builds the tables, with the core's memory hidden. shown_bits: MAXPHYADDR as the
// guest sees it.
Result build(const NestedPaging::Format& format, Types types, unsigned shown_bits);

unsigned shown_bits();

// Whether the tables have enough levels for the address. One that they do not reach has no memory.
bool reaches(Gpa address);

// Before build(): a page that the guest can read but not write.
void protect(Gpa page);

// Lets the guest write that page, or protects it again, in a new generation of the tables.
void allow_writes_to_protected_page(bool allowed);

// Whether the address is in the core's memory, which the guest must not see.
bool is_hidden(Gpa address);

// The top-level table.
Hpa root();

// After build() with Types::by_cpu: another top-level table, with which the guest can write the
// protected page. Nothing if memory ran out.
std::optional<Hpa> build_open_root();

// After a guest's write to an MTRR of this CPU. The tables change when the first CPU enables its
// new MTRRs. A new generation means that a CPU must flush its cached translations.
void follow_mtrrs();
u64 generation();

// Whether a write to this MSR needs follow_mtrrs().
bool depends_on(x86::Msr msr);

} // namespace zpp::guest_memory
