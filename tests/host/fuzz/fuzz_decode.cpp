// Any bytes as an instruction: what is decoded lies within them, and depends on nothing else.
#include "corpus.hpp"
#include "guest/decode.hpp"
#include <algorithm>
#include <cstdlib>
#include <memory>

namespace {

using namespace zpp;

void require(bool condition)
{
    if (!condition)
        std::abort();
}

bool same(const std::optional<Store>& one, const std::optional<Store>& other)
{
    return one.has_value() == other.has_value() &&
           (!one || (one->length == other->length && one->from_register == other->from_register &&
                     one->exchange == other->exchange && one->source == other->source &&
                     one->immediate == other->immediate));
}

void check_store(const u8* bytes, unsigned count, CodeSize size)
{
    const auto store = decode_store(bytes, count, size);
    if (!store)
        return;
    require(store->length >= 2 && store->length <= count &&
            store->length <= max_instruction_length);
    require(store->source < (size == CodeSize::bits64 ? 16 : 8));
    require(store->from_register || !store->exchange);
    require(same(store, decode_store(bytes, store->length, size)));
    require(!decode_store(bytes, store->length - 1, size));
    require(decode_length(bytes, count, size) == 0 && !decode_mov_to_cr(bytes, count, size));
}

void check_length(const u8* bytes, unsigned count, CodeSize size)
{
    const unsigned length = decode_length(bytes, count, size);
    if (length == 0)
        return;
    require(length >= 2 && length <= count && length <= max_instruction_length);
    require(decode_length(bytes, length, size) == length);
    require(decode_length(bytes, length - 1, size) == 0);
    require(!decode_mov_to_cr(bytes, count, size));
}

constexpr u8 good[] = {2, 0x65, 0x67, 0x44, 0x89, 0x8c, 0x25, 0x00, 0x03, 0xe0, 0xfe};

} // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv)
{
    zpp::test::write_seed(*argc, *argv, good, sizeof good);
    return 0;
}

// The first byte gives the size of the code.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    if (size == 0 || size > 65)
        return 0;
    const auto count = static_cast<unsigned>(size - 1);
    const std::unique_ptr<u8[]> bytes(new u8[count]);
    std::copy(data + 1, data + size, bytes.get());
    const auto code = static_cast<CodeSize>(data[0] % 3);
    check_store(bytes.get(), count, code);
    check_length(bytes.get(), count, code);
    return 0;
}
