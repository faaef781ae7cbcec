// svm/consistency: each value that VMRUN refuses by itself, and that nothing else changes.
#include "svm/consistency.hpp"
#include <cstring>
#include <doctest/doctest.h>
#include <memory>
#include <string>

namespace zpp::test {
namespace {

using svm::Vmcb;
using x86::Cr0;
using x86::Efer;

constexpr Efer allowed = Efer::sce | Efer::lme | Efer::lma | Efer::nxe;

Vmcb running()
{
    Vmcb vmcb{};
    vmcb.cr0 = Cr0{0x80010033};
    vmcb.efer = Efer::lme | Efer::lma | Efer::svme;
    vmcb.cs.attributes = 0x29b; // 64-bit code
    vmcb.dr6 = x86::Dr6::at_reset;
    vmcb.dr7 = x86::dr7_at_reset;
    vmcb.clean = svm::Clean::all;
    return vmcb;
}

bool equal(const Vmcb& one, const Vmcb& other)
{
    return std::memcmp(&one, &other, sizeof one) == 0;
}

TEST_CASE("VMCB: an acceptable one stays")
{
    for (const u64 cr0 : {0x80010033ull, 0xe0000011ull, 0xc0000011ull, 0x10ull}) {
        Vmcb vmcb = running();
        vmcb.cr0 = Cr0{cr0};
        const Vmcb before = vmcb;
        CHECK_FALSE(make_consistent(vmcb, allowed));
        CHECK(equal(vmcb, before));
    }
    Vmcb legacy = running(); // L means nothing outside long mode
    legacy.efer = Efer::svme;
    legacy.cs.attributes = 0x69b;
    CHECK_FALSE(make_consistent(legacy, allowed));
}

TEST_CASE("VMCB: each refused value is made acceptable")
{
    struct {
        const char* name;
        void (*set)(Vmcb&);
    } const cases[] = {
        {"CR0.NW without CD", [](Vmcb& vmcb) { vmcb.cr0 |= Cr0::nw; }},
        {"CR0[63:32]", [](Vmcb& vmcb) { vmcb.cr0 |= Cr0{bit(40)}; }},
        {"DR6[63:32]", [](Vmcb& vmcb) { vmcb.dr6 |= x86::Dr6{bit(63)}; }},
        {"DR7[63:32]", [](Vmcb& vmcb) { vmcb.dr7 |= bit(32); }},
        {"a bit of EFER that this CPU lacks", [](Vmcb& vmcb) { vmcb.efer |= Efer::lmsle; }},
        {"EFER without SVME", [](Vmcb& vmcb) { vmcb.efer &= ~Efer::svme; }},
        {"code of 64 and 32 bits", [](Vmcb& vmcb) { vmcb.cs.attributes |= 1u << 10; }},
    };
    for (const auto& c : cases) {
        INFO(std::string(c.name));
        Vmcb vmcb = running(), expected = running();
        c.set(vmcb);
        expected.clean = {};
        CHECK(make_consistent(vmcb, allowed));
        CHECK(equal(vmcb, expected));
        CHECK_FALSE(make_consistent(vmcb, allowed));
    }
}

} // namespace
} // namespace zpp::test
