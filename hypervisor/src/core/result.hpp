// Result of a set-up step: a status from the loader contract, and its detail.
#pragma once
#include "zpp/boot_info.h"
#include "zpp/status.h"

namespace zpp {

struct [[nodiscard]] Result {
    zpp_status status = ZPP_OK;
    const char* detail = ""; // for example "unrestricted guest"

    bool ok() const { return status == ZPP_OK; }
};

// What the loader gets.
inline void write_result(zpp_cpu_call* call, const Result& result)
{
    call->status = result.status;
    std::size_t i = 0;
    for (; result.detail[i] != '\0' && i + 1 < sizeof call->detail; ++i)
        call->detail[i] = result.detail[i];
    call->detail[i] = '\0';
}

} // namespace zpp
