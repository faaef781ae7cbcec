// The registers that only the system may touch: RDMSR and MOV from or to a control or debug
// register fault on the build machine, and the fault is served here. One at a time.
#pragma once
#include "fake_msrs.hpp"
#include <csignal>
#include <map>
#include <ucontext.h>
#include <vector>

namespace zpp::test {

class FakeRegisters {
public:
    FakeRegisters();
    ~FakeRegisters();
    FakeRegisters(const FakeRegisters&) = delete;
    FakeRegisters& operator=(const FakeRegisters&) = delete;

    Msrs msrs;                              // RDMSR of another ends the test program
    std::map<unsigned, u64> control, debug; // by number
    std::vector<u64> written_to_control;

private:
    static void on_fault(int signal, siginfo_t* information, void* context);
    void serve(ucontext_t& context);
    void move(unsigned opcode, unsigned number, greg_t& other);

    struct sigaction previous_;
};

} // namespace zpp::test
