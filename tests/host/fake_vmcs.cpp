#include "fake_vmcs.hpp"
#include "vmx/guest_state.hpp"
#include "vmx/shared.hpp"
#include "vmx/vmcs_setup.hpp"
#include "x86/exceptions.hpp"
#include <doctest/doctest.h>
#include <utility>

namespace zpp {
namespace {

test::FakeVmcs* current = nullptr;

u64 read_field(u32 field)
{
    const auto found = current->fields.find(field);
    return found == current->fields.end() ? 0 : found->second;
}

} // namespace

namespace vmx {

bool vmread(u64 field, u64& value)
{
    value = read_field(static_cast<u32>(field));
    return true;
}

bool vmwrite(u64 field, u64 value)
{
    if (current->before_write)
        std::exchange(current->before_write, nullptr)();
    current->fields[static_cast<u32>(field)] = value;
    return true;
}

bool invept(Invalidation, u64) { return ++current->flushes != 0; }
bool invvpid(Invalidation, u16) { return ++current->flushes != 0; }

void on_failed_access(u32) { FAIL("a VMCS field cannot be accessed"); }

extern "C" void zpp_vmx_exit() {}
extern "C" void zpp_vmx_general_exit() {}
extern "C" void zpp_vmx_traced_exit() {}

} // namespace vmx

u64 x86::idt_base() { return 0xffffa00000010000; }

namespace test {
namespace {

constexpr u32 data = 0xc093, code_64 = 0xa09b;

zpp_segment segment(u16 selector, u32 rights, u32 limit, u64 base = 0)
{
    return {.base = base,
            .limit = limit,
            .selector = selector,
            .reserved = 0,
            .access_rights = rights,
            .reserved2 = 0};
}

} // namespace

Msrs capable_msrs()
{
    return {
        {0x3a, 5}, // locked, VMX outside SMX
        {0x480, bit(55) | bit(54) | u64{0x1000} << 32 | 0x12345678},
        {0x485, bit(5) | bit(6) | bit(7) | bit(8)},
        {0x486, 0x80000021}, // CR0: PG, NE, PE must be 1
        {0x487, 0xffffffff},
        {0x488, 0x2000}, // CR4: VMXE
        {0x489, 0x3727ff},
        {0x48b, u64{0xffffffff} << 32},
        {0x48c, bit(0) | bit(6) | bit(7) | bit(14) | bit(16) | bit(17) | bit(20) | bit(25) |
                    bit(26) | bit(32) | bit(40) | bit(41) | bit(42)},
        {0x48d, u64{0xffffffff} << 32 | 0x16},
        {0x48e, u64{0xffffffff} << 32 | 0x04006172},
        {0x48f, u64{0xffffffff} << 32 | 0x36dfb},
        {0x490, u64{0xffffffff} << 32 | 0x11fb},
    };
}

FakeVmcs::FakeVmcs()
{
    REQUIRE(current == nullptr);
    current = this;
    cpu.msrs = {{0x1b, 0xfee00900}, // IA32_APIC_BASE of the BSP
                {0x140, 0},
                {0x174, 0x10},
                {0x175, 0xffff'8880'0000'1000},
                {0x176, 0xffff'ffff'8100'0000},
                {0x1d9, 0},
                {0x277, 0x0007'0406'0007'0406}};
    cpu.control = {{0, 0x80050033}, {2, 0}, {3, 0x1000}, {4, 0x3406f0}};
    cpu.debug = {{0, 0}, {1, 0}, {2, 0}, {3, 0}, {6, 0xffff0ff0}, {7, 0x400}};
    use_msrs(capable_msrs());
    vmx::shared = {};
    vmx::shared.capabilities.read(read_msr);
    vmx::shared.eptp = 0x7000000 | 3 << 3 | 6;
    vmx::shared.msr_bitmaps = {0x7001000};
}

FakeVmcs::~FakeVmcs() { current = nullptr; }

zpp_cpu_state FakeVmcs::uefi()
{
    zpp_cpu_state os{};
    os.rsp = 0x7fe0000;
    os.rip = 0x7fd0123;
    os.rflags = 0x202;
    os.cr0 = 0x80010033;
    os.cr3 = 0x7c01000;
    os.cr4 = 0x668;
    os.efer = 0xd00;
    os.gdtr.limit = 0x47;
    os.gdtr.base = 0x7fc0000;
    os.idtr.limit = 0xfff;
    os.idtr.base = 0x7fb0000;
    os.cs = segment(0x38, code_64, 0xffffffff);
    os.ss = os.ds = os.es = os.fs = os.gs = segment(0x30, data, 0xffffffff);
    os.ldtr = segment(0, 0x10000, 0);
    os.tr = segment(0, 0x8b, 0xffff);
    return os;
}

void FakeVmcs::launch(const zpp_cpu_state& os)
{
    vmx::write_controls();
    vmx::write_host_state(block.vcpu());
    vmx::write_guest_state(os);
    block.vcpu().launched = true;
}

void FakeVmcs::protected_mode()
{
    (*this)[vmx::Field32::entry_controls] &= ~bit(9);
    (*this)[vmx::Field64::guest_efer] &= ~u64{0x500};
    (*this)[vmx::FieldNatural::guest_rip] = 0x1000;
    (*this)[vmx::Field32::guest_cs_rights] = 0xc09b;
}

void FakeVmcs::virtual_8086()
{
    protected_mode();
    (*this)[vmx::FieldNatural::guest_rflags] = 0x23002;
    for (const vmx::SegmentFields& s : {vmx::guest_cs, vmx::guest_ss, vmx::guest_ds, vmx::guest_es,
                                        vmx::guest_fs, vmx::guest_gs}) {
        (*this)[s.selector] = 0x1000;
        (*this)[s.base] = 0x10000;
        (*this)[s.limit] = 0xffff;
        (*this)[s.rights] = 0xf3;
    }
}

vmx::EntryState FakeVmcs::state() const
{
    return {.read_field = read_field,
            .read_msr = read_msr,
            .physical_address_bits = 39,
            .linear_address_bits = 48};
}

std::string FakeVmcs::broken_rule() const
{
    const vmx::EntryRule* rule = vmx::find_broken_rule(state());
    return rule != nullptr ? rule->text : "";
}

} // namespace test
} // namespace zpp
