// x86/event: exceptions that come while another event is delivered.
#include "x86/event.hpp"
#include <doctest/doctest.h>

namespace zpp::test {
namespace {

using x86::Event;
using x86::Nested;
using x86::nested;

TEST_CASE("event: the table of double faults")
{
    constexpr u8 contributory[] = {0, 10, 11, 12, 13, 21, 29, 30};
    constexpr u8 benign[] = {1, 2, 3, 4, 5, 6, 7, 9, 16, 17, 18, 19, 32, 0x80, 255};
    constexpr u8 page_fault = 14, double_fault = 8;
    for (const u8 first : benign)
        for (unsigned second = 0; second < 32; ++second)
            CHECK(nested(first, static_cast<u8>(second)) == Nested::itself);
    for (const u8 second : benign)
        for (unsigned first = 0; first < 32; ++first)
            CHECK(nested(static_cast<u8>(first), second) == Nested::itself);
    for (const u8 first : contributory) {
        for (const u8 second : contributory)
            CHECK(nested(first, second) == Nested::double_fault);
        CHECK(nested(first, page_fault) == Nested::itself);
        CHECK(nested(page_fault, first) == Nested::double_fault);
        CHECK(nested(double_fault, first) == Nested::shutdown);
    }
    CHECK(nested(page_fault, page_fault) == Nested::double_fault);
    CHECK(nested(double_fault, page_fault) == Nested::shutdown);
}

TEST_CASE("event: type and vector")
{
    constexpr Event fault = Event::exception(13);
    CHECK(fault.is_exception());
    CHECK(fault.vector() == 13);
    CHECK_FALSE(Event::nmi().is_exception());
    CHECK_FALSE(Event{Event::valid | 0x30}.is_exception());           // an interrupt
    CHECK_FALSE(Event{Event::valid | 4u << 8 | 0x80}.is_exception()); // INT 80H
}

} // namespace
} // namespace zpp::test
