// Any control registers and any tables: the walk ends, reads entries only where some can be, and
// leads to an address that the format can give.
#include "corpus.hpp"
#include "guest/page_walk.hpp"
#include <cstdlib>
#include <cstring>

namespace {

using namespace zpp;

void require(bool condition)
{
    if (!condition)
        std::abort();
}

struct Input {
    GuestPaging paging;
    u64 linear;
    u64 entries[5]; // in the order of the walk
};

struct Tables {
    const Input& input;
    unsigned left; // entries that the input has
    unsigned reads = 0;
};

unsigned levels(const GuestPaging& paging)
{
    if (!has(paging.cr0, x86::Cr0::pg))
        return 0;
    if (has(paging.efer, x86::Efer::lma))
        return has(paging.cr4, x86::Cr4::la57) ? 5 : 4;
    return has(paging.cr4, x86::Cr4::pae) ? 3 : 2;
}

std::optional<u64> read(void* context, Gpa address, unsigned size)
{
    auto& tables = *static_cast<Tables*>(context);
    const unsigned all = levels(tables.input.paging);
    require(tables.reads < all);
    require(size == (all == 2 ? 4 : 8) && address.value % size == 0);
    require(address.value >> (all == 2 || (all == 3 && tables.reads == 0) ? 32 : 52) == 0);
    if (tables.reads == tables.left)
        return std::nullopt;
    const u64 entry = tables.input.entries[tables.reads++];
    return size == 4 ? static_cast<u32>(entry) : entry;
}

constexpr Input good{
    {x86::Cr0::pg | x86::Cr0::pe, 0x1000, x86::Cr4::pae, x86::Efer::lma | x86::Efer::lme},
    0xffff'8123'4567'89ab,
    {0x2003, 0x3003, 0x4003, 0x8003, 0}};

} // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv)
{
    zpp::test::write_seed(*argc, *argv, &good, sizeof good);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    constexpr size_t fixed = offsetof(Input, entries);
    if (size < fixed || size > sizeof(Input))
        return 0;
    Input input{};
    std::memcpy(&input, data, size);
    Tables tables{input, static_cast<unsigned>((size - fixed) / sizeof(u64))};
    const auto found = walk(input.paging, {input.linear}, read, &tables);
    if (!found)
        return 0;
    const unsigned all = levels(input.paging);
    require((tables.reads == 0) == (all == 0));
    require(found->value % page_size == input.linear % page_size);
    require(found->value >> (all == 0 ? 32 : all == 2 ? 40 : 52) == 0);
    for (unsigned i = 0; i < tables.reads; ++i)
        require((input.entries[i] & 1) != 0);
    return 0;
}
