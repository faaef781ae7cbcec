// Intel's microcode updates (SDM Vol. 3A, 11.11). Pure logic.
#pragma once
#include "lib/types.hpp"

namespace zpp::vmx {

struct MicrocodeHeader {
    u32 header_version;
    u32 revision;
    u32 date;
    u32 signature; // CPUID.1:EAX
    u32 checksum;  // the doublewords of the whole update add up to 0
    u32 loader_revision;
    u32 processor_flags; // bit n: for CPUs with IA32_PLATFORM_ID[52:50] = n
    u32 data_size;       // 0: 2000 bytes, and 2048 in all
    u32 total_size;
    u32 reserved[3];
};
static_assert(sizeof(MicrocodeHeader) == 48);

// What is wrong with the update, of which `bytes` can be read; nullptr if it is for the CPU with
// this signature and platform. The manual asks for an alignment of 16 bytes; Linux may give less,
// and the CPU decides.
const char* microcode_fault(const u8* update, u64 bytes, u32 signature, unsigned platform);

} // namespace zpp::vmx
