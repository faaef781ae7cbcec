// Most instructions that store an integer to memory: decodes them, and executes them on a value
// instead of the memory. Pure logic (AMD APM Vol. 3, ch. 3). decode.hpp has the few stores of the
// fast path.
#pragma once
#include "core/guest_registers.hpp"
#include "guest/decode.hpp"
#include "x86/control_registers.hpp"

namespace zpp {

struct AnyStore {
    enum class Operation : u8 {
        // In the order of the opcodes 00H to 38H, and of group 1; CMP does not store.
        add,
        logical_or,
        adc,
        sbb,
        logical_and,
        sub,
        logical_xor,
        // Group 2.
        rol,
        ror,
        rcl,
        rcr,
        shl,
        shr,
        sal,
        sar,
        mov,
        xchg,
        xadd,
        cmpxchg,
        inc,
        dec,
        logical_not,
        neg,
        bts,
        btr,
        btc,
        setcc,
        movbe,
        stos,
        movs,
        pop,
        vector, // of more than 32 bits of an SSE or AVX register, which zpp does not read
    };

    Operation operation;
    unsigned length;         // of the instruction, in bytes
    unsigned size;           // of the operand, in bytes; 0 for `vector`
    bool from_register;      // else `immediate`
    u8 source;               // register number, 0 = RAX ... 15 = R15
    bool high_byte;          // AH, CH, DH or BH: bits 15:8 of `source` - 4
    u64 immediate;           // sign-extended; for SETcc the condition
    CodeSize address;        // STOS and MOVS: the size of RDI, RSI and RCX
    bool repeat;             // STOS and MOVS
    SegmentRegister segment; // MOVS: of its source

    // MOVS and POP: the caller reads the source into `immediate`, and for POP sets `address` to the
    // size of RSP.
    bool from_memory() const { return operation == Operation::movs || operation == Operation::pop; }

    // Whether the result depends on what was in memory.
    bool reads_memory() const
    {
        return operation != Operation::mov && operation != Operation::movbe &&
               operation != Operation::setcc && operation != Operation::stos &&
               operation != Operation::vector && !from_memory();
    }
};

// Returns nothing for an instruction that it does not know, or that stores nothing.
std::optional<AnyStore> decode_any_store(const u8* bytes, unsigned count, CodeSize size);

struct StoreResult {
    u64 value;   // for the memory, in `size` bytes
    bool writes; // false: nothing is written
    bool ends;   // false: the instruction runs again (REP STOS and MOVS)
};

// memory: the old value. Changes the registers and the flags as the CPU does.
StoreResult execute(const AnyStore& store, u64 memory, GuestRegisters& registers, u64& rsp,
                    x86::Rflags& flags);

} // namespace zpp
