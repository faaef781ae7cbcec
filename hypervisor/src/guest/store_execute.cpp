#include "guest/store.hpp"

namespace zpp {
namespace {

using Operation = AnyStore::Operation;
using x86::Rflags;

// Values of `size` bytes, and the flags.
class Alu {
public:
    Alu(unsigned size, Rflags& flags)
        : bits_(8 * size), mask_(size == 8 ? ~u64{0} : bit(bits_) - 1), flags_(flags)
    {
    }

    u64 cut(u64 value) const { return value & mask_; }
    bool flag(Rflags which) const { return has(flags_, which); }

    u64 add(u64 a, u64 b, bool carry)
    {
        const u64 sum = cut(a + b + (carry ? 1 : 0));
        set(Rflags::cf, sum < a || (carry && sum == a));
        set(Rflags::of, is_negative((a ^ sum) & (b ^ sum)));
        set(Rflags::af, ((a ^ b ^ sum) & 0x10) != 0);
        return with_result(sum);
    }

    u64 subtract(u64 a, u64 b, bool borrow)
    {
        const u64 difference = cut(a - b - (borrow ? 1 : 0));
        set(Rflags::cf, a < b || (borrow && a == b));
        set(Rflags::of, is_negative((a ^ b) & (a ^ difference)));
        set(Rflags::af, ((a ^ b ^ difference) & 0x10) != 0);
        return with_result(difference);
    }

    u64 logical(u64 value)
    {
        set(Rflags::cf | Rflags::of | Rflags::af, false);
        return with_result(value);
    }

    // INC and DEC leave CF.
    u64 step(u64 value, bool up)
    {
        const bool carry = flag(Rflags::cf);
        const u64 result = up ? add(value, 1, false) : subtract(value, 1, false);
        set(Rflags::cf, carry);
        return result;
    }

    // One bit at a time. OF is defined for a count of 1 only: it is that of the last step.
    u64 shift(Operation operation, u64 value, unsigned count)
    {
        count &= bits_ == 64 ? 63 : 31;
        if (count == 0)
            return value;
        for (; count != 0; --count)
            value = shift_once(operation, value);
        return operation < Operation::shl ? value : with_result(value);
    }

    u64 change_bit(Operation operation, u64 value, unsigned number)
    {
        const u64 mask = bit(number & (bits_ - 1));
        set(Rflags::cf, (value & mask) != 0);
        switch (operation) {
        case Operation::bts: return value | mask;
        case Operation::btr: return value & ~mask;
        default: return value ^ mask;
        }
    }

private:
    bool is_negative(u64 value) const { return (value >> (bits_ - 1) & 1) != 0; }

    void set(Rflags which, bool on) { flags_ = on ? flags_ | which : flags_ & ~which; }

    u64 with_result(u64 value)
    {
        set(Rflags::zf, value == 0);
        set(Rflags::sf, is_negative(value));
        set(Rflags::pf, __builtin_popcountll(value & 0xff) % 2 == 0);
        return value;
    }

    u64 shift_once(Operation operation, u64 value)
    {
        const bool top = is_negative(value), low = (value & 1) != 0;
        const u64 high_bit = bit(bits_ - 1);
        u64 result = 0;
        switch (operation) {
        case Operation::rol: result = cut(value << 1) | (top ? 1 : 0); break;
        case Operation::rcl: result = cut(value << 1) | (flag(Rflags::cf) ? 1 : 0); break;
        case Operation::ror: result = value >> 1 | (low ? high_bit : 0); break;
        case Operation::rcr: result = value >> 1 | (flag(Rflags::cf) ? high_bit : 0); break;
        case Operation::shr: result = value >> 1; break;
        case Operation::sar: result = value >> 1 | (value & high_bit); break;
        default: result = cut(value << 1); break; // SHL and its other encoding
        }
        const bool left = operation == Operation::rol || operation == Operation::rcl ||
                          operation == Operation::shl || operation == Operation::sal;
        set(Rflags::cf, left ? top : low);
        set(Rflags::of, is_negative(value ^ result));
        return result;
    }

    unsigned bits_;
    u64 mask_;
    Rflags& flags_;
};

// SDM Vol. 1, App. B: the low bit negates.
bool condition(unsigned number, Rflags flags)
{
    const bool less = has(flags, Rflags::sf) != has(flags, Rflags::of);
    bool met = false;
    switch (number >> 1) {
    case 0: met = has(flags, Rflags::of); break;
    case 1: met = has(flags, Rflags::cf); break;
    case 2: met = has(flags, Rflags::zf); break;
    case 3: met = has(flags, Rflags::cf | Rflags::zf); break;
    case 4: met = has(flags, Rflags::sf); break;
    case 5: met = has(flags, Rflags::pf); break;
    case 6: met = less; break;
    default: met = less || has(flags, Rflags::zf); break;
    }
    return met != ((number & 1) != 0);
}

class Machine {
public:
    Machine(const AnyStore& store, GuestRegisters& registers, u64& rsp)
        : store_(store), registers_(registers), rsp_(rsp)
    {
    }

