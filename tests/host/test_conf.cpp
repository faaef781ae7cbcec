// ZppBoot's reader of zpp.conf (uefi/ZppPkg/ZppBoot/Conf.c).
#include <doctest/doctest.h>
#include <memory>
#include <optional>
#include <string>
#include <vector>

extern "C" {
#include "Conf.h"
}

namespace zpp::test {
namespace {

std::optional<std::string> text(const ZPP_TEXT& t)
{
    return t.Start != nullptr ? std::optional(std::string(t.Start, t.Length)) : std::nullopt;
}

// The bytes alone, without a terminating zero.
struct Exact {
    explicit Exact(const std::string& conf) : bytes(new char[conf.size()])
    {
        conf.copy(bytes.get(), conf.size());
    }
    std::unique_ptr<char[]> bytes;
};

struct Parsed {
    bool hypervisor, visible, check, save_log;
    unsigned reset_after;
    unsigned trace;
    unsigned menu_timeout, boot_tries;
    std::optional<std::string> driver, default_entry;
    std::optional<unsigned> serial;
    std::vector<std::string> faults; // "line: message what"
};

Parsed parse(const std::string& conf)
{
    Parsed parsed{};
    ZPP_CONF result;
    const auto report = [](void* context, unsigned line, const char* message, ZPP_TEXT what) {
        static_cast<Parsed*>(context)->faults.push_back(std::to_string(line) + ": " + message +
                                                        " " + std::string(what.Start, what.Length));
    };
    const Exact exact(conf);
    ZppConfParse(exact.bytes.get(), conf.size(), &result, report, &parsed);
    parsed.hypervisor = result.Hypervisor;
    parsed.visible = result.Visible;
    parsed.check = result.Check;
    parsed.reset_after = result.ResetAfter;
    parsed.trace = result.Trace;
    parsed.menu_timeout = result.MenuTimeout;
    parsed.boot_tries = result.BootTries;
    parsed.save_log = result.SaveLog;
    parsed.driver = text(result.Driver);
    parsed.default_entry = text(result.Default);
    if (result.HasSerial)
        parsed.serial = result.Serial;
    return parsed;
}

struct Entry {
    std::optional<std::string> path, initrd, command_line;
    bool operator==(const Entry&) const = default;
};

struct Found {
    std::string name;
    std::optional<Entry> entry;
};

// The first section of a name.
std::optional<Entry> find(const std::string& conf, const std::string& name)
{
    const Exact exact(conf);
    Found found{name, {}};
    const auto visit = [](void* context, ZPP_TEXT section, const ZPP_CONF_ENTRY* entry) {
        auto& wanted = *static_cast<Found*>(context);
        if (!wanted.entry && text(section) == wanted.name)
            wanted.entry = Entry{text(entry->Path), text(entry->Initrd), text(entry->CommandLine)};
    };
    ZppConfVisit(exact.bytes.get(), conf.size(), visit, &found);
    return found.entry;
}

const std::string whole = "# written by hand\n"
                          "\n"
                          "hypervisor = on\n"
                          "driver = \\EFI\\zpp\\ZppDxe.efi\n"
                          "check = on\n"
                          "serial = 0x3f8\n"
                          "visible = on\n"
                          "reset-after = 60\n"
                          "trace = 0xe9\n"
                          "menu-timeout = 5\n"
                          "boot-tries = 7\n"
                          "save-log = off\n"
                          "default = linux\n"
                          "\n"
                          "[linux]\n"
                          "path = \\EFI\\zpp\\kernel.efi\n"
                          "initrd = \\EFI\\zpp\\initrd.img\n"
                          "cmdline = console=ttyS0 quiet # not a comment\n"
                          "[shell]\n"
                          "path = \\shell.efi\n";

TEST_CASE("zpp.conf: a whole file, with LF and with CR LF")
{
    std::string crlf;
    for (const char c : whole)
        crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);
    for (const std::string& conf : {whole, crlf, whole.substr(0, whole.size() - 1)}) {
        const Parsed parsed = parse(conf);
        CHECK(parsed.faults == std::vector<std::string>{});
        CHECK(parsed.hypervisor);
        CHECK(parsed.driver == "\\EFI\\zpp\\ZppDxe.efi");
        CHECK(parsed.serial == 0x3f8);
        CHECK_FALSE(parsed.save_log);
        CHECK(parsed.visible);
        CHECK(parsed.check);
        CHECK(parsed.reset_after == 60);
        CHECK(parsed.trace == 0xe9);
        CHECK(parsed.menu_timeout == 5);
        CHECK(parsed.boot_tries == 7);
        CHECK(parsed.default_entry == "linux");
        CHECK(find(conf, "linux") == Entry{"\\EFI\\zpp\\kernel.efi", "\\EFI\\zpp\\initrd.img",
                                           "console=ttyS0 quiet # not a comment"});
        CHECK(find(conf, "shell") == Entry{"\\shell.efi", std::nullopt, std::nullopt});
        CHECK(find(conf, "Linux") == std::nullopt);
        CHECK(find(conf, "lin") == std::nullopt);
        CHECK(find(conf, "linux2") == std::nullopt);
    }
}

TEST_CASE("zpp.conf: an empty file gives the defaults")
{
    for (const char* conf : {"", "\n", "\r\n", "# nothing\n", "   \n\t\n"}) {
        const Parsed parsed = parse(conf);
        CHECK(parsed.hypervisor);
        CHECK(parsed.driver == std::nullopt);
        CHECK(parsed.serial == std::nullopt);
        CHECK_FALSE(parsed.visible);
        CHECK_FALSE(parsed.check);
        CHECK(parsed.reset_after == 10);
        CHECK(parsed.trace == 0);
        CHECK(parsed.menu_timeout == 0);
        CHECK(parsed.boot_tries == 3);
        CHECK(parsed.default_entry == std::nullopt);
        CHECK(parsed.faults.empty());
    }
}

TEST_CASE("zpp.conf: spaces are dropped around keys and values, kept inside")
{
    CHECK(parse("  driver\t=  a b  \t\n").driver == "a b");
    CHECK(parse("driver=a=b").driver == "a=b");
    CHECK(find(" [ my linux ]\npath=p", "my linux") == Entry{"p", std::nullopt, std::nullopt});
    CHECK(find("[l]\npath=p\ncmdline =\n", "l") == Entry{"p", std::nullopt, ""});
    CHECK(find("[l]\npath=p\ncmdline=\"a  b\"\n", "l") == Entry{"p", std::nullopt, "\"a  b\""});
}

TEST_CASE("zpp.conf: ports")
{
    struct {
        const char* value;
        std::optional<unsigned> port;
    } const cases[] = {
        {"0", 0u},           {"0x3f8", 0x3f8u},   {"0X2F8", 0x2f8u},   {"1016", 1016u},
        {"65528", 65528u},   {"0xFFF8", 0xfff8u}, {"00", 0u},          {"65529", {}},
        {"0x10000", {}},     {"0x", {}},          {"x", {}},           {"", {}},
        {"3f8", {}},         {"-1", {}},          {"0x3f8 0x2f8", {}}, {"99999999999999999999", {}},
        {"0x100000000", {}}, {"4294967296", {}},
    };
    for (const auto& c : cases) {
        INFO(std::string(c.value));
        const Parsed parsed = parse(std::string("serial = ") + c.value + "\n");
        CHECK(parsed.serial == c.port);
        CHECK(parsed.faults.empty() == c.port.has_value());
    }
}

TEST_CASE("zpp.conf: faults are told with their line, and have no effect")
{
    struct {
        const char* conf;
        std::vector<std::string> faults;
    } const cases[] = {
        {"hypervisor = off\nhypervisor = on\n", {"2: duplicate key: hypervisor"}},
        {"check = 1\n", {"1: check must be on or off, not 1"}},
        {"visible = yes\n", {"1: visible must be on or off, not yes"}},
        {"reset-after = 3600\nreset-after = 0\n", {"2: duplicate key: reset-after"}},
        {"reset-after = 3601\n",
         {"1: reset-after must be a number of seconds up to 3600, or 0 for no reset, not 3601"}},
        {"save-log = crash\n", {"1: save-log must be on or off, not crash"}},
        {"trace = port\n",
         {"1: trace must be the I/O port of a debug port such as 0xe9, or 0 for none, not port"}},
        {"menu-timeout = 3601\n",
         {"1: menu-timeout must be a number of seconds up to 3600, or 0 for no menu, not 3601"}},
        {"boot-tries = 101\n",
         {"1: boot-tries must be a number up to 100, or 0 for no limit, not 101"}},
        {"boot-tries = -1\n",
         {"1: boot-tries must be a number up to 100, or 0 for no limit, not -1"}},
        {"reset-after = never\n",
         {"1: reset-after must be a number of seconds up to 3600, or 0 for no reset, not never"}},
        {"\nhypervisor = yes\n", {"2: hypervisor must be on or off, not yes"}},
        {"hypervisor = ON\n", {"1: hypervisor must be on or off, not ON"}},
        {"hypervisor =\n", {"1: hypervisor must be on or off, not hypervisor"}},
        {"Driver = x\n", {"1: unknown key: Driver"}},
        {"path = x\n", {"1: unknown key: path"}},
        {"= x\n", {"1: unknown key: "}},
        {"driver\n", {"1: a line must be key = value, not driver"}},
        {"driver =\n", {"1: missing value for key driver"}},
        {"[l]\npath = p\ndriver = x\n", {"3: unknown key in a section: driver"}},
        {"[l]\n\npath = p\npath = q\n", {"4: duplicate key: path"}},
        {"\n[l]\ncmdline = x\n\n", {"2: this section has no path: l"}},
        {"[a]\n[b]\npath = p\n", {"1: this section has no path: a"}},
        {"[l\npath = p\n", {"1: a section must be [name], not [l"}},
        {"[]\npath = p\n", {"1: a section must be [name], not []"}},
        {"driver = \xc3\xa4\n", {"1: only ASCII text is allowed here "}},
        {"serial = 0x\n\r\nfoo = 1\r\n",
         {"1: serial must be an I/O port such as 0x3f8, or 0 for none, not 0x",
          "3: unknown key: foo"}},
    };
    for (const auto& c : cases) {
        INFO(std::string(c.conf));
        CHECK(parse(c.conf).faults == c.faults);
    }
    CHECK_FALSE(parse("hypervisor = off\nhypervisor = on\n").hypervisor);
    CHECK(parse("hypervisor = yes\n").hypervisor);
    CHECK(parse("driver = \xc3\xa4\ndriver = b\n").driver == "b");
}

TEST_CASE("zpp.conf: a zero byte is no text")
{
    const std::string conf("driver = a\0b\nserial = 0\n", 24);
    const Parsed parsed = parse(conf);
    CHECK(parsed.driver == std::nullopt);
    CHECK(parsed.serial == 0u);
    CHECK(parsed.faults == std::vector<std::string>{"1: only ASCII text is allowed here "});
}

TEST_CASE("zpp.conf: a section without a path is none")
{
    CHECK(find("[l]\ninitrd = i\n", "l") == std::nullopt);
    CHECK(find("[l]\npath =\n", "l") == std::nullopt);
    CHECK(find("path = p\n", "l") == std::nullopt);
}

TEST_CASE("zpp.conf: the sections come in their order, those without a path or a name do not")
{
    const std::string conf = "[b]\npath=1\n[x]\n[a]\npath=2\n[\npath=3\n[b]\npath=4\n";
    std::string names;
    const auto visit = [](void* context, ZPP_TEXT section, const ZPP_CONF_ENTRY* entry) {
        *static_cast<std::string*>(context) += *text(section) + *text(entry->Path) + " ";
    };
    const Exact exact(conf);
    ZppConfVisit(exact.bytes.get(), conf.size(), visit, &names);
    CHECK(names == "b1 a2 b4 ");
}

TEST_CASE("zpp.conf: truncated anywhere it stays within the text")
{
    for (std::size_t size = 0; size <= whole.size(); ++size) {
        const Parsed parsed = parse(whole.substr(0, size));
        CHECK(parsed.faults.size() <= 2);
        (void)find(whole.substr(0, size), "linux");
    }
}

} // namespace
} // namespace zpp::test
