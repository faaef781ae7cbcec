"""Master boot records: UEFI specification, 5.2."""
