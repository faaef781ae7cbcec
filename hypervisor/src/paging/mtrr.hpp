// Memory types and the MTRRs, which assign them to physical addresses (SDM Vol. 3A, 12.11; AMD APM
// Vol. 2, 7.7). Pure logic: MSRs are read through a function.
#pragma once
#include "lib/address.hpp"
#include "x86/msr.hpp"
#include <optional>

namespace zpp {

enum class MemoryType : u8 {
    uncacheable = 0,
    write_combining = 1,
    write_through = 4,
    write_protected = 5,
    write_back = 6,
};

class Mtrrs {
public:
    using ReadMsr = u64 (*)(x86::Msr msr);

    // Reads the MTRRs of this CPU. Returns whether they have changed.
    // present: CPUID.1:EDX[12]; without MTRRs all memory is write-back.
    bool refresh(bool present, ReadMsr read);

    // IA32_MTRR_DEF_TYPE.E; software clears it while it changes the MTRRs.
    static constexpr u64 enable = bit(11);

    // The memory type of `size` bytes from `base`; nothing if they have several types.
    // size: a power of two, at least 4096; base: a multiple of size.
    std::optional<MemoryType> type_of(Hpa base, u64 size) const;

    // Whether refresh() reads this MSR.
    static bool is_mtrr(x86::Msr msr, unsigned variable_count);
    unsigned variable_count() const { return variable_count_; }

private:
    struct Variable {
        u64 base, mask;
        bool operator==(const Variable&) const = default;
    };
    static constexpr unsigned max_variables = 255; // MTRRCAP.VCNT has 8 bits
    static constexpr unsigned fixed_registers = 11;

    bool set(u64& field, u64 value);
    MemoryType fixed_type(Hpa address) const;
    std::optional<MemoryType> variable_type(Hpa base, u64 size) const;

    bool present_ = false, enabled_ = false;
    unsigned variable_count_ = 0;
    u64 default_type_ = 0;
    u64 fixed_[fixed_registers] = {};
    Variable variable_[max_variables] = {};
};

} // namespace zpp
