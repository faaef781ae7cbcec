// loader/elf: good files, and every way a file can be damaged.
#include "elf_file.hpp"
#include "elf_use.hpp"
#include <cstring>
#include <doctest/doctest.h>
#include <fstream>
#include <functional>
#include <iterator>
#include <sanitizer/asan_interface.h>
#include <string>

namespace zpp::test {
namespace {

bool accepted(const std::vector<u8>& bytes) { return use_elf(bytes.data(), bytes.size()); }

std::vector<u8> real_elf()
{
    std::ifstream file(ZPP_HYPERVISOR_ELF, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

TEST_CASE("ELF: a good file")
{
    const TestElf file;
    REQUIRE(accepted(file.bytes()));
    const elf_header* elf = zpp_elf_check(file.bytes().data(), file.bytes().size());
    CHECK(zpp_elf_pages(elf) == TestElf::pages);
    CHECK(zpp_elf_segment(elf, 1)->virtual_address == 0x1000);
    CHECK(zpp_elf_segment(elf, TestElf::segments - 1) != nullptr);
    CHECK(zpp_elf_segment(elf, TestElf::segments) == nullptr);
    CHECK(zpp_elf_segment(elf, ~0u) == nullptr);
    u64 count;
    const elf_relocation* relocations = zpp_elf_relocations(elf, &count);
    REQUIRE(count == TestElf::relocation_targets.size());
    for (u64 i = 0; i < count; ++i)
        CHECK(relocations[i].offset == TestElf::relocation_targets[i]);
}

struct Case {
    const char* name;
    std::function<void(TestElf&)> change;
};

const std::vector<Case> good = {
    {"bytes after the end", [](auto& f) { f.bytes().resize(0x4000); }},
    {"no .dynamic", [](auto& f) { f.segment(TestElf::dynamic_header).p_type = PT_NOTE; }},
    {"no relocations", [](auto& f) { f.dynamic(TestElf::relasz).d_un.d_val = 0; }},
    {"no DT_RELASZ", [](auto& f) { f.dynamic(TestElf::relasz).d_tag = DT_DEBUG; }},
    {"an empty .dynamic", [](auto& f) { f.segment(TestElf::dynamic_header).p_filesz = 0; }},
    {"no entry point", [](auto& f) { f.header().e_entry = 0; }},
    {"a section table that is not there", [](auto& f) { f.header().e_shoff = ~0ull; }},
    {"a segment without bytes in the file",
     [](auto& f) {
         f.segment(TestElf::text).p_filesz = 0;
         f.segment(TestElf::text).p_offset = f.bytes().size();
     }},
    {"segments side by side",
     [](auto& f) { f.segment(TestElf::text).p_memsz = TestElf::data_address - 0x1000; }},
};

const std::vector<Case> bad = {
    {"magic", [](auto& f) { f.header().e_ident[3] = 'G'; }},
    {"32 bits", [](auto& f) { f.header().e_ident[EI_CLASS] = ELFCLASS32; }},
    {"big-endian", [](auto& f) { f.header().e_ident[EI_DATA] = ELFDATA2MSB; }},
    {"ELF version", [](auto& f) { f.header().e_ident[EI_VERSION] = 2; }},
    {"an executable, not a PIE", [](auto& f) { f.header().e_type = ET_EXEC; }},
    {"an object file", [](auto& f) { f.header().e_type = ET_REL; }},
    {"32-bit x86", [](auto& f) { f.header().e_machine = EM_386; }},
    {"program headers of another size", [](auto& f) { f.header().e_phentsize = 32; }},
    {"program headers at an odd place", [](auto& f) { f.header().e_phoff = 65; }},
    {"program headers at the end", [](auto& f) { f.header().e_phoff = f.bytes().size(); }},
    {"program headers past the end", [](auto& f) { f.header().e_phoff = f.bytes().size() + 8; }},
    {"program headers far past the end", [](auto& f) { f.header().e_phoff = ~7ull; }},
    {"too many program headers", [](auto& f) { f.header().e_phnum = 0xffff; }},
    {"no program headers", [](auto& f) { f.header().e_phnum = 0; }},
    {"nothing to load",
     [](auto& f) {
         for (unsigned i = 0; i < TestElf::segments; ++i)
             f.segment(i).p_type = PT_NOTE;
     }},
    {"an entry point past the image", [](auto& f) { f.header().e_entry = 0x7100; }},
    {"an entry point far past the image", [](auto& f) { f.header().e_entry = ~0ull; }},
    {"a segment past the file's end",
     [](auto& f) { f.segment(TestElf::data).p_offset = f.bytes().size() - 0x23f; }},
    {"a segment far past the file's end",
     [](auto& f) { f.segment(TestElf::data).p_offset = ~0ull; }},
    {"offset + size overflows",
     [](auto& f) {
         f.segment(TestElf::data).p_offset = 0x1000;
         f.segment(TestElf::data).p_filesz = f.segment(TestElf::data).p_memsz = ~0ull - 0xfff;
     }},
    {"more in the file than in memory", [](auto& f) { f.segment(TestElf::text).p_memsz = 0x1344; }},
    {"huge in memory", [](auto& f) { f.segment(TestElf::data).p_memsz = 1ull << 40; }},
    {"address + size overflows", [](auto& f) { f.segment(TestElf::data).p_memsz = ~0ull; }},
    {"far away in memory", [](auto& f) { f.segment(TestElf::data).p_vaddr = 1ull << 40; }},
    {"not on a page", [](auto& f) { f.segment(TestElf::data).p_vaddr += 8; }},
    {"on the page before's bytes", [](auto& f) { f.segment(TestElf::text).p_memsz = 0x3001; }},
    {"the same pages twice", [](auto& f) { f.segment(TestElf::data).p_vaddr = 0x1000; }},
    {"not in order",
     [](auto& f) { std::swap(f.segment(TestElf::text), f.segment(TestElf::data)); }},
    {".dynamic at an odd place", [](auto& f) { f.segment(TestElf::dynamic_header).p_offset += 4; }},
    {".dynamic past the end",
     [](auto& f) { f.segment(TestElf::dynamic_header).p_offset = f.bytes().size() - 0x38; }},
    {".dynamic of huge size", [](auto& f) { f.segment(TestElf::dynamic_header).p_filesz = ~0ull; }},
    {"relocations in no segment", [](auto& f) { f.dynamic(TestElf::rela).d_un.d_val = 0x3000; }},
    {"relocations that are not in the file",
     [](auto& f) { f.dynamic(TestElf::rela).d_un.d_val = 0x5000; }},
    {"relocations past their segment",
     [](auto& f) { f.dynamic(TestElf::relasz).d_un.d_val += sizeof(Elf64_Rela); }},
    {"relocations of huge size", [](auto& f) { f.dynamic(TestElf::relasz).d_un.d_val = ~0ull; }},
    {"relocations at an odd place",
     [](auto& f) {
         f.dynamic(TestElf::rela).d_un.d_val += 4;
         f.dynamic(TestElf::relasz).d_un.d_val -= sizeof(Elf64_Rela);
     }},
    {"relocations without DT_RELA", [](auto& f) { f.dynamic(TestElf::rela).d_tag = DT_DEBUG; }},
    {"a relocation with a symbol's value", [](auto& f) { f.relocation(2).r_info = R_X86_64_64; }},
    {"a relocation of another kind", [](auto& f) { f.relocation(6).r_info = R_X86_64_GLOB_DAT; }},
    {"a relocation at an odd place", [](auto& f) { f.relocation(1).r_offset += 4; }},
    {"a relocation past the image",
     [](auto& f) { f.relocation(0).r_offset = TestElf::pages * 4096; }},
    {"a relocation far past the image", [](auto& f) { f.relocation(0).r_offset = ~7ull; }},
};

TEST_CASE("ELF: unusual, and good")
{
    for (const Case& c : good) {
        INFO(std::string(c.name));
        TestElf file;
        c.change(file);
        CHECK(accepted(file.bytes()));
    }
}

TEST_CASE("ELF: refused")
{
    for (const Case& c : bad) {
        INFO(std::string(c.name));
        TestElf file;
        c.change(file);
        CHECK_FALSE(accepted(file.bytes()));
    }
}

// The file is in memory up to `size` and no further.
bool accepted_up_to(const std::vector<u8>& bytes, std::size_t size)
{
    ASAN_POISON_MEMORY_REGION(bytes.data() + size, bytes.size() - size);
    const bool result = use_elf(bytes.data(), size);
    ASAN_UNPOISON_MEMORY_REGION(bytes.data() + size, bytes.size() - size);
    return result;
}

TEST_CASE("ELF: truncated at every length")
{
    const TestElf file;
    for (std::size_t size = 0; size < file.bytes().size(); ++size)
        REQUIRE_FALSE(accepted_up_to(file.bytes(), size));
    CHECK(accepted_up_to(file.bytes(), file.bytes().size()));
}

// Each byte of a range set to values that are near limits or flip one bit. Whether the file is
// still accepted is its own business; it must be read within its bounds.
unsigned damage(std::vector<u8> bytes, std::size_t first, std::size_t count)
{
    unsigned refused = 0;
    for (std::size_t at = first; at < first + count; ++at) {
        const u8 right = bytes[at];
        for (unsigned i = 0; i < 14; ++i) {
            constexpr u8 values[] = {0x00, 0xff, 0x7f, 0x80};
            const u8 wrong = i < 8    ? right ^ (1u << i)
                             : i < 12 ? values[i - 8]
                                      : right + (i == 12 ? 1 : -1);
            bytes[at] = wrong;
            refused += wrong != right && !accepted(bytes);
        }
        bytes[at] = right;
    }
    CHECK(accepted(bytes));
    return refused;
}

TEST_CASE("ELF: every byte of the headers damaged")
{
    const TestElf file;
    CHECK(damage(file.bytes(), 0, sizeof(Elf64_Ehdr) + TestElf::segments * sizeof(Elf64_Phdr)) >
          500);
    CHECK(damage(file.bytes(), TestElf::dynamic_at, 4 * sizeof(Elf64_Dyn)) > 100);
    CHECK(damage(file.bytes(), TestElf::relocations_at,
                 TestElf::relocation_targets.size() * sizeof(Elf64_Rela)) > 100);
}

TEST_CASE("ELF: two fields damaged at once")
{
    const TestElf file;
    constexpr u64 values[] = {0,          1,          8,          0x1000,    0x3240, 0x4000,
                              0x7fffffff, 1ull << 32, 1ull << 63, ~0ull - 7, ~0ull};
    std::vector<std::size_t> fields;
    for (std::size_t at = 24; at < sizeof(Elf64_Ehdr) + TestElf::segments * sizeof(Elf64_Phdr);
         at += 8)
        fields.push_back(at);
    for (std::size_t at = 0; at < 0x40; at += 8)
        fields.push_back(TestElf::dynamic_at + at);
    unsigned refused = 0;
    std::vector<u8> bytes = file.bytes();
    for (const std::size_t a : fields)
        for (const std::size_t b : fields)
            for (const u64 x : values)
                for (const u64 y : values) {
                    std::memcpy(&bytes[a], &x, 8);
                    std::memcpy(&bytes[b], &y, 8);
                    refused += !accepted(bytes);
                    std::memcpy(&bytes[a], &file.bytes()[a], 8);
                    std::memcpy(&bytes[b], &file.bytes()[b], 8);
                }
    CHECK(refused > 10'000);
    CHECK(bytes == file.bytes());
}

TEST_CASE("ELF: the real hypervisor.elf")
{
    const std::vector<u8> bytes = real_elf();
    if (bytes.empty()) {
        MESSAGE("skipped: no hypervisor.elf in this build");
        return;
    }
    REQUIRE(accepted(bytes));
    const elf_header* elf = zpp_elf_check(bytes.data(), bytes.size());
    CHECK(zpp_elf_pages(elf) < 64);
    u64 count;
    CHECK(zpp_elf_relocations(elf, &count) != nullptr);
    // Up to here the file is needed; after it come the names of sections.
    u64 needed = 0;
    const elf_segment* segment;
    for (unsigned i = 0; (segment = zpp_elf_segment(elf, i)) != nullptr; ++i) {
        needed = std::max(needed, segment->offset + segment->file_size);
        CHECK((segment->flags & 3) != 3); // no segment is writable and executable
    }
    for (std::size_t size = 0; size < bytes.size(); ++size)
        REQUIRE(accepted_up_to(bytes, size) == (size >= needed));
    damage(bytes, 0, sizeof(Elf64_Ehdr) + elf->program_header_count * sizeof(Elf64_Phdr));
}

} // namespace
} // namespace zpp::test
