// Hardware task switches (SDM Vol. 3A, 8.2 and 8.3), which always exit under VT-x (Vol. 3C,
// 26.4.2). Pure logic on the guest's state; the vendor's code loads and stores that. Switches with
// shadow stacks fault with #TS, as for a TSS that is too small for SSP: no OS makes them.
#pragma once
#include "guest/linear_memory.hpp"
#include "x86/event.hpp"
#include <optional>

namespace zpp {

// A segment register. rights: as in the VMCS (SDM Vol. 3C, 25.4.1).
struct SegmentState {
    u16 selector;
    u64 base;
    u32 limit;
    u32 rights;
};
constexpr u32 rights_unusable = 1u << 16;

struct TaskState {
    u32 general[8]; // in the order of their numbers: EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI
    u32 eip, eflags, cr3;
    SegmentState es, cs, ss, ds, fs, gs, ldtr, tr;
    u32 gdtr_base, gdtr_limit;
    bool paging;
    bool shadow_stack; // of CET, in one of the two tasks or both
};

struct TaskSwitch {
    enum class Source : u8 { call, iret, jump, gate };

    Source source;
    u16 selector;       // of the new task's TSS
    x86::Event event{}; // through a task gate in the IDT
};

struct TaskFault {
    u8 vector;
    u32 code;
    u32 address; // #PF
};

struct TaskResult {
    bool switched;                  // `state` is that of the new task
    std::optional<TaskFault> fault; // of the task that `state` shows
    bool trap;                      // #DB with DR6.BT, by the T flag of the new TSS
};

// state.eip is the one to save: of the next instruction, or of the one that a fault interrupted.
[[nodiscard]] TaskResult switch_task(const TaskSwitch& request, TaskState& state,
                                     LinearMemory& memory);

} // namespace zpp