    u64 source() { return store_.from_register ? at(store_.source) >> shift() : store_.immediate; }

    // Writes a register of the operand's size: 32 bits clear the upper half, less keeps the rest.
    void set_register(unsigned number, bool high_byte, u64 value)
    {
        u64& target = register_of(high_byte ? number - 4 : number);
        if (store_.size >= 4) {
            target = value;
            return;
        }
        const unsigned by = high_byte ? 8 : 0;
        const u64 mask = (bit(8 * store_.size) - 1) << by;
        target = (target & ~mask) | (value << by & mask);
    }
    void set_source(u64 value) { set_register(store_.source, store_.high_byte, value); }

    // Moves RDI and RSI and counts RCX, in the size of addresses. Returns whether STOS or MOVS is at
    // its end.
    bool step_string(bool down)
    {
        const u64 step = down ? 0 - u64{store_.size} : store_.size;
        add_to_address(registers_.rdi, step);
        if (store_.operation == Operation::movs)
            add_to_address(registers_.rsi, step);
        if (!store_.repeat)
            return true;
        add_to_address(registers_.rcx, ~u64{0});
        return wrap_to(registers_.rcx, store_.address) == 0;
    }

    void pop() { add_to_address(rsp_, store_.size); }

private:
    unsigned shift() const { return store_.high_byte ? 8 : 0; }
    u64 at(unsigned number) { return register_of(store_.high_byte ? number - 4 : number); }
    u64& register_of(unsigned number)
    {
        u64* const pushed = find_register(registers_, number);
        return pushed != nullptr ? *pushed : rsp_;
    }
    void add_to_address(u64& target, u64 value)
    {
        const u64 mask = wrap_to(~u64{0}, store_.address);
        const u64 kept = store_.address == CodeSize::bits16 ? target & ~mask : 0;
        target = kept | ((target + value) & mask);
    }

    const AnyStore& store_;
    GuestRegisters& registers_;
    u64& rsp_;
};

u64 swapped(u64 value, unsigned size) { return __builtin_bswap64(value) >> (64 - 8 * size); }

} // namespace

StoreResult execute(const AnyStore& store, u64 memory, GuestRegisters& registers, u64& rsp,
                    Rflags& flags)
{
    if (store.operation == Operation::vector)
        return {.value = 0, .writes = false, .ends = true};
    Alu alu(store.size, flags);
    Machine machine(store, registers, rsp);
    const u64 old = alu.cut(memory), source = alu.cut(machine.source());
    const auto count = static_cast<unsigned>(machine.source() & 0xff);
    const auto result = [](u64 value) { return StoreResult{value, true, true}; };
    switch (store.operation) {
    case Operation::mov: return result(source);
    case Operation::movbe: return result(swapped(source, store.size));
    case Operation::setcc: return result(condition(store.immediate & 15, flags) ? 1 : 0);
    case Operation::pop: machine.pop(); return result(source);
    case Operation::stos:
    case Operation::movs: {
        const bool ends = machine.step_string(has(flags, Rflags::df));
        return {source, true, ends};
    }
    case Operation::xchg: machine.set_source(old); return result(source);
    case Operation::xadd: {
        const u64 sum = alu.add(old, source, false);
        machine.set_source(old);
        return result(sum);
    }
    case Operation::cmpxchg: {
        const bool equal = alu.subtract(alu.cut(registers.rax), old, false) == 0;
        if (!equal)
            machine.set_register(0, false, old);
        return {source, equal, true};
    }
    case Operation::add: return result(alu.add(old, source, false));
    case Operation::adc: return result(alu.add(old, source, alu.flag(Rflags::cf)));
    case Operation::sub: return result(alu.subtract(old, source, false));
    case Operation::sbb: return result(alu.subtract(old, source, alu.flag(Rflags::cf)));
    case Operation::logical_or: return result(alu.logical(old | source));
    case Operation::logical_and: return result(alu.logical(old & source));
    case Operation::logical_xor: return result(alu.logical(old ^ source));
    case Operation::inc: return result(alu.step(old, true));
    case Operation::dec: return result(alu.step(old, false));
    case Operation::logical_not: return result(alu.cut(~old));
    case Operation::neg: return result(alu.subtract(0, old, false));
    case Operation::bts:
    case Operation::btr:
    case Operation::btc:
        return result(alu.change_bit(store.operation, old, static_cast<unsigned>(source & 63)));
    default: return result(alu.shift(store.operation, old, count));
    }
}

} // namespace zpp
