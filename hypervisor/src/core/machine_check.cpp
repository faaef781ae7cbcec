#include "core/machine_check.hpp"
#include "core/crash.hpp"
#include "core/log.hpp"
#include "core/virt.hpp"
#include "x86/safe.hpp"

namespace zpp::machine_check {

using x86::McgStatus;
using x86::Msr;

bool is_for_guest(McgStatus status, const Vcpu& vcpu)
{
    return has(status, McgStatus::ripv) && vcpu.launched && !vcpu.machine_check_pending;
}

bool note(Vcpu& vcpu)
{
    const McgStatus status{x86::rdmsr_or_zero(Msr::ia32_mcg_status)};
    if (vcpu.crashes != 0) // only the report continues, if it can
        return has(status, McgStatus::ripv);
    if (!is_for_guest(status, vcpu))
        return false;
    vcpu.machine_check_pending = true;
    vendor().exit_at_once(vcpu);
    return true;
}

void report(const Vcpu& vcpu)
{
    constexpr u64 error_valid = bit(63);
    constexpr unsigned msrs_of_bank = 4;
    log::line("zpp: CPU {}: machine check in the host, MCG_STATUS {x}", vcpu.index,
              x86::rdmsr_or_zero(Msr::ia32_mcg_status));
    const unsigned banks = x86::rdmsr_or_zero(Msr::ia32_mcg_cap) & 0xff;
    for (unsigned bank = 0; bank < banks; ++bank) {
        const Msr msr = Msr::ia32_mc0_status + bank * msrs_of_bank;
        const u64 status = x86::rdmsr_or_zero(msr);
        if ((status & error_valid) == 0)
            continue;
        log::line("zpp:   bank {} status {x} address {x}", bank, status,
                  x86::rdmsr_or_zero(msr + 1));
        return;
    }
}

void end_if_pending(const Vcpu& vcpu)
{
    if (vcpu.machine_check_pending)
        crash("machine check while the CPU is given back",
              x86::rdmsr_or_zero(Msr::ia32_mcg_status));
}

} // namespace zpp::machine_check
