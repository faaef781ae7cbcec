// Reads the guest's code through the CPU's windows.
#pragma once
#include "core/vcpu.hpp"
#include "guest/decode.hpp"
#include "guest/page_walk.hpp"

namespace zpp {

struct GuestCode {
    u8 bytes[max_instruction_length];
    unsigned count; // less than the maximum if the next page cannot be read
};

GuestCode fetch_code(Vcpu& vcpu, const GuestPaging& paging, Gva instruction);

} // namespace zpp
