#include "fake_registers.hpp"
#include <algorithm>
#include <cstdlib>
#include <ucontext.h>

namespace zpp::test {
namespace {

FakeRegisters* current = nullptr;

constexpr unsigned from_control = 0x20, from_debug = 0x21, to_control = 0x22, to_debug = 0x23;

// Of the general registers in the order of their numbers.
constexpr int in_context[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15};

} // namespace

FakeRegisters::FakeRegisters()
{
    done.reserve(64); // the handler must not allocate
    current = this;
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, &previous_fault_);
    sigaction(SIGILL, &action, &previous_opcode_);
}

FakeRegisters::~FakeRegisters()
{
    sigaction(SIGSEGV, &previous_fault_, nullptr);
    sigaction(SIGILL, &previous_opcode_, nullptr);
    current = nullptr;
}

void FakeRegisters::on_fault(int, siginfo_t*, void* context)
{
    current->serve(*static_cast<ucontext_t*>(context));
}

void FakeRegisters::serve(ucontext_t& context)
{
    auto& registers = context.uc_mcontext.gregs;
    const auto* code = reinterpret_cast<const u8*>(registers[REG_RIP]);
    const bool extended = code[0] == 0x41;
    const u8* opcode = code + (extended ? 1 : 0);
    if (serve_virtualization(code, registers[REG_RIP]))
        return;
    if (opcode[0] != 0x0f)
        std::abort(); // a fault of another kind
    if (opcode[1] == 0x30 || opcode[1] == 0x32)
        return access_msr(context, opcode[1] == 0x30);
    const unsigned general = (opcode[2] & 7) + (extended ? 8 : 0);
    move(opcode[1], (opcode[2] >> 3) & 7, registers[in_context[general]]);
    registers[REG_RIP] += extended ? 4 : 3;
}

void FakeRegisters::access_msr(ucontext_t& context, bool write)
{
    auto& registers = context.uc_mcontext.gregs;
    const auto found = msrs.find(static_cast<u32>(registers[REG_RCX]));
    if (found == msrs.end())
        std::abort();
    registers[REG_RIP] += 2;
    if (write) {
        found->second =
            static_cast<u32>(registers[REG_RAX]) | u64{static_cast<u32>(registers[REG_RDX])} << 32;
        done.emplace_back("wrmsr");
        return;
    }
    registers[REG_RAX] = static_cast<u32>(found->second);
    registers[REG_RDX] = static_cast<u32>(found->second >> 32);
}

// Instructions without an operand in memory, and VMCLEAR with one.
bool FakeRegisters::serve_virtualization(const u8* code, greg_t& rip)
{
    struct Known {
        u8 code[3];
        const char* name;
    };
    static constexpr Known plain[] = {{{0x0f, 0x01, 0xc4}, "vmxoff"},
                                      {{0x0f, 0x01, 0xda}, "vmload"},
                                      {{0x0f, 0x01, 0xdb}, "vmsave"},
                                      {{0x0f, 0x01, 0xdc}, "stgi"},
                                      {{0x0f, 0x01, 0xdd}, "clgi"}};
    for (const Known& known : plain)
        if (std::equal(known.code, known.code + 3, code)) {
            done.emplace_back(known.name);
            rip += 3;
            return true;
        }
    if (code[0] != 0x66)
        return false;
    const unsigned rex = (code[1] & 0xf0) == 0x40 ? 1 : 0;
    const u8* opcode = code + 1 + rex;
    const u8 modrm = opcode[2];
    if (opcode[0] != 0x0f || opcode[1] != 0xc7 || (modrm >> 3 & 7) != 6)
        return false;
    const unsigned mode = modrm >> 6, base = modrm & 7;
    const unsigned displacement = mode == 1 ? 1 : mode == 2 || (mode == 0 && base == 5) ? 4 : 0;
    done.emplace_back("vmclear");
    rip += 4 + rex + (base == 4 ? 1 : 0) + displacement;
    return true;
}

void FakeRegisters::move(unsigned opcode, unsigned number, greg_t& other)
{
    switch (opcode) {
    case from_control:
        other = static_cast<greg_t>(control.at(number));
        break;
    case from_debug:
        other = static_cast<greg_t>(debug.at(number));
        break;
    case to_control:
        control.at(number) = static_cast<u64>(other);
        break;
    case to_debug:
        debug.at(number) = static_cast<u64>(other);
        break;
    default:
        std::abort();
    }
}

} // namespace zpp::test
