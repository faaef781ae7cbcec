// decode: which stores zpp understands, and how long an instruction is, against encodings whose
// meaning and length an assembler has confirmed (LLVM's, in Intel's syntax).
#include "guest/decode.hpp"
#include <algorithm>
#include <doctest/doctest.h>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace zpp::test {
namespace {

using enum CodeSize;
using Bytes = std::vector<u8>;

Bytes bytes_of(const char* hexadecimal)
{
    Bytes bytes;
    std::istringstream text(hexadecimal);
    for (unsigned byte; text >> std::hex >> byte;)
        bytes.push_back(static_cast<u8>(byte));
    return bytes;
}

// On memory of its own and of just this length, so that the sanitizer sees a byte too many read.
template <class Function> auto on_copy(const Bytes& bytes, Function function, CodeSize size)
{
    const std::unique_ptr<u8[]> copy(new u8[bytes.size()]);
    std::copy(bytes.begin(), bytes.end(), copy.get());
    return function(copy.get(), static_cast<unsigned>(bytes.size()), size);
}

std::optional<Store> store_of(const Bytes& bytes, CodeSize size)
{
    return on_copy(bytes, decode_store, size);
}

Bytes followed_by(Bytes bytes, u8 filler)
{
    bytes.resize(max_instruction_length, filler);
    return bytes;
}

struct Value {
    bool from_register, exchange;
    unsigned source;
    u32 immediate;
};
constexpr Value reg(unsigned number) { return {true, false, number, 0}; }
constexpr Value xchg(unsigned number) { return {true, true, number, 0}; }
constexpr Value imm(u32 value) { return {false, false, 0, value}; }

void check_is(const std::optional<Store>& store, const Value& value, std::size_t length)
{
    REQUIRE(store);
    CHECK(store->length == length);
    CHECK(store->from_register == value.from_register);
    CHECK(store->exchange == value.exchange);
    if (value.from_register)
        CHECK(store->source == value.source);
    else
        CHECK(store->immediate == value.immediate);
}

struct Known {
    const char* assembly;
    CodeSize size;
    const char* bytes;
    Value value;
};

constexpr Known stores[] = {
    {"mov dword ptr [rcx], edx", bits64, "89 11", reg(2)},
    {"mov dword ptr [r12], ebx", bits64, "41 89 1c 24", reg(3)},
    {"mov dword ptr [rdi - 10497280], esi", bits64, "89 b7 00 d3 5f ff", reg(6)},
    {"mov dword ptr [-10501376], edx", bits64, "89 14 25 00 c3 5f ff", reg(2)},
    {"mov dword ptr [rbp + 16], eax", bits64, "89 45 10", reg(0)},
    {"mov dword ptr [rsp], ecx", bits64, "89 0c 24", reg(1)},
    {"mov dword ptr [rsp + 8], esp", bits64, "89 64 24 08", reg(4)},
    {"mov dword ptr [rsp + 305419896], ebp", bits64, "89 ac 24 78 56 34 12", reg(5)},
    {"mov dword ptr [rip + 768], edi", bits64, "89 3d 00 03 00 00", reg(7)},
    {"mov dword ptr [rax + 8*rcx], edx", bits64, "89 14 c8", reg(2)},
    {"mov dword ptr [rbp + 4*rcx], edx", bits64, "89 54 8d 00", reg(2)},
    {"mov dword ptr [4*rcx + 256], edx", bits64, "89 14 8d 00 01 00 00", reg(2)},
    {"mov dword ptr [rbp + 4*rcx + 256], edx", bits64, "89 94 8d 00 01 00 00", reg(2)},
    {"mov dword ptr [r13], r8d", bits64, "45 89 45 00", reg(8)},
    {"mov dword ptr [r13 + 2*r12 + 768], r15d", bits64, "47 89 bc 65 00 03 00 00", reg(15)},
    {"mov dword ptr [1*r12 + 2136982272], eax", bits64, "43 89 04 25 00 c3 5f 7f", reg(0)},
    {"mov dword ptr [rax + r9], r12d", bits64, "46 89 24 08", reg(12)},
    {"mov dword ptr [rax], edi", bits64, "40 89 38", reg(7)},
    {"mov dword ptr [r15 + r14], r15d", bits64, "47 89 3c 37", reg(15)},
    {"mov dword ptr [eax], ebx", bits64, "67 89 18", reg(3)},
    {"mov dword ptr [eax + 16], r11d", bits64, "67 44 89 58 10", reg(11)},
    {"mov dword ptr [eip + 768], eax", bits64, "67 89 05 00 03 00 00", reg(0)},
    {"mov dword ptr gs:[rdi], eax", bits64, "65 89 07", reg(0)},
    {"mov dword ptr fs:[rdi], eax", bits64, "64 89 07", reg(0)},
    {"mov dword ptr cs:[rdi], eax", bits64, "2e 89 07", reg(0)},
    {"mov dword ptr ss:[rdi], eax", bits64, "36 89 07", reg(0)},
    {"mov dword ptr ds:[rdi], eax", bits64, "3e 89 07", reg(0)},
    {"mov dword ptr es:[rdi], eax", bits64, "26 89 07", reg(0)},
    {"addr32 mov dword ptr gs:[-18873600], r9d", bits64, "65 67 44 89 0c 25 00 03 e0 fe", reg(9)},
    {"mov dword ptr [rax], 804096", bits64, "c7 00 00 45 0c 00", imm(0x000c4500)},
    {"mov dword ptr [rax + 2*rbx - 4], 4294967295", bits64, "c7 44 58 fc ff ff ff ff",
     imm(0xffffffff)},
    {"mov dword ptr [rip + 768], 305419896", bits64, "c7 05 00 03 00 00 78 56 34 12",
     imm(0x12345678)},
    {"mov dword ptr [r12 + 768], 804368", bits64, "41 c7 84 24 00 03 00 00 10 46 0c 00",
     imm(0xc4610)},
    {"mov dword ptr [-10501376], 820480", bits64, "c7 04 25 00 c3 5f ff 00 85 0c 00", imm(0xc8500)},
    {"mov dword ptr [rax], 2214789633", bits64, "44 c7 00 01 02 03 84", imm(0x84030201)},
    {"movabs dword ptr [4276093696], eax", bits64, "a3 00 03 e0 fe 00 00 00 00", reg(0)},
    {"mov dword ptr [4276093696], eax", bits64, "67 a3 00 03 e0 fe", reg(0)},
    {"movabs dword ptr [4276093696], eax", bits64, "44 a3 00 03 e0 fe 00 00 00 00", reg(0)},
    {"xchg dword ptr [rdi + 768], esi", bits64, "87 b7 00 03 00 00", xchg(6)},
    {"lock xchg dword ptr [rdi], esi", bits64, "f0 87 37", xchg(6)},
    {"lock xchg dword ptr [rdi - 10497280], r14d", bits64, "f0 44 87 b7 00 d3 5f ff", xchg(14)},
    {"xacquire lock xchg dword ptr [rdi], eax", bits64, "f2 f0 87 07", xchg(0)},
    {"movnti dword ptr [rdx], ecx", bits64, "0f c3 0a", reg(1)},
    {"movnti dword ptr [r8 + 768], r9d", bits64, "45 0f c3 88 00 03 00 00", reg(9)},
    {"xrelease mov dword ptr [rdi], eax", bits64, "f3 89 07", reg(0)},
    {"mov dword ptr [ecx], edx", bits32, "89 11", reg(2)},
    {"mov dword ptr [ebx + 4*esi + 768], edi", bits32, "89 bc b3 00 03 00 00", reg(7)},
    {"mov dword ptr [-18873600], edx", bits32, "89 15 00 03 e0 fe", reg(2)},
    {"mov dword ptr [1*eiz - 18873600], edx", bits32, "89 14 25 00 03 e0 fe", reg(2)},
    {"mov dword ptr [ebp], ecx", bits32, "89 4d 00", reg(1)},
    {"mov dword ptr [esp], ecx", bits32, "89 0c 24", reg(1)},
    {"mov dword ptr [bx], ecx", bits32, "67 89 0f", reg(1)},
    {"addr16 mov dword ptr [768], ecx", bits32, "67 89 0e 00 03", reg(1)},
    {"mov dword ptr [bp + 16], ecx", bits32, "67 89 4e 10", reg(1)},
    {"mov dword ptr [bp + 768], ecx", bits32, "67 89 8e 00 03", reg(1)},
    {"mov dword ptr [si], ecx", bits32, "67 89 0c", reg(1)},
    {"mov dword ptr es:[eax], edx", bits32, "26 89 10", reg(2)},
    {"mov dword ptr [4276093696], eax", bits32, "a3 00 03 e0 fe", reg(0)},
    {"mov dword ptr [768], eax", bits32, "67 a3 00 03", reg(0)},
    {"mov dword ptr [-18873600], 804096", bits32, "c7 05 00 03 e0 fe 00 45 0c 00", imm(0xc4500)},
    {"addr16 mov dword ptr [768], 804096", bits32, "67 c7 06 00 03 00 45 0c 00", imm(0xc4500)},
    {"xchg dword ptr [-18873600], eax", bits32, "87 05 00 03 e0 fe", xchg(0)},
    {"lock xchg dword ptr [ecx], ebp", bits32, "f0 87 29", xchg(5)},
    {"movnti dword ptr [ecx], eax", bits32, "0f c3 01", reg(0)},
    {"mov dword ptr [bx], ecx", bits16, "66 89 0f", reg(1)},
    {"mov dword ptr [768], ecx", bits16, "66 89 0e 00 03", reg(1)},
    {"mov dword ptr [bp], ecx", bits16, "66 89 4e 00", reg(1)},
    {"mov dword ptr [bp + si + 768], ecx", bits16, "66 89 8a 00 03", reg(1)},
    {"mov dword ptr [ecx], edx", bits16, "67 66 89 11", reg(2)},
    {"mov dword ptr [1*eiz - 18873600], edx", bits16, "66 67 89 14 25 00 03 e0 fe", reg(2)},
    {"addr32 mov dword ptr [-18873600], edx", bits16, "66 67 89 15 00 03 e0 fe", reg(2)},
    {"mov dword ptr es:[768], eax", bits16, "66 26 a3 00 03", reg(0)},
    {"mov dword ptr [4276093696], eax", bits16, "66 67 a3 00 03 e0 fe", reg(0)},
    {"mov dword ptr [768], 804096", bits16, "66 c7 06 00 03 00 45 0c 00", imm(0xc4500)},
    {"mov dword ptr [eax + 768], 804096", bits16, "67 66 c7 80 00 03 00 00 00 45 0c 00",
     imm(0xc4500)},
    {"xchg dword ptr [bx], eax", bits16, "66 87 07", xchg(0)},
    {"lock xchg dword ptr [bx], eax", bits16, "66 f0 87 07", xchg(0)},
    {"movnti dword ptr [bx + di], edi", bits16, "0f c3 39", reg(7)},
    {"movnti dword ptr [eax], esi", bits16, "67 0f c3 30", reg(6)},
    {"REX.W before CS: ignored; mov dword ptr [rcx], edx", bits64, "48 2e 89 11", reg(2)},
    {"REX.R before GS: ignored; mov dword ptr gs:[rcx], edx", bits64, "44 65 89 11", reg(2)},
    {"two REX prefixes: the last counts; mov dword ptr [r9], edx", bits64, "48 41 89 11", reg(2)},
    {"REX.R before the address size: ignored; mov dword ptr [ecx], edx", bits64, "44 67 89 11",
     reg(2)},
};

TEST_CASE("decode_store: each form, whole, followed by anything, and cut off")
{
    for (const Known& c : stores) {
        INFO(std::string(c.assembly));
        CAPTURE(static_cast<unsigned>(c.size));
        const Bytes bytes = bytes_of(c.bytes);
        check_is(store_of(bytes, c.size), c.value, bytes.size());
        for (const u8 filler : {0x00, 0x66, 0xf0, 0xff})
            check_is(store_of(followed_by(bytes, filler), c.size), c.value, bytes.size());
        for (std::size_t length = 0; length < bytes.size(); ++length) {
            CAPTURE(length);
            CHECK_FALSE(store_of({bytes.begin(), bytes.begin() + length}, c.size));
        }
    }
}

struct Unknown {
    const char* assembly;
    CodeSize size;
    const char* bytes;
};

constexpr Unknown refusals[] = {
    {"mov qword ptr [r15 + r14], r15", bits64, "4f 89 3c 37"},
    {"mov word ptr [rcx], dx", bits64, "66 89 11"},
    {"mov qword ptr [rcx], rdx", bits64, "48 89 11"},
    {"mov qword ptr [rcx], rdx", bits64, "66 48 89 11"},
    {"mov word ptr [rax], 4660", bits64, "66 c7 00 34 12"},
    {"mov qword ptr [rax], 4660", bits64, "48 c7 00 34 12 00 00"},
    {"movabs word ptr [4276093696], ax", bits64, "66 a3 00 03 e0 fe 00 00 00 00"},
    {"movabs qword ptr [4276093696], rax", bits64, "48 a3 00 03 e0 fe 00 00 00 00"},
    {"xchg word ptr [rdi], ax", bits64, "66 87 07"},
    {"xchg qword ptr [rdi], rax", bits64, "48 87 07"},
    {"movnti qword ptr [rdx], rax", bits64, "48 0f c3 02"},
    {"mov word ptr [ecx], dx", bits32, "66 89 11"},
    {"mov word ptr [eax], 4660", bits32, "66 c7 00 34 12"},
    {"mov word ptr [4276093696], ax", bits32, "66 a3 00 03 e0 fe"},
    {"mov word ptr [bx], cx", bits16, "89 0f"},
    {"mov word ptr [768], 4660", bits16, "c7 06 00 03 34 12"},
    {"mov word ptr [768], ax", bits16, "a3 00 03"},
    {"xchg word ptr [bx], ax", bits16, "87 07"},
    {"mov byte ptr [rcx], dl", bits64, "88 11"},
    {"mov byte ptr [rax], 1", bits64, "c6 00 01"},
    {"xchg byte ptr [rcx], dl", bits64, "86 11"},
    {"movabs byte ptr [4276093696], al", bits64, "a2 00 03 e0 fe 00 00 00 00"},
    {"mov ecx, edx", bits64, "89 d1"},
    {"xchg edx, ecx", bits64, "87 d1"},
    {"mov eax, 1", bits64, "c7 c0 01 00 00 00"},
    {"xbegin 0", bits64, "c7 f8 00 00 00 00"},
    {"mov edx, dword ptr [rcx]", bits64, "8b 11"},
    {"movabs eax, dword ptr [4276093696]", bits64, "a1 00 03 e0 fe 00 00 00 00"},
    {"add dword ptr [rcx], edx", bits64, "01 11"},
    {"or dword ptr [rax], 1", bits64, "83 08 01"},
    {"rep stosd dword ptr es:[rdi], eax", bits64, "f3 ab"},
    {"stosb byte ptr es:[rdi], al", bits64, "aa"},
    {"cmpxchg dword ptr [rcx], edx", bits64, "0f b1 11"},
    {"xadd dword ptr [rcx], edx", bits64, "0f c1 11"},
    {"vmovaps xmmword ptr [rax], xmm0", bits64, "c5 f8 29 00"},
    {"movups xmmword ptr [rax], xmm0", bits64, "0f 11 00"},
    {"clflush byte ptr [rax]", bits64, "0f ae 38"},
    {"movdiri dword ptr [rcx], edx", bits64, "0f 38 f9 11"},
    {"inc eax", bits32, "40"},
    {"inc ecx, then mov dword ptr [ecx], edx", bits32, "41 89 11"},
    {"C7 /1, which is no instruction", bits64, "c7 08 01 00 00 00"},
    {"lock mov dword ptr [rcx], edx", bits64, "f0 89 11"},
    {"lock mov dword ptr [rax], 1", bits64, "f0 c7 00 01 00 00 00"},
    {"lock movnti dword ptr [rdx], eax", bits64, "f0 0f c3 02"},
    {"MOVNTI of 16 bits, which is no instruction", bits16, "66 0f c3 39"},
    {"MOVNTI of 16 bits, which is no instruction", bits64, "66 0f c3 02"},
    {"MOVNTI of a register, which is no instruction", bits64, "0f c3 d1"},
    {"two REX prefixes: the last counts; mov qword ptr [rcx], rdx", bits64, "41 48 89 11"},
    {"REX.W before the operand size: ignored; mov word ptr [rcx], dx", bits64, "48 66 89 11"},
};

TEST_CASE("decode_store: what is no 32-bit store, or none that zpp knows")
{
    for (const Unknown& c : refusals) {
        INFO(std::string(c.assembly));
        const Bytes bytes = bytes_of(c.bytes);
        CHECK_FALSE(store_of(bytes, c.size));
        CHECK_FALSE(store_of(followed_by(bytes, 0), c.size));
    }
}

TEST_CASE("decode_store: fifteen bytes and no more")
{
    for (const Known& c : stores) {
        INFO(std::string(c.assembly));
        Bytes bytes = bytes_of(c.bytes);
        while (bytes.size() < max_instruction_length)
            bytes.insert(bytes.begin(), 0x3e);
        check_is(store_of(bytes, c.size), c.value, max_instruction_length);
        bytes.insert(bytes.begin(), 0x3e);
        CHECK_FALSE(store_of(bytes, c.size));
    }
    for (const u8 prefix : {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x48})
        CHECK_FALSE(store_of(Bytes(64, prefix), bits64));
}

// ---- every encoding of the known opcodes, against the tables of the manual

// Bytes that follow the ModRM byte, by mod and r/m (SDM Vol. 2A, tables 2-1 and 2-2); S stands for
// a SIB byte.
constexpr unsigned S = 100;
constexpr unsigned after_modrm_16[3][8] = {
    {0, 0, 0, 0, 0, 0, 2, 0}, {1, 1, 1, 1, 1, 1, 1, 1}, {2, 2, 2, 2, 2, 2, 2, 2}};
constexpr unsigned after_modrm_32[3][8] = {
    {0, 0, 0, 0, S, 4, 0, 0}, {1, 1, 1, 1, S, 1, 1, 1}, {4, 4, 4, 4, S, 4, 4, 4}};
// Bytes that follow the SIB byte, by mod and base (table 2-3).
constexpr unsigned after_sib[3][8] = {
    {0, 0, 0, 0, 0, 4, 0, 0}, {1, 1, 1, 1, 1, 1, 1, 1}, {4, 4, 4, 4, 4, 4, 4, 4}};

// How the prefixes and the REX prefix set the sizes (SDM Vol. 2A, table 2-4 and Vol. 1, table 3-4).
struct Setting {
    CodeSize size;
    const char* prefixes;
    unsigned operand, address; // bits
    bool rex_r;
};
constexpr Setting settings[] = {
    {bits16, "", 16, 16, false},         {bits16, "66", 32, 16, false},
    {bits16, "67", 16, 32, false},       {bits16, "66 67", 32, 32, false},
    {bits16, "67 2e 66", 32, 32, false}, {bits32, "", 32, 32, false},
    {bits32, "66", 16, 32, false},       {bits32, "67", 32, 16, false},
    {bits32, "66 67", 16, 16, false},    {bits32, "67 65 67", 32, 16, false},
    {bits64, "", 32, 64, false},         {bits64, "66", 16, 64, false},
    {bits64, "67", 32, 32, false},       {bits64, "66 67", 16, 32, false},
    {bits64, "40", 32, 64, false},       {bits64, "41", 32, 64, false},
    {bits64, "42", 32, 64, false},       {bits64, "43", 32, 64, false},
    {bits64, "44", 32, 64, true},        {bits64, "45", 32, 64, true},
    {bits64, "46", 32, 64, true},        {bits64, "47", 32, 64, true},
    {bits64, "48", 64, 64, false},       {bits64, "49", 64, 64, false},
    {bits64, "4a", 64, 64, false},       {bits64, "4f", 64, 64, true},
    {bits64, "66 48", 64, 64, false},    {bits64, "66 44", 16, 64, true},
    {bits64, "67 47", 32, 32, true},     {bits64, "65 67 41", 32, 32, false},
    {bits64, "4c 66", 16, 64, false},    {bits64, "4c 2e", 32, 64, false},
    {bits64, "4c 44", 32, 64, true},     {bits64, "4c 64 45", 32, 64, true},
    {bits64, "44 67 40", 32, 32, false}, {bits64, "4f 3e 67 3e", 32, 32, false},
};

struct Opcode {
    const char* bytes;
    bool exchange;
    unsigned immediate;      // bytes
    bool fixed_size = false; // MOVNTI: 32 bits in 16-bit code too, and no operand-size prefix

