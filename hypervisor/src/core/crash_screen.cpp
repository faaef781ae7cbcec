#include "core/crash_screen.hpp"
#include "core/host_paging.hpp"
#include "core/log.hpp"
#include "core/machine.hpp"
#include "screen/report.hpp"
#include "x86/instructions.hpp"

namespace zpp::crash_screen {
namespace {

constexpr unsigned report_max = 8 * 1024;

constinit volatile void* mapped = nullptr;
constinit u64 base_at_prepare = 0;
constinit bool shown = false;
constinit u64 report_start = 0;
constinit char report[report_max] = {};
constinit char compact[screen::QrCode::max_bytes] = {};
constinit screen::QrCode code;

u32 read_pci(u32 address)
{
    constexpr u16 address_port = 0xcf8, data_port = 0xcfc;
    x86::out32(address_port, address);
    return x86::in32(data_port);
}

// Where the base address register leads now; 0 if the device does not respond to its memory (PCI Local
// Bus Specification 3.0, 6.2.2 and 6.2.5.1).
u64 base_now(u32 pci_register)
{
    constexpr u32 command_register = 4, offset_mask = 0xfc;
    constexpr u64 memory_space = bit(1);
    constexpr u32 is_io = 1, type_mask = 6, type_64_bits = 4, flags_mask = 0xf;
    if ((read_pci((pci_register & ~offset_mask) | command_register) & memory_space) == 0)
        return 0;
    const u32 low = read_pci(pci_register);
    if ((low & is_io) != 0)
        return 0;
    const u64 high = (low & type_mask) == type_64_bits ? read_pci(pci_register + 4) : 0;
    return high << 32 | (low & ~flags_mask);
}

} // namespace

void prepare()
{
    const zpp_frame_buffer& buffer = machine.info().frame_buffer;
    if (buffer.format == ZPP_PIXELS_NONE || buffer.pci_register == 0 ||
        u64{buffer.stride} * buffer.height * 4 > buffer.size || buffer.width > buffer.stride)
        return;
    base_at_prepare = base_now(buffer.pci_register);
    if (base_at_prepare == 0)
        return;
    mapped = map_device(frame_buffer_window, {buffer.physical}, buffer.size);
}

void begin_report() { report_start = log::end(); }

void show()
{
    const zpp_frame_buffer& buffer = machine.info().frame_buffer;
    if (mapped == nullptr || shown || base_now(buffer.pci_register) != base_at_prepare)
        return;
    shown = true;
    const u64 first = report_start > log::begin() ? report_start : log::begin();
    const u64 written = log::end() - first;
    const auto size = static_cast<unsigned>(written < report_max ? written : report_max);
    log::read(first, report, size);
    const unsigned count = screen::shorten({report, size}, compact, sizeof compact);
    const bool has_code = count != 0 && code.encode(compact, count);
    screen::Canvas canvas{static_cast<volatile u32*>(mapped), buffer.width, buffer.height,
                          buffer.stride};
    screen::paint(canvas, "zpp has crashed. The report, also as a QR code:", {report, size},
                  has_code ? &code : nullptr);
}

} // namespace zpp::crash_screen
