// guest/store: each instruction that stores, decoded from bytes that an assembler made, and
// executed as this CPU does it.
#include "guest/store.hpp"
#include <cstring>
#include <doctest/doctest.h>
#include <random>
#include <string>
#include <sys/mman.h>
#include <vector>

namespace zpp::test {
namespace {

using x86::Rflags;
using Bytes = std::vector<u8>;

// The registers of a 64-bit program, and the eight bytes that the instruction changes.
struct State {
    GuestRegisters registers;
    u64 rsp, flags, memory;
};

// Runs the instruction on this CPU: its operand is [RBX].
class NativeCode {
public:
    NativeCode()
        : page_(static_cast<u8*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)))
    {
    }
    ~NativeCode() { munmap(page_, 4096); }
    NativeCode(const NativeCode&) = delete;
    NativeCode& operator=(const NativeCode&) = delete;

    // RAX, RCX, RDX, RSI, RDI, R8 and R9 and the flags.
    void run(const Bytes& instruction, State& state)
    {
        std::memcpy(page_, instruction.data(), instruction.size());
        page_[instruction.size()] = 0xc3;
        GuestRegisters& r = state.registers;
        r.rbx = reinterpret_cast<u64>(&state.memory);
        asm volatile("subq $256, %%rsp\n"
                     "movq %[flags], %%r10\n"
                     "pushq (%%r10)\n"
                     "movq 112(%[s]), %%rax\n"
                     "movq 104(%[s]), %%rcx\n"
                     "movq 96(%[s]), %%rdx\n"
                     "movq 80(%[s]), %%rsi\n"
                     "movq 72(%[s]), %%rdi\n"
                     "movq 64(%[s]), %%r8\n"
                     "movq 56(%[s]), %%r9\n"
                     "movq 88(%[s]), %%rbx\n"
                     "popfq\n"
                     "call *%[code]\n"
                     "pushfq\n"
                     "popq (%%r10)\n"
                     "cld\n"
                     "movq %%rax, 112(%[s])\n"
                     "movq %%rcx, 104(%[s])\n"
                     "movq %%rdx, 96(%[s])\n"
                     "movq %%rsi, 80(%[s])\n"
                     "movq %%rdi, 72(%[s])\n"
                     "movq %%r8, 64(%[s])\n"
                     "movq %%r9, 56(%[s])\n"
                     "addq $256, %%rsp\n"
                     :
                     : [s] "r"(&r), [flags] "r"(&state.flags), [code] "r"(page_)
                     : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "rbx", "memory", "cc");
        r.rbx = 0;
    }

private:
    u8* page_;
};

constexpr u64 cf = 1, pf = 4, af = 0x10, zf = 0x40, sf = 0x80, of = 0x800;
constexpr u64 all = cf | pf | af | zf | sf | of;

struct Native {
    const char* assembly;
    Bytes bytes;
    u64 flags = all; // those that the manual defines
};

