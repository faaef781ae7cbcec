// CPUID as the guest sees it: the bare CPU's answer but for what hypercall.h makes public, what
// zpp hides, and the bits that mirror the guest's CR4 (SDM Vol. 2A, CPUID).
#include "core/machine.hpp"
#include "emulate/cpuid.hpp"
#include "fake_core.hpp"
#include "fake_cpu.hpp"
#include <cstring>
#include <doctest/doctest.h>
#include <set>
#include <string>

namespace zpp::test {
namespace {

constexpr u32 vmx = 1u << 5, smx = 1u << 6, osxsave = 1u << 27, hypervisor = 1u << 31;
constexpr u32 ospke = 1u << 4;
constexpr u64 cr4_osxsave = bit(18), cr4_pke = bit(22);

struct Case {
    const char* name;
    u32 leaf, subleaf;
    u64 cr4;
    u32 bare, seen; // ECX
};

// Whether CPUID shows zpp; the test's own end hides it again.
struct Visible {
    explicit Visible(bool visible) { set_visible(visible); }
    ~Visible() { set_visible(false); }
};

constexpr Case cases[] = {
    {"leaf 1: VMX and SMX are hidden", 1, 0, 0, vmx | smx | 1, 1},
    {"leaf 1: a subleaf changes nothing", 1, 7, 0, vmx | 1, 1},
    {"leaf 1: the key changes nothing", 1, ZPP_CPUID_KEY, 0, vmx | 1, 1},
    {"leaf 1: OSXSAVE as in the guest's CR4: set", 1, 0, cr4_osxsave, 0, osxsave},
    {"leaf 1: OSXSAVE as in the guest's CR4: clear", 1, 0, ~cr4_osxsave, osxsave, 0},
    {"leaf 1: the bit of the bare CPU's own hypervisor stays", 1, 0, 0, hypervisor, hypervisor},
    {"leaf 1: everything else stays", 1, 0, cr4_osxsave, ~0u, ~(vmx | smx)},
    {"leaf 7: OSPKE set", 7, 0, cr4_pke, 0, ospke},
    {"leaf 7: OSPKE clear", 7, 0, ~cr4_pke, ~0u, ~ospke},
    {"leaf 7.1 is the bare CPU's", 7, 1, cr4_pke, 0, 0},
    {"leaf 7.1 is the bare CPU's: bit 4 stays", 7, 1, 0, ospke, ospke},
    {"leaf 0 is the bare CPU's", 0, 0, 0, ~0u, ~0u},
    {"leaf 0DH is the bare CPU's", 0xd, 0, 0, ~0u, ~0u},
    {"leaf 80000001H: SVM and SKINIT are hidden", 0x80000001, 0, 0, ~0u, ~(1u << 2 | 1u << 12)},
    {"leaf 40000000H is the bare CPU's", 0x40000000, 0, 0, 0x1234, 0x1234},
    {"leaf 40000000H is the bare CPU's with a wrong key", 0x40000000, ZPP_CPUID_KEY + 1, 0, 0x1234,
     0x1234},
    {"leaf 40000001H is the bare CPU's", 0x40000001, 0, 0, 0x1234, 0x1234},
    {"leaf 40000002H is the bare CPU's", 0x40000002, ZPP_CPUID_KEY, 0, 0x1234, 0x1234},
};

TEST_CASE("CPUID: ECX of leaves")
{
    for (const Case& c : cases) {
        INFO(std::string(c.name));
        x86::CpuidResult result{0x11111111, 0x22222222, c.bare, 0x44444444};
        change_cpuid_leaf(c.leaf, c.subleaf, x86::Cr4{c.cr4}, result);
        CHECK(result.ecx == c.seen);
        CHECK(result.eax == 0x11111111);
        CHECK(result.ebx == 0x22222222);
        CHECK(result.edx == 0x44444444);
    }
}

TEST_CASE("CPUID: the leaves of SVM and of memory encryption are reserved without them")
{
    for (const u32 leaf : {0x8000000a, 0x8000001f, 0x80000023, 0x80000025}) {
        CAPTURE(leaf);
        x86::CpuidResult result{1, 2, 3, 4};
        CHECK(is_changed_leaf(leaf));
        change_cpuid_leaf(leaf, 0, {}, result);
        CHECK((result.eax | result.ebx | result.ecx | result.edx) == 0);
    }
}

TEST_CASE("CPUID: physical addresses have the bits that nested paging maps")
{
    struct {
        u32 bare;
        unsigned shown;
        u32 seen;
    } const cases[] = {
        {0x3030, 48, 0x3030}, {0x3030, 43, 0x302b}, {0x3934, 48, 0x3930}, {0x3027, 48, 0x3027}};
    CHECK(is_changed_leaf(0x80000008));
    for (const auto& c : cases) {
        fake_core.shown_bits = c.shown;
        x86::CpuidResult result{c.bare, 2, 3, 4};
        change_cpuid_leaf(0x80000008, 0, {}, result);
        CHECK(result.eax == c.seen);
        CHECK(result.ebx == 2);
    }
    fake_core.shown_bits = 52;
}

TEST_CASE("CPUID: which leaves differ from the bare CPU's")
{
    const std::set<u32> expected{1,          7,          0x40000000, 0x40000001, 0x80000001,
                                 0x80000008, 0x8000000a, 0x8000001f, 0x80000023, 0x80000025};
    for (const u32 first : {0u, 0x40000000u, 0x7fffffc0u, 0x80000000u, 0xffffff00u})
        for (u32 leaf = first; leaf - first < 0x100; ++leaf)
            CHECK(is_changed_leaf(leaf) == expected.contains(leaf));
}

TEST_CASE("CPUID: the signature leaf, with the key or where zpp is visible")
{
    for (const bool visible : {false, true}) {
        const Visible setting(visible);
        x86::CpuidResult result{};
        change_cpuid_leaf(0x40000000, visible ? 0 : ZPP_CPUID_KEY, {}, result);
        CHECK(result.eax == 0x40000001);
        char text[13] = {};
        std::memcpy(text, &result.ebx, 4);
        std::memcpy(text + 4, &result.ecx, 4);
        std::memcpy(text + 8, &result.edx, 4);
        CHECK(std::string(text) == "ZppZppZppZpp");
    }
}

TEST_CASE("CPUID: where zpp is visible, leaf 1 has the hypervisor bit")
{
    const Visible visible(true);
    x86::CpuidResult result{1, 2, vmx | 1, 4};
    change_cpuid_leaf(1, 0, {}, result);
    CHECK(result.ecx == (hypervisor | 1));
}

TEST_CASE("CPUID: the version leaf")
{
    zpp_boot_info info = boot_info();
    info.cpu_count = 6;
    REQUIRE(machine.adopt(&info));
    CpuBlock cpu;
    cpu.vcpu().index = 4;
    x86::CpuidResult result{};
    cpu.run([&] { change_cpuid_leaf(0x40000001, ZPP_CPUID_KEY, {}, result); });
    CHECK(result.eax == ZPP_VERSION);
    CHECK(result.ebx == ZPP_FEATURE_VTX);
    CHECK(result.ecx == 4);
    CHECK(result.edx == 6);
}

TEST_CASE("CPUID: the leaf is EAX, the subleaf ECX, whatever is above bit 31")
{
    GuestRegisters registers{};
    registers.rax = 0xdeadbeef40000000;
    registers.rcx = 0xffffffff00000000 | ZPP_CPUID_KEY;
    registers.rsi = 0x1234;
    emulate_cpuid(registers, {});
    CHECK(registers.rax == 0x40000001);
    CHECK(registers.rbx == ZPP_SIGNATURE_EBX);
    CHECK(registers.rcx == ZPP_SIGNATURE_ECX);
    CHECK(registers.rdx == ZPP_SIGNATURE_EDX);
    CHECK(registers.rsi == 0x1234);
}

TEST_CASE("CPUID: the bare CPU's own leaf 0")
{
    GuestRegisters registers{};
    const x86::CpuidResult bare = x86::cpuid(0);
    emulate_cpuid(registers, {});
    CHECK(registers.rax == bare.eax);
    CHECK(registers.rbx == bare.ebx);
    CHECK(registers.rcx == bare.ecx);
    CHECK(registers.rdx == bare.edx);
}

} // namespace
} // namespace zpp::test
