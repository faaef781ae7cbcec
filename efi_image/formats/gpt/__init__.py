"""GUID partition tables: UEFI specification, chapter 5."""
