// The core's own page tables, which the loader built: a few pages of them change their target.
#pragma once
#include "lib/address.hpp"

namespace zpp {

// The last-level entry of a 4 KiB page that is mapped in the core. Not on a fast path.
u64* host_page_entry(const void* page);

enum class Caching { write_back, uncacheable };

// Unmaps a page that is used no more: the other CPUs may remember it for a while.
void unmap(const void* page);

// Lets a page of the core show another physical page on this CPU.
void point(u64* entry, const void* page, Hpa target, Caching caching, bool writable);

} // namespace zpp
