#include "vmx/msr.hpp"
#include "x86/msr.hpp"
#include "x86/safe.hpp"

namespace zpp::vmx {
namespace {

namespace msr = x86::msr;

// The value that a firmware leaves which has VT-x switched off.
Outcome read_feature_control(u32 index, u64& value)
{
    if (!x86::safe_rdmsr(index, value))
        return Outcome::general_protection;
    value &=
        ~(msr::feature_control_vmx | msr::feature_control_vmx_in_smx | msr::feature_control_senter);
    value |= msr::feature_control_lock;
    return Outcome::advance;
}

// A microcode update is ignored: it is not safe while the host runs on the CPU.
constexpr MsrHandler handlers[] = {
    {msr::feature_control, msr::feature_control, read_feature_control, refuse_wrmsr},
    {msr::microcode_update, msr::microcode_update, nullptr, ignore_wrmsr},
    {msr::smm_monitor_control, msr::smm_monitor_control, refuse_rdmsr, refuse_wrmsr},
    {msr::vmx_first, msr::vmx_last, refuse_rdmsr, refuse_wrmsr},
};

} // namespace

constinit const MsrHandlers msr_handlers = handlers;

} // namespace zpp::vmx
