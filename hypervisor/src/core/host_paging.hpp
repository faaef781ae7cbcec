// The host's page tables. The loader builds them; the core remaps only a few pages.
#pragma once
#include "lib/address.hpp"
#include "zpp/boot_info.h"

namespace zpp {

// The linear windows of the CPUs (guest/linear_window.hpp), each as large as a page table maps: far
// above the core, in the same 512 GiB.
constexpr u64 linear_windows = ZPP_CORE_BASE + (256ull << 30);
constexpr u64 linear_window_pages = 512;

// Returns the last-level entry of a 4 KiB page of the core. Slow: it walks the tables.
u64* host_page_entry(const void* page);

// At PREPARE: builds the tables for the 2 MiB at `address`, where nothing is mapped yet. Returns
// the last-level one; nullptr if the heap is exhausted.
u64* build_page_table(u64 address);

// The frame buffer: alone in its 1 GiB.
constexpr u64 frame_buffer_window = ZPP_CORE_BASE + (384ull << 30);

// At PREPARE: maps memory of a device, uncacheable, with 2 MiB pages, at a multiple of 1 GiB where nothing
// is mapped yet; its offset in 2 MiB stays. Returns nullptr if it does not fit there, or if the heap is
// exhausted.
volatile void* map_device(u64 address, Hpa first, u64 size);

enum class Caching { write_back, uncacheable };

// Unmaps a page. Other CPUs may keep it in their TLBs, so nothing may use it any more.
void unmap(const void* page);
void unmap(u64* entry, const void* page); // with its host_page_entry()

// Maps `page` to another physical page, on this CPU. `entry`: its host_page_entry().
void remap(u64* entry, const void* page, Hpa target, Caching caching, bool writable);

} // namespace zpp
