// The registers that only the system may touch: RDMSR, WRMSR, MOV from or to a control or debug
// register, and the VMX and SVM instructions fault on the build machine, and the fault is served
// here. One at a time.
#pragma once
#include "fake_msrs.hpp"
#include <csignal>
#include <map>
#include <string>
#include <ucontext.h>
#include <vector>

namespace zpp::test {

class FakeRegisters {
public:
    FakeRegisters();
    ~FakeRegisters();
    FakeRegisters(const FakeRegisters&) = delete;
    FakeRegisters& operator=(const FakeRegisters&) = delete;

    Msrs msrs;                              // an access of another ends the test program
    std::map<unsigned, u64> control, debug; // by number
    std::vector<std::string> done;          // VMX and SVM instructions, and "wrmsr"

private:
    static void on_fault(int signal, siginfo_t* information, void* context);
    void serve(ucontext_t& context);
    void move(unsigned opcode, unsigned number, greg_t& other);
    void access_msr(ucontext_t& context, bool write);
    bool serve_virtualization(const u8* code, greg_t& rip);

    struct sigaction previous_fault_, previous_opcode_;
};

} // namespace zpp::test
