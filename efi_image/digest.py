"""BLAKE2b for identities; hashlib has it too, but loads OpenSSL, which takes 2 ms."""

try:
    from _blake2 import blake2b
except ImportError:  # a Python without it
    from hashlib import blake2b

__all__ = ["blake2b"]
