// The loader's trampoline without its code: its symbols, which lie across a page boundary, and a
// core that a test writes in place of the real one.
#pragma once
#include "lib/types.hpp"
#include "zpp/boot_info.h"
#include <functional>
#include <vector>

namespace zpp::test {

struct FakeTrampoline {
    // In place of the core: returns the status of zpp_trampoline_call(). Interrupts are off.
    std::function<u64(zpp_cpu_call& call)> call;
    // In place of ZPP_HYPERCALL_DEVIRTUALIZE: an enum zpp_hypercall_status.
    std::function<u64(zpp_cpu_call& call)> devirtualize;
};

extern FakeTrampoline fake_trampoline;

} // namespace zpp::test
