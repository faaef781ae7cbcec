/*
 * hypervisor.elf: a little-endian ELF64 static PIE for x86-64 whose only relocations are
 * R_X86_64_RELATIVE (System V ABI, AMD64 supplement).
 */
#ifndef ZPP_LOADER_ELF_H
#define ZPP_LOADER_ELF_H

#include "zpp/boot_info.h"

enum {
    ELF_TYPE_DYN = 3,
    ELF_MACHINE_X86_64 = 62,
    ELF_SEGMENT_LOAD = 1,
    ELF_SEGMENT_DYNAMIC = 2,
    ELF_FLAG_EXECUTE = 1,
    ELF_FLAG_WRITE = 2,
    ELF_DYNAMIC_RELA = 7,
    ELF_DYNAMIC_RELASZ = 8,
    ELF_RELOCATION_RELATIVE = 8,
};

struct elf_header {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, program_headers, section_headers;
    uint32_t flags;
    uint16_t header_size, program_header_size, program_header_count;
    uint16_t section_header_size, section_header_count, section_names;
};

struct elf_segment {
    uint32_t type, flags;
    uint64_t offset, virtual_address, physical_address, file_size, memory_size, alignment;
};

struct elf_dynamic {
    uint64_t tag, value;
};

struct elf_relocation {
    uint64_t offset, info;
    int64_t addend;
};

_Static_assert(sizeof(struct elf_header) == 64, "ELF-64 object file format");
_Static_assert(sizeof(struct elf_segment) == 56, "ELF-64 object file format");
_Static_assert(sizeof(struct elf_relocation) == 24, "ELF-64 object file format");

/* Returns the header if the file is valid for this loader, else NULL: all offsets and sizes that
 * the functions below use are in the file, segments are page-aligned and disjoint. */
const struct elf_header *zpp_elf_check(const void *file, uint64_t size);

/* Pages from the first byte of the image to the last. */
uint64_t zpp_elf_pages(const struct elf_header *elf);

/* Segment `index`; NULL after the last. */
const struct elf_segment *zpp_elf_segment(const struct elf_header *elf, unsigned index);

/* The dynamic relocations and their number; NULL and 0 if there are none. */
const struct elf_relocation *zpp_elf_relocations(const struct elf_header *elf, uint64_t *count);

#endif
