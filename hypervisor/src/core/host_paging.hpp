// The host's page tables. The loader builds them; the core remaps only a few pages.
#pragma once
#include "lib/address.hpp"

namespace zpp {

// Returns the last-level entry of a 4 KiB page of the core. Slow: it walks the tables.
u64* host_page_entry(const void* page);

enum class Caching { write_back, uncacheable };

// Unmaps a page. Other CPUs may keep it in their TLBs, so nothing may use it any more.
void unmap(const void* page);

// Maps `page` to another physical page, on this CPU. `entry`: its host_page_entry().
void remap(u64* entry, const void* page, Hpa target, Caching caching, bool writable);

} // namespace zpp
