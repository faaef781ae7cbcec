// Any bytes as hypervisor.elf. The corpus starts with a good file.
#include "corpus.hpp"
#include "elf_file.hpp"
#include "elf_use.hpp"
#include <algorithm>
#include <memory>

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv)
{
    const zpp::test::TestElf good;
    zpp::test::write_seed(*argc, *argv, good.bytes().data(), good.bytes().size());
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    // A loader's file is aligned, and ends where it ends.
    const std::unique_ptr<uint8_t[]> file(new uint8_t[size]);
    std::copy(data, data + size, file.get());
    zpp::test::use_elf(file.get(), size);
    return 0;
}
