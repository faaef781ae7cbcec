#include "guest/windows.hpp"
#include "core/host_paging.hpp"
#include "guest/memory.hpp"
#include "paging/nested_paging.hpp"

namespace zpp {
namespace {

constexpr u64 target_is_set = bit(0);

// Not the last one: the fault stack is behind it (boot_info.h).
constexpr unsigned store_window = 0;

// The window is writable only while work() runs.
template <class Work> void with_writable(Vcpu& vcpu, Gpa address, Work work)
{
    if (guest_memory::is_hidden(address))
        return;
    const Hpa page = identity(address).page();
    u64* const entry = vcpu.window_entries + store_window;
    auto* const window = static_cast<u8*>(vcpu.window(store_window));
    remap(entry, window, page, Caching::write_back, true);
    work(window + address.offset_in_page());
    remap(entry, window, page, Caching::write_back, false);
    vcpu.window_targets[store_window] = page.value | target_is_set;
}

} // namespace

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

void store(Vcpu& vcpu, Gpa address, const void* bytes, u64 size)
{
    with_writable(vcpu, address, [&](u8* target) { __builtin_memcpy(target, bytes, size); });
}

void store_bits(Vcpu& vcpu, Gpa address, u32 bits)
{
    with_writable(vcpu, address, [&](u8* target) {
        __atomic_fetch_or(reinterpret_cast<u32*>(target), bits, __ATOMIC_SEQ_CST);
    });
}

} // namespace zpp