const Native instructions[] = {
    {"add [rbx], ecx", {0x01, 0x0b}},
    {"or [rbx], ecx", {0x09, 0x0b}, all & ~af},
    {"adc [rbx], ecx", {0x11, 0x0b}},
    {"sbb [rbx], ecx", {0x19, 0x0b}},
    {"and [rbx], ecx", {0x21, 0x0b}, all & ~af},
    {"sub [rbx], ecx", {0x29, 0x0b}},
    {"xor [rbx], ecx", {0x31, 0x0b}, all & ~af},
    {"add [rbx], cl", {0x00, 0x0b}},
    {"adc [rbx], ch", {0x10, 0x2b}},
    {"sub [rbx], dh", {0x28, 0x33}},
    {"sub [rbx], sil", {0x40, 0x28, 0x33}},
    {"add [rbx], r8w", {0x66, 0x44, 0x01, 0x03}},
    {"sbb [rbx], r9", {0x4c, 0x19, 0x0b}},
    {"add [rbx], rdx", {0x48, 0x01, 0x13}},
    {"add dword ptr [rbx], -5", {0x83, 0x03, 0xfb}},
    {"or dword ptr [rbx], 80000001h", {0x81, 0x0b, 1, 0, 0, 0x80}, all & ~af},
    {"adc word ptr [rbx], 1234h", {0x66, 0x81, 0x13, 0x34, 0x12}},
    {"sbb byte ptr [rbx], 81h", {0x80, 0x1b, 0x81}},
    {"and qword ptr [rbx], -2", {0x48, 0x83, 0x23, 0xfe}, all & ~af},
    {"xor qword ptr [rbx], 80000000h", {0x48, 0x81, 0x33, 0, 0, 0, 0x80}, all & ~af},
    {"xchg [rbx], ecx", {0x87, 0x0b}},
    {"xchg [rbx], ch", {0x86, 0x2b}},
    {"xchg [rbx], dx", {0x66, 0x87, 0x13}},
    {"xchg [rbx], r8", {0x4c, 0x87, 0x03}},
    {"xadd [rbx], edx", {0x0f, 0xc1, 0x13}},
    {"xadd [rbx], dl", {0x0f, 0xc0, 0x13}},
    {"lock xadd [rbx], r8", {0xf0, 0x4c, 0x0f, 0xc1, 0x03}},
    {"cmpxchg [rbx], edx", {0x0f, 0xb1, 0x13}},
    {"cmpxchg [rbx], cl", {0x0f, 0xb0, 0x0b}},
    {"lock cmpxchg [rbx], rdx", {0xf0, 0x48, 0x0f, 0xb1, 0x13}},
    {"inc dword ptr [rbx]", {0xff, 0x03}},
    {"dec dword ptr [rbx]", {0xff, 0x0b}},
    {"inc byte ptr [rbx]", {0xfe, 0x03}},
    {"dec word ptr [rbx]", {0x66, 0xff, 0x0b}},
    {"lock inc qword ptr [rbx]", {0xf0, 0x48, 0xff, 0x03}},
    {"not dword ptr [rbx]", {0xf7, 0x13}},
    {"neg dword ptr [rbx]", {0xf7, 0x1b}},
    {"neg byte ptr [rbx]", {0xf6, 0x1b}},
    {"rol dword ptr [rbx], 1", {0xd1, 0x03}},
    {"ror dword ptr [rbx], 1", {0xd1, 0x0b}},
    {"rcl dword ptr [rbx], 1", {0xd1, 0x13}},
    {"rcr dword ptr [rbx], 1", {0xd1, 0x1b}},
    {"shl dword ptr [rbx], 1", {0xd1, 0x23}, all & ~af},
    {"shr dword ptr [rbx], 1", {0xd1, 0x2b}, all & ~af},
    {"sar dword ptr [rbx], 1", {0xd1, 0x3b}, all & ~af},
    {"rol byte ptr [rbx], 5", {0xc0, 0x03, 5}, all & ~of},
    {"rcl byte ptr [rbx], 13", {0xc0, 0x13, 13}, all & ~of},
    {"rcr word ptr [rbx], 19", {0x66, 0xc1, 0x1b, 19}, all & ~of},
    {"shl qword ptr [rbx], 40", {0x48, 0xc1, 0x23, 40}, all & ~of & ~af},
    {"sar word ptr [rbx], 9", {0x66, 0xc1, 0x3b, 9}, all & ~of & ~af},
    {"ror dword ptr [rbx], cl", {0xd3, 0x0b}, all & ~of},
    {"shr dword ptr [rbx], cl", {0xd3, 0x2b}, all & ~of & ~af},
    {"sar qword ptr [rbx], cl", {0x48, 0xd3, 0x3b}, all & ~of & ~af},
    {"bts dword ptr [rbx], 7", {0x0f, 0xba, 0x2b, 7}, cf},
    {"btr dword ptr [rbx], 31", {0x0f, 0xba, 0x33, 31}, cf},
    {"btc word ptr [rbx], 15", {0x66, 0x0f, 0xba, 0x3b, 15}, cf},
    {"bts qword ptr [rbx], 63", {0x48, 0x0f, 0xba, 0x2b, 63}, cf},
    {"mov [rbx], ecx", {0x89, 0x0b}},
    {"mov [rbx], ch", {0x88, 0x2b}},
    {"mov [rbx], r9w", {0x66, 0x44, 0x89, 0x0b}},
    {"mov [rbx], rdx", {0x48, 0x89, 0x13}},
    {"mov byte ptr [rbx], 5", {0xc6, 0x03, 5}},
    {"mov word ptr [rbx], 1234h", {0x66, 0xc7, 0x03, 0x34, 0x12}},
    {"mov qword ptr [rbx], -2", {0x48, 0xc7, 0x03, 0xfe, 0xff, 0xff, 0xff}},
    {"movnti [rbx], rdx", {0x48, 0x0f, 0xc3, 0x13}},
    {"movbe [rbx], edx", {0x0f, 0x38, 0xf1, 0x13}},
    {"movbe [rbx], dx", {0x66, 0x0f, 0x38, 0xf1, 0x13}},
    {"movbe [rbx], r8", {0x4c, 0x0f, 0x38, 0xf1, 0x03}},
};

