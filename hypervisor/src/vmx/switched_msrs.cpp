#include "vmx/switched_msrs.hpp"
#include "vmx/shared.hpp"
#include "x86/safe.hpp"

namespace zpp::vmx {
namespace {

bool is_switched(const SwitchedMsr& row) { return has(shared.capabilities.support, row.support); }

// Without the controls, counters keep running in the host: the guest has them, but no PEBS.
bool stops_at_launch(const SwitchedMsr& row)
{
    return is_switched(row) || row.support != Support::perf_global_ctrl;
}

// Counters with PEBS stay off until the OS switches them on again: a record would be written
// through the host's CR3.
void give_back(const SwitchedMsr& row, u64 value)
{
    if (row.support == Support::perf_global_ctrl)
        value &= ~x86::rdmsr_or_zero(x86::Msr::ia32_pebs_enable);
    (void)x86::safe_wrmsr(row.msr, value);
}

} // namespace

SwitchedMsrs::SwitchedMsrs()
{
    if (!is_supported(Support::pebs))
        (void)x86::safe_wrmsr(x86::Msr::ia32_pebs_enable, 0);
    for (std::size_t i = 0; i < switched_msr_count; ++i) {
        const SwitchedMsr& row = switched_msrs[i];
        values_[i] = stops_at_launch(row) ? x86::rdmsr_or_zero(row.msr) : 0;
        if (values_[i] != 0)
            (void)x86::safe_wrmsr(row.msr, 0);
    }
}

void SwitchedMsrs::write_to_vmcs() const
{
    for (std::size_t i = 0; i < switched_msr_count; ++i)
        if (is_switched(switched_msrs[i]))
            vmcs::write(switched_msrs[i].guest, values_[i]);
    if (has(shared.capabilities.support, Support::perf_global_ctrl))
        vmcs::write(Field64::host_perf_global_ctrl, 0);
}

void SwitchedMsrs::restore() const
{
    for (std::size_t i = 0; i < switched_msr_count; ++i)
        if (values_[i] != 0)
            give_back(switched_msrs[i], values_[i]);
}

void SwitchedMsrs::restore_from_vmcs()
{
    for (const SwitchedMsr& row : switched_msrs)
        if (is_switched(row))
            give_back(row, vmcs::read(row.guest));
}

} // namespace zpp::vmx
