// Microcode updates: which the core passes to the CPU, and how the CPU reads them there.
#include "core/log.hpp"
#include "emulate/microcode.hpp"
#include "fake_windows.hpp"
#include "svm/microcode.hpp"
#include "vmx/microcode.hpp"
#include <cstring>
#include <doctest/doctest.h>
#include <string>
#include <vector>

namespace zpp::test {
namespace {

using vmx::MicrocodeHeader;

constexpr u32 signature = 0x306c3, other_signature = 0x306c4;
constexpr unsigned platform = 1;
constexpr std::size_t header_size = sizeof(MicrocodeHeader);

struct Extended {
    u32 signature, flags;
};

// A correct update.
class Update {
public:
    explicit Update(u32 data_size = 2000, u32 total_size = 2048,
                    const std::vector<Extended>& extended = {})
        : bytes_(total_size)
    {
        for (std::size_t i = 0; i < bytes_.size(); ++i)
            bytes_[i] = static_cast<u8>(i * 37 + i / 256);
        header() = {.header_version = 1,
                    .revision = 0x42,
                    .date = 0x11292026,
                    .signature = signature,
                    .checksum = 0,
                    .loader_revision = 1,
                    .processor_flags = 1u << platform,
                    .data_size = data_size,
                    .total_size = total_size,
                    .reserved = {}};
        u32* table = at(header_size + data_size);
        if (!extended.empty())
            *table = static_cast<u32>(extended.size());
        for (std::size_t i = 0; i < extended.size(); ++i) {
            table[5 + 3 * i] = extended[i].signature;
            table[6 + 3 * i] = extended[i].flags;
        }
        correct_checksum();
    }

    MicrocodeHeader& header() { return *reinterpret_cast<MicrocodeHeader*>(bytes_.data()); }
    u8* data() { return bytes_.data(); }
    std::size_t size() const { return bytes_.size(); }

    void correct_checksum()
    {
        header().checksum = 0;
        u32 sum = 0;
        for (std::size_t i = 0; i < bytes_.size(); i += 4)
            sum += *at(i);
        header().checksum = -sum;
    }

    std::string fault() { return fault(bytes_.size()); }
    std::string fault(std::size_t bytes)
    {
        const char* text = vmx::microcode_fault(bytes_.data(), bytes, signature, platform);
        return text == nullptr ? "" : text;
    }

private:
    u32* at(std::size_t offset) { return reinterpret_cast<u32*>(bytes_.data() + offset); }

    std::vector<u8> bytes_;
};

TEST_CASE("Intel's microcode: correct updates")
{
    CHECK(Update().fault().empty());
    CHECK(Update(0x3000 - header_size, 0x3000).fault().empty());
    CHECK(Update(2000, 3072).fault().empty()); // more than header and data

    Update old; // sizes of 0 stand for 2000 and 2048 bytes
    old.header().data_size = old.header().total_size = 0;
    old.correct_checksum();
    CHECK(old.fault().empty());

    Update any; // without processor flags
    any.header().processor_flags = 0;
    any.correct_checksum();
    CHECK(any.fault().empty());

    Update extended(2000, 3072, {{1, 2}, {signature, 1u << platform}});
    extended.header().signature = other_signature;
    extended.correct_checksum();
    CHECK(extended.fault().empty());
}

TEST_CASE("Intel's microcode: what a loader must refuse")
{
    struct Case {
        const char* fault;
        void (*spoil)(MicrocodeHeader&);
    };
    const Case cases[] = {
        {"its header or loader version is not 1", [](auto& h) { h.header_version = 2; }},
        {"its header or loader version is not 1", [](auto& h) { h.loader_revision = 0; }},
        {"its sizes are not valid", [](auto& h) { h.data_size = 2004; }},
        {"its sizes are not valid", [](auto& h) { h.data_size = 1998; }},
        {"its sizes are not valid", [](auto& h) { h.data_size = 0xffffffff; }},
        {"its sizes are not valid", [](auto& h) { h.total_size = 2052; }},
        {"its sizes are not valid", [](auto& h) { h.total_size = 0; }},
        {"not all of it is in memory", [](auto& h) { h.total_size = 4096; }},
        {"not all of it is in memory", [](auto& h) { h.total_size = 0xfffffc00; }},
        {"it is for another CPU", [](auto& h) { h.signature = other_signature; }},
        {"it is for another CPU", [](auto& h) { h.processor_flags = ~(1u << platform); }},
    };
    for (const Case& c : cases) {
        Update update;
        c.spoil(update.header());
        update.correct_checksum();
        CHECK(update.fault() == c.fault);
    }

    Update update;
    CHECK(update.fault(header_size - 1) == "its header is not in memory");
    CHECK(update.fault(header_size) == "not all of it is in memory");
    CHECK(update.fault(update.size() - 1) == "not all of it is in memory");
    update.data()[1000] ^= 1;
    CHECK(update.fault() == "its checksum is wrong");
}

TEST_CASE("Intel's microcode: a table of extended signatures that is longer than the update")
{
    Update update(2000, 3072, {{1, 1}});
    update.header().signature = other_signature;
    const u32 count = 0xffffffff;
    std::memcpy(update.data() + header_size + 2000, &count, sizeof count);
    update.correct_checksum();
    CHECK(update.fault() == "it is for another CPU");
}

TEST_CASE("AMD's microcode patches")
{
    constexpr u32 rome = 0x00830f10, milan = 0x00a00f11;
    svm::PatchHeader header{};
    header.date = 0x11292026;
    header.patch_id = 0x0830107c;
    header.processor_revision = 0x8310;
    const auto fault = [&](u32 cpu, u64 bytes = svm::patch_size_limit) {
        const char* text = svm::patch_fault(reinterpret_cast<const u8*>(&header), bytes, cpu);
        return std::string(text == nullptr ? "" : text);
    };
    CHECK(fault(rome).empty());
    CHECK(fault(rome, sizeof header).empty());
    CHECK(fault(rome, sizeof header - 1) == "its header is not in memory");
    CHECK(fault(milan) == "it is for another family of CPUs");
    header.patch_id = 0;
    CHECK(fault(rome) == "its header is not valid");
    header.patch_id = 1;
    for (const u32 date : {0u, 0x13012026u, 0x01322026u, 0x00012026u, 0x01011999u}) {
        header.date = date;
        CHECK(fault(rome) == "its header is not valid");
    }
}

// ---- from the guest's memory to the CPU

constexpr u64 present = bit(0), cr3 = 4 * page_size;
constexpr unsigned pml4 = 4, pointers = 3, directory = 2, table = 1;

// The CPU that the update is written to.
struct Cpu {
    bool accepts = true;
    u64 size = 0; // of what it reads at the address
    std::vector<u64> written;
    std::vector<u8> read;
} cpu;

bool write_msr(x86::Msr msr, u64 value)
{
    CHECK(msr == x86::Msr::ia32_bios_updt_trig);
    cpu.written.push_back(value);
    const auto* from = reinterpret_cast<const u8*>(value) - header_size;
    cpu.read.assign(from, from + cpu.size);
    return cpu.accepts;
}

constexpr MicrocodeFormat intel{x86::Msr::ia32_bios_updt_trig, header_size,
                                FakeWindows::linear_pages* page_size,
                                [](const u8* update, u64 bytes) {
                                    return vmx::microcode_fault(update, bytes, signature, platform);
                                }};

// Maps linear page n to the guest's page pages[n].
class Guest {
public:
    explicit Guest(const std::vector<unsigned>& pages)
    {
        windows.entry(pml4, 0) = pointers * page_size | present;
        windows.entry(pointers, 0) = directory * page_size | present;
        windows.entry(directory, 0) = table * page_size | present;
        for (unsigned n = 0; n < pages.size(); ++n)
            windows.entry(table, n) = pages[n] * page_size | present;
        pages_ = pages;
        cpu = {};
    }

