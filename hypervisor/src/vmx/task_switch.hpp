// Task switches, which always exit (SDM Vol. 3C, 26.4.2).
#pragma once
#include "vmx/guest.hpp"

namespace zpp::vmx {

void on_task_switch(Guest& guest);

} // namespace zpp::vmx
