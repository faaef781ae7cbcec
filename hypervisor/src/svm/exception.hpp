// #GP of the guest, intercepted because of SVM's own instructions: the CPU checks their CPL before
// the intercept (AMD APM Vol. 2, 15.9), but where SVM is off they are #UD at every CPL.
#pragma once
#include "emulate/vm_exit.hpp"
#include "svm/guest.hpp"

namespace zpp::svm {

[[nodiscard]] Outcome on_general_protection(Guest& guest, const VmExit& exit);

} // namespace zpp::svm
