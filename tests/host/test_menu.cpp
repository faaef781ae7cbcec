// What ZppBoot decides without the firmware: texts, the state of the menu, the record of boots
// (uefi/ZppPkg/ZppBoot/Text.c, MenuState.c, BootRecord.c).
#include <ctime>
#include <doctest/doctest.h>
#include <string>
#include <vector>

extern "C" {
#include "BootRecord.h"
#include "MenuState.h"
#include "Text.h"
}

namespace zpp::test {
namespace {

ZPP_TEXT piece(const std::string& text) { return {text.data(), text.size()}; }

TEST_CASE("menu: UTF-8 becomes UTF-16")
{
    struct {
        std::string utf8;
        std::u16string utf16;
    } const cases[] = {
        {"abc", u"abc"},
        {"", u""},
        {"\xc3\xa4\xe2\x82\xac", u"ä€"},
        {"\xf0\x9f\x90\xa7", u"\U0001F427"},
        {"\xf4\x8f\xbf\xbf", u"\U0010FFFF"},
        {"a\xff"
         "b",
         u"a\uFFFDb"},
        {"\xc3", u"\uFFFD"},                               // cut off
        {"\xe2\x82", u"\uFFFD\uFFFD"},                     // cut off
        {"\xc0\xaf", u"\uFFFD\uFFFD"},                     // too long for '/'
        {"\xe0\x80\xaf", u"\uFFFD\uFFFD\uFFFD"},           // too long
        {"\xed\xa0\x80", u"\uFFFD\uFFFD\uFFFD"},           // half of a pair
        {"\xf4\x90\x80\x80", u"\uFFFD\uFFFD\uFFFD\uFFFD"}, // above U+10FFFF
        {"\xf8\x88\x80\x80\x80", u"\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD"},
        {"\x80", u"\uFFFD"},
    };
    for (const auto& c : cases) {
        INFO(c.utf8);
        std::vector<uint16_t> wide(c.utf8.size());
        wide.resize(ZppTextToUtf16(piece(c.utf8), wide.data()));
        CHECK(std::u16string(wide.begin(), wide.end()) == c.utf16);
    }
}

TEST_CASE("menu: patterns")
{
    struct {
        const char *text, *pattern;
        bool matches;
    } const cases[] = {
        {"arch.conf", "arch.conf", true},
        {"Arch.CONF", "aRCH.conf", true},
        {"arch.conf", "arch.con", false},
        {"arch.con", "arch.conf", false},
        {"arch.conf", "*", true},
        {"arch.conf", "arch*", true},
        {"arch.conf", "*.conf", true},
        {"arch.conf", "*.efi", false},
        {"arch.conf", "a*c*f", true},
        {"arch.conf", "a?ch.conf", true},
        {"arch.conf", "a?rch.conf", false},
        {"", "", true},
        {"", "*", true},
        {"", "?", false},
        {"a", "", false},
        {"aaab", "*aab", true},
        {"abcabd", "*abd", true},
        {"abcabc", "*abd", false},
    };
    for (const auto& c : cases) {
        INFO(std::string(c.text), " and ", std::string(c.pattern));
        CHECK(ZppTextMatches(piece(c.text), piece(c.pattern)) == c.matches);
    }
}

constexpr uint16_t up = 1, down = 2, home = 5, end = 6, page_up = 9, page_down = 10, escape = 0x17;

TEST_CASE("menu: arrow keys wrap around, and the list scrolls")
{
    ZPP_MENU_STATE menu;
    ZppMenuBegin(&menu, 10, 4, 6, 0);
    CHECK(menu.Selected == 6);
    CHECK(menu.First == 3);
    struct {
        uint16_t key;
        unsigned selected, first;
    } const steps[] = {
        {down, 7, 4},    {up, 6, 4},      {up, 5, 4},        {up, 4, 4},        {up, 3, 3},
        {home, 0, 0},    {up, 9, 6},      {down, 0, 0},      {end, 9, 6},       {page_up, 5, 5},
        {page_up, 1, 1}, {page_up, 0, 0}, {page_down, 4, 1}, {page_down, 8, 5}, {page_down, 9, 6},
    };
    for (const auto& step : steps) {
        INFO(step.key);
        CHECK(ZppMenuKey(&menu, step.key, 0) == ZppMenuRedraw);
        CHECK(menu.Selected == step.selected);
        CHECK(menu.First == step.first);
    }
    ZppMenuBegin(&menu, 1, 4, 0, 0);
    for (const uint16_t key : {up, down, home, end, page_up, page_down}) {
        ZppMenuKey(&menu, key, 0);
        CHECK(menu.Selected == 0);
        CHECK(menu.First == 0);
    }
}

TEST_CASE("menu: other keys")
{
    ZPP_MENU_STATE menu;
    ZppMenuBegin(&menu, 3, 4, 1, 0);
    CHECK(ZppMenuKey(&menu, 0, '\r') == ZppMenuStart);
    CHECK(ZppMenuKey(&menu, 0, '\n') == ZppMenuStart);
    CHECK(ZppMenuKey(&menu, 0, 'h') == ZppMenuToggle);
    CHECK(ZppMenuKey(&menu, 0, 'H') == ZppMenuToggle);
    CHECK(ZppMenuKey(&menu, 0, ' ') == ZppMenuNothing);
    CHECK(ZppMenuKey(&menu, escape, 0) == ZppMenuNothing);
    CHECK(menu.Selected == 1);
}

TEST_CASE("menu: the countdown ends with the default, or with any key")
{
    ZPP_MENU_STATE menu;
    ZppMenuBegin(&menu, 3, 4, 2, 2);
    CHECK_FALSE(ZppMenuTick(&menu));
    CHECK(menu.Seconds == 1);
    CHECK(ZppMenuTick(&menu));
    CHECK(menu.Selected == 2);
    for (const uint16_t key : {up, escape}) {
        ZppMenuBegin(&menu, 3, 4, 2, 2);
        CHECK(ZppMenuKey(&menu, key, 0) == ZppMenuRedraw);
        CHECK(menu.Seconds == 0);
    }
}

TEST_CASE("boot record: boots that follow each other quickly count")
{
    zpp_boot_record record;
    ZppBootRecordStart(&record, 0, 1000);
    CHECK(ZppBootRecordIsValid(&record, sizeof(record)));
    CHECK(record.boots == 1);
    for (const uint64_t now : {1000u, 1001u, 1299u, 990u, 701u}) { // a clock may go back a little
        INFO(now);
        CHECK(ZppBootRecordFailed(&record, now) == 1);
    }
    for (const uint64_t now : {1300u, 700u, 0u, 100'000'000u}) {
        INFO(now);
        CHECK(ZppBootRecordFailed(&record, now) == 0);
    }
    ZppBootRecordStart(&record, ZppBootRecordFailed(&record, 1010), 1010);
    CHECK(ZppBootRecordFailed(&record, 1020) == 2);
    ZppBootRecordStart(&record, 255, 1020); // no overflow
    CHECK(ZppBootRecordFailed(&record, 1020) == 255);
    ZppBootRecordStart(&record, 1000, 1020);
    CHECK(ZppBootRecordFailed(&record, 1020) <= 255);
}

TEST_CASE("boot record: off stays off, however long the system runs")
{
    zpp_boot_record record;
    ZppBootRecordLeaveOut(&record, 3);
    CHECK(ZppBootRecordIsValid(&record, sizeof(record)));
    for (const uint64_t now : {0u, 1000u, 4'000'000'000u})
        CHECK(ZppBootRecordFailed(&record, now) == 3);
}

TEST_CASE("boot record: another size or version is not valid")
{
    zpp_boot_record record;
    ZppBootRecordStart(&record, 0, 0);
    for (const std::size_t size : {0u, 1u, 15u, 17u})
        CHECK_FALSE(ZppBootRecordIsValid(&record, size));
    record.state = 2;
    CHECK_FALSE(ZppBootRecordIsValid(&record, sizeof(record)));
    record.state = 0;
    record.version = 2;
    CHECK_FALSE(ZppBootRecordIsValid(&record, sizeof(record)));
}

TEST_CASE("boot record: the clock in seconds, as the C library counts them")
{
    for (std::time_t seconds = 946'684'800; seconds < 5'000'000'000; seconds += 3'333'331) {
        std::tm time{};
        gmtime_r(&seconds, &time);
        const auto number = [](int value) { return static_cast<unsigned>(value); };
        CHECK(ZppSeconds(number(time.tm_year) + 1900, number(time.tm_mon) + 1, number(time.tm_mday),
                         number(time.tm_hour), number(time.tm_min),
                         number(time.tm_sec)) == static_cast<uint64_t>(seconds) - 946'684'800);
    }
    CHECK(ZppSeconds(0, 0, 0, 0, 0, 0) == 0); // a clock without a date
    CHECK(ZppSeconds(1970, 13, 1, 0, 0, 1) == 1);
}

} // namespace
} // namespace zpp::test
