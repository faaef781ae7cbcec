"""PE files: Microsoft's PE format; UEFI specification, 2.1.1."""
