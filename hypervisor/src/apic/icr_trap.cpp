#include "apic/icr_trap.hpp"
#include "apic/startup.hpp"
#include "core/machine.hpp"
#include "lib/spinlock.hpp"

namespace zpp::icr_trap {
namespace {

// Trapped writes that start no CPU, before the trap is switched off: enough for firmware and the
// boot of an OS until it starts its CPUs, and for what comes between the starts of two CPUs.
constexpr u32 first_budget = 8192;
constexpr u32 budget_after_command = 1024;

constinit Switch trap{};
constinit Spinlock lock; // of the switch
constinit bool is_on = false;
constinit u32 budget = 0;
constinit u32 seen_commands = 0;

void refill() { __atomic_store_n(&budget, budget_after_command, __ATOMIC_RELAXED); }

void set(bool on)
{
    if (on == is_on)
        return;
    trap.set(on);
    __atomic_store_n(&is_on, on, __ATOMIC_SEQ_CST);
}

void switch_on(Vcpu& vcpu)
{
    {
        const LockGuard guard(lock);
        set(true);
        refill();
    }
    trap.flush();
    startup::kick_others(vcpu);
}

void switch_off(Vcpu& vcpu)
{
    {
        const LockGuard guard(lock);
        if (startup::anyone_waits())
            return refill();
        set(false);
    }
    // An INIT may have been sent between the two steps.
    if (startup::anyone_waits())
        switch_on(vcpu);
}

} // namespace

void prepare(const Switch& how)
{
    trap = how;
    is_on = machine.cpu_count() > 1;
    trap.set(is_on);
    seen_commands = startup::commands();
    budget = first_budget;
}

void after_write(Vcpu& vcpu)
{
    if (const u32 now = startup::commands(); now != seen_commands) {
        __atomic_store_n(&seen_commands, now, __ATOMIC_RELAXED);
        if (budget < budget_after_command)
            refill();
    }
    if (!__atomic_load_n(&is_on, __ATOMIC_SEQ_CST)) {
        // Trapped by an old translation of this CPU; the target may have taken the INIT already.
        if (startup::anyone_waits())
            switch_on(vcpu);
    } else if (__atomic_fetch_sub(&budget, 1, __ATOMIC_RELAXED) <= 1) {
        switch_off(vcpu);
    }
}

void on_init(Vcpu& vcpu) { switch_on(vcpu); }

void on_kick(Vcpu& vcpu)
{
    trap.flush();
    startup::catch_up(vcpu);
}

void give_way()
{
    const LockGuard guard(lock);
    set(false);
}

} // namespace zpp::icr_trap
