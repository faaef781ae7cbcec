"""Bounded readers of foreign images: nothing they read can make them hang or grow.

medium    bytes of a file or device, at random
formats   what is packed or a virtual machine's: packed, virtual, programs
fat       FAT12, FAT16 and FAT32 volumes
iso       ISO 9660 with Joliet, Rock Ridge and El Torito
content   what other volumes are
mbr, gpt  partition tables
disk      what an image is, and the volumes on it
files     files and directories, whatever the volume's kind
"""
