// A VMCS in a table, and a CPU with VMX for the code that fills it.
#pragma once
#include "fake_cpu.hpp"
#include "fake_msrs.hpp"
#include "fake_registers.hpp"
#include "vmx/entry_checks.hpp"
#include <functional>
#include <map>
#include <string>

namespace zpp::test {

// MSRs of a CPU that has every control, and those that the manual fixes to 1.
Msrs capable_msrs();

// One at a time: VMREAD and VMWRITE access the current one. Its CPU runs a 64-bit OS.
class FakeVmcs {
public:
    FakeVmcs();
    ~FakeVmcs();
    FakeVmcs(const FakeVmcs&) = delete;
    FakeVmcs& operator=(const FakeVmcs&) = delete;

    template <class Field> u64& operator[](Field field) { return fields[static_cast<u32>(field)]; }

    // As the launch leaves it.
    void launch(const zpp_cpu_state& os);
    static zpp_cpu_state uefi();

    // Then, as if the OS had left the 64-bit mode.
    void protected_mode();
    void virtual_8086();

    vmx::EntryState state() const;
    std::string broken_rule() const; // "" if VM entry would succeed

    CpuBlock block;
    FakeRegisters cpu;
    std::map<u32, u64> fields;
    std::function<void()> before_write; // once, before the next VMWRITE: what interrupts the core
    unsigned flushes = 0;               // INVVPID and INVEPT
};

} // namespace zpp::test
