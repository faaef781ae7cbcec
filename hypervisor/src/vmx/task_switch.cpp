#include "vmx/task_switch.hpp"
#include "emulate/handle.hpp"
#include "emulate/task_switch.hpp"
#include "vmx/delivery.hpp"
#include "x86/instructions.hpp"
#include "x86/safe.hpp"
#include <initializer_list>

namespace zpp::vmx {
namespace {

struct NamedSegment {
    SegmentFields fields;
    SegmentState TaskState::* state;
};
constexpr NamedSegment segments[] = {
    {guest_es, &TaskState::es},     {guest_cs, &TaskState::cs}, {guest_ss, &TaskState::ss},
    {guest_ds, &TaskState::ds},     {guest_fs, &TaskState::fs}, {guest_gs, &TaskState::gs},
    {guest_ldtr, &TaskState::ldtr}, {guest_tr, &TaskState::tr},
};
constexpr Field64 pdptes[] = {Field64::guest_pdpte0, Field64::guest_pdpte1, Field64::guest_pdpte2,
                              Field64::guest_pdpte3};

bool has_shadow_stack(const Guest& guest)
{
    constexpr u64 sh_stk_en = bit(0);
    return has(guest.cr4(), x86::Cr4::cet) &&
           ((x86::rdmsr_or_zero(x86::Msr::ia32_u_cet) | x86::rdmsr_or_zero(x86::Msr::ia32_s_cet)) &
            sh_stk_en) != 0;
}

TaskState load_state(const Guest& guest, u32 eip)
{
    TaskState state{};
    for (unsigned i = 0; i < 8; ++i)
        state.general[i] = static_cast<u32>(guest.read_register(i));
    state.eip = eip;
    state.eflags = static_cast<u32>(raw(guest.rflags()));
    state.cr3 = static_cast<u32>(vmcs::read(FieldNatural::guest_cr3));
    for (const auto& [fields, member] : segments)
        state.*member = {vmcs::read(fields.selector), vmcs::read(fields.base),
                         vmcs::read(fields.limit), vmcs::read(fields.rights)};
    state.gdtr_base = static_cast<u32>(vmcs::read(FieldNatural::guest_gdtr_base));
    state.gdtr_limit = vmcs::read(Field32::guest_gdtr_limit);
    state.paging = has(guest.cr0(), x86::Cr0::pg);
    state.shadow_stack = has_shadow_stack(guest);
    return state;
}

void store_state(Guest& guest, const TaskState& state, const LinearMemory& memory)
{
    for (unsigned i = 0; i < 8; ++i)
        guest.write_register(i, state.general[i]);
    guest.set_rip(state.eip);
    guest.set_rflags(x86::Rflags{state.eflags});
    for (const auto& [fields, member] : segments) {
        const SegmentState& segment = state.*member;
        vmcs::write(fields.selector, segment.selector);
        vmcs::write(fields.base, segment.base);
        vmcs::write(fields.limit, segment.limit);
        vmcs::write(fields.rights, segment.rights);
    }
    if (state.cr3 != vmcs::read(FieldNatural::guest_cr3)) {
        vmcs::write(FieldNatural::guest_cr3, state.cr3);
        for (unsigned i = 0; i < 4; ++i)
            vmcs::write(pdptes[i], memory.pdptes[i]);
        flush_guest_tlb();
    }
    // The new task runs without the old one's local breakpoints, steps and shadows.
    constexpr u64 local_breakpoints = 0x155;
    vmcs::write(FieldNatural::guest_dr7, vmcs::read(FieldNatural::guest_dr7) & ~local_breakpoints);
    for (const FieldNatural field : {FieldNatural::guest_cr0, FieldNatural::cr0_shadow})
        vmcs::write(field, x86::Cr0{vmcs::read(field)} | x86::Cr0::ts);
    vmcs::write(FieldNatural::guest_pending_debug, 0);
    guest.end_interrupt_shadow();
}

void inject_task_fault(Guest& guest, const TaskSwitch& request, const TaskFault& fault)
{
    x86::Event event = x86::Event::exception(fault.vector, guest.cr0(), fault.code);
    if (fault.vector == x86::vector_page_fault)
        x86::write_cr2(fault.address);
    if (request.source == TaskSwitch::Source::gate) {
        switch (x86::meet(request.event, event)) {
        case x86::Meeting::second: break;
        case x86::Meeting::double_fault:
            return guest.inject(x86::Event::exception(x86::vector_double_fault, guest.cr0()));
        case x86::Meeting::shutdown: on_triple_fault(guest);
        }
    }
    guest.set_rflags(guest.rflags() | x86::Rflags::rf);
    guest.inject(event);
}

LinearMemory memory_of(const Guest& guest)
{
    const GuestPaging paging{guest.cr0(), vmcs::read(FieldNatural::guest_cr3), guest.cr4(),
                             guest.efer()};
    LinearMemory memory{guest.vcpu, paging, x86::cpuid(0x80000008).eax & 0xff};
    for (unsigned i = 0; i < 4; ++i)
        memory.pdptes[i] = vmcs::read(pdptes[i]);
    return memory;
}

} // namespace

void on_task_switch(Guest& guest)
{
    using Source = TaskSwitch::Source;
    const u64 qualification = vmcs::read(FieldNatural::exit_qualification);
    TaskSwitch request{static_cast<Source>((qualification >> 30) & 3),
                       static_cast<u16>(qualification)};
    u32 eip = static_cast<u32>(guest.rip());
    if (request.source == Source::gate)
        request.event = interrupted_event().event;
    if (request.source != Source::gate || request.event.is_software())
        eip = static_cast<u32>(next_rip(guest, vmcs::read(Field32::exit_instruction_length)));

    TaskState state = load_state(guest, eip);
    LinearMemory memory = memory_of(guest);
    const TaskResult result = switch_task(request, state, memory);
    if (result.switched)
        store_state(guest, state, memory);
    // The task is the NMI's handler, or its end.
    if (request.source == Source::gate && request.event.is_nmi())
        block_nmis(true);
    if (request.source == Source::iret)
        block_nmis(false);
    if (result.fault)
        return inject_task_fault(guest, request, *result.fault);
    if (result.trap) {
        x86::write_dr6(x86::read_dr6() | x86::Dr6::bt);
        guest.inject(x86::Event::exception(x86::vector_debug, guest.cr0()));
    }
}

} // namespace zpp::vmx
