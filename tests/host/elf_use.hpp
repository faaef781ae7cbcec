// What a loader does with a file that zpp_elf_check() has let through, so that the sanitizers see
// each byte it would touch. For the tests and the fuzzer.
#pragma once
#include "lib/types.hpp"
#include <cstdlib>
#include <cstring>
#include <zpp/boot_info.h>

extern "C" {
#include "loader/elf.h"
}

namespace zpp::test {

// Whether the file was let through. Aborts where the loader would write outside the image.
inline bool use_elf(const void* file, u64 size)
{
    const elf_header* elf = zpp_elf_check(file, size);
    if (elf == nullptr)
        return false;
    const u64 image = zpp_elf_pages(elf) * ZPP_PAGE_SIZE;
    if (image == 0 || image > 64u << 20 || elf->entry >= image)
        std::abort();
    u64 sum = 0;
    const elf_segment* segment;
    for (unsigned i = 0; (segment = zpp_elf_segment(elf, i)) != nullptr; ++i) {
        if (segment->type != ELF_SEGMENT_LOAD)
            continue;
        if (segment->virtual_address + segment->memory_size > image ||
            segment->file_size > segment->memory_size)
            std::abort();
        for (u64 n = 0; n < segment->file_size; ++n)
            sum += static_cast<const u8*>(file)[segment->offset + n];
    }
    u64 count;
    const elf_relocation* relocations = zpp_elf_relocations(elf, &count);
    for (u64 i = 0; i < count; ++i) {
        sum += static_cast<u64>(relocations[i].addend);
        if (relocations[i].offset % 8 != 0 || relocations[i].offset > image - 8)
            std::abort();
    }
    asm volatile("" : : "r"(sum)); // all of it was read
    return true;
}

} // namespace zpp::test
