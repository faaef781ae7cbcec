"""PE files: the headers, what UEFI loads, and Authenticode signatures."""
