// Prefixes, ModRM and displacements, for the decoders (SDM Vol. 2A, ch. 2).
#pragma once
#include "guest/decode.hpp"

namespace zpp {

// Reads bytes in order. Beyond the end it returns zeros, and ok() stays false.
class InstructionReader {
public:
    InstructionReader(const u8* bytes, unsigned count) : bytes_(bytes), count_(count) {}

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

constexpr SegmentRegister segment_override(u8 byte)
{
    switch (byte) {
    case 0x26: return SegmentRegister::es;
    case 0x2e: return SegmentRegister::cs;
    case 0x36: return SegmentRegister::ss;
    case 0x3e: return SegmentRegister::ds;
    case 0x64: return SegmentRegister::fs;
    case 0x65: return SegmentRegister::gs;
    default: return SegmentRegister::standard;
    }
}

struct Prefixes {
    bool operand_size = false;
    bool address_size = false;
    bool lock = false;
    bool repeat = false;                                 // F2H or F3H
    SegmentRegister segment = SegmentRegister::standard; // the last override
    u8 rex = 0;
};

constexpr u8 rex_b = 1, rex_r = 4, rex_w = 8;

constexpr bool is_legacy_prefix(u8 byte)
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

inline Prefixes read_prefixes(InstructionReader& reader, CodeSize size)
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
            prefixes.repeat |= byte >= 0xf2;
            if (segment_override(byte) != SegmentRegister::standard)
                prefixes.segment = segment_override(byte);
            prefixes.rex = 0; // REX counts only right before the opcode
        } else if (size == CodeSize::bits64 && byte >> 4 == 4) {
            prefixes.rex = byte;
        } else {
            reader.back();
            return prefixes;
        }
    }
}

inline CodeSize address_size(const Prefixes& prefixes, CodeSize size)
{
    if (!prefixes.address_size)
        return size;
    return size == CodeSize::bits32 ? CodeSize::bits16 : CodeSize::bits32;
}

// In bytes, of an instruction that is not of 8 bits.
inline unsigned operand_size(const Prefixes& prefixes, CodeSize size)
{
    if ((prefixes.rex & rex_w) != 0)
        return 8;
    return (size == CodeSize::bits16) == prefixes.operand_size ? 4 : 2;
}

struct ModRm {
    unsigned mod, reg, rm;

    bool is_memory() const { return mod != 3; }
    unsigned register_number(const Prefixes& prefixes) const
    {
        return reg + ((prefixes.rex & rex_r) != 0 ? 8 : 0);
    }
};

// Reads ModRM, SIB and displacement.
inline ModRm read_modrm(InstructionReader& reader, const Prefixes& prefixes, CodeSize size)
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

// Skips the address of MOV to or from an address without ModRM (moffs).
inline void skip_offset(InstructionReader& reader, const Prefixes& prefixes, CodeSize size)
{
    switch (address_size(prefixes, size)) {
    case CodeSize::bits16: reader.skip(2); break;
    case CodeSize::bits32: reader.skip(4); break;
    case CodeSize::bits64: reader.skip(8); break;
    }
}

} // namespace zpp