State random_state(std::mt19937_64& random)
{
    State state{};
    GuestRegisters& r = state.registers;
    for (u64* one : {&r.rax, &r.rcx, &r.rdx, &r.rsi, &r.rdi, &r.r8, &r.r9, &state.memory})
        *one = random() % 4 == 0 ? ~u64{0} << random() % 64 : random();
    if (random() % 2 == 0) // for CMPXCHG
        r.rax = (r.rax & ~0xffffffff) | (state.memory & 0xffffffff);
    if (random() % 4 == 0)
        r.rax = state.memory;
    state.flags = 2 | (random() & all);
    return state;
}

TEST_CASE("store: executed as by this CPU")
{
    NativeCode code;
    std::mt19937_64 random(5);
    for (const Native& c : instructions) {
        INFO(std::string(c.assembly));
        const auto store = decode_any_store(c.bytes.data(), static_cast<unsigned>(c.bytes.size()),
                                            CodeSize::bits64);
        REQUIRE(store);
        REQUIRE(store->length == c.bytes.size());
        for (unsigned round = 0; round < 500; ++round) {
            const State before = random_state(random);
            State native = before, ours = before;
            code.run(c.bytes, native);
            Rflags flags{ours.flags};
            const StoreResult result =
                execute(*store, ours.memory, ours.registers, ours.rsp, flags);
            REQUIRE(result.ends);
            if (result.writes)
                std::memcpy(&ours.memory, &result.value, store->size);
            CAPTURE(before.memory);
            CAPTURE(before.registers.rax);
            CAPTURE(before.registers.rcx);
            CAPTURE(before.registers.rdx);
            REQUIRE(ours.memory == native.memory);
            const bool no_shift = (before.registers.rcx & 0x1f) == 0 && c.bytes[0] == 0xd3;
            const u64 defined = no_shift ? all : c.flags;
            REQUIRE((raw(flags) & defined) == (native.flags & defined));
            REQUIRE(std::memcmp(&ours.registers, &native.registers, sizeof native.registers) == 0);
        }
    }
}

TEST_CASE("store: SETcc by each condition")
{
    NativeCode code;
    for (u8 number = 0; number < 16; ++number)
        for (const u64 set : {u64{0}, cf, pf, zf, sf, of, sf | of, zf | of, cf | zf}) {
            const Bytes bytes{0x0f, static_cast<u8>(0x90 + number), 0x03};
            CAPTURE(number);
            CAPTURE(set);
            State native{};
            native.flags = 2 | set;
            native.memory = 0x77;
            code.run(bytes, native);
            const auto store = decode_any_store(bytes.data(), 3, CodeSize::bits64);
            REQUIRE(store);
            State ours{};
            Rflags flags{2 | set};
            CHECK(execute(*store, 0, ours.registers, ours.rsp, flags).value == native.memory);
        }
}