    bool is_32_bit(const Setting& setting) const
    {
        return setting.operand == (fixed_size && setting.size == bits16 ? 16 : 32);
    }
};
constexpr Opcode opcodes[] = {
    {"89", false, 0}, {"87", true, 0}, {"0f c3", false, 0, true}, {"c7", false, 4}};

class Sweep {
public:
    Sweep(const Setting& setting, const Opcode& opcode) : setting_(setting), opcode_(opcode) {}

    void run()
    {
        for (unsigned modrm = 0; modrm < 256; ++modrm) {
            if (modrm >> 6 == 3) {
                check(modrm, std::nullopt, 0, false);
                continue;
            }
            const auto& table = setting_.address == 16 ? after_modrm_16 : after_modrm_32;
            const unsigned after = table[modrm >> 6][modrm & 7];
            if (after != S)
                check(modrm, std::nullopt, after, true);
            else
                for (unsigned sib = 0; sib < 256; ++sib)
                    check(modrm, sib, after_sib[modrm >> 6][sib & 7], true);
        }
    }

    unsigned wrong = 0, right = 0, refused = 0;
    Bytes first_wrong;

private:
    void check(unsigned modrm, std::optional<unsigned> sib, unsigned displacement, bool memory)
    {
        Bytes bytes = bytes_of(setting_.prefixes);
        const Bytes opcode = bytes_of(opcode_.bytes);
        bytes.insert(bytes.end(), opcode.begin(), opcode.end());
        bytes.push_back(static_cast<u8>(modrm));
        if (sib)
            bytes.push_back(static_cast<u8>(*sib));
        for (unsigned i = 0; i < displacement; ++i)
            bytes.push_back(static_cast<u8>(0xd1 + i));
        u32 immediate = 0;
        for (unsigned i = 0; i < opcode_.immediate; ++i) {
            bytes.push_back(static_cast<u8>(0x81 + i));
            immediate |= (0x81u + i) << 8 * i;
        }
        const unsigned field = (modrm >> 3) & 7;
        const bool known =
            memory && opcode_.is_32_bit(setting_) && (opcode_.immediate == 0 || field == 0);
        const auto length = static_cast<unsigned>(bytes.size());
        bytes.resize(20, 0xaa);
        const auto store = decode_store(bytes.data(), 20, setting_.size);
        const bool as_expected =
            store.has_value() == known &&
            (!store || (store->length == length && store->exchange == opcode_.exchange &&
                        store->from_register == (opcode_.immediate == 0) &&
                        (store->from_register ? store->source == field + (setting_.rex_r ? 8 : 0)
                                              : store->immediate == immediate)));
        ++(!as_expected ? wrong : known ? right : refused);
        if (!as_expected && first_wrong.empty())
            first_wrong = bytes;
    }

