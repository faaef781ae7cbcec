// Decodes the few guest instructions that zpp must understand: stores to the local APIC, and the
// length of instructions that exit without a next RIP. Pure logic (AMD APM Vol. 3, 1.1 to 1.4).
#pragma once
#include "lib/types.hpp"
#include <optional>

namespace zpp {

enum class CodeSize : u8 { bits16, bits32, bits64 };

// A register of this size, of an address.
constexpr u64 wrap_to(u64 value, CodeSize size)
{
    switch (size) {
    case CodeSize::bits16: return static_cast<u16>(value);
    case CodeSize::bits32: return static_cast<u32>(value);
    case CodeSize::bits64: return value;
    }
    return value;
}

// By their numbers; `standard` is that of the instruction.
enum class SegmentRegister : u8 { es, cs, ss, ds, fs, gs, standard };

constexpr unsigned max_instruction_length = 15;

// An instruction that stores 32 bits.
struct Store {
    unsigned length;    // bytes
    bool from_register; // else the value is `immediate`
    bool exchange;      // XCHG: the register gets the old value
    unsigned source;    // register number, 0 = RAX ... 15 = R15
    u32 immediate;
};

// bytes: as many of the instruction as could be read, at most max_instruction_length.
// Returns nothing unless it is a 32-bit MOV, XCHG or MOVNTI to memory.
std::optional<Store> decode_store(const u8* bytes, unsigned count, CodeSize size);

// Length with prefixes of CPUID, RDMSR, WRMSR, INVD, XSETBV, VMMCALL or another two- or three-byte
// instruction without operands; 0 for any other instruction.
unsigned decode_length(const u8* bytes, unsigned count, CodeSize size);

// Whether the instruction is one of SVM's at CPL 0: VMRUN, VMLOAD, VMSAVE, STGI, CLGI, SKINIT or
// INVLPGA.
bool is_privileged_svm(const u8* bytes, unsigned count, CodeSize size);

struct MovToCr {
    unsigned number; // of the control register
    unsigned source; // register number
    unsigned length; // bytes
};

// Nothing unless the instruction is MOV to a control register.
std::optional<MovToCr> decode_mov_to_cr(const u8* bytes, unsigned count, CodeSize size);

} // namespace zpp
