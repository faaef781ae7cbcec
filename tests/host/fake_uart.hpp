// A 16550 UART for code that runs IN and OUT: on the build machine these fault, and the fault is
// served here. One at a time.
#pragma once
#include "lib/types.hpp"
#include <csignal>
#include <string>

namespace zpp::test {

class FakeUart {
public:
    explicit FakeUart(u16 port);
    ~FakeUart();
    FakeUart(const FakeUart&) = delete;
    FakeUart& operator=(const FakeUart&) = delete;

    // Reads of the line status register: 0x20 when the next character may come.
    void set_line_status(u8 value) { line_status_ = value; }

    const std::string& sent() const { return sent_; }
    unsigned wrong_ports() const { return wrong_ports_; } // accesses of other registers

private:
    static void on_fault(int signal, siginfo_t* information, void* context);
    void serve(ucontext_t& context);

    u16 port_;
    u8 line_status_ = 0x60;
    std::string sent_;
    unsigned wrong_ports_ = 0;
    struct sigaction previous_;
};

} // namespace zpp::test
