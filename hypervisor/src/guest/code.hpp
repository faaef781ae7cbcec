// Reads the guest's page tables and code through the CPU's windows.
#pragma once
#include "core/vcpu.hpp"
#include "guest/decode.hpp"
#include "guest/page_walk.hpp"
#include <optional>

namespace zpp {

struct GuestCode {
    u8 bytes[max_instruction_length];
    unsigned count; // less than the maximum if the next page cannot be read
};

// The guest-physical address of a linear one; nothing if the guest has no memory there.
std::optional<Gpa> translate(Vcpu& vcpu, const GuestPaging& paging, Gva address);

// `size` bytes at most 8; nothing if the guest does not have memory there.
std::optional<u64> read_linear(Vcpu& vcpu, const GuestPaging& paging, Gva address, unsigned size);

GuestCode fetch_code(Vcpu& vcpu, const GuestPaging& paging, Gva instruction);

} // namespace zpp
