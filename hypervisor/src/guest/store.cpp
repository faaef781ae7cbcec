#include "guest/store.hpp"
#include "guest/instruction.hpp"

namespace zpp {
namespace {

using Operation = AnyStore::Operation;

constexpr Operation from(Operation first, unsigned distance)
{
    return static_cast<Operation>(static_cast<unsigned>(first) + distance);
}

class Decoder {
public:
    Decoder(const u8* bytes, unsigned count, CodeSize size) : reader_(bytes, count), size_(size) {}

    std::optional<AnyStore> decode()
    {
        prefixes_ = read_prefixes(reader_, size_);
        store_.address = address_size(prefixes_, size_);
        const u8 opcode = reader_.next();
        const bool known = opcode == 0x0f ? two_byte(reader_.next()) : one_byte(opcode);
        if (!known || !reader_.ok() || (prefixes_.lock && !can_lock()))
            return std::nullopt;
        store_.length = reader_.position();
        return store_;
    }

private:
    // SDM Vol. 2A, LOCK: instructions that read and write their destination.
    bool can_lock() const
    {
        switch (store_.operation) {
        case Operation::xchg:
        case Operation::xadd:
        case Operation::cmpxchg:
        case Operation::inc:
        case Operation::dec:
        case Operation::logical_not:
        case Operation::neg:
        case Operation::bts:
        case Operation::btr:
        case Operation::btc: return true;
        default: return store_.operation <= Operation::logical_xor;
        }
    }

    bool one_byte(u8 opcode)
    {
        if (opcode < 0x38 && (opcode & 7) < 2)
            return from_register(from(Operation::add, opcode >> 3), opcode);
        switch (opcode) {
        case 0x80:
        case 0x81:
        case 0x83: return group_1(opcode);
        case 0x86:
        case 0x87: return from_register(Operation::xchg, opcode);
        case 0x88:
        case 0x89: return from_register(Operation::mov, opcode);
        case 0xa2:
        case 0xa3: skip_offset(reader_, prefixes_, size_); return from_rax(Operation::mov, opcode);
        case 0x8f: return pop();
        case 0xa4:
        case 0xa5: return movs(opcode);
        case 0xaa:
        case 0xab: store_.repeat = prefixes_.repeat; return from_rax(Operation::stos, opcode);
        case 0xc0:
        case 0xc1:
        case 0xd0:
        case 0xd1:
        case 0xd2:
        case 0xd3: return group_2(opcode);
        case 0xc4:
        case 0xc5: return vex(opcode);
        case 0xc6:
        case 0xc7: return group_11(opcode);
        case 0xf6:
        case 0xf7: return group_3(opcode);
        case 0xfe:
        case 0xff: return group_4(opcode);
        default: return false;
        }
    }

    bool two_byte(u8 opcode)
    {
        if (opcode >> 4 == 9)
            return setcc(opcode);
        switch (opcode) {
        case 0x38: return movbe();
        case 0xab: return bit(Operation::bts);
        case 0xb3: return bit(Operation::btr);
        case 0xbb: return bit(Operation::btc);
        case 0xba: return group_8();
        case 0xb0:
        case 0xb1: return from_register(Operation::cmpxchg, opcode);
        case 0xc0:
        case 0xc1: return from_register(Operation::xadd, opcode);
        case 0xc3: return movnti();
        default: return vector(opcode);
        }
    }

    // The low bit of most opcodes: 0 for 8 bits.
    void set_size(u8 opcode)
    {
        store_.size = (opcode & 1) == 0 ? 1 : operand_size(prefixes_, size_);
    }

    // Reads the operand. Returns false unless it is in memory.
    bool memory()
    {
        modrm_ = read_modrm(reader_, prefixes_, size_);
        return modrm_.is_memory();
    }

    bool set_source(unsigned number)
    {
        store_.from_register = true;
        store_.source = static_cast<u8>(number);
        store_.high_byte = store_.size == 1 && prefixes_.rex == 0 && number >= 4;
        return true;
    }

    bool from_register(Operation operation, u8 opcode)
    {
        store_.operation = operation;
        set_size(opcode);
        return memory() && set_source(modrm_.register_number(prefixes_));
    }

    bool from_rax(Operation operation, u8 opcode)
    {
        store_.operation = operation;
        set_size(opcode);
        return set_source(0);
    }

    void take_immediate(unsigned bytes)
    {
        u64 value = 0;
        for (unsigned i = 0; i < bytes; ++i)
            value |= u64{reader_.next()} << (8 * i);
        const u64 sign = bytes != 0 ? u64{1} << (8 * bytes - 1) : 0;
        store_.immediate = (value ^ sign) - sign; // sign-extended
    }

