"""ISO 9660 (ECMA-119) with Joliet, Rock Ridge and El Torito."""
