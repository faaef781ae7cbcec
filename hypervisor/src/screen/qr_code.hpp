// QR codes (ISO/IEC 18004): bytes, error correction level M, versions 1 to 20. No allocation.
#pragma once
#include "lib/types.hpp"

namespace zpp::screen {

class QrCode {
public:
    static constexpr unsigned max_version = 20;
    static constexpr unsigned max_bytes = 666; // in version 20

    // Builds the smallest code that has these bytes. Returns false if there is none.
    [[nodiscard]] bool encode(const char* data, unsigned count);

    unsigned size() const { return 4 * version_ + 17; } // modules on a side
    bool is_dark(unsigned x, unsigned y) const { return (modules_[y][x] & dark) != 0; }

private:
    static constexpr u8 dark = 1;
    static constexpr u8 fixed = 2; // not a module of the data
    static constexpr unsigned max_size = 4 * max_version + 17;
    static constexpr unsigned max_codewords = 1085; // of version 20

    void set(unsigned x, unsigned y, bool value);
    void draw_finder(unsigned centre_x, unsigned centre_y);
    void draw_alignment_patterns();
    void draw_version();
    void draw_format();
    void draw_fixed_patterns();
    void draw_codewords(unsigned count);
    void write_data(const char* data, unsigned count, unsigned capacity);
    unsigned add_error_correction(unsigned data_codewords);

    unsigned version_ = 0; // all zeros, so that it needs no space in the file
    u8 modules_[max_size][max_size] = {};
    u8 data_[max_codewords] = {};
    u8 codewords_[max_codewords] = {}; // the data and the error correction of all blocks, in turn
};

} // namespace zpp::screen
