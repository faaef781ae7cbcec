// Numbers in parentheses: sections of ISO/IEC 18004:2015.
#include "screen/qr_code.hpp"

namespace zpp::screen {
namespace {

// Level M by version (7.5.1, table 9): error correction codewords of a block, and blocks.
constexpr u8 correction_of_block[] = {10, 16, 26, 18, 24, 16, 18, 22, 22, 26,
                                      30, 22, 22, 24, 24, 28, 28, 26, 26, 26};
constexpr u8 blocks_of[] = {1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16};
constexpr unsigned max_correction = 30;

// Modules that are left for codewords, in codewords (annex D gives the same numbers).
constexpr unsigned codewords_of(unsigned version)
{
    unsigned modules = (16 * version + 128) * version + 64;
    if (version >= 2) {
        const unsigned lines = version / 7 + 2;
        modules -= (25 * lines - 10) * lines - 55;
    }
    if (version >= 7)
        modules -= 36;
    return modules / 8;
}

constexpr unsigned data_codewords_of(unsigned version)
{
    return codewords_of(version) - blocks_of[version - 1] * correction_of_block[version - 1];
}

// Codewords for the mode and the length before the bytes, rounded up (7.4).
constexpr unsigned head_of(unsigned version) { return version < 10 ? 2 : 3; }

static_assert(data_codewords_of(QrCode::max_version) - head_of(QrCode::max_version) ==
              QrCode::max_bytes);

// In the field of 256 elements with the polynomial 11DH (7.5.2).
constexpr u8 multiply(u8 a, u8 b)
{
    unsigned product = 0;
    for (unsigned i = 8; i-- > 0;) {
        product = product << 1 ^ (product >> 7) * 0x11d;
        product ^= (b >> i & 1) * a;
    }
    return static_cast<u8>(product);
}

// The generator polynomial without its leading 1, highest power first.
void build_generator(u8* generator, unsigned degree)
{
    for (unsigned i = 0; i < degree; ++i)
        generator[i] = i + 1 == degree;
    u8 root = 1;
    for (unsigned i = 0; i < degree; ++i, root = multiply(root, 2))
        for (unsigned j = 0; j < degree; ++j)
            generator[j] = static_cast<u8>(multiply(generator[j], root) ^
                                           (j + 1 < degree ? generator[j + 1] : 0));
}

void divide(const u8* data, unsigned count, const u8* generator, unsigned degree, u8* remainder)
{
    for (unsigned i = 0; i < degree; ++i)
        remainder[i] = 0;
    for (unsigned i = 0; i < count; ++i) {
        const u8 factor = data[i] ^ remainder[0];
        for (unsigned j = 0; j < degree; ++j)
            remainder[j] = static_cast<u8>((j + 1 < degree ? remainder[j + 1] : 0) ^
                                           multiply(generator[j], factor));
    }
}

// Appends the remainder of a division by a polynomial of this degree (7.9, 7.10).
constexpr u32 with_check_bits(u32 value, unsigned degree, u32 polynomial)
{
    u32 remainder = value;
    for (unsigned i = 0; i < degree; ++i)
        remainder = remainder << 1 ^ (remainder >> (degree - 1) & 1) * polynomial;
    return value << degree | (remainder & ((1u << degree) - 1));
}

// Any mask makes a valid code (7.8): the standard's score picks the one that scans best, but text is
// irregular enough for this one.
constexpr unsigned mask_number = 0;
constexpr bool mask(unsigned x, unsigned y) { return (x + y) % 2 == 0; }

constexpr unsigned distance(unsigned a, unsigned b) { return a > b ? a - b : b - a; }

} // namespace

void QrCode::set(unsigned x, unsigned y, bool value)
{
    modules_[y][x] = static_cast<u8>(fixed | (value ? dark : 0));
}

// With its white border (6.3.3, 6.3.4).
void QrCode::draw_finder(unsigned centre_x, unsigned centre_y)
{
    for (unsigned y = centre_y < 4 ? 0 : centre_y - 4; y <= centre_y + 4 && y < size(); ++y)
        for (unsigned x = centre_x < 4 ? 0 : centre_x - 4; x <= centre_x + 4 && x < size(); ++x) {
            const unsigned dx = distance(x, centre_x), dy = distance(y, centre_y);
            const unsigned ring = dx > dy ? dx : dy;
            set(x, y, ring != 2 && ring != 4);
        }
}

// On a grid that is even but for its first step (6.3.6, annex E).
void QrCode::draw_alignment_patterns()
{
    if (version_ < 2)
        return;
    const unsigned lines = version_ / 7 + 2;
    const unsigned step = (4 * version_ + 2 * lines + 1) / (2 * lines - 2) * 2;
    const auto place = [&](unsigned line) {
        return line == 0 ? 6 : size() - 7 - (lines - 1 - line) * step;
    };
    for (unsigned i = 0; i < lines; ++i)
        for (unsigned j = 0; j < lines; ++j) {
            if ((i == 0 && (j == 0 || j == lines - 1)) || (i == lines - 1 && j == 0))
                continue; // a finder is there
            for (unsigned y = 0; y < 5; ++y)
                for (unsigned x = 0; x < 5; ++x)
                    set(place(i) + x - 2, place(j) + y - 2,
                        x % 4 == 0 || y % 4 == 0 || (x == 2 && y == 2));
        }
}

void QrCode::draw_version()
{
    if (version_ < 7)
        return;
    const u32 bits = with_check_bits(version_, 12, 0x1f25);
    for (unsigned i = 0; i < 18; ++i) {
        const bool value = (bits >> i & 1) != 0;
        set(size() - 11 + i % 3, i / 3, value);
        set(i / 3, size() - 11 + i % 3, value);
    }
}

void QrCode::draw_format()
{
    constexpr u32 level_m = 0;
    const u32 bits = with_check_bits(level_m << 3 | mask_number, 10, 0x537) ^ 0x5412;
    const unsigned last = size() - 1;
    for (unsigned i = 0; i < 15; ++i) {
        const bool value = (bits >> i & 1) != 0;
        if (i < 8) { // down the first finder, and along the second one
            set(8, i < 6 ? i : i + 1, value);
            set(last - i, 8, value);
        } else { // along the first finder, and down the third one
            set(i == 8 ? 7 : 14 - i, 8, value);
            set(8, last - (14 - i), value);
        }
    }
    set(8, size() - 8, true);
}

void QrCode::draw_fixed_patterns()
{
    for (auto& row : modules_)
        for (u8& module : row)
            module = 0;
    for (unsigned i = 0; i < size(); ++i) { // timing
        set(6, i, i % 2 == 0);
        set(i, 6, i % 2 == 0);
    }
    draw_finder(3, 3);
    draw_finder(size() - 4, 3);
    draw_finder(3, size() - 4);
    draw_alignment_patterns();
    draw_version();
    draw_format();
}

// In columns of two modules, up and down, from the right (7.7.3).
void QrCode::draw_codewords(unsigned count)
{
    unsigned next = 0;
    bool up = true;
    for (unsigned right = size() - 1; right < size(); right -= 2, up = !up) {
        if (right == 6) // the timing pattern
            right = 5;
        for (unsigned step = 0; step < size(); ++step)
            for (unsigned side = 0; side < 2; ++side) {
                const unsigned x = right - side, y = up ? size() - 1 - step : step;
                u8& module = modules_[y][x];
                if ((module & fixed) != 0)
                    continue;
                const bool value =
                    next < 8 * count && (codewords_[next / 8] >> (7 - next % 8) & 1) != 0;
                ++next;
                module = value != mask(x, y) ? dark : 0;
            }
    }
}

// Mode, length, bytes, end and padding (7.4).
void QrCode::write_data(const char* data, unsigned count, unsigned capacity)
{
    for (u8& codeword : data_)
        codeword = 0;
    unsigned used = 0; // in bits
    const auto append = [&](u32 value, unsigned bits) {
        for (unsigned i = bits; i-- > 0; ++used)
            data_[used / 8] |= static_cast<u8>((value >> i & 1) << (7 - used % 8));
    };
    constexpr u32 byte_mode = 4;
    append(byte_mode, 4);
    append(count, version_ < 10 ? 8 : 16);
    for (unsigned i = 0; i < count; ++i)
        append(static_cast<u8>(data[i]), 8);
    append(0, 4);
    for (unsigned i = 0, left = capacity - used / 8; i < left; ++i)
        append(i % 2 == 0 ? 0xec : 0x11, 8);
}

// The blocks' codewords in turn: data first, then the error correction (7.6). The last blocks have
// one byte of data more. Returns the number of all codewords.
unsigned QrCode::add_error_correction(unsigned data_codewords)
{
    const unsigned blocks = blocks_of[version_ - 1];
    const unsigned degree = correction_of_block[version_ - 1];
    const unsigned shorter = data_codewords / blocks;
    const unsigned first_longer = blocks - data_codewords % blocks;
    u8 generator[max_correction] = {}, correction[max_correction] = {};
    build_generator(generator, degree);
    const u8* data = data_;
    for (unsigned block = 0; block < blocks; ++block) {
        const unsigned count = shorter + (block >= first_longer);
        divide(data, count, generator, degree, correction);
        for (unsigned i = 0; i < shorter; ++i)
            codewords_[i * blocks + block] = data[i];
        if (count > shorter)
            codewords_[shorter * blocks + block - first_longer] = data[shorter];
        for (unsigned i = 0; i < degree; ++i)
            codewords_[data_codewords + i * blocks + block] = correction[i];
        data += count;
    }
    return data_codewords + blocks * degree;
}

bool QrCode::encode(const char* data, unsigned count)
{
    for (version_ = 1; count + head_of(version_) > data_codewords_of(version_); ++version_)
        if (version_ == max_version)
            return false;
    draw_fixed_patterns();
    write_data(data, count, data_codewords_of(version_));
    draw_codewords(add_error_correction(data_codewords_of(version_)));
    return true;
}

} // namespace zpp::screen
