#include "svm/cr0.hpp"
#include "emulate/control.hpp"
#include "guest/decode.hpp"
#include "x86/instructions.hpp"

namespace zpp::svm {
namespace {

using x86::Cr0;
using x86::Efer;

// AMD APM Vol. 2, 14.6.1 and 14.7: 64-bit mode begins and ends outside 64-bit code segments.
bool may_change_paging(const Guest& guest, Cr0 value)
{
    const Vmcb& vmcb = guest.vmcb;
    const bool pages = has(value, Cr0::pg);
    if (pages == has(vmcb.cr0, Cr0::pg))
        return true;
    if (!pages)
        return guest.code_size() != CodeSize::bits64 && !has(vmcb.cr4, x86::Cr4::pcide);
    constexpr u16 attributes_l = 1u << 9;
    return !has(vmcb.efer, Efer::lme) ||
           (has(vmcb.cr4, x86::Cr4::pae) && (vmcb.cs.attributes & attributes_l) == 0);
}

void write_cr0(Vmcb& vmcb, Cr0 value)
{
    vmcb.cr0 = value | Cr0::et;
    vmcb.efer &= ~Efer::lma;
    if (has(value, Cr0::pg) && has(vmcb.efer, Efer::lme))
        vmcb.efer |= Efer::lma;
    vmcb.clean &= ~Clean::crx;
    vmcb.tlb_control = tlb_flush_all;
}

} // namespace

bool cpu_checks_cr0()
{
    const Cr0 before = x86::read_cr0();
    if (!x86::safe_write_cr0((before | Cr0::nw) & ~Cr0::cd))
        return true;
    x86::write_cr0(before);
    return false;
}

void watch_cr0(Vmcb& vmcb)
{
    if (has(vmcb.intercept_vector_3, InterceptVector3::cr0_selective_write))
        return;
    vmcb.intercept_vector_3 |= InterceptVector3::cr0_selective_write;
    vmcb.clean &= ~Clean::intercepts;
}

Outcome on_cr0_write(Guest& guest, VmExit& exit)
{
    Vmcb& vmcb = guest.vmcb;
    const GuestCode code = guest.code_at_rip();
    const auto move = decode_mov_to_cr(code.bytes, code.count, guest.code_size());
    if (!move || move->number != 0) {
        vmcb.intercept_vector_3 &= ~InterceptVector3::cr0_selective_write;
        vmcb.clean &= ~Clean::intercepts;
        return Outcome::retry;
    }
    const u64 source = guest.read_register(move->source);
    const Cr0 value{guest.code_size() == CodeSize::bits64 ? source : static_cast<u32>(source)};
    if (!cr0_is_valid(value) || !may_change_paging(guest, value))
        return Outcome::general_protection;
    write_cr0(vmcb, value);
    exit.instruction_length = move->length;
    return Outcome::advance;
}

} // namespace zpp::svm
