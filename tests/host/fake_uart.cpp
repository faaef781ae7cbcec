#include "fake_uart.hpp"
#include <cstdlib>
#include <ucontext.h>

namespace zpp::test {
namespace {

FakeUart* current = nullptr;

constexpr u8 opcode_in_al_dx = 0xec, opcode_out_dx_al = 0xee;
constexpr u8 transmitter_empty = 0x20;

} // namespace

FakeUart::FakeUart(u16 port) : port_(port)
{
    sent_.reserve(4096); // the handler must not allocate
    current = this;
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, &previous_);
}

FakeUart::~FakeUart()
{
    sigaction(SIGSEGV, &previous_, nullptr);
    current = nullptr;
}

void FakeUart::on_fault(int, siginfo_t*, void* context)
{
    current->serve(*static_cast<ucontext_t*>(context));
}

void FakeUart::serve(ucontext_t& context)
{
    auto& registers = context.uc_mcontext.gregs;
    const u8 opcode = *reinterpret_cast<const u8*>(registers[REG_RIP]);
    const auto port = static_cast<u16>(registers[REG_RDX]);
    if (opcode == opcode_in_al_dx) {
        wrong_ports_ += port != port_ + 5;
        const bool ready = ++reads_ >= reads_until_ready_;
        registers[REG_RAX] = (registers[REG_RAX] & ~0xffll) | (ready ? transmitter_empty : 0);
    } else if (opcode == opcode_out_dx_al) {
        wrong_ports_ += port != port_;
        sent_too_early_ += reads_ < reads_until_ready_;
        reads_ = 0;
        sent_.push_back(static_cast<char>(registers[REG_RAX]));
    } else {
        std::abort(); // a fault of another kind
    }
    ++registers[REG_RIP];
}

} // namespace zpp::test
