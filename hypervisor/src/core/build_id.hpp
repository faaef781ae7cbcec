// The build ID of hypervisor.elf, a SHA-1 hash that the linker writes into a note.
#pragma once
#include "lib/types.hpp"

namespace zpp {

extern "C" const u8 zpp_build_id_note[];

constexpr unsigned build_id_size = 20;

inline const u8* build_id()
{
    constexpr unsigned note_header_size = 16; // three sizes and "GNU"
    return zpp_build_id_note + note_header_size;
}

} // namespace zpp
