// apic/startup: INIT and SIPI between vCPUs. A thread stands for a CPU where it matters.
#include "apic/startup.hpp"
#include "core/machine.hpp"
#include "fake_apic.hpp"
#include "fake_core.hpp"
#include "x86/instructions.hpp"
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <doctest/doctest.h>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace zpp::test {
namespace {

using Commands = std::vector<Command>;

constexpr u32 to_self = 1u << 18, to_all = 2u << 18, to_others = 3u << 18;
constexpr u32 init = 0x4500, init_level = 0xc500, init_deassert = 0x8500, sipi = 0x4600;
constexpr u32 nmi = 0x4400;

// A machine of CPUs with the APIC IDs 0, 2, 4 ..., all launched.
class Cpus {
public:
    explicit Cpus(u32 count)
        : count_(count), memory_(std::aligned_alloc(ZPP_CPU_BLOCK_SIZE, count * ZPP_CPU_BLOCK_SIZE))
    {
        std::memset(memory_, 0, count * ZPP_CPU_BLOCK_SIZE);
        static zpp_boot_info info;
        info = boot_info();
        info.cpu_count = count;
        // Page numbers count from the core's base, and wrap.
        info.cpu_blocks_page = (reinterpret_cast<u64>(memory_) - ZPP_CORE_BASE) / page_size;
        REQUIRE(machine.adopt(&info));
        for (u32 index = 0; index < count; ++index) {
            Vcpu& vcpu = (*this)[index];
            REQUIRE(&vcpu ==
                    static_cast<void*>(static_cast<char*>(memory_) + index * ZPP_CPU_BLOCK_SIZE));
            vcpu.index = index;
            vcpu.launched = true;
            vcpu.apic_id = index * 2;
            vcpu.startup.logical_destination = 1u << (24 + index);
            vcpu.startup.destination_format = 0xffffffff;
        }
    }
    ~Cpus()
    {
        static const zpp_boot_info none = boot_info();
        (void)machine.adopt(&none);
        std::free(memory_);
    }
    Cpus(const Cpus&) = delete;
    Cpus& operator=(const Cpus&) = delete;

    Vcpu& operator[](u32 index) { return machine.vcpu(index); }

    // CPU `from` writes its ICR: to the CPU with this APIC ID, or with a shorthand.
    bool send(u32 from, u32 low, u32 apic_id = 0)
    {
        return startup::intercept((*this)[from], Icr::xapic(low, apic_id << 24));
    }

    bool kicked(u32 index) { return (*this)[index].startup.kicked; }

    bool none_waits()
    {
        for (u32 index = 0; index < count_; ++index)
            if (startup::waits((*this)[index]))
                return false;
        return true;
    }

private:
    u32 count_;
    void* memory_;
};

// What take() has done on this thread.
struct Taken {
    unsigned resets = 0;
    std::vector<unsigned> vectors;
    bool operator==(const Taken&) const = default;
};
thread_local Taken taken;
thread_local void (*during_reset)() = nullptr;

void on_reset(GuestRegisters& registers)
{
    ++taken.resets;
    registers.rax = 0x1111;
    if (during_reset != nullptr)
        during_reset();
}
void on_start(u8 vector) { taken.vectors.push_back(vector); }
void on_wait() { FAIL("nobody can wake this CPU"); }

Taken take(Vcpu& vcpu)
{
    taken = {};
    GuestRegisters registers{};
    startup::take(vcpu, registers, {on_reset, on_start, on_wait});
    CHECK((registers.rax == 0x1111) == (taken.resets != 0));
    return taken;
}

TEST_CASE("startup: other interrupt commands are not its business")
{
    const FakeApic apic;
    Cpus cpus(2);
    for (const u32 low : {0x40fbu, 0x41efu, 0x4200u, 0x4400u, 0x4700u, 0xc40fbu})
        CHECK_FALSE(cpus.send(0, low, 2));
    CHECK(FakeApic::take_sent().empty());
    CHECK(cpus.none_waits());
    CHECK(take(cpus[1]) == Taken{});
}

TEST_CASE("startup: INIT, then SIPI")
{
    const FakeApic apic;
    for (const u32 command : {init, init_level, 0x0500u}) {
        Cpus cpus(3);
        CHECK(cpus.send(0, command, 2));
        CHECK(FakeApic::take_sent() == Commands{{2, nmi}});
        CHECK(cpus.kicked(1));
        CHECK(startup::waits(cpus[1]));
        CHECK(cpus.send(0, sipi | 0x9a, 2));
        CHECK(FakeApic::take_sent().empty());
        CHECK_FALSE(startup::waits(cpus[0]));
        CHECK_FALSE(startup::waits(cpus[2]));
        CHECK(take(cpus[1]) == Taken{1, {0x9a}}); // the SIPI was there before the INIT was taken
        CHECK(cpus.none_waits());
        CHECK(take(cpus[1]) == Taken{}); // once
        CHECK(take(cpus[0]) == Taken{});
    }
}

TEST_CASE("startup: every vector, in x2APIC mode too")
{
    const FakeApic apic;
    Cpus cpus(2);
    for (unsigned vector = 0; vector < 256; ++vector) {
        CHECK(startup::intercept(cpus[0], Icr::x2apic(u64{2} << 32 | init)));
        CHECK(startup::intercept(cpus[0], Icr::x2apic(u64{2} << 32 | sipi | vector)));
        CHECK(take(cpus[1]) == Taken{1, {vector}});
    }
    CHECK(cpus.kicked(1));
}

TEST_CASE("startup: a SIPI without an INIT is dropped")
{
    const FakeApic apic;
    Cpus cpus(2);
    CHECK(cpus.send(0, sipi | 0x10, 2));
    CHECK(take(cpus[1]) == Taken{});
    CHECK(cpus.send(0, init, 2));
    CHECK(cpus.send(0, sipi | 0x20, 2));
    CHECK(take(cpus[1]) == Taken{1, {0x20}});
    CHECK(cpus.send(0, sipi | 0x30, 2)); // the second SIPI, after the CPU has started
    CHECK(take(cpus[1]) == Taken{});
    CHECK(FakeApic::take_sent() == Commands{{2, nmi}});
    CHECK(cpus.kicked(1));
}

TEST_CASE("startup: of two SIPIs the first counts")
{
    const FakeApic apic;
    Cpus cpus(2);
    CHECK(cpus.send(0, init, 2));
    CHECK(cpus.send(0, sipi | 0x41, 2));
    CHECK(cpus.send(0, sipi | 0x82, 2));
    CHECK(take(cpus[1]) == Taken{1, {0x41}});
}

TEST_CASE("startup: an INIT drops a SIPI that was not taken")
{
    const FakeApic apic;
    Cpus cpus(2);
    CHECK(cpus.send(0, init, 2));
    CHECK(cpus.send(0, sipi | 0x41, 2));
    CHECK(cpus.send(0, init, 2));
    CHECK(cpus.send(0, sipi | 0x82, 2));
    CHECK(take(cpus[1]) == Taken{1, {0x82}});
    CHECK(FakeApic::take_sent() == Commands{{2, nmi}}); // one kick is enough
    CHECK(cpus.kicked(1));
}

TEST_CASE("startup: an INIT while the target takes the one before")
{
    const FakeApic apic;
    static Cpus* shared;
    Cpus cpus(2);
    shared = &cpus;
    CHECK(cpus.send(0, init, 2));
    CHECK(cpus.send(0, sipi | 0x41, 2));
    during_reset = [] {
        CHECK(shared->send(0, init, 2));
        CHECK(shared->send(0, sipi | 0x82, 2));
    };
    CHECK(take(cpus[1]) == Taken{1, {0x82}});
    during_reset = nullptr;
    CHECK(cpus.none_waits());
}

TEST_CASE("startup: shorthands")
{
    const FakeApic apic;
    Cpus cpus(4);
    CHECK(cpus.send(2, init | to_others));
    CHECK(FakeApic::take_sent() == Commands{{0, nmi}, {2, nmi}, {6, nmi}});
    CHECK_FALSE(startup::waits(cpus[2]));
    CHECK(cpus.send(2, sipi | to_others | 0x87));
    for (const u32 index : {0u, 1u, 3u}) {
        CHECK(startup::take_kick(cpus[index]));
        CHECK(take(cpus[index]) == Taken{1, {0x87}});
    }
    CHECK(take(cpus[2]) == Taken{});

    // A CPU that sends itself an INIT takes it before its next VMRUN, without a kick.
    CHECK(cpus.send(1, init | to_self));
    CHECK(FakeApic::take_sent().empty());
    CHECK(cpus.send(0, sipi | 0x11, 2));
    CHECK(take(cpus[1]) == Taken{1, {0x11}});
    CHECK_FALSE(cpus.kicked(1));

    CHECK(cpus.send(3, init | to_all));
    CHECK(FakeApic::take_sent() == Commands{{0, nmi}, {2, nmi}, {4, nmi}});
    CHECK_FALSE(cpus.kicked(3));
    CHECK(startup::waits(cpus[3]));
}

TEST_CASE("startup: logical destinations and the broadcast")
{
    const FakeApic apic;
    Cpus cpus(4);
    CHECK(cpus.send(0, init | 1u << 11, 0b1010));
    CHECK(FakeApic::take_sent() == Commands{{2, nmi}, {6, nmi}});
    CHECK_FALSE(startup::waits(cpus[0]));
    CHECK_FALSE(startup::waits(cpus[2]));
    CHECK(cpus.send(0, init, 0xff)); // with the sender
    CHECK(FakeApic::take_sent() == Commands{{4, nmi}});
    for (u32 index = 0; index < 4; ++index)
        CHECK(startup::waits(cpus[index]));
}

TEST_CASE("startup: a CPU that is not launched gets it from the hardware")
{
    const FakeApic apic;
    Cpus cpus(3);
    cpus[1].launched = false;
    CHECK(cpus.send(0, init_level, 2));
    CHECK(cpus.send(0, sipi | 0x9a, 2));
    CHECK(cpus.send(0, sipi | 0x9b, 2));
    CHECK(FakeApic::take_sent() == Commands{{2, init}, {2, sipi | 0x9a}, {2, sipi | 0x9b}});
    CHECK(cpus.none_waits());
    CHECK_FALSE(cpus.kicked(1));

    CHECK(cpus.send(0, init | to_others));
    CHECK(FakeApic::take_sent() == Commands{{2, init}, {4, nmi}});
    CHECK_FALSE(startup::waits(cpus[1]));
    CHECK(startup::waits(cpus[2]));
}

TEST_CASE("startup: a CPU that is not there yet is left to the hardware")
{
    const FakeApic apic;
    Cpus cpus(3);
    cpus[2].launched = false;
    cpus[2].apic_id = ZPP_NO_APIC_ID;
    CHECK_FALSE(cpus.send(0, init, 4));
    CHECK(cpus.send(0, init | to_others)); // nothing is sent for it, least of all a broadcast
    CHECK(FakeApic::take_sent() == Commands{{2, nmi}});
}

TEST_CASE("startup: a CPU that nobody knows is left to the hardware")
{
    const FakeApic apic;
    Cpus cpus(2);
    CHECK_FALSE(cpus.send(0, init, 1));
    CHECK_FALSE(cpus.send(0, sipi | 0x9a, 1));
    CHECK_FALSE(cpus.send(0, init | 1u << 11, 0b100));
    CHECK_FALSE(startup::intercept(cpus[0], Icr::x2apic(u64{0x102} << 32 | init)));
    CHECK(FakeApic::take_sent().empty());
    CHECK(cpus.none_waits());
}

TEST_CASE("startup: the INIT level de-assert does nothing")
{
    const FakeApic apic;
    Cpus cpus(2);
    for (const u32 low : {init_deassert, init_deassert | to_all, init_deassert | to_others})
        CHECK(cpus.send(0, low, 2));
    CHECK(cpus.none_waits());
    CHECK(cpus.send(0, init_level, 2));
    CHECK(cpus.send(0, sipi | 0x33, 2));
    CHECK(cpus.send(0, init_deassert, 2)); // must not drop the SIPI
    CHECK(take(cpus[1]) == Taken{1, {0x33}});
    CHECK(FakeApic::take_sent() == Commands{{2, nmi}});
}

TEST_CASE("startup: the BSP starts at the reset vector, without a SIPI")
{
    const FakeApic apic;
    Cpus cpus(2);
    FakeApic::set_bsp(true);
    CHECK(cpus.send(1, init, 0));
    CHECK(cpus.send(1, sipi | 0x44, 0));
    CHECK(take(cpus[0]) == Taken{1, {}});
    CHECK(cpus.none_waits());
    CHECK(take(cpus[0]) == Taken{});
}

TEST_CASE("startup: an INIT from elsewhere")
{
    const FakeApic apic;
    Cpus cpus(2);
    startup::init_arrived(cpus[1]);
    CHECK(startup::waits(cpus[1]));
    CHECK_FALSE(cpus.kicked(1));
    CHECK(cpus.send(0, sipi | 0x55, 2));
    CHECK(take(cpus[1]) == Taken{1, {0x55}});
    CHECK(FakeApic::take_sent().empty());
}

TEST_CASE("startup: a kick that is on its way is enough, so none can melt into another")
{
    const FakeApic apic;
    Cpus cpus(2);
    CHECK_FALSE(startup::take_kick(cpus[1])); // somebody else's NMI
    for (unsigned round = 0; round < 3; ++round) {
        CHECK(cpus.send(0, init, 2));
        CHECK(cpus.send(0, sipi, 2));
        take(cpus[1]);
    }
    CHECK(FakeApic::take_sent() == Commands{{2, nmi}});
    CHECK(startup::take_kick(cpus[1]));
    CHECK_FALSE(startup::take_kick(cpus[1]));
    CHECK(cpus.send(0, init, 2));
    CHECK(FakeApic::take_sent() == Commands{{2, nmi}});
}

// ---- with a CPU that really waits

// CPU 1, which takes what comes until it is told to stop, and notes each start.
class Target {
public:
    explicit Target(Cpus& cpus)
        : vcpu_(cpus[1]), thread_([this] {
              self_ = this;
              while (!stop_.load()) {
                  take_kick();
                  taken = {};
                  GuestRegisters registers{};
                  startup::take(vcpu_, registers, {on_reset, on_start, wait});
                  if (!taken.vectors.empty())
                      last_ = taken.vectors.back();
                  bad_ += taken.resets != taken.vectors.size();
                  starts_ += static_cast<unsigned>(taken.vectors.size());
                  for (const unsigned vector : taken.vectors)
                      bad_ += vector < first_vector;
              }
          })
    {
    }
    ~Target()
    {
        stop_ = true;
        // Where a test has failed it may still wait.
        (void)startup::intercept(vcpu_, Icr::xapic(sipi | to_self | first_vector, 0));
        thread_.join();
    }

    static constexpr unsigned first_vector = 0x10; // that the tests use

    unsigned starts() const { return starts_; }
    unsigned last() const { return last_; }
    unsigned bad() const { return bad_; } // starts without a reset, or of a vector nobody has sent
    unsigned kicks() const { return kicks_; }

private:
    bool take_kick()
    {
        const bool was = startup::take_kick(vcpu_);
        kicks_ += was;
        return was;
    }
    static void wait()
    {
        self_->take_kick();
        x86::pause();
    }

    static thread_local Target* self_;
    Vcpu& vcpu_;
    std::atomic<bool> stop_ = false;
    std::atomic<unsigned> starts_ = 0, last_ = 0, bad_ = 0, kicks_ = 0;
    std::thread thread_;
};

thread_local Target* Target::self_;

bool eventually(const auto& condition)
{
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end)
            return false;
        std::this_thread::yield();
    }
    return true;
}

