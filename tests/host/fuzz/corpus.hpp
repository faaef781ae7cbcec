// The first file of a fuzzer's corpus.
#pragma once
#include <cstddef>
#include <fstream>
#include <string>

namespace zpp::test {

// From LLVMFuzzerInitialize(): the last argument is the corpus.
inline void write_seed(int argc, char** argv, const void* data, std::size_t size)
{
    std::ofstream file(std::string(argv[argc - 1]) + "/seed", std::ios::binary);
    file.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
}

} // namespace zpp::test
