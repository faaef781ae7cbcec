// The bytes of the guest's code at an instruction, read through the CPU's window pages.
#pragma once
#include "core/vcpu.hpp"
#include "guest/decode.hpp"
#include "guest/page_walk.hpp"

namespace zpp {

struct GuestCode {
    u8 bytes[max_instruction_length];
    unsigned count; // fewer than the maximum where the next page could not be read
};

GuestCode fetch_code(Vcpu& vcpu, const GuestPaging& paging, Gva instruction);

} // namespace zpp
