// ZppBoot/MachineJson.c: it writes a recorded machine as the machine's file has it.
#include "recorded_machines.hpp"
#include <doctest/doctest.h>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

extern "C" {
#include "MachineJson.h"
}

namespace zpp::test {
namespace {

std::string json(const ZPP_MACHINE& machine, const zpp_diagnosis& diagnosis)
{
    std::string text(ZppMachineToJson(&machine, &diagnosis, nullptr, 0), '?');
    CHECK(ZppMachineToJson(&machine, &diagnosis, text.data(), text.size()) == text.size());
    return text;
}

// From the list of CPUs to the end.
std::string cpus_of(const std::string& text) { return text.substr(text.find("  \"cpus\": [")); }

TEST_CASE("machine.json: the CPUs and the verdict are as in the file")
{
    for (const RecordedMachine& recorded : recorded_machines) {
        INFO(recorded.name);
        if (recorded.bsp().cr0 == 0)
            continue; // recorded by an operating system
        std::vector<zpp_capture> captures;
        for (const RecordedCpu& cpu : recorded.cpus)
            captures.push_back(capture_of(cpu));
        std::vector<const zpp_capture*> cpus;
        for (const zpp_capture& capture : captures)
            cpus.push_back(&capture);
        const u32 count = static_cast<u32>(cpus.size());
        const ZPP_MACHINE machine{"", 0, 0, ZppSecureBootOff, nullptr, 0, cpus.data(), count};
        std::ifstream file(ZPP_MACHINES "/" + recorded.name + ".json");
        const std::string text{std::istreambuf_iterator<char>(file), {}};
        CHECK(cpus_of(json(machine, zpp_diagnose(cpus.data(), count))) == cpus_of(text));
    }
}

TEST_CASE("machine.json: the firmware and the memory")
{
    const zpp_capture none{};
    const zpp_capture* cpu = &none;
    const ZPP_RANGE ranges[] = {{0, 0x9ffff, ZppRangeRam},
                                {0x8'0000'0000, 0xf'ffff'ffff'ffff, ZppRangePersistent}};
    zpp_diagnosis diagnosis = zpp_diagnose(&cpu, 1);
    const ZPP_MACHINE machine{
        "A \"B\"\\\x01\xc3", 0x10001, 2 << 16 | 31, ZppSecureBootUnknown, ranges, 2, &cpu, 1};
    const std::string text = json(machine, diagnosis);
    CHECK(text.find("\"vendor\": \"A \\\"B\\\"\\\\??\", \"revision\": \"00010001\", "
                    "\"uefi\": \"2.3.1\", \"secure_boot\": null}") != std::string::npos);
    CHECK(text.find("[\n    [\"0000000000000000\", \"000000000009ffff\", \"ram\"],\n"
                    "    [\"0000000800000000\", \"000fffffffffffff\", \"persistent\"]\n  ],") !=
          std::string::npos);
    CHECK(text.find("no-execute pages") != std::string::npos);
    diagnosis.known = 0;
    CHECK(json(machine, diagnosis).find("\"verdict\": {\"runs\": null}") != std::string::npos);
}

TEST_CASE("machine.json: nothing is written behind the buffer")
{
    const zpp_capture none{};
    const zpp_capture* cpu = &none;
    const ZPP_MACHINE machine{"vendor", 1, 2, ZppSecureBootOn, nullptr, 0, &cpu, 1};
    const zpp_diagnosis diagnosis = zpp_diagnose(&cpu, 1);
    const std::string whole = json(machine, diagnosis);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const std::unique_ptr<char[]> bytes(new char[size]);
        CHECK(ZppMachineToJson(&machine, &diagnosis, bytes.get(), size) == whole.size());
        CHECK(whole.compare(0, size, bytes.get(), size) == 0);
    }
}

} // namespace
} // namespace zpp::test
