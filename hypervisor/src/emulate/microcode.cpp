#include "emulate/microcode.hpp"
#include "core/log.hpp"
#include "core/vcpu.hpp"
#include "guest/linear_window.hpp"

namespace zpp {

Outcome load_microcode(const MicrocodeFormat& format, Vcpu& vcpu, const GuestPaging& paging,
                       Gva address, WriteMsr write)
{
    const Gva start{address.value - format.before};
    const bool is_usable = is_canonical(paging, start) && is_canonical(paging, address);
    const LinearWindow update(vcpu, paging, start, is_usable ? format.size_limit : 0);
    if (const char* fault = format.fault(update.data(), update.bytes())) {
        log::line("zpp: CPU {}: microcode update ignored: {}", vcpu.index, fault);
        return Outcome::advance;
    }
    if (!write(format.trigger, reinterpret_cast<u64>(update.data()) + format.before)) {
        log::line("zpp: CPU {}: the CPU refused a microcode update", vcpu.index);
        return Outcome::general_protection;
    }
    log::line("zpp: CPU {}: microcode update passed to the CPU", vcpu.index);
    return Outcome::advance;
}

} // namespace zpp
