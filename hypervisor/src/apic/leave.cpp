#include "apic/leave.hpp"
#include "apic/access.hpp"
#include "core/machine.hpp"
#include "core/virt.hpp"
#include "x86/apic.hpp"
#include "x86/instructions.hpp"

namespace zpp {
namespace {

void send_nmi_to_self(const Vcpu& vcpu)
{
    apic_access::send(vcpu.apic_id, static_cast<u32>(DeliveryMode::nmi) << 8 | 1u << 14);
}

// In the NMI handler, which never returns: that is how the CPU blocks NMIs.
void jump(Vcpu& vcpu)
{
    vcpu.on_leaving_nmi = nullptr;
    if (vcpu.nmi_pending)
        send_nmi_to_self(vcpu);
    vcpu.nmi_pending = false;
    zpp_jump_to_loader(vcpu.call, machine.info().trampoline_leave);
}

} // namespace

void leave(Vcpu& vcpu, zpp_cpu_call& call)
{
    if (!has(x86::rdmsr<x86::ApicBase>(), x86::ApicBase::en))
        zpp_jump_to_loader(&call, machine.info().trampoline_leave);
    vcpu.on_leaving_nmi = jump;
    send_nmi_to_self(vcpu);
    for (;;)
        x86::pause();
}

} // namespace zpp
