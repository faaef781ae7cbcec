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

u32 load(const Vcpu& vcpu) { return __atomic_load_n(&vcpu.startup.state, __ATOMIC_ACQUIRE); }

ApicIdentity identity_of(const Vcpu& vcpu)
{
    return {vcpu.apic_id, vcpu.startup.logical_destination, vcpu.startup.destination_format};
}

bool change(Vcpu& vcpu, u32& from, u32 to)
{
    return __atomic_compare_exchange_n(&vcpu.startup.state, &from, to, false, __ATOMIC_ACQ_REL,
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
void kick(Vcpu& target)
{
    if (!__atomic_exchange_n(&target.startup.kicked, true, __ATOMIC_ACQ_REL))
        apic_access::send(target.apic_id, static_cast<u32>(DeliveryMode::nmi) << 8 | 1u << 14);
}

void deliver(Vcpu& sender, Vcpu& target, const Icr& icr)
{
    const bool init = icr.delivery() == DeliveryMode::init;
    if (!__atomic_load_n(&target.launched, __ATOMIC_ACQUIRE)) {
        // Not launched yet, or devirtualized: send it to the CPU.
        apic_access::send(target.apic_id, static_cast<u32>(icr.delivery()) << 8 | 1u << 14 |
                                              (init ? 0u : icr.vector()));
        return;
    }
    if (!init)
        post_sipi(target, icr.vector());
    else if (post_init(target) && &target != &sender)
        kick(target);
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
    if (icr.delivery() != DeliveryMode::init && icr.delivery() != DeliveryMode::startup)
        return false;
    if (icr.delivery() == DeliveryMode::init && icr.is_deassert())
        return true;
    bool known = false;
    for (u32 index = 0; index < machine.cpu_count(); ++index) {
        Vcpu& target = machine.vcpu(index);
        if (target.apic_id == ZPP_NO_APIC_ID ||
            !icr.addresses(identity_of(target), &target == &sender))
            continue;
        known = true;
        deliver(sender, target, icr);
    }
    return known; // false for a CPU that the loader does not know
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

void init_arrived(Vcpu& vcpu) { (void)post_init(vcpu); }

bool is_kicked(const Vcpu& vcpu) { return __atomic_load_n(&vcpu.startup.kicked, __ATOMIC_ACQUIRE); }

bool take_kick(Vcpu& vcpu)
{
    return __atomic_exchange_n(&vcpu.startup.kicked, false, __ATOMIC_ACQ_REL);
}

} // namespace zpp::startup
