// Recorded machines: the core's refusals, the diagnosis and the recorded verdict agree; the controls
// that zpp sets are valid there.
#include "core/requirements.hpp"
#include "fake_vmcs.hpp"
#include "recorded_machines.hpp"
#include "vmx/shared.hpp"
#include "zpp/hypercall.h"
#include <doctest/doctest.h>
#include <string>

extern "C" {
#include "loader/diagnosis.h"
}

namespace zpp::test {
namespace {

struct Outcome {
    Result result;
    u32 cpu = 0;
};

bool is_ok(zpp_group group) { return check(group, recorded_cpu).ok(); }

// As a launch: the loader and PREPARE on the BSP, then LAUNCH on each CPU.
Outcome launch(const RecordedMachine& machine)
{
    use_cpu(machine.bsp());
    if (machine.bsp().cpuid(ZPP_CPUID_SIGNATURE_LEAF, ZPP_CPUID_KEY).ebx == ZPP_SIGNATURE_EBX)
        return {{ZPP_IN_USE}};
    for (const zpp_group group : {ZPP_FOR_LOADER, ZPP_FOR_CORE})
        if (const Result result = check(group, recorded_cpu); !result.ok())
            return {result};
    if (!is_ok(ZPP_IS_VTX) && !is_ok(ZPP_IS_AMDV))
        return {{ZPP_NO_VIRTUALIZATION}};
    const bool vtx = is_ok(ZPP_IS_VTX);
    if (const Result result = check(vtx ? ZPP_FOR_VTX : ZPP_FOR_AMDV, recorded_cpu); !result.ok())
        return {result};
    const vmx::CapabilityMsrs first = vtx ? vmx::CapabilityMsrs{read_msr} : vmx::CapabilityMsrs{};
    for (u32 cpu = 0; cpu < machine.cpus.size(); ++cpu) {
        use_cpu(machine.cpus[cpu]);
        if (!is_ok(vtx ? ZPP_IS_VTX : ZPP_IS_AMDV))
            return {{ZPP_NO_VIRTUALIZATION}, cpu};
        const Result result =
            vtx ? vmx::check_cpu(first, recorded_cpu) : check(ZPP_FOR_AMDV, recorded_cpu);
        if (!result.ok())
            return {result, cpu};
    }
    return {};
}

zpp_diagnosis diagnose(const RecordedMachine& machine)
{
    std::vector<zpp_capture> captures;
    for (const RecordedCpu& cpu : machine.cpus)
        captures.push_back(capture_of(cpu));
    std::vector<const zpp_capture*> pointers;
    for (const zpp_capture& capture : captures)
        pointers.push_back(&capture);
    return zpp_diagnose(pointers.data(), static_cast<u32>(pointers.size()));
}

TEST_CASE("machines: there are some of both vendors, and some that zpp refuses")
{
    unsigned vtx = 0, refused = 0;
    for (const RecordedMachine& machine : recorded_machines) {
        vtx += machine.has_vtx();
        refused += !machine.verdict.runs;
    }
    CHECK(vtx >= 10);
    CHECK(recorded_machines.size() - vtx >= 8);
    CHECK(refused >= 5);
    CHECK(recorded_machines.size() - refused >= 10);
}

TEST_CASE("machines: recording one again gives the same, and reads no MSR that does not exist")
{
    for (const RecordedMachine& machine : recorded_machines)
        for (const RecordedCpu& cpu : machine.cpus) {
            INFO(machine.name);
            const zpp_capture capture = capture_of(cpu);
            CHECK(capture.leaf_count == cpu.leaves.size());
            CHECK(capture.msr_count == cpu.msr_values.size());
            const Msrs msrs = cpu.msrs();
            for (u32 i = 0; i < capture.msr_count; ++i)
                CHECK(msrs.at(capture.msrs[i].index) == capture.msrs[i].value);
            for (const zpp_captured_leaf& leaf : cpu.leaves) {
                const zpp_captured_leaf* found = zpp_find_leaf(&capture, leaf.leaf, leaf.subleaf);
                REQUIRE(found != nullptr);
                CHECK(found->eax == leaf.eax);
                CHECK(found->edx == leaf.edx);
            }
        }
}

TEST_CASE("machines: the core, the diagnosis and the file say the same")
{
    for (const RecordedMachine& machine : recorded_machines) {
        INFO(machine.name);
        const RecordedVerdict& recorded = machine.verdict;
        const zpp_diagnosis diagnosis = diagnose(machine);
        CHECK(diagnosis.known);
        CHECK((diagnosis.status == ZPP_OK) == recorded.runs);
        const Outcome outcome = diagnosis.known ? launch(machine) : Outcome{};
        CHECK(outcome.result.status == diagnosis.status);
        CHECK(std::string(outcome.result.detail) == diagnosis.detail);
        CHECK(outcome.cpu == diagnosis.cpu);
        if (recorded.runs)
            continue;
        CHECK(zpp_status_text(diagnosis.status) == recorded.reason);
        CHECK(diagnosis.detail == recorded.detail);
        CHECK(diagnosis.fix == recorded.fix);
        CHECK(diagnosis.cpu == recorded.cpu);
    }
}

// A control's MSR: bits that must be 1 below, bits that may be 1 above.
void check_controls(u64 capability, u64 controls)
{
    CAPTURE(capability);
    CHECK((controls & static_cast<u32>(capability)) == static_cast<u32>(capability));
    CHECK((controls & ~(capability >> 32)) == 0);
}

TEST_CASE("machines: each CPU allows the controls that zpp sets, and its VM entry would succeed")
{
    for (const RecordedMachine& machine : recorded_machines) {
        if (!machine.has_vtx() || !machine.verdict.runs)
            continue;
        INFO(machine.name);
        for (const RecordedCpu& cpu : machine.cpus) {
            FakeVmcs vmcs;
            const Msrs msrs = cpu.msrs();
            use_msrs(msrs);
            vmx::Capabilities& set = vmx::shared.capabilities;
            set.read(read_msr);
            check_controls(msrs.at(0x48d), raw(set.pin));
            check_controls(msrs.at(0x48e), raw(set.primary));
            check_controls(msrs.at(0x48b), raw(set.secondary));
            check_controls(msrs.at(0x48f), raw(set.exit));
            check_controls(msrs.at(0x490), raw(set.entry));
            vmcs.launch(FakeVmcs::uefi());
            CHECK(vmcs.broken_rule() == "");
        }
    }
}

TEST_CASE("diagnosis: a missing MSR, a hypervisor that hides, and zpp itself")
{
    const RecordedMachine& machine = recorded_machine("haswell");
    zpp_capture capture = capture_of(machine.bsp());
    const zpp_capture* pointer = &capture;
    capture.msr_count = 0;
    CHECK_FALSE(zpp_diagnose(&pointer, 1).known);

    capture = capture_of(recorded_machine("vtx-locked-off").bsp());
    for (u32 i = 0; i < capture.leaf_count; ++i)
        if (capture.leaves[i].leaf == 1)
            capture.leaves[i].ecx |= 1u << 31;
    CHECK(std::string(zpp_diagnose(&pointer, 1).fix) == ZPP_FIX_NESTED);

    capture = capture_of(machine.bsp());
    capture.leaves[capture.leaf_count++] = {
        ZPP_CPUID_SIGNATURE_LEAF, ZPP_CPUID_KEY,     0,
        ZPP_SIGNATURE_EBX,        ZPP_SIGNATURE_ECX, ZPP_SIGNATURE_EDX};
    CHECK(zpp_diagnose(&pointer, 1).status == ZPP_IN_USE);
}

} // namespace
} // namespace zpp::test