struct Stos {
    Bytes bytes;
    CodeSize code;
    u64 rdi, rcx, flags, rdi_after, rcx_after;
    bool ends;
};
const Stos stos[] = {
    {{0xab}, CodeSize::bits64, 0x1000, 5, 2, 0x1004, 5, true},
    {{0xaa}, CodeSize::bits64, 0x1000, 5, 2, 0x1001, 5, true},
    {{0x48, 0xab}, CodeSize::bits64, 0x1000, 5, 0x402, 0xff8, 5, true},
    {{0x66, 0xab}, CodeSize::bits64, 0x1000, 5, 2, 0x1002, 5, true},
    {{0xf3, 0xab}, CodeSize::bits64, 0x1000, 2, 2, 0x1004, 1, false},
    {{0xf3, 0xab}, CodeSize::bits64, 0x1000, 1, 2, 0x1004, 0, true},
    {{0xf2, 0xaa}, CodeSize::bits64, 0x1000, 1ull << 32, 2, 0x1001, 0xffffffff, false},
    {{0x67, 0xf3, 0xab}, CodeSize::bits64, 0xffffffff'fffffffc, 0x5'00000001, 2, 0, 0, true},
    {{0xf3, 0xab}, CodeSize::bits32, 0x1000, 2, 2, 0x1004, 1, false},
    {{0x66, 0xf3, 0xab}, CodeSize::bits16, 0x1fffc, 0x10001, 2, 0x10000, 0x10000, true},
};

TEST_CASE("store: STOS moves RDI and counts RCX in the size of addresses")
{
    for (const Stos& c : stos) {
        State state{};
        state.registers.rdi = c.rdi;
        state.registers.rcx = c.rcx;
        state.registers.rax = 0x1122334455667788;
        const auto store =
            decode_any_store(c.bytes.data(), static_cast<unsigned>(c.bytes.size()), c.code);
        REQUIRE(store);
        CHECK(store->length == c.bytes.size());
        Rflags flags{c.flags};
        const auto result = execute(*store, 0, state.registers, state.rsp, flags);
        CHECK(state.registers.rdi == c.rdi_after);
        CHECK(state.registers.rcx == c.rcx_after);
        CHECK(result.ends == c.ends);
        CHECK(result.writes);
        CHECK(result.value == (store->size == 8 ? 0x1122334455667788
                                                : 0x1122334455667788 & (bit(8 * store->size) - 1)));
    }
}

TEST_CASE("store: RSP, and vectors, of which nothing is written")
{
    State state{};
    state.rsp = 0x12345678;
    Rflags flags{};
    const u8 rsp[] = {0x89, 0x23}; // mov [rbx], esp
    const auto store = decode_any_store(rsp, 2, CodeSize::bits64);
    REQUIRE(store);
    CHECK(execute(*store, 0, state.registers, state.rsp, flags).value == 0x12345678);
    const Bytes vectors[] = {{0x0f, 0x29, 0x03},       {0x66, 0x0f, 0x7f, 0x03},
                             {0xf3, 0x0f, 0x7f, 0x03}, {0x0f, 0x29, 0x43, 0x10},
                             {0x66, 0x0f, 0xe7, 0x03}, {0xc5, 0xfd, 0x7f, 0x03},
                             {0xc5, 0xf8, 0x29, 0x03}, {0xc4, 0xc1, 0x7c, 0x29, 0x04, 0x24},
                             {0x66, 0x0f, 0xd6, 0x03}};
    for (const Bytes& bytes : vectors) {
        const auto vector =
            decode_any_store(bytes.data(), static_cast<unsigned>(bytes.size()), CodeSize::bits64);
        REQUIRE(vector);
        CHECK(vector->length == bytes.size());
        CHECK_FALSE(execute(*vector, 0, state.registers, state.rsp, flags).writes);
    }
}

