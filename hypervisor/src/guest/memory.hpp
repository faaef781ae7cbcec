// The guest's physical memory: nested paging shared by all CPUs, following the MTRRs.
#pragma once
#include "core/result.hpp"
#include "paging/nested_paging.hpp"
#include "x86/msr.hpp"

namespace zpp::guest_memory {

// Whether the tables carry the memory types of the MTRRs (EPT), or the CPU applies the MTRRs
// itself (NPT).
enum class Types { from_mtrrs, by_cpu };

// Once, at PREPARE: hides the core's memory and builds the tables.
Result build(const NestedPaging::Format& format, Types types);

// Before build(): a page that the guest may read but not write.
void protect(Gpa page);

// Whether the address is one of the core's own, which the guest must not see.
bool is_hidden(Gpa address);

// The top-level table.
Hpa root();

// After a guest's write to an MTRR of this CPU. The tables change when the first CPU has switched
// its new MTRRs on; the generation tells every CPU that its cached translations are old.
void follow_mtrrs();
u64 generation();

// Whether a write to this MSR calls for follow_mtrrs().
bool depends_on(x86::Msr msr);

} // namespace zpp::guest_memory
