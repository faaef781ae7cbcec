// The exit handler while the trace is on.
#include "emulate/trace.hpp"
#include "svm/exit_code.hpp"
#include "svm/guest.hpp"

namespace zpp::svm {

extern "C" {
bool zpp_svm_on_exit(GuestRegisters& registers);
bool zpp_svm_on_traced_exit(GuestRegisters& registers);
}

bool zpp_svm_on_traced_exit(GuestRegisters& registers)
{
    Vcpu& vcpu = current_vcpu();
    Vmcb& vmcb = vmcb_of(vcpu);
    if (static_cast<std::int32_t>(vmcb.exit_code) != exit_invalid) {
        const bool is_fault = vmcb.exit_code == static_cast<u64>(ExitCode::nested_page_fault);
        registers.rax = vmcb.rax;
        trace::write_exit(Guest{vcpu, vmcb, registers}, {.reason = static_cast<u32>(vmcb.exit_code),
                                                         .cs = vmcb.cs.selector,
                                                         .qualification = vmcb.exit_info_1,
                                                         .has_detail = is_fault,
                                                         .detail = {vmcb.exit_info_2, 0}});
    }
    return zpp_svm_on_exit(registers);
}

} // namespace zpp::svm
