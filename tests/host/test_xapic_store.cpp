// emulate/apic: what a store of each form and place makes of an xAPIC register.
#include "emulate/apic.hpp"
#include "fake_apic.hpp"
#include "fake_cpu.hpp"
#include "x86/apic.hpp"
#include <doctest/doctest.h>
#include <string>
#include <vector>

namespace zpp::test {
namespace {

struct Case {
    const char* assembly;
    std::vector<u8> bytes;
    u32 offset;
    u64 rax;
    u32 before, after;
    u64 rax_after;
};

constexpr u32 tpr = 0x80, lvt = 0x320;

const Case cases[] = {
    {"mov [rbx], eax", {0x89, 0x03}, tpr, 0x12345678, 1, 0x12345678, 0x12345678},
    {"mov [rbx], rax: the upper half goes nowhere",
     {0x48, 0x89, 0x03},
     tpr,
     0x1122334455667788,
     1,
     0x55667788,
     0x1122334455667788},
    {"mov [rbx], al", {0x88, 0x03}, tpr, 0xff22, 0x11111111, 0x11111122, 0xff22},
    {"mov [rbx], ah", {0x88, 0x23}, tpr, 0xff22, 0x11111111, 0x111111ff, 0xff22},
    {"mov [rbx], ax, at byte 2",
     {0x66, 0x89, 0x03},
     tpr + 2,
     0x2233,
     0x11111111,
     0x22331111,
     0x2233},
    {"mov [rbx], ax, at byte 3: one byte is in the register",
     {0x66, 0x89, 0x03},
     tpr + 3,
     0x2233,
     0x11111111,
     0x33111111,
     0x2233},
    {"mov [rbx], eax, at byte 4", {0x89, 0x03}, tpr + 4, 5, 0x11111111, 0x11111111, 5},
    {"mov [rbx], eax, at byte 1", {0x89, 0x03}, tpr + 1, 0x55443322, 0x11, 0x44332211, 0x55443322},
    {"or dword ptr [rbx], 10000h (masks an LVT)",
     {0x81, 0x0b, 0, 0, 1, 0},
     lvt,
     0,
     0x200ef,
     0x300ef,
     0},
    {"and dword ptr [rbx], eax", {0x21, 0x03}, lvt, 0xfffeffff, 0x300ef, 0x200ef, 0xfffeffff},
    {"bts dword ptr [rbx], 16", {0x0f, 0xba, 0x2b, 16}, lvt, 0, 0xef, 0x100ef, 0},
    {"xchg [rbx], eax", {0x87, 0x03}, lvt, 7, 0xef, 7, 0xef},
    {"xadd [rbx], eax", {0x0f, 0xc1, 0x03}, lvt, 1, 0xef, 0xf0, 0xef},
    {"cmpxchg [rbx], ecx, not equal", {0x0f, 0xb1, 0x0b}, lvt, 1, 0xef, 0xef, 0xef},
    {"cmpxchg [rbx], ecx, equal", {0x0f, 0xb1, 0x0b}, lvt, 0xef, 0xef, 0, 0xef},
    {"inc byte ptr [rbx]", {0xfe, 0x03}, tpr, 0, 0x112233ff, 0x11223300, 0},
    {"movaps [rbx], xmm0", {0x0f, 0x29, 0x03}, lvt, 0, 0xef, 0xef, 0},
};

TEST_CASE("xAPIC: a store of each form and place")
{
    const FakeApic apic;
    for (const Case& c : cases) {
        INFO(std::string(c.assembly));
        CpuBlock cpu;
        GuestRegisters registers{};
        registers.rax = c.rax;
        u64 rsp = 0;
        x86::Rflags flags{2};
        const auto store = decode_any_store(c.bytes.data(), static_cast<unsigned>(c.bytes.size()),
                                            CodeSize::bits64);
        REQUIRE(store);
        apic_access::write(c.offset & ~15u, c.before);
        CHECK(store_to_xapic(cpu.vcpu(), c.offset, *store, registers, rsp, flags));
        CHECK(apic_access::read(c.offset & ~15u) == c.after);
        CHECK(registers.rax == c.rax_after);
    }
}

TEST_CASE("xAPIC: REP STOS over several registers, one store at a time")
{
    const FakeApic apic;
    CpuBlock cpu;
    GuestRegisters registers{};
    registers.rcx = 8;
    registers.rdi = lvt;
    registers.rax = 0x10000;
    u64 rsp = 0;
    x86::Rflags flags{2};
    const u8 bytes[] = {0xf3, 0xab};
    const auto store = decode_any_store(bytes, sizeof bytes, CodeSize::bits64);
    REQUIRE(store);
    for (u32 offset = lvt; offset < lvt + 0x20; offset += 4)
        CHECK(store_to_xapic(cpu.vcpu(), offset, *store, registers, rsp, flags) ==
              (offset == lvt + 0x1c));
    CHECK(registers.rcx == 0);
    CHECK(registers.rdi == lvt + 0x20);
    CHECK(apic_access::read(lvt) == 0x10000);
    CHECK(apic_access::read(lvt + 0x10) == 0x10000);
}

TEST_CASE("xAPIC: MOVS and POP store what the caller has read")
{
    struct {
        std::vector<u8> bytes;
        CodeSize size;
        unsigned operand;
        SegmentRegister segment;
        u64 rsi, rdi, rcx, rsp;
        u64 flags;
        bool ends;
    } const cases[] = {
        {{0xa5}, CodeSize::bits64, 4, SegmentRegister::ds, 4, 4, 5, 0, 2, true},
        {{0xa5}, CodeSize::bits64, 4, SegmentRegister::ds, ~u64{3}, ~u64{3}, 5, 0, 0x402, true},
        {{0xa4}, CodeSize::bits64, 1, SegmentRegister::ds, 1, 1, 5, 0, 2, true},
        {{0x65, 0xf3, 0xa5}, CodeSize::bits32, 4, SegmentRegister::gs, 4, 4, 4, 0, 2, false},
        {{0x2e, 0x66, 0xa5}, CodeSize::bits32, 2, SegmentRegister::cs, 2, 2, 5, 0, 2, true},
        {{0xf3, 0x67, 0xa5}, CodeSize::bits32, 4, SegmentRegister::ds, 4, 4, 4, 0, 2, false},
        {{0x8f, 0x03}, CodeSize::bits64, 8, SegmentRegister{}, 0, 0, 5, 8, 2, true},
        {{0x66, 0x48, 0x8f, 0x03}, CodeSize::bits64, 8, SegmentRegister{}, 0, 0, 5, 8, 2, true},
        {{0x66, 0x8f, 0x03}, CodeSize::bits64, 2, SegmentRegister{}, 0, 0, 5, 2, 2, true},
        {{0x8f, 0x03}, CodeSize::bits32, 4, SegmentRegister{}, 0, 0, 5, 4, 2, true},
    };
    const FakeApic apic;
    for (const auto& c : cases) {
        CpuBlock cpu;
        GuestRegisters registers{};
        registers.rcx = 5;
        u64 rsp = 0;
        x86::Rflags flags{c.flags};
        auto store =
            decode_any_store(c.bytes.data(), static_cast<unsigned>(c.bytes.size()), c.size);
        REQUIRE(store);
        CHECK(store->from_memory());
        CHECK_FALSE(store->reads_memory());
        CHECK(store->size == c.operand);
        CHECK(store->segment == c.segment);
        CHECK(store->length == c.bytes.size());
        store->immediate = 0x10011;
        apic_access::write(lvt, 0x20022);
        CHECK(store_to_xapic(cpu.vcpu(), lvt, *store, registers, rsp, flags) == c.ends);
        const u32 kept = c.operand == 1 ? 0x20000 : c.operand == 2 ? 0x20000 : 0x10000;
        CHECK(apic_access::read(lvt) == (kept | 0x11));
        CHECK(registers.rsi == c.rsi);
        CHECK(registers.rdi == c.rdi);
        CHECK(registers.rcx == c.rcx);
        CHECK(rsp == c.rsp);
    }
    const u8 xop[] = {0x8f, 0xe8, 0x78, 0x00, 0x00};
    CHECK_FALSE(decode_any_store(xop, sizeof xop, CodeSize::bits64));
}

TEST_CASE("xAPIC: what the host follows, it follows in every form")
{
    const FakeApic apic;
    CpuBlock cpu;
    GuestRegisters registers{};
    u64 rsp = 0;
    x86::Rflags flags{2};
    const u8 bytes[] = {0xc6, 0x03, 0x04}; // mov byte ptr [rbx], 4
    const auto store = decode_any_store(bytes, sizeof bytes, CodeSize::bits64);
    REQUIRE(store);
    apic_access::write(apic_logical_destination, 0x01000000);
    CHECK(store_to_xapic(cpu.vcpu(), apic_logical_destination + 3, *store, registers, rsp, flags));
    CHECK(cpu.vcpu().startup.logical_destination == 0x04000000);
}

} // namespace
} // namespace zpp::test
