#include "svm/guest_state.hpp"
#include "core/log.hpp"
#include "svm/exit_code.hpp"
#include "svm/instructions.hpp"
#include "x86/control_registers.hpp"
#include "x86/instructions.hpp"
#include "x86/msr.hpp"
#include "x86/safe.hpp"
#include <initializer_list>

namespace zpp::svm {
namespace {

using x86::Msr;

constexpr u16 attributes_data = 0x093;
constexpr u16 attributes_code = 0x09b;
constexpr u16 attributes_ldt = 0x082;
constexpr u16 attributes_busy_tss = 0x08b;
constexpr u32 limit_64k = 0xffff;

// From the format of the VMCS: bits 15:12 move to 11:8, "unusable" becomes 0.
u16 attributes_of(u32 rights)
{
    constexpr u32 unusable = 1u << 16;
    if ((rights & unusable) != 0)
        return 0;
    return static_cast<u16>((rights & 0xff) | ((rights >> 4) & 0xf00));
}

Segment segment_of(const zpp_segment& segment)
{
    return {segment.selector, attributes_of(segment.access_rights), segment.limit, segment.base};
}

} // namespace

void write_guest_state(Vmcb& vmcb, const zpp_cpu_state& os)
{
    vmcb.es = segment_of(os.es);
    vmcb.cs = segment_of(os.cs);
    vmcb.ss = segment_of(os.ss);
    vmcb.ds = segment_of(os.ds);
    vmcb.gdtr = {0, 0, os.gdtr.limit, os.gdtr.base};
    vmcb.idtr = {0, 0, os.idtr.limit, os.idtr.base};
    vmcb.cpl = 0;
    vmcb.efer = x86::Efer{os.efer} | x86::Efer::svme;
    vmcb.cr0 = x86::Cr0{os.cr0};
    vmcb.cr3 = os.cr3;
    vmcb.cr4 = x86::Cr4{os.cr4};
    vmcb.cr2 = x86::read_cr2();
    vmcb.dr6 = x86::read_dr6();
    vmcb.dr7 = x86::read_dr7();
    vmcb.rflags = x86::Rflags{os.rflags};
    vmcb.rip = os.rip;
    vmcb.rsp = os.rsp;
    vmcb.rax = 0; // ZPP_OK for the trampoline
    vmcb.pat = x86::rdmsr(Msr::ia32_pat);
    vmcb.debug_control = x86::DebugCtl{x86::rdmsr_or_zero(Msr::ia32_debugctl)};
    // VMRUN loads them if the CPU has CET; a VM entry of VMX does not.
    vmcb.s_cet = x86::rdmsr_or_zero(Msr::ia32_s_cet);
    vmcb.isst = x86::rdmsr_or_zero(Msr::ia32_interrupt_ssp_table_addr);
}

void write_init_state(Vmcb& vmcb, GuestRegisters& registers)
{
    registers = {};
    registers.rdx = x86::cpuid(1).eax;
    for (Segment* segment : {&vmcb.es, &vmcb.ss, &vmcb.ds, &vmcb.fs, &vmcb.gs})
        *segment = {0, attributes_data, limit_64k, 0};
    vmcb.cs = {0xf000, attributes_code, limit_64k, 0xffff0000};
    vmcb.ldtr = {0, attributes_ldt, limit_64k, 0};
    vmcb.tr = {0, attributes_busy_tss, limit_64k, 0};
    vmcb.gdtr = {0, 0, limit_64k, 0};
    vmcb.idtr = {0, 0, limit_64k, 0};
    vmcb.cpl = 0;
    vmcb.efer = x86::Efer::svme;
    vmcb.cr0 = x86::Cr0::et | (vmcb.cr0 & (x86::Cr0::cd | x86::Cr0::nw));
    vmcb.cr2 = 0;
    vmcb.cr3 = 0;
    vmcb.cr4 = {};
    vmcb.dr6 = x86::Dr6::at_reset;
    vmcb.dr7 = x86::dr7_at_reset;
    x86::clear_breakpoint_addresses();
    vmcb.rflags = x86::Rflags::at_reset;
    vmcb.rip = 0xfff0;
    vmcb.rsp = 0;
    vmcb.interrupt_state = 0;
    vmcb.event_injection = 0;
    vmcb.virtual_interrupt = 0;
    vmcb.tlb_control = tlb_flush_all;
    vmcb.clean = {};
}

void write_sipi_state(Vmcb& vmcb, u8 vector)
{
    vmcb.cs.selector = static_cast<u16>(vector << 8);
    vmcb.cs.base = u64{vector} << 12;
    vmcb.rip = 0;
}

void restore_to_cpu(const Vmcb& vmcb, Hpa vmcb_address, zpp_cpu_state& os)
{
    os.cr0 = raw(vmcb.cr0);
    os.cr3 = vmcb.cr3;
    os.cr4 = raw(vmcb.cr4);
    os.efer = raw(vmcb.efer & ~x86::Efer::svme);
    os.es.selector = vmcb.es.selector;
    os.cs.selector = vmcb.cs.selector;
    os.ss.selector = vmcb.ss.selector;
    os.ds.selector = vmcb.ds.selector;
    os.fs.selector = vmcb.fs.selector;
    os.fs.base = vmcb.fs.base;
    os.gs.selector = vmcb.gs.selector;
    os.gs.base = vmcb.gs.base;
    os.ldtr.selector = vmcb.ldtr.selector;
    os.tr.selector = vmcb.tr.selector;
    os.gdtr.base = vmcb.gdtr.base;
    os.gdtr.limit = static_cast<u16>(vmcb.gdtr.limit);
    os.idtr.base = vmcb.idtr.base;
    os.idtr.limit = static_cast<u16>(vmcb.idtr.limit);
    x86::write_cr2(vmcb.cr2);
    x86::write_dr6(vmcb.dr6);
    x86::write_dr7(vmcb.dr7);
    x86::wrmsr(Msr::ia32_pat, vmcb.pat);
    (void)x86::safe_wrmsr(Msr::ia32_s_cet, vmcb.s_cet); // #GP if the CPU does not have CET
    (void)x86::safe_wrmsr(Msr::ia32_interrupt_ssp_table_addr, vmcb.isst);
    vmload(vmcb_address);
}

void dump()
{
    const Vmcb& vmcb = vmcb_of(current_vcpu());
    log::line("zpp:   exit code {x} ({}) info1 {x} info2 {x} interrupt info {x}", vmcb.exit_code,
              exit_name(vmcb.exit_code), vmcb.exit_info_1, vmcb.exit_info_2,
              vmcb.exit_interrupt_info);
    log::line("zpp:   rip {x} next rip {x} rsp {x} rflags {x} rax {x}", vmcb.rip, vmcb.next_rip,
              vmcb.rsp, vmcb.rflags, vmcb.rax);
    log::line("zpp:   cr0 {x} cr3 {x} cr4 {x} efer {x}", vmcb.cr0, vmcb.cr3, vmcb.cr4, vmcb.efer);
    log::line("zpp:   cpl {} interrupt state {x} event injection {x}", vmcb.cpl,
              vmcb.interrupt_state, vmcb.event_injection);
    const struct {
        const char* name;
        const Segment& segment;
    } segments[] = {{"es", vmcb.es}, {"cs", vmcb.cs}, {"ss", vmcb.ss},     {"ds", vmcb.ds},
                    {"fs", vmcb.fs}, {"gs", vmcb.gs}, {"ldtr", vmcb.ldtr}, {"tr", vmcb.tr}};
    for (const auto& [name, segment] : segments)
        log::line("zpp:   {} {x} base {x} limit {x} attributes {x}", name, segment.selector,
                  segment.base, segment.limit, segment.attributes);
}

} // namespace zpp::svm
