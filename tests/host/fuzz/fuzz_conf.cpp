// Any bytes as zpp.conf: what is read lies within the text and is trimmed, lines are in order.
#include "corpus.hpp"
#include <cstdlib>
#include <string_view>

extern "C" {
#include "Conf.h"
}

namespace {

void require(bool condition)
{
    if (!condition)
        std::abort();
}

struct Text {
    const char *start, *end;
    unsigned faults = 0;

    void check_inside(const ZPP_TEXT& piece) const
    {
        require(piece.Start != nullptr && piece.Start >= start && piece.Start <= end &&
                piece.Length <= static_cast<size_t>(end - piece.Start));
    }

    void check_value(const ZPP_TEXT& value) const
    {
        if (value.Start == nullptr)
            return;
        check_inside(value);
        for (size_t i = 0; i < value.Length; ++i)
            require((value.Start[i] >= ' ' && value.Start[i] <= '~') || value.Start[i] == '\t');
        if (value.Length != 0)
            require(value.Start[0] != ' ' && value.Start[value.Length - 1] != ' ');
    }
};

void report(void* context, unsigned line, const char* message, ZPP_TEXT what)
{
    auto& text = *static_cast<Text*>(context);
    require(line >= 1 && line <= static_cast<size_t>(text.end - text.start));
    require(message != nullptr);
    text.check_inside(what);
    ++text.faults;
}

void visit(void* context, ZPP_TEXT name, const ZPP_CONF_ENTRY* entry)
{
    const auto& text = *static_cast<Text*>(context);
    require(entry->Path.Start != nullptr && entry->Path.Length != 0);
    for (const ZPP_TEXT& value : {name, entry->Path, entry->Initrd, entry->CommandLine})
        text.check_value(value);
}

constexpr std::string_view good = "# zpp.conf\n"
                                  "hypervisor = off\r\n"
                                  "driver = \\EFI\\zpp\\ZppDxe.efi\n"
                                  "serial = 0x3f8\n"
                                  "default = linux\n"
                                  "[linux]\n"
                                  "path = \\EFI\\zpp\\kernel.efi\n"
                                  "initrd = \\EFI\\zpp\\initrd.img\n"
                                  "cmdline = console=ttyS0\n";

} // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv)
{
    zpp::test::write_seed(*argc, *argv, good.data(), good.size());
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    const auto* start = reinterpret_cast<const char*>(data);
    Text text{start, start + size};
    ZPP_CONF conf;
    ZppConfParse(start, size, &conf, report, &text);
    text.check_value(conf.Driver);
    text.check_value(conf.Default);
    ZppConfVisit(start, size, visit, &text);
    return 0;
}
