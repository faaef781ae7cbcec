"""zpp-image: make, check and boot media that carry the zpp hypervisor.

This file imports nothing: `python3 -m efi_image.config.environment` has to run with the
standard library alone, before any virtual environment exists.
"""

__version__ = "0.1.0"
