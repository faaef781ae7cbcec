#include "guest/code.hpp"
#include "core/host_paging.hpp"
#include "guest/memory.hpp"
#include "paging/nested_paging.hpp"

namespace zpp {
namespace {

constexpr unsigned code_window =
    ZPP_CPU_WINDOWS - 1; // the windows before it: one for each level of the walk
constexpr u64 target_is_set = bit(0);

// Returns a pointer to guest-physical memory, valid until the next use of the window; nullptr if
// the memory is hidden. A window that already maps the page stays as it is.
const u8* look_at(Vcpu& vcpu, unsigned window, Gpa address)
{
    const Hpa page = identity(address).page();
    u64& target = vcpu.window_targets[window];
    if (target != (page.value | target_is_set)) {
        if (guest_memory::is_hidden(address))
            return nullptr;
        remap(vcpu.window_entries + window, vcpu.window(window), page, Caching::write_back, false);
        target = page.value | target_is_set;
    }
    return static_cast<const u8*>(vcpu.window(window)) + address.offset_in_page();
}

struct Walk {
    Vcpu& vcpu;
    unsigned window;
};

std::optional<u64> read(void* context, Gpa address, unsigned size)
{
    auto& [vcpu, window] = *static_cast<Walk*>(context);
    const u8* bytes = window < code_window ? look_at(vcpu, window++, address) : nullptr;
    if (bytes == nullptr)
        return std::nullopt;
    if (size == 4)
        return *reinterpret_cast<const u32*>(bytes);
    return *reinterpret_cast<const u64*>(bytes);
}

} // namespace

std::optional<Gpa> translate(Vcpu& vcpu, const GuestPaging& paging, Gva address)
{
    Walk context{vcpu, 0};
    return walk(paging, address, read, &context);
}

GuestCode fetch_code(Vcpu& vcpu, const GuestPaging& paging, Gva instruction)
{
    GuestCode code{};
    while (code.count < max_instruction_length) {
        const auto physical = translate(vcpu, paging, instruction + code.count);
        if (!physical)
            return code;
        const u8* bytes = look_at(vcpu, code_window, *physical);
        if (bytes == nullptr)
            return code;
        const u64 on_page = page_size - physical->offset_in_page();
        if (code.count == 0 && on_page >= max_instruction_length) {
            __builtin_memcpy(code.bytes, bytes, max_instruction_length);
            code.count = max_instruction_length;
            return code;
        }
        for (u64 i = 0; i < on_page && code.count < max_instruction_length; ++i)
            code.bytes[code.count++] = bytes[i];
    }
    return code;
}

} // namespace zpp
