#include "fake_core.hpp"
#include "core/crash.hpp"
#include "core/log.hpp"
#include "core/stop.hpp"
#include "core/virt.hpp"
#include "guest/memory.hpp"
#include "svm/shared.hpp"
#include "zpp/hypercall.h"
#include <cstring>

namespace zpp {

const Vendor& vendor()
{
    static const Vendor fake{.name = "a test",
                             .feature = ZPP_FEATURE_VTX,
                             .present = nullptr,
                             .prepare = nullptr,
                             .launch = nullptr,
                             .on_host_nmi = nullptr,
                             .exit_at_once = [](Vcpu&) { ++test::fake_core.exits_at_once; },
                             .on_security_exception = nullptr,
                             .send_nmi = nullptr,
                             .leave = nullptr,
                             .dump = nullptr,
                             .exit_name = nullptr};
    return fake;
}

bool guest_memory::depends_on(x86::Msr msr)
{
    return test::fake_core.follows_mtrrs && Mtrrs::is_mtrr(msr, test::fake_core.variable_mtrrs);
}
unsigned guest_memory::shown_bits() { return test::fake_core.shown_bits; }
bool guest_memory::reaches(Gpa address) { return address.value >> 48 == 0; }
void guest_memory::follow_mtrrs() { ++test::fake_core.followed_mtrrs; }

// A test that reaches one of these throws what the core would report.
void shut_down(Vcpu&) { throw test::Crash{"shutdown"}; }
void crash_on_exit(const char* why, const GuestRegisters&) { throw test::Crash{why}; }
void crash(const char* why, u64) { throw test::Crash{why}; }

constinit svm::Shared svm::shared{};

namespace test {

FakeCore fake_core;

alignas(page_size) zpp_log_record LogRecord::memory;

LogRecord::LogRecord()
{
    std::memset(&memory, 0, sizeof memory);
    log::begin_record(&memory, physical, 3, build_id);
}

zpp_boot_info boot_info()
{
    zpp_boot_info info{};
    info.magic = ZPP_BOOT_INFO_MAGIC;
    info.version = ZPP_BOOT_INFO_VERSION;
    info.size = sizeof info;
    info.cpu_count = 1;
    info.range_count = 1;
    info.heap_page = 10;
    info.heap_pages = 16;
    info.cpu_blocks_page = 32;
    info.calls_page = 48;
    info.total_pages = 49;
    info.ranges[0] = {0x7000000, 49};
    return info;
}

} // namespace test
} // namespace zpp
