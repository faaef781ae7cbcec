"""Changes the files of an image or a device: `cp`, `rm`, `mkdir` and `mv`.

target      the image file or device: locked, checked, and changed as a whole
device      a device: confirmed, opened, written in order, read back
journal     the bytes that a change of a device replaces, until it is complete
session     one change: the volume, an editor for it, and the commit
sources     the files to copy: of this machine, or of an image
operations  what each command does to the volume
copy_out    files of an image to this machine
"""
