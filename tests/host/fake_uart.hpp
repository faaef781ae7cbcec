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

    // How many reads of the line status register it takes until the next character may come.
    void set_reads_until_ready(unsigned reads) { reads_until_ready_ = reads; }

    const std::string& sent() const { return sent_; }
    unsigned wrong_ports() const { return wrong_ports_; } // accesses of other registers
    unsigned sent_too_early() const { return sent_too_early_; }

private:
    static void on_fault(int signal, siginfo_t* information, void* context);
    void serve(ucontext_t& context);

    u16 port_;
    unsigned reads_until_ready_ = 1, reads_ = 0, sent_too_early_ = 0;
    std::string sent_;
    unsigned wrong_ports_ = 0;
    struct sigaction previous_;
};

} // namespace zpp::test
