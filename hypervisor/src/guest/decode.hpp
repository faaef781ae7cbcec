// A decoder for the little that zpp must understand of the guest's code: how a store to the local
// APIC's page gets its value, and how long the instructions are that exit without a next RIP.
// Pure logic (AMD APM Vol. 3, 1.1 to 1.4).
#pragma once
#include "lib/types.hpp"
#include <optional>

namespace zpp {

enum class CodeSize : u8 { bits16, bits32, bits64 };

constexpr unsigned max_instruction_length = 15;

// An instruction that writes 32 bits to memory, and maybe reads them back into a register.
struct Store {
    unsigned length;    // bytes
    bool from_register; // else the value is `immediate`
    bool exchange;      // XCHG: the register gets the old value
    unsigned source;    // register number, 0 = RAX ... 15 = R15
    u32 immediate;
};

// bytes: the instruction's, as many as could be read (at most max_instruction_length).
// Nothing if it is not a 32-bit store that zpp knows: MOV, XCHG, MOVNTI.
std::optional<Store> decode_store(const u8* bytes, unsigned count, CodeSize size);

// Length of CPUID, RDMSR, WRMSR, INVD, XSETBV, VMMCALL or another two- or three-byte instruction
// without operands, prefixes included. 0 if it is none of them.
unsigned decode_length(const u8* bytes, unsigned count, CodeSize size);

// Whether the instruction is MOV to CR4.
bool is_mov_to_cr4(const u8* bytes, unsigned count, CodeSize size);

} // namespace zpp
