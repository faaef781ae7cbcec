// x86/event: exceptions that come while another event is delivered (SDM Vol. 3A, table 7-5).
#include "x86/event.hpp"
#include <doctest/doctest.h>

namespace zpp::test {
namespace {

using x86::Cr0;
using x86::Event;
using x86::Meeting;

Meeting meet(unsigned first, unsigned second)
{
    return x86::meet(Event::exception(static_cast<u8>(first), Cr0::pe),
                     Event::exception(static_cast<u8>(second), Cr0::pe));
}

TEST_CASE("event: the table of double faults")
{
    constexpr unsigned contributory[] = {0, 10, 11, 12, 13, 21};
    constexpr unsigned benign[] = {1, 2, 3, 4, 5, 6, 7, 9, 16, 17, 18, 19};
    constexpr unsigned page_fault = 14, double_fault = 8;
    for (const unsigned first : benign)
        for (unsigned second = 0; second < 32; ++second)
            CHECK(meet(first, second) == Meeting::second);
    for (const unsigned second : benign)
        for (unsigned first = 0; first < 32; ++first)
            CHECK(meet(first, second) == Meeting::second);
    for (const unsigned first : contributory) {
        for (const unsigned second : contributory)
            CHECK(meet(first, second) == Meeting::double_fault);
        CHECK(meet(first, page_fault) == Meeting::second);
        CHECK(meet(page_fault, first) == Meeting::double_fault);
        CHECK(meet(double_fault, first) == Meeting::shutdown);
    }
    CHECK(meet(page_fault, page_fault) == Meeting::double_fault);
    CHECK(meet(double_fault, page_fault) == Meeting::shutdown);
    const Event fault = Event::exception(13, Cr0::pe);
    CHECK(x86::meet(Event::nmi(), fault) == Meeting::second);
    CHECK(x86::meet({Event::valid | 0x0e}, fault) == Meeting::second);           // an interrupt
    CHECK(x86::meet({Event::valid | 4u << 8 | 0x0e}, fault) == Meeting::second); // INT 0EH
}

} // namespace
} // namespace zpp::test
