// The parts of the core that need a CPU in VMX operation, replaced: the vendor, and the guest's
// memory.
#pragma once
#include "lib/types.hpp"
#include "zpp/boot_info.h"
#include "zpp/log_record.h"
#include <string>

namespace zpp::test {

struct FakeCore {
    unsigned variable_mtrrs = 8;
    bool follows_mtrrs = true;   // nested paging has their memory types
    unsigned shown_bits = 52;    // guest_memory::shown_bits()
    unsigned followed_mtrrs = 0; // calls of guest_memory::follow_mtrrs()
    unsigned exits_at_once = 0;  // calls of Vendor::exit_at_once()
};

extern FakeCore fake_core;

// The core has given up.
struct Crash {
    std::string why;
};

// A new record that the log writes to.
struct LogRecord {
    static constexpr u64 physical = 0x4000000;
    static constexpr u8 build_id[ZPP_LOG_BUILD_ID_SIZE] = {0x10, 0xe2};

    LogRecord();
    alignas(page_size) static zpp_log_record memory;
};

// A boot_info that the core accepts: one CPU, one range of memory.
zpp_boot_info boot_info();

} // namespace zpp::test
