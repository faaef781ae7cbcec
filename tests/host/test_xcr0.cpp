// xcr0.hpp: the rules of SDM Vol. 1, 13.3, and the checks that come before XSETBV itself.
#include "emulate/control.hpp"
#include "emulate/xcr0.hpp"
#include <doctest/doctest.h>
#include <string>

namespace zpp::test {
namespace {

constexpr u64 x87 = bit(0), sse = bit(1), avx = bit(2), bndregs = bit(3), bndcsr = bit(4);
constexpr u64 opmask = bit(5), zmm_hi256 = bit(6), hi16_zmm = bit(7), pkru = bit(9);
constexpr u64 tilecfg = bit(17), tiledata = bit(18);
constexpr u64 everything =
    x87 | sse | avx | bndregs | bndcsr | opmask | zmm_hi256 | hi16_zmm | pkru | tilecfg | tiledata;

struct Case {
    const char* name;
    u64 value;
    bool valid;
    u64 supported = everything;
};

constexpr Case cases[] = {
    {"x87 alone", x87, true},
    {"nothing", 0, false},
    {"all but x87", everything & ~x87, false},
    {"all the CPU has", everything, true},
    {"SSE", x87 | sse, true},
    {"SSE without x87", sse, false},
    {"AVX", x87 | sse | avx, true},
    {"AVX without SSE", x87 | avx, false},
    {"MPX", x87 | bndregs | bndcsr, true},
    {"half of MPX", x87 | bndregs, false},
    {"the other half of MPX", x87 | bndcsr, false},
    {"AVX-512", x87 | sse | avx | opmask | zmm_hi256 | hi16_zmm, true},
    {"AVX-512 without AVX", x87 | sse | opmask | zmm_hi256 | hi16_zmm, false},
    {"AVX-512 without SSE", x87 | avx | opmask | zmm_hi256 | hi16_zmm, false},
    {"AVX-512: opmask alone", x87 | sse | avx | opmask, false},
    {"AVX-512 without opmask", x87 | sse | avx | zmm_hi256 | hi16_zmm, false},
    {"AVX-512 without ZMM_Hi256", x87 | sse | avx | opmask | hi16_zmm, false},
    {"AVX-512 without Hi16_ZMM", x87 | sse | avx | opmask | zmm_hi256, false},
    {"PKRU", x87 | pkru, true},
    {"AMX", x87 | tilecfg | tiledata, true},
    {"AMX: TILECFG alone", x87 | tilecfg, false},
    {"AMX: TILEDATA alone", x87 | tiledata, false},
    {"PT state, which is in IA32_XSS", x87 | bit(8), false},
    {"a bit that no CPU has", x87 | bit(62), false},
    {"bit 63", x87 | bit(63), false},
    {"AVX on a CPU without", x87 | sse | avx, false, x87 | sse},
    {"SSE on a CPU with no more", x87 | sse, true, x87 | sse},
    {"AVX-512 on a CPU without", x87 | sse | avx | opmask | zmm_hi256 | hi16_zmm, false,
     x87 | sse | avx},
};

TEST_CASE("XCR0: what XSETBV accepts")
{
    for (const Case& c : cases) {
        INFO(std::string(c.name));
        CHECK(xcr0_is_valid(c.value, c.supported) == c.valid);
    }
}

TEST_CASE("XSETBV: #GP before the host would run it")
{
    struct {
        const char* name;
        u64 rcx, rax, rdx;
        unsigned cpl;
    } const refused[] = {
        {"CPL 1", 0, 1, 0, 1},
        {"CPL 3", 0, 1, 0, 3},
        {"XCR1", 1, 1, 0, 0},
        {"XCR 80000000", 0x80000000, 1, 0, 0},
        {"without x87", 0, 2, 0, 0},
        {"AVX without SSE", 0, 5, 0, 0},
        {"bit 63, in EDX", 0, 1, 0x80000000, 0},
    };
    for (const auto& c : refused) {
        INFO(std::string(c.name));
        GuestRegisters registers{};
        registers.rcx = c.rcx;
        registers.rax = c.rax;
        registers.rdx = c.rdx;
        VmExit exit{};
        exit.take_operands(registers);
        CHECK(emulate_xsetbv(exit.index, exit.value, c.cpl) == Outcome::general_protection);
    }
}

} // namespace
} // namespace zpp::test