TEST_CASE("store: of 32 bits, but in a form that zpp does not execute")
{
    const Bytes others[] = {{0xf3, 0x0f, 0x11, 0x03},             // movss [rbx], xmm0
                            {0x66, 0x0f, 0x7e, 0x03},             // movd [rbx], xmm0
                            {0xc5, 0xf9, 0x7e, 0x03},             // vmovd [rbx], xmm0
                            {0x62, 0xf1, 0x7d, 0x08, 0x7e, 0x03}, // with EVEX
                            {0x66, 0x0f, 0x3a, 0x16, 0x03, 1},    // pextrd [rbx], xmm0, 1
                            {0xd9, 0x1b},                         // fstp dword ptr [rbx]
                            {0xdb, 0x1b},                         // fistp dword ptr [rbx]
                            {0x0f, 0xac, 0x03, 1},                // shrd [rbx], eax, 1
                            {0x0f, 0xae, 0x1b},                   // stmxcsr [rbx]
                            {0x0f, 0x38, 0xf9, 0x03},             // movdiri [rbx], eax
                            {0x0f, 0x01, 0x03},                   // sgdt [rbx]
                            {0x6d}};                              // insd
    for (const Bytes& bytes : others)
        CHECK_FALSE(
            decode_any_store(bytes.data(), static_cast<unsigned>(bytes.size()), CodeSize::bits64));
}

TEST_CASE("store: what stores nothing, or is no instruction")
{
    const Bytes others[] = {{0x39, 0x0b},                   // cmp [rbx], ecx
                            {0x83, 0x3b, 1},                // cmp dword ptr [rbx], 1
                            {0x8b, 0x0b},                   // mov ecx, [rbx]
                            {0x01, 0xcb},                   // add ebx, ecx
                            {0xf7, 0x03, 1, 0, 0, 0},       // test
                            {0xf7, 0x23},                   // mul
                            {0xff, 0x13},                   // call [rbx]
                            {0xff, 0x33},                   // push [rbx]
                            {0x0f, 0xa3, 0x0b},             // bt
                            {0x0f, 0xba, 0x23, 1},          // bt
                            {0xf0, 0x89, 0x0b},             // lock mov
                            {0xf0, 0xd1, 0x03},             // lock rol
                            {0xf0, 0x0f, 0x94, 0x03},       // lock sete
                            {0x0f, 0x10, 0x03},             // movups xmm0, [rbx]
                            {0x0f, 0x29, 0xc1},             // movaps xmm1, xmm0
                            {0xc7, 0x0b, 1, 0, 0, 0},       // C7 /1
                            {0x0f, 0xc7, 0x0b},             // cmpxchg8b
                            {0x66, 0x0f, 0xc3, 0x0b},       // no instruction
                            {0xf2, 0x0f, 0x38, 0xf1, 0xc3}, // crc32
                            {0xc4, 0x62, 0x79, 0x29, 0x03}, // another map
                            {0x90},
                            {}};
    for (const Bytes& bytes : others) {
        CAPTURE(bytes.size());
        CHECK_FALSE(
            decode_any_store(bytes.data(), static_cast<unsigned>(bytes.size()), CodeSize::bits64));
    }
    const u8 lds[] = {0xc5, 0x11, 0x03, 0x03};
    CHECK_FALSE(decode_any_store(lds, 4, CodeSize::bits32));
    for (const Native& c : instructions)
        for (unsigned length = 0; length < c.bytes.size(); ++length)
            CHECK_FALSE(decode_any_store(c.bytes.data(), length, CodeSize::bits64));
}

} // namespace
} // namespace zpp::test
