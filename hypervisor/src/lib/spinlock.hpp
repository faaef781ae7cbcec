// A lock between CPUs. The host runs with interrupts disabled, and its NMI handler takes no lock.
#pragma once

namespace zpp {

class Spinlock {
public:
    void lock()
    {
        while (__atomic_test_and_set(&held_, __ATOMIC_ACQUIRE))
            asm volatile("pause");
    }
    // Gives up after `tries`: for a crash, when the holder may be stopped.
    bool lock_within(unsigned tries)
    {
        for (unsigned i = 0; i < tries; ++i) {
            if (!__atomic_test_and_set(&held_, __ATOMIC_ACQUIRE))
                return true;
            asm volatile("pause");
        }
        return false;
    }
    void unlock() { __atomic_clear(&held_, __ATOMIC_RELEASE); }

private:
    bool held_ = false;
};

class LockGuard {
public:
    explicit LockGuard(Spinlock& lock) : lock_(lock) { lock_.lock(); }
    ~LockGuard() { lock_.unlock(); }
    LockGuard(const LockGuard&) = delete;
    LockGuard& operator=(const LockGuard&) = delete;

private:
    Spinlock& lock_;
};

} // namespace zpp
