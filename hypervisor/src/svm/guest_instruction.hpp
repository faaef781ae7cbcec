// The instruction at which the guest has left.
#pragma once
#include "guest/code.hpp"
#include "guest/decode.hpp"
#include "svm/vmcb.hpp"

namespace zpp::svm {

CodeSize code_size(const Vmcb& vmcb);

// The bytes at RIP: from the CPU where it delivers them, else from the guest's memory.
GuestCode code_at_rip(Vcpu& vcpu, const Vmcb& vmcb);

// RIP after the instruction, not wrapped; 0 if its length is unknown.
u64 find_next_rip(Vcpu& vcpu, const Vmcb& vmcb);

} // namespace zpp::svm