    void put(Update& update, u64 linear)
    {
        for (std::size_t i = 0; i < update.size(); ++i)
            windows.page(pages_[(linear + i) / page_size])[(linear + i) % page_size] =
                update.data()[i];
        cpu.size = update.size();
    }

    // WRMSR with the address of the update's data.
    Outcome load(u64 address)
    {
        return load_microcode(intel, windows.vcpu(), paging, {address}, write_msr);
    }

    FakeWindows windows;
    GuestPaging paging{x86::Cr0::pg | x86::Cr0::pe, cr3, x86::Cr4::pae,
                       x86::Efer::lma | x86::Efer::lme};

private:
    std::vector<unsigned> pages_;
};

TEST_CASE("microcode: the CPU reads the guest's pages in one piece, wherever they are")
{
    Update update(0x2800 - header_size, 0x2800);
    for (const u64 start : {0x0, 0x4, 0x10, 0xfe0, 0xffc}) { // unaligned, the header on 2 pages
        CAPTURE(start);
        Guest guest({20, 9, 17, 8});
        guest.put(update, start);
        CHECK(guest.load(start + header_size) == Outcome::advance);
        REQUIRE(cpu.written.size() == 1);
        CHECK(std::memcmp(cpu.read.data(), update.data(), update.size()) == 0);
        CHECK(FakeWindows::linear_mapped() == 0);
    }
}

TEST_CASE("microcode: an update that is not correct never reaches the CPU")
{
    Update update;
    update.data()[100] ^= 1;
    Guest guest({20, 9});
    guest.put(update, 0x800);
    CHECK(guest.load(0x800 + header_size) == Outcome::advance);
    CHECK(cpu.written.empty());
    CHECK(FakeWindows::linear_mapped() == 0);
}

TEST_CASE("microcode: pages that the guest does not have")
{
    Update update(0x1800 - header_size, 0x1800);
    SUBCASE("not present")
    {
        Guest guest({20, 9});
        guest.put(update, 0x100);
        guest.windows.entry(table, 1) = 0;
        CHECK(guest.load(0x100 + header_size) == Outcome::advance);
    }
    SUBCASE("of the core")
    {
        Guest guest({20, 9});
        guest.put(update, 0x100);
        FakeWindows::hide(9);
        CHECK(guest.load(0x100 + header_size) == Outcome::advance);
    }
    SUBCASE("the header")
    {
        Guest guest({20, 9});
        for (const u64 address : {u64{0}, u64{0x10}, u64{0x200010}, ~u64{0xf}})
            CHECK(guest.load(address) == Outcome::advance);
    }
    SUBCASE("not canonical, although the tables map the lower bits")
    {
        Guest guest({20, 9});
        guest.put(update, 0x100);
        CHECK(guest.load(0x0001000000000100 + header_size) == Outcome::advance);
    }
    CHECK(cpu.written.empty());
    CHECK(FakeWindows::linear_mapped() == 0);
}

TEST_CASE("microcode: an update that the CPU refuses is #GP")
{
    Update update;
    Guest guest({20, 9});
    guest.put(update, 0x100);
    cpu.accepts = false;
    CHECK(guest.load(0x100 + header_size) == Outcome::general_protection);
    CHECK(cpu.written.size() == 1);
    CHECK(FakeWindows::linear_mapped() == 0);
}

} // namespace
} // namespace zpp::test
