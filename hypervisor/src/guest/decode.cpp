#include "guest/decode.hpp"
#include "guest/instruction.hpp"

namespace zpp {
namespace {

using Reader = InstructionReader;

bool is_32_bit(const Prefixes& prefixes, CodeSize size)
{
    return operand_size(prefixes, size) == 4;
}

std::optional<Store> finish(const Reader& reader, Store store)
{
    if (!reader.ok())
        return std::nullopt;
    store.length = reader.position();
    return store;
}

std::optional<Store> from_register(Reader& reader, const Prefixes& prefixes, CodeSize size,
                                   bool exchange)
{
    const ModRm modrm = read_modrm(reader, prefixes, size);
    if (modrm.mod == 3)
        return std::nullopt;
    const unsigned source = modrm.register_number(prefixes);
    return finish(reader, {.length = 0,
                           .from_register = true,
                           .exchange = exchange,
                           .source = source,
                           .immediate = 0});
}

std::optional<Store> from_immediate(Reader& reader, const Prefixes& prefixes, CodeSize size)
{
    const ModRm modrm = read_modrm(reader, prefixes, size);
    if (modrm.mod == 3 || modrm.reg != 0)
        return std::nullopt;
    const u32 immediate = reader.next_u32();
    return finish(reader, {.length = 0,
                           .from_register = false,
                           .exchange = false,
                           .source = 0,
                           .immediate = immediate});
}

std::optional<Store> from_rax(Reader& reader, const Prefixes& prefixes, CodeSize size)
{
    skip_offset(reader, prefixes, size);
    return finish(
        reader,
        {.length = 0, .from_register = true, .exchange = false, .source = 0, .immediate = 0});
}

// 32 bits by default in all code sizes; with an operand-size prefix it is another instruction.
std::optional<Store> movnti(Reader& reader, const Prefixes& prefixes, CodeSize size)
{
    const bool is_32_bit = !prefixes.operand_size && (prefixes.rex & rex_w) == 0;
    if (reader.next() != 0xc3 || !is_32_bit || prefixes.lock)
        return std::nullopt;
    return from_register(reader, prefixes, size, false);
}

} // namespace

std::optional<Store> decode_store(const u8* bytes, unsigned count, CodeSize size)
{
    Reader reader(bytes, count);
    const Prefixes prefixes = read_prefixes(reader, size);
    const u8 opcode = reader.next();
    if (opcode == 0x0f)
        return movnti(reader, prefixes, size);
    const bool exchange = opcode == 0x87;
    if (!is_32_bit(prefixes, size) || (prefixes.lock && !exchange))
        return std::nullopt;
    switch (opcode) {
    case 0x87: // XCHG r/m32, r32
    case 0x89: // MOV r/m32, r32
        return from_register(reader, prefixes, size, exchange);
    case 0xa3: // MOV moffs32, EAX
        return from_rax(reader, prefixes, size);
    case 0xc7: // MOV r/m32, imm32
        return from_immediate(reader, prefixes, size);
    default: return std::nullopt;
    }
}

unsigned decode_length(const u8* bytes, unsigned count, CodeSize size)
{
    Reader reader(bytes, count);
    (void)read_prefixes(reader, size);
    if (reader.next() != 0x0f)
        return 0;
    switch (reader.next()) {
    case 0x01: // group 7: XSETBV, VMMCALL; with a memory operand SGDT and others
        if (reader.next() >> 6 != 3)
            return 0;
        break;
    case 0x08: // INVD
    case 0x30: // WRMSR
    case 0x32: // RDMSR
    case 0xa2: // CPUID
        break;
    default: return 0;
    }
    return reader.ok() ? reader.position() : 0;
}

bool is_privileged_svm(const u8* bytes, unsigned count, CodeSize size)
{
    constexpr u8 vmrun = 0xd8, vmmcall = 0xd9, invlpga = 0xdf;
    Reader reader(bytes, count);
    const Prefixes prefixes = read_prefixes(reader, size);
    if (reader.next() != 0x0f || reader.next() != 0x01)
        return false;
    const u8 modrm = reader.next();
    return reader.ok() && !prefixes.lock && modrm >= vmrun && modrm <= invlpga && modrm != vmmcall;
}

std::optional<MovToCr> decode_mov_to_cr(const u8* bytes, unsigned count, CodeSize size)
{
    Reader reader(bytes, count);
    const Prefixes prefixes = read_prefixes(reader, size);
    if (reader.next() != 0x0f || reader.next() != 0x22)
        return std::nullopt;
    const u8 modrm = reader.next(); // its mod does not count
    if (!reader.ok())
        return std::nullopt;
    // LOCK MOV to CR0 is MOV to CR8 (AMD APM Vol. 3, MOV CRn).
    const unsigned upper = (prefixes.rex & rex_r) != 0 || prefixes.lock ? 8 : 0;
    return MovToCr{.number = ((modrm >> 3) & 7u) + upper,
                   .source = (modrm & 7u) + ((prefixes.rex & rex_b) != 0 ? 8 : 0),
                   .length = reader.position()};
}

} // namespace zpp
