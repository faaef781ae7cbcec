// The trace of VM exits (zpp/trace.h). The vendors choose another exit stub while it is on, so that
// it costs nothing while it is off.
#pragma once
#include "lib/types.hpp"
#include "zpp/trace.h"

namespace zpp::trace {

// At PREPARE, once the vendor is known. 0, or a port that is not a debug port, turns the trace off.
void start(u16 port);

inline constinit u16 debug_port = 0;
inline bool is_on() { return debug_port != 0; }

// Writes the packet with this CPU's index and the time. Packets of different CPUs do not mix.
void write(zpp_trace_exit& packet);

} // namespace zpp::trace
