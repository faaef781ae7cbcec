// The core's own page tables, which the loader built: a few pages of them change their target.
#pragma once
#include "lib/address.hpp"

namespace zpp {

// The last-level entry of a mapped 4 KiB page of the core. Only while preparing.
u64* own_page_entry(const void* page);

enum class Caching { write_back, uncacheable };

// Lets a page of the core show another physical page on this CPU.
void point(u64* entry, const void* page, HostPhysical target, Caching caching, bool writable);

} // namespace zpp
