#include "svm/guest_instruction.hpp"
#include "svm/exit_code.hpp"
#include "svm/shared.hpp"
#include "x86/msr.hpp"

namespace zpp::svm {

CodeSize code_size(const Vmcb& vmcb)
{
    constexpr u16 attributes_l = 1u << 9, attributes_d = 1u << 10;
    if (has(vmcb.efer, x86::Efer::lma) && (vmcb.cs.attributes & attributes_l) != 0)
        return CodeSize::bits64;
    return (vmcb.cs.attributes & attributes_d) != 0 ? CodeSize::bits32 : CodeSize::bits16;
}

GuestCode code_at_rip(Vcpu& vcpu, const Vmcb& vmcb)
{
    if (shared.decode_assists && vmcb.exit_code == static_cast<u64>(ExitCode::nested_page_fault) &&
        vmcb.fetched_count != 0) {
        GuestCode code{};
        for (; code.count < max_instruction_length && code.count < vmcb.fetched_count; ++code.count)
            code.bytes[code.count] = vmcb.fetched[code.count];
        return code;
    }
    const bool flat = code_size(vmcb) == CodeSize::bits64;
    return fetch_code(vcpu, {vmcb.cr0, vmcb.cr3, vmcb.cr4, vmcb.efer},
                      {flat ? vmcb.rip : static_cast<u32>(vmcb.cs.base + vmcb.rip)});
}

unsigned instruction_length(Vcpu& vcpu, const Vmcb& vmcb)
{
    if (shared.next_rip && vmcb.next_rip != 0)
        return (vmcb.next_rip - vmcb.rip) & 15; // next_rip may have wrapped
    const GuestCode code = code_at_rip(vcpu, vmcb);
    return decode_length(code.bytes, code.count, code_size(vmcb));
}

} // namespace zpp::svm
