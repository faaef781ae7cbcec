#include "apic/startup.hpp"
#include "apic/access.hpp"
#include "core/machine.hpp"
#include "x86/instructions.hpp"

namespace zpp::startup {
namespace {

// Vcpu::startup.state: a state, and a posted SIPI.
constexpr u32 running = 0;
constexpr u32 init_sent = 1; // INIT sent, not yet taken
constexpr u32 waiting = 2;   // in wait-for-SIPI
constexpr u32 state_mask = 3;
constexpr u32 sipi_posted = 0x100;
constexpr unsigned vector_shift = 16;

constinit u32 command_count = 0;

u32 load(const Vcpu& vcpu) { return __atomic_load_n(&vcpu.startup.state, __ATOMIC_ACQUIRE); }

bool is_launched(const Vcpu& vcpu) { return __atomic_load_n(&vcpu.launched, __ATOMIC_SEQ_CST); }

ApicIdentity identity_of(const Vcpu& vcpu)
{
    return {vcpu.apic_id, vcpu.startup.logical_destination, vcpu.startup.destination_format};
}

// Calls what(target) for each CPU that the command addresses. Returns whether there was one.
template <class What> bool for_each_target(const Vcpu& sender, const Icr& icr, What what)
{
    bool found = false;
    for (u32 index = 0; index < machine.cpu_count(); ++index) {
        Vcpu& target = machine.vcpu(index);
        if (target.apic_id == ZPP_NO_APIC_ID ||
            !icr.addresses(identity_of(target), &target == &sender))
            continue;
        found = true;
        what(target);
    }
    return found;
}

bool change(Vcpu& vcpu, u32& from, u32 to)
{
    return __atomic_compare_exchange_n(&vcpu.startup.state, &from, to, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_ACQUIRE);
}

// An INIT drops a SIPI that is pending. Returns whether the target was running its guest.
bool post_init(Vcpu& target)
{
    u32 old = load(target);
    u32 next;
    do
        next = (old & state_mask) == waiting ? waiting : init_sent;
    while (!change(target, old, next));
    return (old & state_mask) == running;
}

// Only the first SIPI in wait-for-SIPI counts.
void post_sipi(Vcpu& target, u8 vector)
{
    u32 old = load(target);
    while ((old & state_mask) != running && (old & sipi_posted) == 0)
        if (change(target, old, old | sipi_posted | u32{vector} << vector_shift))
            return;
}

// Makes the target look at its state, with an NMI. One pending kick is enough: CPUs merge NMIs.
// Returns false if the target has been devirtualized meanwhile.
bool kick(Vcpu& target)
{
    if (__atomic_exchange_n(&target.startup.kicked, true, __ATOMIC_SEQ_CST))
        return true;
    if (!is_launched(target)) {
        __atomic_store_n(&target.startup.kicked, false, __ATOMIC_SEQ_CST);
        return false;
    }
    apic_access::send(target.apic_id, static_cast<u32>(DeliveryMode::nmi) << 8 | 1u << 14);
    return true;
}

// To a CPU that is not launched yet, or devirtualized.
void send_to_cpu(const Vcpu& target, const Icr& icr)
{
    const u32 vector = icr.delivery() == DeliveryMode::init ? 0u : icr.vector();
    apic_access::send(target.apic_id, static_cast<u32>(icr.delivery()) << 8 | 1u << 14 | vector);
}

void deliver(Vcpu& sender, Vcpu& target, const Icr& icr)
{
    if (!is_launched(target))
        return send_to_cpu(target, icr);
    if (icr.delivery() != DeliveryMode::init)
        return post_sipi(target, icr.vector());
    if (post_init(target) && &target != &sender && !kick(target))
        send_to_cpu(target, icr);
}

// Polls several times between two PAUSEs: on QEMU's TCG each PAUSE takes a lock of the whole
// machine.
u32 look_for_sipi(const Vcpu& vcpu)
{
    constexpr unsigned looks = 4096; // about two microseconds on a real CPU
    u32 seen = load(vcpu);
    for (unsigned i = 1; i < looks && (seen & sipi_posted) == 0; ++i)
        seen = load(vcpu);
    return seen;
}

} // namespace

bool intercept(Vcpu& sender, const Icr& icr)
{
    if (!icr.starts_cpus())
        return false;
    if (icr.delivery() == DeliveryMode::init && icr.is_deassert())
        return true;
    __atomic_add_fetch(&command_count, 1, __ATOMIC_RELAXED);
    // false for a CPU that the loader does not know
    return for_each_target(sender, icr, [&](Vcpu& target) { deliver(sender, target, icr); });
}

void take(Vcpu& vcpu, GuestRegisters& registers, const Actions& actions)
{
    u32 seen = load(vcpu);
    if ((seen & state_mask) == running)
        return;
    actions.reset(registers);
    if (x86::is_bsp()) {
        __atomic_store_n(&vcpu.startup.state, running, __ATOMIC_RELEASE);
        return;
    }
    while (!change(vcpu, seen, (seen & ~state_mask) | waiting))
        ;
    u32 posted = load(vcpu);
    while ((posted & sipi_posted) == 0 ||
           !change(vcpu, posted, running)) // another INIT may drop the SIPI
        if ((posted & sipi_posted) == 0) {
            actions.wait();
            posted = look_for_sipi(vcpu);
        }
    actions.start(static_cast<u8>(posted >> vector_shift));
}

bool init_arrived(Vcpu& vcpu)
{
    u32 old = load(vcpu);
    while ((old & state_mask) == running)
        if (change(vcpu, old, init_sent))
            return true;
    return false;
}

void catch_up(Vcpu& vcpu)
{
    note_identity(vcpu);
    const Icr icr = apic_access::last_command();
    const bool is_new = icr.raw() != vcpu.startup.seen_command;
    vcpu.startup.seen_command = icr.raw();
    if (!icr.starts_cpus() || (icr.delivery() == DeliveryMode::init && icr.is_deassert()))
        return;
    if (is_new)
        for_each_target(vcpu, icr, [&](Vcpu& target) {
            if (!is_launched(target))
                return;
            if (icr.delivery() == DeliveryMode::init)
                (void)init_arrived(target); // on its way, or taken
            else
                post_sipi(target, icr.vector());
        });
    (void)kick(vcpu); // replaces the command: the guest may send the same one again
}

void note_identity(Vcpu& vcpu)
{
    if (apic_access::is_x2apic())
        return;
    vcpu.apic_id = apic_access::read(apic_id_register) >> 24;
    vcpu.startup.logical_destination = apic_access::read(apic_logical_destination);
    vcpu.startup.destination_format = apic_access::read(apic_destination_format);
}

u32 commands() { return __atomic_load_n(&command_count, __ATOMIC_RELAXED); }

bool anyone_waits()
{
    for (u32 index = 0; index < machine.cpu_count(); ++index)
        if (waits(machine.vcpu(index)))
            return true;
    return false;
}

void kick_others(const Vcpu& sender)
{
    for (u32 index = 0; index < machine.cpu_count(); ++index)
        if (Vcpu& target = machine.vcpu(index); &target != &sender && is_launched(target))
            (void)kick(target);
}

void leave(Vcpu& vcpu, void (*wait)())
{
    __atomic_store_n(&vcpu.launched, false, __ATOMIC_SEQ_CST);
    while (is_kicked(vcpu))
        wait();
}

bool is_kicked(const Vcpu& vcpu) { return __atomic_load_n(&vcpu.startup.kicked, __ATOMIC_SEQ_CST); }

bool take_kick(Vcpu& vcpu)
{
    return __atomic_exchange_n(&vcpu.startup.kicked, false, __ATOMIC_SEQ_CST);
}

} // namespace zpp::startup
