// The core's entry point: the phases of boot_info.h. It picks the vendor, so it is the top layer:
// the only file of core/ that includes vmx/ and svm/, and no file includes it.
#include "apic/leave.hpp"
#include "core/build_id.hpp"
#include "core/crash_screen.hpp"
#include "core/host_paging.hpp"
#include "core/log.hpp"
#include "core/machine.hpp"
#include "core/requirements.hpp"
#include "core/trace.hpp"
#include "core/virt.hpp"
#include "emulate/cpuid.hpp"
#include "svm/svm.hpp"
#include "vmx/vmx.hpp"
#include "x86/exceptions.hpp"
#include "x86/instructions.hpp"
#include <initializer_list>

// The debugger sets it to end HYPERVISOR_WAIT_FOR_DEBUGGER.
extern "C" {
[[gnu::used]] volatile int gdb_attached = 0;
}

namespace zpp {
namespace {

// Not inlined, so that gdb can `finish` it.
[[gnu::noinline]] void wait_for_debugger()
{
    while (gdb_attached == 0)
        x86::pause();
}

const zpp_cpu_call& call_of(const zpp_boot_info& info, u32 index)
{
    return reinterpret_cast<const zpp_cpu_call*>(ZPP_CORE_BASE +
                                                 info.calls_page * page_size)[index];
}

bool build_linear_window(Vcpu& vcpu)
{
    const u64 window = linear_windows + vcpu.index * linear_window_pages * page_size;
    vcpu.linear_window = reinterpret_cast<u8*>(window);
    vcpu.linear_entries = build_page_table(window);
    return vcpu.linear_entries != nullptr;
}

bool build_vcpus(const zpp_boot_info& info)
{
    for (u32 index = 0; index < machine.cpu_count(); ++index) {
        Vcpu& vcpu = machine.vcpu(index);
        vcpu.index = index;
        vcpu.apic_id = call_of(info, index).apic_id;
        vcpu.window_entries = host_page_entry(vcpu.window(0));
        vcpu.tss.ist[0] = vcpu.fault_stack_top();
        vcpu.tss.io_map_base = sizeof(x86::Tss);
        vcpu.gdt.build(vcpu.tss);
        if (!build_linear_window(vcpu))
            return false;
    }
    return true;
}

const Vendor* find_vendor()
{
    for (const Vendor* candidate : {&vmx::vendor, &svm::vendor})
        if (candidate->present())
            return candidate;
    return nullptr;
}

void begin_log()
{
    auto* page = reinterpret_cast<void*>(ZPP_CORE_BASE + machine.info().log_page * page_size);
    log::begin_record(static_cast<zpp_log_record*>(page), machine.physical_of(page).value,
                      machine.cpu_count(), build_id());
}

Result prepare(const zpp_boot_info* info)
{
    if (!machine.adopt(info))
        return {ZPP_BAD_BOOT_INFO};
    begin_log();
    if (!machine.is_above_1_mib())
        return {ZPP_NO_MEMORY, "above 1 MiB"};
    if (!build_vcpus(*info))
        return {ZPP_NO_MEMORY, "windows"};
    if (const Result result = check(ZPP_FOR_CORE); !result.ok())
        return result;
    x86::build_idt();
    current_vcpu().gdt.load();
    x86::load_idt();
    log::set_serial_port(info->serial_port);
    set_visible(info->visible != 0);
    if (info->wait_for_debugger != 0) {
        log::line("zpp: waiting for a debugger");
        wait_for_debugger();
    }
    const Vendor* found = find_vendor();
    if (found == nullptr)
        return {ZPP_NO_VIRTUALIZATION};
    choose_vendor(*found);
    crash_screen::prepare();
    trace::start(info->trace_port);
    return found->prepare();
}

u32 read_apic_id()
{
    constexpr u32 extended_topology = 0xb;
    if (x86::cpuid(0).eax >= extended_topology && x86::cpuid(extended_topology).ebx != 0)
        return x86::cpuid(extended_topology).edx;
    return x86::cpuid(1).ebx >> 24;
}

Result launch(zpp_cpu_call* call)
{
    Vcpu& vcpu = current_vcpu();
    vcpu.call = call;
    vcpu.apic_id = read_apic_id();
    vcpu.gdt.load();
    x86::load_idt();
    if (!vendor().present())
        return {ZPP_NO_VIRTUALIZATION};
    return vendor().launch(vcpu);
}

} // namespace

extern "C" [[gnu::used]] void zpp_core_entry(zpp_cpu_call* call);

void zpp_core_entry(zpp_cpu_call* call)
{
    switch (call->phase) {
    case ZPP_PHASE_PREPARE:
        return write_result(call, prepare(reinterpret_cast<const zpp_boot_info*>(call->boot_info)));
    case ZPP_PHASE_LAUNCH:
        write_result(call, launch(call)); // it has failed
        if (current_vcpu().nmi_pending)
            leave(current_vcpu(), *call);
        return;
    default: return write_result(call, {ZPP_BAD_CALL});
    }
}

} // namespace zpp
