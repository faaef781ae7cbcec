// Any bytes as a loader entry, its file name, a version, a UKI and its os-release: what is read lies
// within the bytes, and comparing is symmetric.
#include "corpus.hpp"
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

extern "C" {
#include "Bls.h"
#include "Uki.h"
}

namespace {

void require(bool condition)
{
    if (!condition)
        std::abort();
}

struct Bytes {
    const char* start;
    size_t size;

    void check_inside(const ZPP_TEXT& piece) const
    {
        if (piece.Start == nullptr)
            return;
        require(piece.Start >= start && piece.Start <= start + size &&
                piece.Length <= static_cast<size_t>(start + size - piece.Start));
    }
};

int sign(int number) { return (number > 0) - (number < 0); }

void check_text(const Bytes& bytes, ZPP_TEXT text)
{
    ZPP_BLS entry;
    (void)ZppBlsParse(text, &entry);
    for (const ZPP_TEXT& value :
         {entry.Title, entry.Version, entry.MachineId, entry.SortKey, entry.Program})
        bytes.check_inside(value);
    ZPP_TEXT rest = text, value;
    while (ZppBlsNext(&rest, "options", &value))
        bytes.check_inside(value);
    ZPP_OS_RELEASE os_release;
    ZppOsReleaseParse(text, &os_release);
    for (const ZPP_TEXT& field : {os_release.Title, os_release.Version, os_release.SortKey})
        bytes.check_inside(field);
    std::vector<uint16_t> wide(text.Length + 1);
    require(ZppTextToUtf16(text, wide.data()) <= text.Length);
}

void check_names(const Bytes& bytes, ZPP_TEXT first, ZPP_TEXT second)
{
    require(sign(ZppVersionCompare(first, second)) == -sign(ZppVersionCompare(second, first)));
    (void)ZppTextMatches(first, second);
    ZPP_BLS_NAME name;
    if (!ZppBlsSplitName(first, ".conf", &name))
        return;
    bytes.check_inside(name.Stem);
    require(name.Stem.Length != 0 && name.Suffix.Length == 5);
    // a name has no zero byte
    if (name.Counted && name.Left != 0 && std::memchr(first.Start, 0, first.Length) == nullptr) {
        std::vector<char> next(name.Stem.Length + name.Suffix.Length + ZPP_BLS_COUNTER_MAX);
        ZppBlsNextName(&name, next.data());
        ZPP_BLS_NAME again;
        require(
            ZppBlsSplitName({next.data(), std::string_view(next.data()).size()}, ".conf", &again));
        require(again.Counted && again.Left == name.Left - 1);
    }
}

constexpr std::string_view good = "title Linux\n"
                                  "sort-key linux\n"
                                  "version 6.1~rc1\n"
                                  "linux /vmlinuz\n"
                                  "initrd /a\n"
                                  "options root=/dev/sda1\n"
                                  "options quiet\n"
                                  "PRETTY_NAME=\"Linux 6.1\"\n"
                                  "linux+3-1.conf";

} // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv)
{
    zpp::test::write_seed(*argc, *argv, good.data(), good.size());
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    const Bytes bytes{reinterpret_cast<const char*>(data), size};
    check_text(bytes, {bytes.start, size});
    const size_t middle = size / 2;
    check_names(bytes, {bytes.start + middle, size - middle}, {bytes.start, middle});
    uint32_t offset, length;
    if (ZppUkiFindOsRelease(data, size, &offset, &length))
        require(length != 0);
    return 0;
}
