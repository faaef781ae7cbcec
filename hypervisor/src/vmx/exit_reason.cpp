#include "vmx/exit_reason.hpp"

namespace zpp::vmx {

const ExitReasonRow* find_exit_reason(u64 reason)
{
    for (const ExitReasonRow& row : exit_reasons)
        if (row.reason == static_cast<u16>(reason))
            return &row;
    return nullptr;
}

const char* exit_name(u64 reason)
{
    const ExitReasonRow* row = find_exit_reason(reason);
    return row != nullptr ? row->name : "?";
}

} // namespace zpp::vmx