    void take_full_immediate() { take_immediate(store_.size == 8 ? 4 : store_.size); }

    bool group_1(u8 opcode) // ADD to XOR with an immediate
    {
        set_size(opcode);
        if (!memory() || modrm_.reg == 7)
            return false;
        store_.operation = from(Operation::add, modrm_.reg);
        if (opcode == 0x83)
            take_immediate(1);
        else
            take_full_immediate();
        return true;
    }

    bool group_2(u8 opcode) // shifts, by an immediate, by 1, by CL
    {
        set_size(opcode);
        if (!memory())
            return false;
        store_.operation = from(Operation::rol, modrm_.reg);
        if (opcode < 0xd0)
            take_immediate(1);
        else if (opcode < 0xd2)
            store_.immediate = 1;
        else {
            store_.from_register = true;
            store_.source = 1;
        }
        return true;
    }

    bool group_3(u8 opcode)
    {
        set_size(opcode);
        store_.operation = Operation::logical_not;
        if (!memory() || (modrm_.reg != 2 && modrm_.reg != 3))
            return false;
        if (modrm_.reg == 3)
            store_.operation = Operation::neg;
        return true;
    }

    bool group_4(u8 opcode)
    {
        set_size(opcode);
        if (!memory() || modrm_.reg > 1)
            return false;
        store_.operation = modrm_.reg == 0 ? Operation::inc : Operation::dec;
        return true;
    }

    bool group_8() // BTS, BTR, BTC with an immediate
    {
        store_.size = operand_size(prefixes_, size_);
        if (!memory() || modrm_.reg < 5)
            return false;
        store_.operation = from(Operation::bts, modrm_.reg - 5);
        take_immediate(1);
        return true;
    }

    bool group_11(u8 opcode)
    {
        store_.operation = Operation::mov;
        set_size(opcode);
        if (!memory() || modrm_.reg != 0)
            return false;
        take_full_immediate();
        return true;
    }

    bool bit(Operation operation) { return from_register(operation, 1); }

    bool setcc(u8 opcode)
    {
        store_.operation = Operation::setcc;
        store_.size = 1;
        store_.immediate = opcode & 15;
        return memory();
    }

    bool movbe()
    {
        return reader_.next() == 0xf1 && !prefixes_.repeat && from_register(Operation::movbe, 1);
    }

    // 32 bits by default in all code sizes; with an operand-size prefix it is another instruction.
    bool movnti()
    {
        if (prefixes_.operand_size || !from_register(Operation::mov, 1))
            return false;
        store_.size = (prefixes_.rex & rex_w) != 0 ? 8 : 4;
        return true;
    }

    // Of more than 32 bits only, which the manuals leave undefined.
    bool vector(u8 opcode)
    {
        store_.operation = Operation::vector;
        switch (opcode) {
        case 0x13: // MOVLPS
        case 0x17: // MOVHPS
        case 0x29: // MOVAPS
        case 0x2b: // MOVNTPS
        case 0x7f: // MOVQ, MOVDQA, MOVDQU
        case 0xd6: // MOVQ
        case 0xe7: // MOVNTQ, MOVNTDQ
            return memory();
        default: return false;
        }
    }

    bool movs(u8 opcode)
    {
        store_.operation = Operation::movs;
        store_.repeat = prefixes_.repeat;
        store_.segment = prefixes_.segment == SegmentRegister::standard ? SegmentRegister::ds
                                                                        : prefixes_.segment;
        set_size(opcode);
        return true;
    }

    bool pop() // 64 bits by default in 64-bit code
    {
        store_.operation = Operation::pop;
        store_.size = operand_size(prefixes_, size_);
        if (size_ == CodeSize::bits64 && store_.size == 4)
            store_.size = 8;
        return memory() && modrm_.reg == 0;
    }

    // In 32-bit code C4H and C5H with a memory operand are LES and LDS, which load.
    bool vex(u8 opcode)
    {
        const u8 first = reader_.next();
        if (size_ != CodeSize::bits64 && first >> 6 != 3)
            return false;
        if (opcode == 0xc4) {
            if ((first & 0x1f) != 1) // the map of 0FH
                return false;
            (void)reader_.next();
        }
        return prefixes_.rex == 0 && vector(reader_.next());
    }

    InstructionReader reader_;
    CodeSize size_;
    Prefixes prefixes_{};
    ModRm modrm_{};
    AnyStore store_{};
};

} // namespace

std::optional<AnyStore> decode_any_store(const u8* bytes, unsigned count, CodeSize size)
{
    return Decoder(bytes, count, size).decode();
}

} // namespace zpp
