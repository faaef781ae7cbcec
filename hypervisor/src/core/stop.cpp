#include "core/stop.hpp"
#include "core/crash_screen.hpp"
#include "core/log.hpp"
#include "core/machine.hpp"
#include "core/virt.hpp"
#include "x86/delay.hpp"
#include "x86/instructions.hpp"
#include "x86/reset.hpp"

namespace zpp {
namespace {

constinit bool stopping = false;

bool is_stopped(const Vcpu& vcpu) { return __atomic_load_n(&vcpu.stopped, __ATOMIC_ACQUIRE); }
bool is_launched(const Vcpu& vcpu) { return __atomic_load_n(&vcpu.launched, __ATOMIC_ACQUIRE); }

bool others_are_stopped()
{
    for (u32 index = 0; index < machine.cpu_count(); ++index) {
        const Vcpu& vcpu = machine.vcpu(index);
        if (&vcpu != &current_vcpu() && is_launched(vcpu) && !is_stopped(vcpu))
            return false;
    }
    return true;
}

void report_others()
{
    for (u32 index = 0; index < machine.cpu_count(); ++index) {
        const Vcpu& vcpu = machine.vcpu(index);
        if (&vcpu != &current_vcpu() && is_launched(vcpu))
            log::line(is_stopped(vcpu) ? "zpp: CPU {} stopped" : "zpp: CPU {} does not stop",
                      index);
    }
}

// A CPU in VMX operation blocks INIT, and one with GIF clear holds it back; a reset may be one.
void accept_init(Vcpu& vcpu)
{
    if (has_vendor() && is_launched(vcpu))
        vendor().leave(vcpu);
}

} // namespace

bool stop_other_cpus()
{
    if (__atomic_exchange_n(&stopping, true, __ATOMIC_ACQ_REL))
        return false;
    for (u32 index = 0; index < machine.cpu_count(); ++index) {
        const Vcpu& vcpu = machine.vcpu(index);
        if (&vcpu != &current_vcpu() && is_launched(vcpu))
            vendor().send_nmi(vcpu);
    }
    return true;
}

bool is_stopping() { return __atomic_load_n(&stopping, __ATOMIC_ACQUIRE); }

void stop_if_asked()
{
    // A CPU that has crashed, too, stops by itself after its report.
    if (is_stopping() && current_vcpu().crashes == 0) [[unlikely]]
        stop_this_cpu();
}

void stop_this_cpu()
{
    Vcpu& vcpu = current_vcpu();
    ++vcpu.crashes; // a later NMI must not come here again
    accept_init(vcpu);
    __atomic_store_n(&vcpu.stopped, true, __ATOMIC_RELEASE);
    x86::halt_forever();
}

void shut_down(Vcpu& vcpu)
{
    accept_init(vcpu);
    x86::triple_fault();
}

void reset_after_crash()
{
    for (unsigned tries = 0; tries < 100 && !others_are_stopped(); ++tries)
        x86::wait_milliseconds(10);
    report_others();
    crash_screen::show();
    const u32 seconds = machine.info().reset_after;
    if (seconds == 0) {
        log::line("zpp: the machine stays as it is (reset-after = 0)");
        stop_this_cpu();
    }
    log::line("zpp: reset in {} s", seconds);
    accept_init(current_vcpu()); // SMIs, too, must not wait
    x86::wait_milliseconds(seconds * 1000);
    x86::try_reset();
    x86::triple_fault();
}

} // namespace zpp
