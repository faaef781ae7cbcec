// ZppBoot's reader of loader entries (uefi/ZppPkg/ZppBoot/Bls.c, BlsOrder.c, Uki.c).
#include <algorithm>
#include <cstring>
#include <doctest/doctest.h>
#include <optional>
#include <string>
#include <vector>

extern "C" {
#include "Bls.h"
#include "Uki.h"
}

namespace zpp::test {
namespace {

using Strings = std::vector<std::string>;

ZPP_TEXT piece(const std::string& text) { return {text.data(), text.size()}; }

std::optional<std::string> text(const ZPP_TEXT& t)
{
    return t.Start != nullptr ? std::optional(std::string(t.Start, t.Length)) : std::nullopt;
}

Strings values(const std::string& entry, const char* key)
{
    Strings found;
    ZPP_TEXT rest = piece(entry), value;
    while (ZppBlsNext(&rest, key, &value))
        found.push_back(*text(value));
    return found;
}

TEST_CASE("loader entries: a complete one, with LF and CR LF")
{
    const std::string lf = "# a comment\n"
                           "title\t Fedora 19 (Rawhide) \n"
                           "sort-key   fedora\n"
                           "machine-id 6a9857a393724b7a981ebb5b8495b9ea\n"
                           "version    3.8.0-2.fc19.x86_64\n"
                           "options    root=UUID=6d33 quiet\n"
                           "architecture X64\n"
                           "grub_users $grub_users\n"
                           "linux      /6a98/linux\n"
                           "initrd     /ucode.img\n"
                           "options    rw\n"
                           "initrd     /6a98/initrd\n";
    std::string crlf;
    for (const char c : lf)
        crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);
    for (const std::string& entry : {lf, crlf, lf.substr(0, lf.size() - 1)}) {
        ZPP_BLS bls;
        CHECK(ZppBlsParse(piece(entry), &bls) == ZppBlsValid);
        CHECK(text(bls.Title) == "Fedora 19 (Rawhide)");
        CHECK(text(bls.SortKey) == "fedora");
        CHECK(text(bls.MachineId) == "6a9857a393724b7a981ebb5b8495b9ea");
        CHECK(text(bls.Version) == "3.8.0-2.fc19.x86_64");
        CHECK(text(bls.Program) == "/6a98/linux");
        CHECK(values(entry, "initrd") == Strings{"/ucode.img", "/6a98/initrd"});
        CHECK(values(entry, "options") == Strings{"root=UUID=6d33 quiet", "rw"});
    }
}

TEST_CASE("loader entries: which can be used")
{
    struct {
        const char* entry;
        ZPP_BLS_RESULT result;
    } const cases[] = {
        {"efi /shell.efi", ZppBlsValid},
        {"uki /EFI/Linux/a.efi", ZppBlsValid},
        {"title a", ZppBlsNoProgram},
        {"linux", ZppBlsNoProgram},
        {"linux ", ZppBlsNoProgram},
        {"", ZppBlsNoProgram},
        {"#linux /a", ZppBlsNoProgram},
        {"linuxen /a", ZppBlsNoProgram},
        {"architecture aa64\nlinux /a", ZppBlsOtherMachine},
        {"architecture ia32", ZppBlsOtherMachine},
        {"\0linux /a", ZppBlsNoProgram},
    };
    for (const auto& c : cases) {
        INFO(std::string(c.entry));
        ZPP_BLS bls;
        CHECK(ZppBlsParse(piece(c.entry), &bls) == c.result);
    }
}

TEST_CASE("loader entries: counters in file names")
{
    struct {
        const char* name;
        std::optional<Strings> parts; // stem, "LEFT-DONE" or "", the name after a try or ""
    } const cases[] = {
        {"a.conf", Strings{"a", "", ""}},
        {"a+3.conf", Strings{"a", "3-0", "a+2-1.conf"}},
        {"a+3-0.conf", Strings{"a", "3-0", "a+2-1.conf"}},
        {"a+2-1.CONF", Strings{"a", "2-1", "a+1-2.CONF"}},
        {"a+10-9.conf", Strings{"a", "10-9", "a+9-10.conf"}},
        {"a+1-2.conf", Strings{"a", "1-2", "a+0-3.conf"}},
        {"a+0-3.conf", Strings{"a", "0-3", ""}},
        {"6.1.0-18+2.conf", Strings{"6.1.0-18", "2-0", "6.1.0-18+1-1.conf"}},
        {"a+1-4294967295.conf", Strings{"a", "1-4294967295", "a+0-4294967295.conf"}},
        {"a-3.conf", Strings{"a-3", "", ""}},
        {"a+.conf", Strings{"a+", "", ""}},
        {"a+3-.conf", Strings{"a+3-", "", ""}},
        {"a+x-1.conf", Strings{"a+x-1", "", ""}},
        {"a+3-1x.conf", Strings{"a+3-1x", "", ""}},
        {"+3.conf", Strings{"+3", "", ""}},
        {"a+4294967296.conf", Strings{"a+4294967296", "", ""}},
        {"a.conf.bak", {}},
        {".conf", {}},
        {"conf", {}},
        {"", {}},
    };
    for (const auto& c : cases) {
        INFO(std::string(c.name));
        const std::string file = c.name;
        ZPP_BLS_NAME name;
        REQUIRE(ZppBlsSplitName(piece(file), ".conf", &name) == c.parts.has_value());
        if (!c.parts)
            continue;
        const std::string counter =
            name.Counted ? std::to_string(name.Left) + "-" + std::to_string(name.Done) : "";
        std::vector<char> next(file.size() + ZPP_BLS_COUNTER_MAX);
        if (name.Counted && name.Left != 0)
            ZppBlsNextName(&name, next.data());
        CHECK(Strings{*text(name.Stem), counter, next.data()} == *c.parts);
    }
}

int sign(int number) { return (number > 0) - (number < 0); }

TEST_CASE("loader entries: versions are compared as UAPI.10 says")
{
    struct {
        const char *a, *b;
        int sign;
    } const cases[] = {
        {"11", "11", 0},
        {"systemd-123", "systemd-123", 0},
        {"bar-123", "foo-123", -1},
        {"123a", "123", 1},
        {"123.a", "123", 1},
        {"123.a", "123.b", -1},
        {"123a", "123.a", 1},
        {"11\xce\xb1", "11\xce\xb2", 0},
        {"A", "a", -1},
        {"", "0", -1},
        {"0.", "0", 1},
        {"0.0", "0", 1},
        {"0", "~", 1},
        {"", "~", 1},
        {"1_", "1", 0},
        {"_1", "1", 0},
        {"1_", "1.2", -1},
        {"1_2_3", "1.3.3", 1},
        {"1+", "1", 0},
        {"1+2+3", "1.3.3", 1},
        {"1~rc1", "1", -1},
        {"1~rc1", "1~rc2", -1},
        {"1^post", "1", 1},
        {"1^", "1.1", 1},
        {"1-2", "1.2", -1},
        {"6.10", "6.9", 1},
        {"6.1.0-18-amd64", "6.1.0-9-amd64", 1},
        {"007", "7", 0},
        {"00", "0", 0},
        {"18446744073709551617", "2", 1},
        {"ab", "abc", -1},
    };
    for (const auto& c : cases) {
        INFO(std::string(c.a), " and ", std::string(c.b));
        CHECK(sign(ZppVersionCompare(piece(c.a), piece(c.b))) == c.sign);
        CHECK(sign(ZppVersionCompare(piece(c.b), piece(c.a))) == -c.sign);
    }
}

struct Ranked {
    std::string file, sort_key, machine_id, version;
};

TEST_CASE("loader entries: the order of the menu")
{
    // As section "Sorting" of UAPI.1 wants it.
    const std::vector<Ranked> wanted = {
        {"x.conf", "arch", "1", "1"},
        {"d.conf", "debian", "", "9"},
        {"b.conf", "debian", "1", "6.10"},
        {"a.conf", "debian", "1", "6.9"},
        {"e.conf", "debian", "1", "6.9~rc1"},
        {"new+3-0.conf", "debian", "2", "7"},
        {"same-2.conf", "debian", "3", "7"},
        {"same-1.conf", "debian", "3", "7"},
        {"k-10.conf", "", "", ""},
        {"k-9.conf", "", "9", "99"},
        {"bad-2+0-1.conf", "arch", "1", "9"},
        {"bad+0-3.conf", "", "", "100"},
        {"bad+0-4.conf", "", "", "100"},
    };
    std::vector<ZPP_BLS_RANK> ranks;
    for (const Ranked& entry : wanted) {
        ZPP_BLS_RANK rank{piece(entry.sort_key), piece(entry.machine_id), piece(entry.version), {}};
        REQUIRE(ZppBlsSplitName(piece(entry.file), ".conf", &rank.Name));
        ranks.push_back(rank);
    }
    for (std::size_t i = 0; i < ranks.size(); ++i)
        for (std::size_t j = 0; j < ranks.size(); ++j) {
            INFO(wanted[i].file, " and ", wanted[j].file);
            CHECK(sign(ZppBlsCompare(&ranks[i], &ranks[j])) ==
                  sign(static_cast<int>(i) - static_cast<int>(j)));
        }
}

// A PE file with headers alone; sections of a name, a size in memory and one in the file.
struct Section {
    const char* name;
    uint32_t size, raw_size, offset;
};

std::vector<uint8_t> make_pe(const std::vector<Section>& sections, uint16_t machine = 0x8664)
{
    constexpr std::size_t pe = 0x80, optional = 0xf0;
    std::vector<uint8_t> file(pe + 24 + optional + sections.size() * 40);
    const auto put = [&](std::size_t place, uint32_t value, int bytes) {
        for (int i = 0; i < bytes; ++i)
            file[place + i] = static_cast<uint8_t>(value >> (8 * i));
    };
    file[0] = 'M', file[1] = 'Z';
    put(0x3c, pe, 4);
    put(pe, 0x4550, 4);
    put(pe + 4, machine, 2);
    put(pe + 6, static_cast<uint32_t>(sections.size()), 2);
    put(pe + 20, optional, 2);
    std::size_t place = pe + 24 + optional;
    for (const Section& section : sections) {
        std::memcpy(&file[place], section.name,
                    std::min<std::size_t>(8, std::strlen(section.name)));
        put(place + 8, section.size, 4);
        put(place + 16, section.raw_size, 4);
        put(place + 20, section.offset, 4);
        place += 40;
    }
    return file;
}

TEST_CASE("loader entries: the os-release of a unified kernel image")
{
    const std::vector<Section> sections = {
        {".text", 5, 512, 1024}, {".osrel", 100, 512, 4096}, {".linux", 9, 9, 9}};
    const std::vector<uint8_t> uki = make_pe(sections);
    uint32_t offset = 0, length = 0;
    REQUIRE(ZppUkiFindOsRelease(uki.data(), uki.size(), &offset, &length));
    CHECK(offset == 4096);
    CHECK(length == 100); // without the padding
    const std::vector<uint8_t> others[] = {make_pe({{".text", 5, 512, 1024}}),
                                           make_pe({{".osrel2", 5, 5, 5}}),
                                           make_pe({{".osrel", 0, 512, 4096}}),
                                           make_pe(sections, 0xaa64),
                                           {}};
    for (const auto& other : others)
        CHECK_FALSE(ZppUkiFindOsRelease(other.data(), other.size(), &offset, &length));
    for (std::size_t size = 0; size < uki.size(); ++size) { // the second section ends 40 before
        const std::vector<uint8_t> cut(uki.begin(), uki.begin() + static_cast<long>(size));
        CHECK(ZppUkiFindOsRelease(cut.data(), size, &offset, &length) == (size + 40 >= uki.size()));
    }
    for (std::size_t i = 0; i < uki.size(); ++i) { // no byte leads outside
        std::vector<uint8_t> broken = uki;
        broken[i] = 0xff;
        (void)ZppUkiFindOsRelease(broken.data(), broken.size(), &offset, &length);
    }
}

TEST_CASE("loader entries: which fields of os-release describe an image")
{
    struct {
        std::string text;
        std::optional<std::string> title, version, sort_key;
    } const cases[] = {
        {"NAME=\"Debian GNU/Linux\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n"
         "VERSION_ID='12'\nVERSION=\"12 (bookworm)\"\n",
         "Debian GNU/Linux 12", "12 (bookworm)", "debian"},
        {"IMAGE_ID=appliance\nIMAGE_VERSION=33\nID=fedora\nVERSION_ID=40", "appliance", "33",
         "appliance"},
        {"ID=arch\nBUILD_ID=rolling\n", "arch", "rolling", "arch"},
        {"NAME=\nID=a\nPRETTY_NAMES=b\n", "a", {}, "a"},
        {"# ID=a\n", {}, {}, {}},
        {std::string("NAME=a\nID=b\0\0\0", 14), "a", {}, "b"},
        {"NAME=\"", "\"", {}, {}},
        {"", {}, {}, {}},
    };
    for (const auto& c : cases) {
        INFO(c.text);
        ZPP_OS_RELEASE found;
        ZppOsReleaseParse(piece(c.text), &found);
        CHECK(text(found.Title) == c.title);
        CHECK(text(found.Version) == c.version);
        CHECK(text(found.SortKey) == c.sort_key);
    }
}

} // namespace
} // namespace zpp::test