    const Setting& setting_;
    const Opcode& opcode_;
};

TEST_CASE("decode_store: every ModRM and SIB byte under every kind of prefix")
{
    for (const Setting& setting : settings)
        for (const Opcode& opcode : opcodes) {
            CAPTURE(std::string(setting.prefixes));
            CAPTURE(std::string(opcode.bytes));
            CAPTURE(static_cast<unsigned>(setting.size));
            Sweep sweep(setting, opcode);
            sweep.run();
            CAPTURE(sweep.first_wrong);
            CHECK(sweep.wrong == 0);
            CHECK((sweep.right != 0) == opcode.is_32_bit(setting));
            CHECK(sweep.refused != 0);
        }
}

TEST_CASE("decode_store: MOV of EAX to an offset under every kind of prefix")
{
    for (const Setting& setting : settings) {
        CAPTURE(std::string(setting.prefixes));
        CAPTURE(static_cast<unsigned>(setting.size));
        Bytes bytes = bytes_of(setting.prefixes);
        bytes.push_back(0xa3);
        bytes.resize(bytes.size() + setting.address / 8, 0x5a);
        const auto store = store_of(bytes, setting.size);
        REQUIRE(store.has_value() == (setting.operand == 32));
        if (store)
            check_is(store, reg(0), bytes.size()); // REX.R has nothing to extend
        bytes.pop_back();
        CHECK_FALSE(store_of(bytes, setting.size));
    }
}

TEST_CASE("decode_store: no other opcode is a store")
{
    for (const CodeSize size : {bits16, bits32, bits64})
        for (const char* prefixes : {"", "66", "67", "f2", "f3", "f0"})
            for (unsigned opcode = 0; opcode < 0x200; ++opcode) {
                Bytes bytes = bytes_of(prefixes);
                if (opcode >= 0x100)
                    bytes.push_back(0x0f);
                bytes.push_back(static_cast<u8>(opcode));
                const Bytes known{0x87, 0x89, 0xa3, 0xc7};
                const bool is_known =
                    opcode == 0x1c3 || std::count(known.begin(), known.end(), opcode) != 0;
                // Prefix bytes and the escape change what the zeros after them mean; these mean ADD.
                bytes.resize(max_instruction_length, 0);
                CAPTURE(opcode);
                if (!is_known)
                    CHECK_FALSE(store_of(bytes, size));
            }
}

// ---- instructions without operands

struct Plain {
    const char* assembly;
    const char* bytes;
};

constexpr Plain plain[] = {
    {"cpuid", "0f a2"},     {"rdmsr", "0f 32"},     {"wrmsr", "0f 30"},
    {"invd", "0f 08"},      {"xgetbv", "0f 01 d0"}, {"xsetbv", "0f 01 d1"},
    {"vmcall", "0f 01 c1"}, {"vmrun", "0f 01 d8"},  {"vmmcall", "0f 01 d9"},
    {"vmload", "0f 01 da"}, {"vmsave", "0f 01 db"}, {"stgi", "0f 01 dc"},
    {"clgi", "0f 01 dd"},   {"skinit", "0f 01 de"}, {"invlpga", "0f 01 df"},
    {"swapgs", "0f 01 f8"}, {"rdtscp", "0f 01 f9"}, {"monitorx", "0f 01 fa"},
};

unsigned length_of(const Bytes& bytes, CodeSize size)
{
    return on_copy(bytes, decode_length, size);
}

TEST_CASE("decode_length: with every prefix, whole, followed by anything, and cut off")
{
    for (const Plain& c : plain)
        for (const char* prefixes : {"", "66", "67", "2e", "f2", "f3", "3e 26 66 67 f3"})
            for (const CodeSize size : {bits16, bits32, bits64}) {
                INFO(std::string(c.assembly));
                CAPTURE(std::string(prefixes));
                Bytes bytes = bytes_of(prefixes);
                const Bytes code = bytes_of(c.bytes);
                bytes.insert(bytes.end(), code.begin(), code.end());
                CHECK(length_of(bytes, size) == bytes.size());
                for (const u8 filler : {0x00, 0x0f, 0xff})
                    CHECK(length_of(followed_by(bytes, filler), size) == bytes.size());
                for (std::size_t length = 0; length < bytes.size(); ++length)
                    CHECK(length_of({bytes.begin(), bytes.begin() + length}, size) == 0);
                bytes.insert(bytes.begin(), max_instruction_length - bytes.size(), 0x2e);
                CHECK(length_of(bytes, size) == max_instruction_length);
                bytes.insert(bytes.begin(), 0x2e);
                CHECK(length_of(bytes, size) == 0);
            }
}

TEST_CASE("decode_length: a REX prefix is one in 64-bit code only")
{
    CHECK(length_of({0x48, 0x0f, 0xa2}, bits64) == 3);
    CHECK(length_of({0x4f, 0x0f, 0x01, 0xd1}, bits64) == 4);
    CHECK(length_of({0x48, 0x0f, 0xa2}, bits32) == 0);
    CHECK(length_of({0x48, 0x0f, 0xa2}, bits16) == 0);
}

TEST_CASE("decode_length: no other instruction")
{
    for (unsigned opcode = 0; opcode < 0x100; ++opcode) {
        CAPTURE(opcode);
        Bytes one(max_instruction_length, 0x90), two(max_instruction_length, 0x90);
        one[0] = two[1] = static_cast<u8>(opcode);
        two[0] = 0x0f;
        if (opcode != 0x0f)
            CHECK(length_of(one, bits64) == 0);
        const Bytes known{0x08, 0x30, 0x32, 0xa2};
        const bool is_known = std::count(known.begin(), known.end(), opcode) != 0;
        CHECK(length_of(two, bits64) == (is_known ? 2 : 0)); // 0F 01 90 is LGDT of memory
    }
    for (unsigned modrm = 0; modrm < 0xc0; ++modrm) // SGDT ... INVLPG: these have an operand
        CHECK(length_of(followed_by({0x0f, 0x01, static_cast<u8>(modrm)}, 0), bits64) == 0);
}

// ---- instructions of SVM

bool svm(const Bytes& bytes, CodeSize size) { return on_copy(bytes, is_privileged_svm, size); }

TEST_CASE("is_privileged_svm: those of CPL 0, with prefixes, whole")
{
    for (const CodeSize size : {bits16, bits32, bits64})
        for (unsigned modrm = 0; modrm < 0x100; ++modrm) {
            const auto byte = static_cast<u8>(modrm);
            const bool expected = modrm >= 0xd8 && modrm <= 0xdf && modrm != 0xd9; // not VMMCALL
            CAPTURE(modrm);
            CHECK(svm({0x0f, 0x01, byte}, size) == expected);
            CHECK(svm({0x67, 0x0f, 0x01, byte}, size) == expected);
            CHECK(svm(followed_by({0x0f, 0x01, byte}, 0xd8), size) == expected);
            CHECK_FALSE(svm({0xf0, 0x0f, 0x01, byte}, size));
            CHECK_FALSE(svm({0x0f, 0x00, byte}, size));
            CHECK_FALSE(svm({0x0f, 0x01}, size));
            CHECK_FALSE(svm({}, size));
        }
    CHECK(svm({0x48, 0x0f, 0x01, 0xd8}, bits64));
    CHECK_FALSE(svm({0x48, 0x0f, 0x01, 0xd8}, bits32));
}

// ---- MOV to a control register

std::optional<MovToCr> to_cr(const Bytes& bytes, CodeSize size)
{
    return on_copy(bytes, decode_mov_to_cr, size);
}

TEST_CASE("decode_mov_to_cr: each control register from each register")
{
    for (const CodeSize size : {bits16, bits32, bits64})
        for (unsigned modrm = 0; modrm < 0x100; ++modrm) {
            const auto byte = static_cast<u8>(modrm);
            CAPTURE(modrm);
            const Bytes forms[] = {{0x0f, 0x22, byte},
                                   {0x66, 0x0f, 0x22, byte},
                                   followed_by({0x0f, 0x22, byte}, 0xe0)};
            for (const Bytes& form : forms) {
                const auto move = to_cr(form, size);
                REQUIRE(move);
                CHECK(move->number == (modrm >> 3 & 7));
                CHECK(move->source == (modrm & 7));
                CHECK(move->length == (form[0] == 0x66 ? 4 : 3));
            }
            CHECK_FALSE(to_cr({0x0f, 0x20, byte}, size)); // from it
            CHECK_FALSE(to_cr({0x0f, 0x23, byte}, size)); // to DR4
            CHECK_FALSE(to_cr({0x22, byte, 0x0f}, size));
            CHECK_FALSE(to_cr({0x0f, 0x22}, size));
            CHECK_FALSE(to_cr({0x0f}, size));
            CHECK_FALSE(to_cr({}, size));
        }
    const struct {
        Bytes bytes;
        unsigned number, source, length;
    } cases[] = {
        {{0x41, 0x0f, 0x22, 0xe7}, 4, 15, 4},      // mov cr4, r15
        {{0x48, 0x0f, 0x22, 0xe0}, 4, 0, 4},       // mov cr4, rax
        {{0x44, 0x0f, 0x22, 0xe0}, 12, 0, 4},      // mov cr12, rax
        {{0x45, 0x0f, 0x22, 0xc0}, 8, 8, 4},       // mov cr8, r8
        {{0xf0, 0x0f, 0x22, 0xc1}, 8, 1, 4},       // lock mov cr0, rcx
        {{0x44, 0x2e, 0x0f, 0x22, 0xe0}, 4, 0, 5}, // REX.R before CS: ignored
    };
    for (const auto& c : cases) {
        const auto move = to_cr(c.bytes, bits64);
        REQUIRE(move);
        CHECK(move->number == c.number);
        CHECK(move->source == c.source);
        CHECK(move->length == c.length);
    }
    CHECK_FALSE(to_cr({0x44, 0x0f, 0x22, 0xe0}, bits32)); // inc esp
}

// ---- whatever comes

TEST_CASE("decode: random bytes, and what follows an instruction does not matter")
{
    std::mt19937_64 random(3);
    const u8 likely[] = {0x0f, 0x01, 0x22, 0x48, 0x44, 0x66, 0x67, 0x87, 0x89,
                         0xa3, 0xc7, 0xc3, 0xa2, 0x30, 0x25, 0x05, 0xe0, 0xf0};
    unsigned found = 0, lengths = 0;
    for (unsigned round = 0; round < 200'000; ++round) {
        Bytes bytes(random() % 17);
        for (u8& byte : bytes)
            byte = random() % 2 != 0 ? likely[random() % sizeof likely] : static_cast<u8>(random());
        const auto size = static_cast<CodeSize>(random() % 3);
        const auto store = store_of(bytes, size);
        const unsigned length = length_of(bytes, size);
        const auto move = to_cr(bytes, size);
        if (int{store.has_value()} + int{length != 0} + int{move.has_value()} > 1)
            FAIL("two instructions at once");
        if (store) {
            ++found;
            if (store->length < 2 || store->length > bytes.size() || store->length > 15 ||
                store->source > 15)
                FAIL("not within the bytes");
            bytes.resize(store->length);
            const auto again = store_of(bytes, size);
            if (!again || again->length != store->length || again->source != store->source ||
                again->immediate != store->immediate)
                FAIL("other bytes than the instruction's had a say");
            bytes.pop_back();
            if (store_of(bytes, size))
                FAIL("a cut instruction was decoded");
        }
        lengths += length != 0;
    }
    CHECK(found > 1000);
    CHECK(lengths > 100);
}

} // namespace
} // namespace zpp::test
