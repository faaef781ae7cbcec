"""`python3 -m efi_image` is `zpp-image`."""

import sys

from efi_image.cli import main

if __name__ == "__main__":
    sys.exit(main())
