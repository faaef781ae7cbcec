#include "svm/exit_code.hpp"

namespace zpp::svm {

const ExitCodeRow* find_exit_code(u64 code)
{
    for (const ExitCodeRow& row : exit_codes)
        if (code >= row.first && code <= row.last)
            return &row;
    return nullptr;
}

const char* exit_name(u64 code)
{
    if (const ExitCodeRow* row = find_exit_code(code); row != nullptr)
        return row->name;
    return static_cast<std::int32_t>(code) == exit_invalid ? "INVALID" : "?";
}

} // namespace zpp::svm
