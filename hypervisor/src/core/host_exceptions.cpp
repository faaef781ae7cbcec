// Exceptions and NMIs in the host: a fault of a safe.hpp instruction becomes its result, an NMI or a
// machine check is saved for the guest, anything else is a crash.
//
// They use the host's current stack, which is always valid: the host runs at CPL 0 only and never
// loads RSP from the guest. An IST stack would need the host's TR, which is not loaded on AMD-V's
// fast path or before a launch.
#include "core/crash.hpp"
#include "core/machine_check.hpp"
#include "core/stop.hpp"
#include "core/vcpu.hpp"
#include "core/virt.hpp"
#include "x86/control_registers.hpp"
#include "x86/exceptions.hpp"

namespace zpp {
namespace {

void on_nmi(Vcpu& vcpu)
{
    stop_if_asked();
    if (vcpu.crashes != 0)
        return; // the control block may be gone
    if (vcpu.launched || vcpu.startup.kicked)
        return vendor().on_host_nmi(vcpu);
    if (vcpu.on_leaving_nmi != nullptr)
        vcpu.on_leaving_nmi(vcpu);
    vcpu.nmi_pending = true;
}

} // namespace

extern "C" void zpp_on_exception(x86::ExceptionFrame& frame); // called by x86/exceptions.S

void zpp_on_exception(x86::ExceptionFrame& frame)
{
    if (frame.vector == x86::vector_nmi)
        return on_nmi(current_vcpu());
    if (frame.vector == x86::vector_machine_check && machine_check::note(current_vcpu()))
        return;
    // A microcode update in the guest's memory may change while the CPU reads it: #PF.
    if ((frame.vector == x86::vector_general_protection ||
         frame.vector == x86::vector_page_fault) &&
        x86::fix_up(frame))
        return;
    // The host never single-steps and sets no breakpoints. Bochs raises the guest's single-step
    // trap here if the stepped instruction caused the #VMEXIT; the exit handler injects the guest's
    // own.
    if (frame.vector == x86::vector_debug && !has(x86::Rflags{frame.rflags}, x86::Rflags::tf))
        return;
    if (frame.vector == x86::vector_security && vendor().on_security_exception(current_vcpu()))
        return;
    crash_on_exception(frame);
}

} // namespace zpp
