#include "emulate/apic.hpp"
#include "apic/startup.hpp"
#include "emulate/msr.hpp"
#include "x86/apic.hpp"

namespace zpp {

void write_xapic(Vcpu& vcpu, u32 offset, u32 value)
{
    switch (offset) {
    case apic_icr_low:
        if (startup::intercept(vcpu, Icr::xapic(value, apic_access::read(apic_icr_high))))
            return;
        break;
    case apic_id_register: vcpu.apic_id = value >> 24; break;
    case apic_logical_destination: vcpu.startup.logical_destination = value; break;
    case apic_destination_format: vcpu.startup.destination_format = value; break;
    default: break;
    }
    apic_access::write(offset, value);
}

Outcome write_x2apic_icr(x86::Msr index, u64 value)
{
    if (apic_access::is_x2apic() && startup::intercept(current_vcpu(), Icr::x2apic(value)))
        return Outcome::advance;
    return pass_wrmsr(index, value);
}

// The xAPIC page must not move: nested paging protects it.
Outcome write_apic_base(x86::Msr index, u64 value)
{
    if (Gpa{raw(x86::ApicBase{value} & x86::ApicBase::base)} != apic_access::page())
        return Outcome::general_protection;
    return pass_wrmsr(index, value);
}

} // namespace zpp
