// The table of features: a row is hidden if and only if one of its needs is not met; on machines as
// they were recorded, the controls that zpp sets decide what is hidden.
#include "emulate/cpuid.hpp"
#include "emulate/feature_table.hpp"
#include "recorded_machines.hpp"
#include "svm/support.hpp"
#include "vmx/capabilities.hpp"
#include <doctest/doctest.h>
#include <set>
#include <string>

namespace zpp::test {
namespace {

x86::CpuidResult no_leaves(u32, u32) { return {}; }

constexpr u32 some_subleaf(const Feature& row)
{
    return row.subleaf == any_subleaf ? 3 : row.subleaf;
}

u32 output_of(const x86::CpuidResult& result, Output output)
{
    switch (output) {
    case Output::eax:
        return result.eax;
    case Output::ebx:
        return result.ebx;
    case Output::ecx:
        return result.ecx;
    case Output::edx:
        return result.edx;
    case Output::all:
        return result.eax | result.ebx | result.ecx | result.edx;
    }
    return 0;
}

// The bits of the row in an answer of ones.
u32 seen_bits(const Feature& row)
{
    x86::CpuidResult result{~0u, ~0u, ~0u, ~0u};
    hide_features(row.leaf, some_subleaf(row), result);
    return output_of(result, row.output) & row.bits;
}

TEST_CASE("features: a row shows if its needs are met")
{
    for (const Feature& row : features) {
        INFO(std::string(row.name), " ", row.leaf, " ", row.subleaf);
        set_support(all_support, no_leaves);
        CHECK(seen_bits(row) == (row.needs == Support::never ? 0 : row.bits));
        CHECK(is_supported(row.needs) == (row.needs != Support::never));
    }
}

TEST_CASE("features: a row is hidden if its need is not met, and no other row is")
{
    for (const Feature& row : features) {
        if (row.needs == no_need || row.needs == Support::never)
            continue;
        set_support(all_support & ~row.needs, no_leaves);
        for (const Feature& other : features) {
            INFO(std::string(row.name), ": ", std::string(other.name), " ", other.leaf);
            const bool hidden = other.needs == Support::never || has(other.needs, row.needs) ||
                                (row.needs == Support::xsaves && other.leaf == 0xd &&
                                 other.subleaf == 1 && other.output == Output::ecx);
            CHECK((seen_bits(other) == 0) == hidden);
        }
    }
}

TEST_CASE("features: rows are well-formed, and the leaves of those that can be hidden exit slowly")
{
    for (const Feature& row : features) {
        INFO(std::string(row.name), " ", row.leaf);
        CHECK(row.bits != 0);
        CHECK(*row.name != '\0');
        CHECK(*row.why != '\0');
        CHECK((row.output != Output::all || row.bits == ~0u));
        if (row.needs != no_need)
            CHECK(is_changed_leaf(row.leaf));
        if (row.leaf == 1 && row.needs != no_need) { // the fast path has no table
            x86::CpuidResult result{~0u, ~0u, ~0u, ~0u};
            change_cpuid_leaf_1({}, result);
            CHECK(row.needs == Support::never);
            CHECK((output_of(result, row.output) & row.bits) == 0);
        }
    }
}

TEST_CASE("features: the leaves that Linux reads most often take the fast path")
{
    for (const u32 leaf : {0u, 1u, 2u, 4u, 0xbu, 0x15u, 0x16u, 0x1fu, 0x80000000u, 0x80000002u})
        CHECK(is_fast_leaf(leaf));
    for (const u32 leaf : {7u, 0xdu, 0x14u, 0x80000001u, 0x80000008u, 0x8000000au})
        CHECK_FALSE(is_fast_leaf(leaf));
}

TEST_CASE("features: the MSRs of a hidden feature do not exist")
{
    set_support(all_support, no_leaves);
    CHECK(is_hidden_msr(x86::Msr{0x1c}));  // USER_MSR
    CHECK(is_hidden_msr(x86::Msr{0x1cc})); // FRED
    CHECK(is_hidden_msr(x86::Msr{0x1d4}));
    CHECK_FALSE(is_hidden_msr(x86::Msr{0x1d9})); // IA32_DEBUGCTL
    for (const u32 pt : {0x560, 0x561, 0x570, 0x572, 0x580, 0x587})
        CHECK_FALSE(is_hidden_msr(x86::Msr{pt}));
    set_support(all_support & ~Support::processor_trace, no_leaves);
    for (const u32 pt : {0x560, 0x561, 0x570, 0x572, 0x580, 0x587})
        CHECK(is_hidden_msr(x86::Msr{pt}));
    CHECK_FALSE(is_hidden_msr(x86::Msr{0x14ce}));
    set_support(all_support & ~Support::arch_lbr, no_leaves);
    for (const u32 lbr : {0x14ce, 0x14cf, 0x1200, 0x121f, 0x1500, 0x151f, 0x1600, 0x161f})
        CHECK(is_hidden_msr(x86::Msr{lbr}));
}

TEST_CASE("features: IA32_XSS has no component of a hidden feature")
{
    const auto cpuid = [](u32 leaf, u32 subleaf) {
        return leaf == 0 ? x86::CpuidResult{0xd, 0, 0, 0}
                         : recorded_machine("sapphire-rapids").bsp().cpuid(leaf, subleaf);
    };
    set_support(all_support, cpuid);
    CHECK(hidden_xss() == 0);
    set_support(all_support & ~Support::processor_trace, cpuid);
    CHECK(hidden_xss() == bit(8));
    set_support(all_support & ~(Support::processor_trace | Support::arch_lbr), cpuid);
    CHECK(hidden_xss() == (bit(8) | bit(15)));
    set_support(all_support & ~Support::xsaves, cpuid);
    CHECK(hidden_xss() == 0xdd00);
    set_support(all_support & ~Support::arch_lbr, no_leaves); // no leaf 0DH
    CHECK(hidden_xss() == 0);
}

// What the controls of a recorded machine do for features.
Support support_of(const RecordedMachine& machine)
{
    if (!machine.has_vtx())
        return svm::support(machine.bsp().cpuid(0x8000000a).edx);
    use_cpu(machine.bsp());
    CHECK(check(ZPP_FOR_VTX, recorded_cpu).ok());
    vmx::Capabilities capabilities{};
    capabilities.read(read_msr);
    return capabilities.support;
}

// The names of the features that a machine has and zpp hides there.
std::set<std::string> hidden_on(const std::string& name)
{
    const RecordedMachine& machine = recorded_machine(name);
    set_support(support_of(machine), no_leaves);
    std::set<std::string> hidden;
    for (const Feature& row : features) {
        const u32 subleaf = row.subleaf == any_subleaf ? 0 : row.subleaf;
        const x86::CpuidResult bare = machine.bsp().cpuid(row.leaf, subleaf);
        x86::CpuidResult seen = bare;
        hide_features(row.leaf, subleaf, seen);
        const u32 bare_bits = output_of(bare, row.output) & row.bits;
        const u32 seen_row = output_of(seen, row.output) & row.bits;
        CHECK((seen_row == bare_bits || row.needs != no_need));
        if (bare_bits != 0 && !is_supported(row.needs))
            hidden.insert(row.name);
    }
    return hidden;
}

TEST_CASE("features: what zpp hides on recorded machines")
{
    const std::set<std::string> svm{"SVM", "SKINIT", "features of SVM", "SME, SEV"};
    std::set<std::string> keys = svm, rmp = svm;
    keys.insert("keys of memory encryption");
    rmp.insert({"keys of memory encryption", "RMP table of SEV-SNP"});
    const struct {
        const char* machine;
        std::set<std::string> hidden;
    } cases[] = {
        {"haswell", {"VMX", "SMX"}},
        {"skylake-x", // output is not guest-physical
         {"VMX", "Intel PT", "IA32_XSS: PT", "state of Intel PT"}},
        {"ice-lake", {"VMX", "ENCLV"}},
        {"alder-lake", {"VMX", "SMX"}},
        {"sapphire-rapids", {"VMX", "SMX"}},
        {"granite-rapids", {"VMX", "SMX"}},
        {"lunar-lake", {"VMX", "SMX", "PBNDKB"}},
        {"wildcat-lake", {"VMX", "SMX", "FRED, NMI-source reporting", "MSRLIST"}},
        {"zen-2", svm},
        {"zen-3", svm},
        {"zen-4", keys},
        {"zen-5", rmp},
        {"zen-5-ryzen", svm},
    };
    for (const auto& c : cases) {
        INFO(std::string(c.machine));
        for (const std::string& name : hidden_on(c.machine)) {
            INFO(name);
            CHECK(c.hidden.contains(name));
        }
        CHECK(hidden_on(c.machine).size() == c.hidden.size());
    }
}

TEST_CASE("features: INVLPGB shows where the VMCB can enable it, and only there")
{
    for (const char* name : {"zen-3", "zen-4", "zen-5"}) {
        INFO(std::string(name));
        const RecordedMachine& machine = recorded_machine(name);
        CHECK((machine.bsp().cpuid(0x80000008).ebx & 1u << 3) != 0);
        CHECK(has(support_of(machine), Support::invlpgb));
    }
    for (const char* name : {"zen-2", "zen-5-ryzen"})
        CHECK_FALSE(has(support_of(recorded_machine(name)), Support::invlpgb));
    // An EPYC whose VMCB cannot: under another hypervisor.
    set_support(svm::support(0x119b9cff & ~(1u << 24)), no_leaves);
    x86::CpuidResult result{0x3030, 0x91bef75f, 0x603f, 0x10007};
    hide_features(0x80000008, 0, result);
    CHECK(result.ebx == 0x91bef757);
    CHECK(result.edx == 0x10000);
}

TEST_CASE("features: the controls of recorded machines")
{
    using enum Support;
    constexpr Support haswell = rdtscp | invpcid | perf_global_ctrl;
    const struct {
        const char* machine;
        Support support;
    } cases[] = {
        {"haswell", haswell},
        {"skylake-x", haswell | xsaves | bndcfgs},
        {"ice-lake", haswell | xsaves | processor_trace},
        {"alder-lake", haswell | xsaves | user_wait | pconfig | processor_trace | arch_lbr},
        {"sapphire-rapids", haswell | xsaves | user_wait | pconfig | processor_trace | arch_lbr},
        {"granite-rapids", haswell | xsaves | user_wait | pconfig | processor_trace | arch_lbr},
    };
    for (const auto& c : cases) {
        INFO(std::string(c.machine));
        CHECK(support_of(recorded_machine(c.machine)) == c.support);
    }
}

} // namespace
} // namespace zpp::test
