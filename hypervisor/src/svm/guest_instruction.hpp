// The guest's instruction that caused the exit.
#pragma once
#include "guest/code.hpp"
#include "guest/decode.hpp"
#include "svm/vmcb.hpp"

namespace zpp::svm {

CodeSize code_size(const Vmcb& vmcb);

// The bytes at RIP, from the VMCB (decode assists) or from the guest's memory.
GuestCode code_at_rip(Vcpu& vcpu, const Vmcb& vmcb);

// In bytes; 0 if decode_length() does not know the instruction.
unsigned instruction_length(Vcpu& vcpu, const Vmcb& vmcb);

} // namespace zpp::svm
