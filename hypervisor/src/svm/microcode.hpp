// AMD's microcode patches. The CPU knows the size of its own, which the patch does not tell. Pure
// logic.
#pragma once
#include "lib/types.hpp"

namespace zpp::svm {

struct PatchHeader {
    u32 date;     // mmddyyyyH
    u32 patch_id; // the revision
    u16 data_id;
    u8 data_size;
    u8 init_flag;
    u32 data_checksum;
    u32 north_bridge_id, south_bridge_id;
    u16 processor_revision; // extended family, extended model, model, stepping: 4 bits each
    u8 north_bridge_revision, south_bridge_revision;
    u8 bios_api_revision;
    u8 reserved[3];
    u32 match_register[8];
};
static_assert(sizeof(PatchHeader) == 64);

// More than any patch has: those of family 1AH have 15,296 bytes.
constexpr u64 patch_size_limit = 0x8000;

// What is wrong with the patch, of which `bytes` can be read; nullptr if it is for the family of the
// CPU with this signature (CPUID.1:EAX). A patch is often for several models.
const char* patch_fault(const u8* patch, u64 bytes, u32 signature);

} // namespace zpp::svm
