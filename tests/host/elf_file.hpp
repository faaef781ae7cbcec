// A small hypervisor.elf made in the test: the shape of the real one, and each part open to damage.
//
//   page 0     read-only: headers, then the relocations
//   page 1, 2  code
//   page 3     nothing
//   page 4..7  data: .dynamic at its start, the rest of the file part, then zeros
#pragma once
#include "lib/types.hpp"
#include <elf.h> // the C library's
#include <vector>

namespace zpp::test {

class TestElf {
public:
    static constexpr unsigned rodata = 0, text = 1, data = 2, dynamic_header = 3, segments = 4;
    static constexpr unsigned rela = 0, relasz = 1; // in .dynamic
    static constexpr u64 pages = 8, entry = 0x1010;
    static constexpr u64 relocations_at = 0x200, dynamic_at = 0x3000, data_address = 0x4000;

    TestElf()
    {
        bytes_.resize(0x3240);
        for (u64 i = 0; i < bytes_.size(); ++i)
            bytes_[i] = static_cast<u8>(i * 7 + i / 256);
        header() = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                    .e_type = ET_DYN,
                    .e_machine = EM_X86_64,
                    .e_version = EV_CURRENT,
                    .e_entry = entry,
                    .e_phoff = sizeof(Elf64_Ehdr),
                    .e_shoff = 0,
                    .e_flags = 0,
                    .e_ehsize = sizeof(Elf64_Ehdr),
                    .e_phentsize = sizeof(Elf64_Phdr),
                    .e_phnum = segments,
                    .e_shentsize = 0,
                    .e_shnum = 0,
                    .e_shstrndx = 0};
        const u64 relocations_size = relocation_targets.size() * sizeof(Elf64_Rela);
        segment(rodata) = load(PF_R, 0, 0, relocations_at + relocations_size, 0x400);
        segment(text) = load(PF_R | PF_X, 0x1000, 0x1000, 0x1345, 0x1345);
        segment(data) = load(PF_R | PF_W, dynamic_at, data_address, 0x240, 0x3100);
        segment(dynamic_header) = load(PF_R | PF_W, dynamic_at, data_address, 0x40, 0x40);
        segment(dynamic_header).p_type = PT_DYNAMIC;
        dynamic(rela) = {.d_tag = DT_RELA, .d_un = {.d_val = relocations_at}};
        dynamic(relasz) = {.d_tag = DT_RELASZ, .d_un = {.d_val = relocations_size}};
        dynamic(2) = {.d_tag = DT_RELAENT, .d_un = {.d_val = sizeof(Elf64_Rela)}};
        dynamic(3) = {.d_tag = DT_NULL, .d_un = {.d_val = 0}};
        for (unsigned i = 0; i < relocation_targets.size(); ++i)
            relocation(i) = {.r_offset = relocation_targets[i],
                             .r_info = R_X86_64_RELATIVE,
                             .r_addend = static_cast<Elf64_Sxword>(0x1000 + 16 * i)};
    }

    // In the data's file part, at its end, in its zeros, and at the ends of pages.
    static inline const std::vector<u64> relocation_targets{0x4080, 0x4238, 0x4240, 0x4ff8,
                                                            0x5000, 0x70f8, 0x7ff8};

    std::vector<u8>& bytes() { return bytes_; }
    const std::vector<u8>& bytes() const { return bytes_; }
    Elf64_Ehdr& header() { return at<Elf64_Ehdr>(0); }
    Elf64_Phdr& segment(unsigned i)
    {
        return at<Elf64_Phdr>(sizeof(Elf64_Ehdr) + i * sizeof(Elf64_Phdr));
    }
    Elf64_Dyn& dynamic(unsigned i) { return at<Elf64_Dyn>(dynamic_at + i * sizeof(Elf64_Dyn)); }
    Elf64_Rela& relocation(unsigned i)
    {
        return at<Elf64_Rela>(relocations_at + i * sizeof(Elf64_Rela));
    }

private:
    static Elf64_Phdr load(u32 flags, u64 offset, u64 address, u64 file_size, u64 memory_size)
    {
        return {.p_type = PT_LOAD,
                .p_flags = flags,
                .p_offset = offset,
                .p_vaddr = address,
                .p_paddr = address,
                .p_filesz = file_size,
                .p_memsz = memory_size,
                .p_align = 4096};
    }
    template <class T> T& at(u64 offset) { return *reinterpret_cast<T*>(&bytes_[offset]); }

    std::vector<u8> bytes_;
};

} // namespace zpp::test
