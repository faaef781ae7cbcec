// vmx/capabilities: what a CPU must have (SDM Vol. 3D, App. A), on CPUs that lack one thing each.
#include "fake_msrs.hpp"
#include "vmx/capabilities.hpp"
#include <doctest/doctest.h>
#include <functional>
#include <string>
#include <vector>

namespace zpp::test {
namespace {

constexpr u32 feature_control = 0x3a, basic = 0x480, misc = 0x485, secondary = 0x48b;
constexpr u32 ept_vpid = 0x48c, true_pin = 0x48d, true_primary = 0x48e, true_exit = 0x48f;
constexpr u32 true_entry = 0x490;

constexpr u64 allowed(unsigned control) { return bit(32 + control); }

// A capable CPU: every control may be 1, and the ones that the manual fixes to 1 must be.
Msrs capable()
{
    return {
        {feature_control, 5}, // locked, VMX outside SMX
        {basic, bit(55) | bit(54) | u64{0x1000} << 32 | 0x12345678},
        {misc, bit(5) | bit(6) | bit(7) | bit(8) | bit(14)},
        {0x486, 0x80000021}, // CR0: PG, NE, PE must be 1
        {0x487, 0xffffffff},
        {0x488, 0x2000}, // CR4: VMXE
        {0x489, 0x3727ff},
        {secondary, u64{0xffffffff} << 32},
        {ept_vpid, bit(0) | bit(6) | bit(7) | bit(14) | bit(16) | bit(17) | bit(20) | bit(25) |
                       bit(26) | bit(32) | bit(40) | bit(41) | bit(42)},
        {true_pin, u64{0xffffffff} << 32 | 0x16},
        {true_primary, u64{0xffffffff} << 32 | 0x04006172},
        {true_exit, u64{0xffffffff} << 32 | 0x36dfb},
        {true_entry, u64{0xffffffff} << 32 | 0x11fb},
    };
}

// CPUID is not asked.
const CpuReader cpu{read_msr, nullptr, [] { return x86::Cr4{}; }};

struct Outcome {
    Result result;
    vmx::Capabilities capabilities;
};

Outcome read(const Msrs& msrs)
{
    use_msrs(msrs);
    Outcome outcome{};
    outcome.result = check(ZPP_FOR_VTX, cpu);
    if (outcome.result.ok())
        outcome.capabilities.read(read_msr);
    return outcome;
}

TEST_CASE("VMX: a capable CPU")
{
    const auto [result, capabilities] = read(capable());
    CHECK(result.status == ZPP_OK);
    CHECK(capabilities.revision == 0x12345678);
    CHECK(raw(capabilities.cr0_fixed0) == 0x80000021);
    CHECK(raw(capabilities.cr0_fixed1) == 0xffffffff);
    CHECK(raw(capabilities.cr4_fixed0) == 0x2000);
    CHECK(raw(capabilities.cr4_fixed1) == 0x3727ff);
    CHECK(capabilities.vpid);
    CHECK(capabilities.ept_1g_pages);
    CHECK(capabilities.ept_5_levels);
    CHECK(capabilities.io_bitmaps);
    // What must be 1, and no more than what is needed or listed as optional.
    CHECK(raw(capabilities.pin) == (0x16 | 1u << 3 | 1u << 5));
    CHECK(raw(capabilities.primary) == (0x04006172 | 1u << 28 | 1u << 31));
    CHECK(raw(capabilities.secondary) == (1u << 1 | 1u << 3 | 1u << 5 | 1u << 7 | 1u << 12 |
                                          1u << 19 | 1u << 20 | 1u << 24 | 1u << 26 | 1u << 27));
    CHECK(raw(capabilities.exit) ==
          (0x36dfb | 1u << 2 | 1u << 9 | 1u << 12 | 0xfu << 18 | 0xfu << 23 | 1u << 30));
    CHECK(raw(capabilities.entry) == (0x11fb | 1u << 2 | 0x3fu << 13 | 1u << 21));
    CHECK(capabilities.support == (all_support & ~(Support::invlpgb | Support::pebs) &
                                   Support{(u64{raw(Support::arch_lbr)} << 1) - 1}));
}

TEST_CASE("VMX: the revision identifier has 31 bits")
{
    Msrs msrs = capable();
    msrs[basic] |= 0x80000000;
    CHECK(read(msrs).capabilities.revision == 0x12345678);
}

// Bits that are 0 in a CPU without the feature.
struct Missing {
    const char* name; // as zpp says it
    u32 msr;
    u64 bits;
};

constexpr Missing missing[] = {
    {"IA32_VMX_TRUE controls", basic, bit(55)},
    {"VM exits that store EFER.LMA", misc, bit(5)},
    {"NMI exiting", true_pin, allowed(3)},
    {"virtual NMIs", true_pin, allowed(5)},
    {"NMI-window exiting", true_primary, allowed(22)},
    {"MSR bitmaps", true_primary, allowed(28)},
    {"secondary controls", true_primary, allowed(31)},
    {"EPT", secondary, allowed(1)},
    {"unrestricted guest", secondary, allowed(7)},
    {"save debug controls", true_exit, allowed(2)},
    {"64-bit host", true_exit, allowed(9)},
    {"save IA32_PAT", true_exit, allowed(18)},
    {"load IA32_PAT", true_exit, allowed(19)},
    {"save IA32_EFER", true_exit, allowed(20)},
    {"load IA32_EFER", true_exit, allowed(21)},
    {"load debug controls", true_entry, allowed(2)},
    {"IA-32e mode guest", true_entry, allowed(9)},
    {"load IA32_PAT", true_entry, allowed(14)},
    {"load IA32_EFER", true_entry, allowed(15)},
    {"EPT with four levels and write-back tables", ept_vpid, bit(6)},
    {"EPT with four levels and write-back tables", ept_vpid, bit(14)},
    {"EPT 2 MiB pages", ept_vpid, bit(16)},
    {"INVEPT", ept_vpid, bit(20)},
    {"INVEPT", ept_vpid, bit(25)},
};

// MSRs that a CPU has only if another one says so (SDM Vol. 3D, A.3.3, A.10, A.2).
void drop_what_is_not_there(Msrs& msrs)
{
    if ((msrs[basic] & bit(55)) == 0)
        for (const u32 msr : {true_pin, true_primary, true_exit, true_entry})
            msrs.erase(msr);
    const bool has_secondary =
        msrs.contains(true_primary) && (msrs[true_primary] & allowed(31)) != 0;
    if (msrs.contains(true_primary) && !has_secondary)
        msrs.erase(secondary);
    if (!msrs.contains(secondary) || (msrs[secondary] & (allowed(1) | allowed(5))) == 0)
        msrs.erase(ept_vpid);
}

TEST_CASE("VMX: each missing control is named")
{
    for (const Missing& m : missing) {
        INFO(std::string(m.name));
        Msrs msrs = capable();
        msrs[m.msr] &= ~m.bits;
        drop_what_is_not_there(msrs);
        const Result result = read(msrs).result;
        CHECK(result.status == ZPP_MISSING_FEATURE);
        CHECK(std::string(result.detail) == m.name);
    }
}

TEST_CASE("VMX: a CPU with an exit that cannot be turned off is refused")
{
    struct {
        u32 msr;
        u64 control;
    } const forced[] = {{true_pin, bit(0)}, {true_primary, bit(7)}, {secondary, bit(2)}};
    for (const auto& [msr, control] : forced) {
        CAPTURE(msr);
        Msrs msrs = capable();
        msrs[msr] |= control;
        const Result result = read(msrs).result;
        CHECK(result.status == ZPP_MISSING_FEATURE);
        CHECK(result.detail == std::string("VM exits that can be turned off"));
    }
}

TEST_CASE("VMX: without EPT and VPID their MSR is not read")
{
    Msrs msrs = capable();
    msrs[secondary] &= ~(allowed(1) | allowed(5));
    drop_what_is_not_there(msrs);
    REQUIRE_FALSE(msrs.contains(ept_vpid));
    CHECK(std::string(read(msrs).result.detail) == "EPT");
}

TEST_CASE("VMX: the lock of IA32_FEATURE_CONTROL")
{
    struct {
        const char* name;
        u64 value;
        zpp_status status;
    } const cases[] = {
        {"locked, off", 1, ZPP_LOCKED_BY_FIRMWARE},
        {"locked, on in SMX only", 3, ZPP_LOCKED_BY_FIRMWARE},
        {"locked, on", 5, ZPP_OK},
        {"locked, on in and outside SMX", 7, ZPP_OK},
        {"not locked, off: zpp may switch it on", 0, ZPP_OK},
        {"not locked, on", 4, ZPP_OK},
    };
    for (const auto& c : cases) {
        INFO(std::string(c.name));
        Msrs msrs = capable();
        msrs[feature_control] = c.value;
        CHECK(read(msrs).result.status == c.status);
    }
}

// Any of Intel PT's controls.
bool uses_pt(const vmx::Capabilities& c)
{
    return has(c.support, Support::processor_trace) ||
           (raw(c.secondary) & (1u << 19 | 1u << 24)) != 0 ||
           (raw(c.exit) & (1u << 24 | 1u << 25)) != 0 ||
           (raw(c.entry) & (1u << 17 | 1u << 18)) != 0;
}

TEST_CASE("VMX: what is optional")
{
    struct {
        const char* name;
        u32 msr;
        u64 bits;
        std::function<bool(const vmx::Capabilities&)> has;
    } const cases[] = {
        {"RDTSCP", secondary, allowed(3),
         [](auto& c) { return (raw(c.secondary) & 1u << 3) != 0; }},
        {"VPID", secondary, allowed(5),
         [](auto& c) { return c.vpid || (raw(c.secondary) & 1u << 5); }},
        {"INVPCID", secondary, allowed(12),
         [](auto& c) { return (raw(c.secondary) & 1u << 12) != 0; }},
        {"XSAVES", secondary, allowed(20),
         [](auto& c) { return (raw(c.secondary) & 1u << 20) != 0; }},
        {"TPAUSE", secondary, allowed(26),
         [](auto& c) { return (raw(c.secondary) & 1u << 26) != 0; }},
        {"PCONFIG", secondary, allowed(27),
         [](auto& c) { return (raw(c.secondary) & 1u << 27) != 0; }},
        {"INVVPID", ept_vpid, bit(32),
         [](auto& c) { return c.vpid || (raw(c.secondary) & 1u << 5); }},
        {"INVVPID of one context", ept_vpid, bit(41),
         [](auto& c) { return c.vpid || (raw(c.secondary) & 1u << 5); }},
        {"load IA32_PERF_GLOBAL_CTRL at exit", true_exit, allowed(12),
         [](auto& c) {
             return has(c.support, Support::perf_global_ctrl) || (raw(c.entry) & 1u << 13) != 0 ||
                    (raw(c.exit) & 1u << 30) != 0;
         }},
        {"load IA32_PERF_GLOBAL_CTRL at entry", true_entry, allowed(13),
         [](auto& c) {
             return has(c.support, Support::perf_global_ctrl) || (raw(c.exit) & 1u << 12) != 0;
         }},
        {"save IA32_PERF_GLOBAL_CTRL", true_exit, allowed(30),
         [](auto& c) { return (raw(c.exit) & 1u << 30) != 0; }},
        {"clear IA32_BNDCFGS", true_exit, allowed(23),
         [](auto& c) { return has(c.support, Support::bndcfgs) || (raw(c.entry) & 1u << 16); }},
        {"load IA32_BNDCFGS", true_entry, allowed(16),
         [](auto& c) { return has(c.support, Support::bndcfgs) || (raw(c.exit) & 1u << 23); }},
        {"clear IA32_LBR_CTL", true_exit, allowed(26),
         [](auto& c) { return has(c.support, Support::arch_lbr) || (raw(c.entry) & 1u << 21); }},
        {"load guest IA32_LBR_CTL", true_entry, allowed(21),
         [](auto& c) { return has(c.support, Support::arch_lbr) || (raw(c.exit) & 1u << 26); }},
        {"Intel PT in VMX operation", misc, bit(14), uses_pt},
        {"Intel PT uses guest physical addresses", secondary, allowed(24), uses_pt},
        {"clear IA32_RTIT_CTL", true_exit, allowed(25), uses_pt},
        {"load IA32_RTIT_CTL", true_entry, allowed(18), uses_pt},
        {"conceal VMX from PT", secondary, allowed(19),
         [](auto& c) { return (raw(c.secondary) & 1u << 19) != 0; }},
        {"I/O bitmaps", true_primary, allowed(25), [](auto& c) { return c.io_bitmaps; }},
        {"1 GiB pages", ept_vpid, bit(17), [](auto& c) { return c.ept_1g_pages; }},
        {"5 levels", ept_vpid, bit(7), [](auto& c) { return c.ept_5_levels; }},
    };
    for (const auto& c : cases) {
        INFO(std::string(c.name));
        CHECK(c.has(read(capable()).capabilities));
        Msrs msrs = capable();
        msrs[c.msr] &= ~c.bits;
        const auto [result, capabilities] = read(msrs);
        CHECK(result.status == ZPP_OK);
        CHECK_FALSE(c.has(capabilities));
    }
}

vmx::CapabilityMsrs capability_msrs(const Msrs& msrs)
{
    use_msrs(msrs);
    return vmx::CapabilityMsrs{read_msr};
}

TEST_CASE("VMX: CPUs are compared in all that zpp uses, and in no more")
{
    const vmx::CapabilityMsrs first = capability_msrs(capable());
    CHECK(first == capability_msrs(capable()));
    struct {
        const char* name;
        u32 msr;
        u64 bits;
    } const differences[] = {
        {"revision", basic, 1},
        {"a control that must be 1", true_primary, 1},
        {"an optional control", secondary, allowed(20)},
        {"I/O bitmaps", true_primary, allowed(25)},
        {"fixed bits of CR4", 0x489, bit(12)},
        {"1 GiB pages", ept_vpid, bit(17)},
    };
    for (const auto& d : differences) {
        INFO(std::string(d.name));
        Msrs msrs = capable();
        msrs[d.msr] ^= d.bits;
        CHECK_FALSE(first == capability_msrs(msrs));
        use_msrs(msrs);
        CHECK_FALSE(vmx::check_cpu(first, cpu).ok());
    }
    Msrs msrs = capable();
    msrs[secondary] &= ~allowed(25); // TSC scaling
    CHECK(first == capability_msrs(msrs));
    CHECK(vmx::check_cpu(first, cpu).ok());
    msrs[ept_vpid] &= ~bit(16);
    use_msrs(msrs);
    CHECK(std::string(vmx::check_cpu(first, cpu).detail) == "EPT 2 MiB pages");
}

} // namespace
} // namespace zpp::test