class Deadline {
public:
    bool passed() const { return std::chrono::steady_clock::now() > end_; }

private:
    std::chrono::steady_clock::time_point end_ =
        std::chrono::steady_clock::now() + std::chrono::seconds(1);
};

TEST_CASE("startup: a CPU waits for its SIPI, then starts once")
{
    const FakeApic apic;
    Cpus cpus(2);
    Target target(cpus);
    const Deadline deadline;
    for (unsigned round = 0; round < 1000 && !deadline.passed(); ++round) {
        const unsigned vector = Target::first_vector + round % 200;
        REQUIRE(cpus.send(0, init, 2));
        if (round % 16 == 0) { // Linux leaves it 10 ms
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            CHECK(startup::waits(cpus[1]));
            CHECK(target.starts() == round);
        }
        REQUIRE(cpus.send(0, sipi | vector, 2));
        REQUIRE(cpus.send(0, sipi | vector, 2));
        REQUIRE(eventually([&] { return target.starts() == round + 1; }));
        REQUIRE(target.last() == vector);
        REQUIRE_FALSE(startup::waits(cpus[1]));
    }
    const auto sent = FakeApic::take_sent().size();
    CHECK(eventually([&] { return target.kicks() == sent; }));
    CHECK(target.bad() == 0);
}

