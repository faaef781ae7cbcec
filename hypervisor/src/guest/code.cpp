#include "guest/code.hpp"
#include "guest/windows.hpp"

namespace zpp {
namespace {

struct Walk {
    Vcpu& vcpu;
    unsigned window;
};

std::optional<u64> read(void* context, Gpa address, unsigned size)
{
    auto& [vcpu, window] = *static_cast<Walk*>(context);
    const u8* bytes = window < last_window ? look_at(vcpu, window++, address) : nullptr;
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

std::optional<u64> read_linear(Vcpu& vcpu, const GuestPaging& paging, Gva address, unsigned size)
{
    u64 value = 0;
    for (unsigned i = 0; i < size; ++i) {
        const auto physical = translate(vcpu, paging, address + i);
        const u8* byte = physical ? look_at(vcpu, last_window, *physical) : nullptr;
        if (byte == nullptr)
            return std::nullopt;
        value |= u64{*byte} << (8 * i);
    }
    return value;
}

GuestCode fetch_code(Vcpu& vcpu, const GuestPaging& paging, Gva instruction)
{
    GuestCode code{};
    while (code.count < max_instruction_length) {
        const auto physical = translate(vcpu, paging, instruction + code.count);
        if (!physical)
            return code;
        const u8* bytes = look_at(vcpu, last_window, *physical);
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
