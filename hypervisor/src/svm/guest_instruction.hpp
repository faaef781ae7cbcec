// The instruction at which the guest has left.
#pragma once
#include "guest/code.hpp"
#include "guest/decode.hpp"
#include "svm/vmcb.hpp"

namespace zpp::svm {

CodeSize code_size(const Vmcb& vmcb);

// The bytes at RIP: from the CPU where it delivers them, else from the guest's memory.
GuestCode code_at_rip(Vcpu& vcpu, const Vmcb& vmcb);

// In bytes; 0 if zpp does not know the instruction.
unsigned instruction_length(Vcpu& vcpu, const Vmcb& vmcb);

} // namespace zpp::svm