// Each INIT drops the SIPI before it, unless that has started the CPU already: whatever the order,
// the last vector wins, and none comes from nowhere.
TEST_CASE("startup: INITs and SIPIs that cross the target's steps")
{
    const FakeApic apic;
    Cpus cpus(2);
    Target target(cpus);
    std::mt19937 random(6);
    const auto linger = [&](unsigned most) {
        for (unsigned i = random() % most; i-- > 0;)
            x86::pause();
    };
    const Deadline deadline;
    unsigned rounds = 0;
    for (; rounds < 20'000 && !deadline.passed(); ++rounds) {
        const unsigned last = Target::first_vector + 1 + rounds % 200;
        REQUIRE(cpus.send(0, init, 2));
        linger(20);
        for (unsigned i = 0; i < 3; ++i) {
            REQUIRE(cpus.send(0, sipi | Target::first_vector, 2));
            linger(4);
            REQUIRE(cpus.send(0, init, 2));
            linger(4);
        }
        REQUIRE(cpus.send(0, sipi | last, 2));
        REQUIRE(eventually([&] { return target.last() == last || target.bad() != 0; }));
        REQUIRE(target.bad() == 0);
    }
    CHECK(target.starts() >= rounds);
    CHECK(target.starts() <= rounds * 4);
    const auto sent = FakeApic::take_sent().size();
    CHECK(eventually([&] { return target.kicks() == sent; }));
}

TEST_CASE("startup: two senders at once")
{
    const FakeApic apic;
    Cpus cpus(3);
    Target target(cpus);
    const Deadline deadline;
    for (unsigned round = 0; round < 1000 && !deadline.passed(); ++round) {
        const unsigned before = target.starts();
        REQUIRE(cpus.send(0, init, 2));
        std::thread other([&] { (void)cpus.send(2, sipi | 0x20, 2); });
        REQUIRE(cpus.send(0, sipi | 0x30, 2));
        other.join();
        REQUIRE(eventually([&] { return target.starts() == before + 1; }));
        REQUIRE((target.last() == 0x20 || target.last() == 0x30));
    }
    CHECK(target.bad() == 0);
    CHECK_FALSE(startup::waits(cpus[1]));
}

} // namespace
} // namespace zpp::test
