#include "guest_code.hpp"
#include "guest_memory.hpp"
#include "own_paging.hpp"

namespace zpp {
namespace {

// A pointer to guest-physical memory, good until the next call, or nullptr for hidden memory.
const u8* look_at(Vcpu& vcpu, GuestPhysical address)
{
    if (guest_memory::is_hidden(address))
        return nullptr;
    const HostPhysical page{address.value & ~(page_size - 1)}; // guest-physical is host-physical
    point(vcpu.window_entry, vcpu.window(), page, Caching::write_back, false);
    return static_cast<const u8*>(vcpu.window()) + address.value % page_size;
}

std::optional<u64> read(void* vcpu, GuestPhysical address, unsigned size)
{
    const u8* bytes = look_at(*static_cast<Vcpu*>(vcpu), address);
    if (bytes == nullptr)
        return std::nullopt;
    if (size == 4)
        return *reinterpret_cast<const u32*>(bytes);
    return *reinterpret_cast<const u64*>(bytes);
}

} // namespace

GuestCode fetch_code(Vcpu& vcpu, const GuestPaging& paging, u64 linear)
{
    GuestCode code{};
    while (code.count < max_instruction_length) {
        const auto physical = walk(paging, linear + code.count, read, &vcpu);
        if (!physical)
            return code;
        const u8* bytes = look_at(vcpu, *physical);
        if (bytes == nullptr)
            return code;
        const u64 on_page = page_size - physical->value % page_size;
        for (u64 i = 0; i < on_page && code.count < max_instruction_length; ++i)
            code.bytes[code.count++] = bytes[i];
    }
    return code;
}

} // namespace zpp
