#include "elf.h"

enum { MAX_IMAGE_SIZE = 64 << 20 };

static int inside(uint64_t offset, uint64_t length, uint64_t size)
{
    return offset <= size && length <= size - offset;
}

static int header_is_valid(const struct elf_header *elf, uint64_t size)
{
    static const uint8_t ident[7] = {0x7f, 'E', 'L', 'F', 2, 1, 1}; /* 64-bit, little-endian */
    if (size < sizeof *elf)
        return 0;
    for (unsigned i = 0; i < sizeof ident; ++i)
        if (elf->ident[i] != ident[i])
            return 0;
    return elf->type == ELF_TYPE_DYN && elf->machine == ELF_MACHINE_X86_64 &&
           elf->program_header_size == sizeof(struct elf_segment) &&
           elf->program_headers % 8 == 0 &&
           inside(elf->program_headers,
                  (uint64_t)elf->program_header_count * sizeof(struct elf_segment), size);
}

const struct elf_segment *zpp_elf_segment(const struct elf_header *elf, unsigned index)
{
    if (index >= elf->program_header_count)
        return 0;
    return (const struct elf_segment *)((const uint8_t *)elf + elf->program_headers) + index;
}

static int segments_are_valid(const struct elf_header *elf, uint64_t size)
{
    const struct elf_segment *segment;
    uint64_t end = 0;
    for (unsigned i = 0; (segment = zpp_elf_segment(elf, i)) != 0; ++i) {
        if (segment->type != ELF_SEGMENT_LOAD)
            continue;
        if (!inside(segment->offset, segment->file_size, size) ||
            !inside(segment->virtual_address, segment->memory_size, MAX_IMAGE_SIZE) ||
            segment->file_size > segment->memory_size ||
            segment->virtual_address % ZPP_PAGE_SIZE != 0 || segment->virtual_address < end)
            return 0;
        end = segment->virtual_address + segment->memory_size;
    }
    return end != 0 && elf->entry < end;
}

static const struct elf_segment *dynamic_segment(const struct elf_header *elf)
{
    const struct elf_segment *segment;
    for (unsigned i = 0; (segment = zpp_elf_segment(elf, i)) != 0; ++i)
        if (segment->type == ELF_SEGMENT_DYNAMIC)
            return segment;
    return 0;
}

static uint64_t dynamic_value(const struct elf_header *elf, const struct elf_segment *dynamic,
                              uint64_t tag)
{
    const struct elf_dynamic *entry =
        (const struct elf_dynamic *)((const uint8_t *)elf + dynamic->offset);
    for (uint64_t i = 0; i < dynamic->file_size / sizeof *entry; ++i)
        if (entry[i].tag == tag)
            return entry[i].value;
    return 0;
}

/* The file offset of `length` bytes at a virtual address; -1 if no segment has them in the file. */
static int64_t file_offset(const struct elf_header *elf, uint64_t address, uint64_t length)
{
    const struct elf_segment *segment;
    for (unsigned i = 0; (segment = zpp_elf_segment(elf, i)) != 0; ++i)
        if (segment->type == ELF_SEGMENT_LOAD && address >= segment->virtual_address &&
            inside(address - segment->virtual_address, length, segment->file_size))
            return (int64_t)(segment->offset + (address - segment->virtual_address));
    return -1;
}

const struct elf_relocation *zpp_elf_relocations(const struct elf_header *elf, uint64_t *count)
{
    const struct elf_segment *dynamic = dynamic_segment(elf);
    *count = 0;
    if (!dynamic)
        return 0;
    uint64_t size = dynamic_value(elf, dynamic, ELF_DYNAMIC_RELASZ);
    int64_t offset = file_offset(elf, dynamic_value(elf, dynamic, ELF_DYNAMIC_RELA), size);
    if (size == 0 || offset < 0)
        return 0;
    *count = size / sizeof(struct elf_relocation);
    return (const struct elf_relocation *)((const uint8_t *)elf + offset);
}

static int relocations_are_valid(const struct elf_header *elf, uint64_t size)
{
    const struct elf_segment *dynamic = dynamic_segment(elf);
    if (!dynamic)
        return 1;
    if (dynamic->offset % 8 != 0 || !inside(dynamic->offset, dynamic->file_size, size))
        return 0;
    uint64_t count;
    const struct elf_relocation *relocation = zpp_elf_relocations(elf, &count);
    if (!relocation)
        return dynamic_value(elf, dynamic, ELF_DYNAMIC_RELASZ) == 0;
    if ((uintptr_t)((const uint8_t *)relocation - (const uint8_t *)elf) % 8 != 0)
        return 0;
    for (uint64_t i = 0; i < count; ++i)
        if ((uint32_t)relocation[i].info != ELF_RELOCATION_RELATIVE ||
            relocation[i].offset % 8 != 0 ||
            !inside(relocation[i].offset, 8, zpp_elf_pages(elf) * ZPP_PAGE_SIZE))
            return 0;
    return 1;
}

const struct elf_header *zpp_elf_check(const void *file, uint64_t size)
{
    const struct elf_header *elf = file;
    return header_is_valid(elf, size) && segments_are_valid(elf, size) &&
                   relocations_are_valid(elf, size)
               ? elf
               : 0;
}

uint64_t zpp_elf_pages(const struct elf_header *elf)
{
    const struct elf_segment *segment;
    uint64_t end = 0;
    for (unsigned i = 0; (segment = zpp_elf_segment(elf, i)) != 0; ++i)
        if (segment->type == ELF_SEGMENT_LOAD)
            end = segment->virtual_address + segment->memory_size;
    return (end + ZPP_PAGE_SIZE - 1) / ZPP_PAGE_SIZE;
}
