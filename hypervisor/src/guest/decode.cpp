#include "guest/decode.hpp"

namespace zpp {
namespace {

// Reads bytes in order. Beyond the end it returns zeros, and ok() stays false.
class Reader {
public:
    Reader(const u8* bytes, unsigned count) : bytes_(bytes), count_(count) {}

    u8 next()
    {
        if (at_ >= count_ || at_ >= max_instruction_length) {
            ok_ = false;
            return 0;
        }
        return bytes_[at_++];
    }

    u32 next_u32()
    {
        u32 value = 0;
        for (unsigned i = 0; i < 4; ++i)
            value |= u32{next()} << (8 * i);
        return value;
    }

    void skip(unsigned count)
    {
        for (unsigned i = 0; i < count; ++i)
            (void)next();
    }

    void back() { --at_; }
    unsigned position() const { return at_; }
    bool ok() const { return ok_; }

private:
    const u8* bytes_;
    unsigned count_;
    unsigned at_ = 0;
    bool ok_ = true;
};

struct Prefixes {
    bool operand_size = false;
    bool address_size = false;
    bool lock = false;
    u8 rex = 0;
};

constexpr u8 rex_r = 4, rex_w = 8;

bool is_legacy_prefix(u8 byte)
{
    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
    case 0x66:
    case 0x67:
    case 0xf0:
    case 0xf2:
    case 0xf3: return true;
    default: return false;
    }
}

Prefixes read_prefixes(Reader& reader, CodeSize size)
{
    Prefixes prefixes;
    for (;;) {
        const u8 byte = reader.next();
        if (!reader.ok())
            return prefixes;
        if (is_legacy_prefix(byte)) {
            prefixes.operand_size |= byte == 0x66;
            prefixes.address_size |= byte == 0x67;
            prefixes.lock |= byte == 0xf0;
            prefixes.rex = 0; // REX counts only right before the opcode
        } else if (size == CodeSize::bits64 && byte >> 4 == 4) {
            prefixes.rex = byte;
        } else {
            reader.back();
            return prefixes;
        }
    }
}

bool is_32_bit(const Prefixes& prefixes, CodeSize size)
{
    if ((prefixes.rex & rex_w) != 0)
        return false;
    return (size == CodeSize::bits16) == prefixes.operand_size;
}

CodeSize address_size(const Prefixes& prefixes, CodeSize size)
{
    if (!prefixes.address_size)
        return size;
    return size == CodeSize::bits32 ? CodeSize::bits16 : CodeSize::bits32;
}

struct ModRm {
    unsigned mod, reg, rm;
};

// Reads ModRM, SIB and displacement.
ModRm read_modrm(Reader& reader, const Prefixes& prefixes, CodeSize size)
{
    const u8 byte = reader.next();
    const ModRm modrm{static_cast<unsigned>(byte >> 6), static_cast<unsigned>((byte >> 3) & 7),
                      static_cast<unsigned>(byte & 7)};
    if (modrm.mod == 3)
        return modrm;
    if (address_size(prefixes, size) == CodeSize::bits16) {
        if (modrm.mod == 0)
            reader.skip(modrm.rm == 6 ? 2 : 0);
        else
            reader.skip(modrm.mod);
        return modrm;
    }
    unsigned base = modrm.rm;
    if (modrm.rm == 4)
        base = reader.next() & 7;
    if (modrm.mod == 0)
        reader.skip(base == 5 ? 4 : 0);
    else
        reader.skip(modrm.mod == 1 ? 1 : 4);
    return modrm;
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
    const unsigned source = modrm.reg + ((prefixes.rex & rex_r) != 0 ? 8 : 0);
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
    switch (address_size(prefixes, size)) {
    case CodeSize::bits16: reader.skip(2); break;
    case CodeSize::bits32: reader.skip(4); break;
    case CodeSize::bits64: reader.skip(8); break;
    }
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

bool is_mov_to_cr4(const u8* bytes, unsigned count, CodeSize size)
{
    Reader reader(bytes, count);
    const Prefixes prefixes = read_prefixes(reader, size);
    if (reader.next() != 0x0f || reader.next() != 0x22)
        return false;
    const u8 modrm = reader.next();
    return reader.ok() && ((modrm >> 3) & 7) == 4 && (prefixes.rex & rex_r) == 0;
}

} // namespace zpp
