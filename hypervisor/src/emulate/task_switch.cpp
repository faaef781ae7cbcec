#include "emulate/task_switch.hpp"
#include "x86/control_registers.hpp"
#include "x86/task_state_segment.hpp"

namespace zpp {
namespace {

using x86::Descriptor;
using Source = TaskSwitch::Source;

constexpr u32 nt = static_cast<u32>(x86::Rflags::nt);
constexpr u32 vm = static_cast<u32>(x86::Rflags::vm);
constexpr u32 flags_mask = 0x3f7fd5; // that are not reserved

class Switch {
public:
    Switch(const TaskSwitch& request, TaskState& state, LinearMemory& memory)
        : request_{request}, state_{state}, memory_{memory}
    {
    }

    TaskResult run()
    {
        TaskResult result{};
        result.switched = prepare() && leave() && enter();
        if (result.switched)
            result.trap = load() && trap_;
        result.fault = fault_;
        return result;
    }

private:
    // Before the switch commits: the old task takes the fault.
    bool prepare();
    bool leave();
    bool enter();

    // After it: a fault is one of the new task.
    bool load();
    bool load_ldtr(u16 selector);
    bool load_segments(const u16 (&selectors)[6]);
    bool load_code(u16 selector);
    bool load_stack(u16 selector);
    bool load_data(SegmentState& segment, u16 selector);
    bool push_error_code();

    bool returns_to_nobody() const
    {
        return request_.source != Source::call && request_.source != Source::gate;
    }
    bool is_old_16_bit() const { return (state_.tr.rights & 8) == 0; }
    bool is_new_16_bit() const { return (new_rights_ & 8) == 0; }
    unsigned cpl() const { return (state_.eflags & vm) != 0 ? 3 : state_.cs.selector & 3; }

    // Errors are reported against a selector, with EXT if an event from outside caused the switch.
    bool fail(u8 vector, u32 code)
    {
        const bool external = request_.source == Source::gate && !request_.event.is_software();
        fault_ = {vector, code | (external ? 1u : 0), 0};
        return false;
    }
    bool fail_selector(u8 vector, u16 selector) { return fail(vector, selector & ~3u); }
    bool page(bool accessible)
    {
        if (!accessible)
            fault_ = {x86::vector_page_fault, memory_.fault().code, memory_.fault().address};
        return accessible;
    }

    std::optional<u32> place_of(u16 selector) const;
    std::optional<Descriptor> read_descriptor(u16 selector, u32& place);
    bool change_access_byte(u32 place, u8 set, u8 clear);
    bool finish_segment(SegmentState& segment, u16 selector, Descriptor descriptor, u32 place);

    const TaskSwitch& request_;
    TaskState& state_;
    LinearMemory& memory_;
    std::optional<TaskFault> fault_;

    u32 old_place_ = 0, new_place_ = 0; // of the TSS descriptors
    u32 new_base_ = 0, new_limit_ = 0, new_rights_ = 0;
    x86::Tss32 new_{}; // a 16-bit one widened
    bool trap_ = false;
};

std::optional<u32> Switch::place_of(u16 selector) const
{
    const u32 offset = selector & ~7u;
    if ((selector & 4) != 0) {
        if ((state_.ldtr.rights & rights_unusable) != 0 || offset + 7 > state_.ldtr.limit)
            return std::nullopt;
        return static_cast<u32>(state_.ldtr.base) + offset;
    }
    if (offset + 7 > state_.gdtr_limit)
        return std::nullopt;
    return state_.gdtr_base + offset;
}

std::optional<Descriptor> Switch::read_descriptor(u16 selector, u32& place)
{
    const auto found = place_of(selector);
    if (!found) {
        fail_selector(x86::vector_invalid_tss, selector);
        return std::nullopt;
    }
    place = *found;
    u64 value = 0;
    if (!page(memory_.read(place, &value, sizeof value)))
        return std::nullopt;
    return Descriptor{value};
}

bool Switch::change_access_byte(u32 place, u8 set, u8 clear)
{
    u8 value = 0;
    if (!page(memory_.read(place + x86::access_byte, &value, 1)))
        return false;
    const auto changed = static_cast<u8>((value & ~clear) | set);
    return changed == value || page(memory_.write(place + x86::access_byte, &changed, 1));
}

// The CPU has checked the new TSS before the exit, but another CPU may have changed it since.
bool Switch::prepare()
{
    const auto descriptor = read_descriptor(request_.selector, new_place_);
    if (!descriptor)
        return false;
    const u32 size = (descriptor->type() & 8) != 0 ? sizeof(x86::Tss32) : sizeof(x86::Tss16);
    if (!descriptor->is_system() || (descriptor->type() & 5) != 1 ||
        descriptor->limit() < size - 1 || state_.shadow_stack)
        return fail_selector(x86::vector_invalid_tss, request_.selector);
    new_base_ = descriptor->base();
    new_limit_ = descriptor->limit();
    new_rights_ = descriptor->rights() | x86::descriptor_busy;

    const auto old_place = place_of(state_.tr.selector);
    const u32 first = is_old_16_bit() ? offsetof(x86::Tss16, ip) : offsetof(x86::Tss32, eip);
    const u32 end = is_old_16_bit() ? offsetof(x86::Tss16, ldt) : offsetof(x86::Tss32, ldt);
    if (!old_place || state_.tr.limit < end - 1)
        return fail_selector(x86::vector_invalid_tss, state_.tr.selector);
    old_place_ = *old_place;

    // What the switch writes and reads is there: no page fault comes in the middle.
    const auto old_base = static_cast<u32>(state_.tr.base);
    return page(memory_.can_write(old_base + first, end - first)) &&
           page(memory_.can_read(new_base_, size)) &&
           (returns_to_nobody() || page(memory_.can_write(new_base_, 2))) &&
           (request_.source == Source::iret || page(memory_.can_write(new_place_, 8))) &&
           (!returns_to_nobody() || page(memory_.can_write(old_place_, 8)));
}

bool Switch::leave()
{
    if (returns_to_nobody() && !change_access_byte(old_place_, 0, x86::descriptor_busy))
        return false;
    const u32 eflags = request_.source == Source::iret ? state_.eflags & ~nt : state_.eflags;
    const u16 selectors[6] = {state_.es.selector, state_.cs.selector, state_.ss.selector,
                              state_.ds.selector, state_.fs.selector, state_.gs.selector};
    const auto base = static_cast<u32>(state_.tr.base);
    if (is_old_16_bit()) {
        x86::Tss16 tss{};
        tss.ip = static_cast<u16>(state_.eip);
        tss.flags = static_cast<u16>(eflags);
        for (unsigned i = 0; i < 8; ++i)
            tss.general[i] = static_cast<u16>(state_.general[i]);
        for (unsigned i = 0; i < 4; ++i)
            tss.segments[i] = selectors[i];
        return page(memory_.write(base + offsetof(x86::Tss16, ip), &tss.ip,
                                  offsetof(x86::Tss16, ldt) - offsetof(x86::Tss16, ip)));
    }
    u32 saved[16] = {state_.eip, eflags};
    for (unsigned i = 0; i < 8; ++i)
        saved[2 + i] = state_.general[i];
    for (unsigned i = 0; i < 6; ++i)
        saved[10 + i] = selectors[i];
    static_assert(offsetof(x86::Tss32, ldt) - offsetof(x86::Tss32, eip) == sizeof saved);
    return page(memory_.write(base + offsetof(x86::Tss32, eip), saved, sizeof saved));
}

bool Switch::enter()
{
    if (!returns_to_nobody() &&
        !page(memory_.write(new_base_, &state_.tr.selector, sizeof state_.tr.selector)))
        return false;
    if (!is_new_16_bit()) {
        if (!page(memory_.read(new_base_, &new_, sizeof new_)))
            return false;
    } else {
        x86::Tss16 tss{};
        if (!page(memory_.read(new_base_, &tss, sizeof tss)))
            return false;
        new_.eip = tss.ip;
        new_.eflags = tss.flags;
        for (unsigned i = 0; i < 8; ++i)
            new_.general[i] = 0xffff0000 | tss.general[i];
        for (unsigned i = 0; i < 4; ++i)
            new_.segments[i] = tss.segments[i];
        new_.ldt = tss.ldt;
        new_.cr3 = state_.cr3;
    }
    return request_.source == Source::iret ||
           change_access_byte(new_place_, x86::descriptor_busy, 0);
}

bool Switch::load()
{
    state_.tr = {request_.selector, new_base_, new_limit_, new_rights_};
    state_.eip = new_.eip;
    state_.eflags = (new_.eflags & flags_mask) | static_cast<u32>(x86::Rflags::always_set);
    if (!returns_to_nobody())
        state_.eflags |= nt;
    for (unsigned i = 0; i < 8; ++i)
        state_.general[i] = new_.general[i];
    trap_ = (new_.trap & 1) != 0;

    u16 selectors[6];
    for (unsigned i = 0; i < 6; ++i)
        selectors[i] = static_cast<u16>(new_.segments[i]);
    SegmentState* const segments[6] = {&state_.es, &state_.cs, &state_.ss,
                                       &state_.ds, &state_.fs, &state_.gs};
    for (unsigned i = 0; i < 6; ++i)
        *segments[i] = {selectors[i], 0, 0, rights_unusable};
    // Until they are loaded: CS cannot be unusable, and SS has the CPL.
    const u32 dpl = cpl() << 5;
    state_.cs = {selectors[1], 0, 0xffffffff, 0xc09bu | dpl};
    state_.ss.rights |= dpl;
    const auto ldt = static_cast<u16>(new_.ldt);
    state_.ldtr = {ldt, 0, 0, rights_unusable};

    if (state_.paging && new_.cr3 != state_.cr3) {
        state_.cr3 = new_.cr3;
        if (!memory_.load_cr3(new_.cr3))
            return fail(x86::vector_invalid_tss, 0);
    }
    return load_ldtr(ldt) && load_segments(selectors) && push_error_code();
}

bool Switch::load_ldtr(u16 selector)
{
    if ((selector & ~3u) == 0)
        return true;
    if ((selector & 4) != 0)
        return fail_selector(x86::vector_invalid_tss, selector);
    u32 place = 0;
    const auto descriptor = read_descriptor(selector, place);
    if (!descriptor)
        return false;
    constexpr unsigned type_ldt = 2;
    if (!descriptor->is_system() || descriptor->type() != type_ldt || !descriptor->is_present())
        return fail_selector(x86::vector_invalid_tss, selector);
    state_.ldtr = {selector, descriptor->base(), descriptor->limit(), descriptor->rights()};
    return true;
}

bool Switch::load_segments(const u16 (&selectors)[6])
{
    if ((state_.eflags & vm) != 0) {
        for (SegmentState* segment :
             {&state_.es, &state_.cs, &state_.ss, &state_.ds, &state_.fs, &state_.gs})
            *segment = {segment->selector, u64{segment->selector} << 4, 0xffff, 0xf3};
        return true;
    }
    return load_code(selectors[1]) && load_stack(selectors[2]) &&
           load_data(state_.ds, selectors[3]) && load_data(state_.es, selectors[0]) &&
           load_data(state_.fs, selectors[4]) && load_data(state_.gs, selectors[5]);
}

bool Switch::finish_segment(SegmentState& segment, u16 selector, Descriptor descriptor, u32 place)
{
    if (!change_access_byte(place, x86::descriptor_accessed, 0))
        return false;
    segment = {selector, descriptor.base(), descriptor.limit(),
               descriptor.rights() | x86::descriptor_accessed};
    return true;
}

bool Switch::load_code(u16 selector)
{
    if ((selector & ~3u) == 0)
        return fail(x86::vector_invalid_tss, 0);
    u32 place = 0;
    const auto descriptor = read_descriptor(selector, place);
    if (!descriptor)
        return false;
    const unsigned rpl = selector & 3;
    if (!descriptor->is_code() ||
        (descriptor->is_conforming() ? descriptor->dpl() > rpl : descriptor->dpl() != rpl))
        return fail_selector(x86::vector_invalid_tss, selector);
    if (!descriptor->is_present())
        return fail_selector(x86::vector_segment_not_present, selector);
    return finish_segment(state_.cs, selector, *descriptor, place);
}

bool Switch::load_stack(u16 selector)
{
    if ((selector & ~3u) == 0)
        return fail_selector(x86::vector_invalid_tss, selector);
    u32 place = 0;
    const auto descriptor = read_descriptor(selector, place);
    if (!descriptor)
        return false;
    if (descriptor->is_system() || !descriptor->is_writable() || (selector & 3u) != cpl() ||
        descriptor->dpl() != cpl())
        return fail_selector(x86::vector_invalid_tss, selector);
    if (!descriptor->is_present())
        return fail_selector(x86::vector_stack_fault, selector);
    return finish_segment(state_.ss, selector, *descriptor, place);
}

bool Switch::load_data(SegmentState& segment, u16 selector)
{
    if ((selector & ~3u) == 0)
        return true;
    u32 place = 0;
    const auto descriptor = read_descriptor(selector, place);
    if (!descriptor)
        return false;
    const unsigned rpl = selector & 3;
    if (descriptor->is_system() || !descriptor->is_readable() ||
        (!descriptor->is_conforming() && (descriptor->dpl() < rpl || descriptor->dpl() < cpl())))
        return fail_selector(x86::vector_invalid_tss, selector);
    if (!descriptor->is_present())
        return fail_selector(x86::vector_segment_not_present, selector);
    return finish_segment(segment, selector, *descriptor, place);
}

// Of the exception that came through the task gate, on the new task's stack.
bool Switch::push_error_code()
{
    if (request_.source != Source::gate || !request_.event.has_error_code())
        return true;
    constexpr u32 big = 1u << 14, expand_down = 4;
    const u32 size = is_new_16_bit() ? 2 : 4;
    const bool is_big = (state_.ss.rights & big) != 0;
    const u32 mask = is_big ? 0xffffffff : 0xffff;
    const u32 offset = (state_.general[4] - size) & mask;
    const u32 last = offset + size - 1;
    const bool down = (state_.ss.rights & (expand_down | 8)) == expand_down;
    const bool fits = down ? offset > state_.ss.limit && last <= mask && last >= offset
                           : last >= offset && last <= state_.ss.limit;
    if (!fits)
        return fail(x86::vector_stack_fault, 0);
    memory_.as_user(cpl() == 3);
    const bool pushed =
        page(memory_.write(static_cast<u32>(state_.ss.base) + offset, &request_.event.code, size));
    memory_.as_user(false);
    if (pushed)
        state_.general[4] = (state_.general[4] & ~mask) | offset;
    return pushed;
}

} // namespace

TaskResult switch_task(const TaskSwitch& request, TaskState& state, LinearMemory& memory)
{
    return Switch{request, state, memory}.run();
}

} // namespace zpp
