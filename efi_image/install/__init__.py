"""zpp on a machine's own ESP, as its first boot option; and its removal.

esp        the mounted ESP, and the partition that it is
folder     \\EFI\\zpp: which files there are ours
secure     whether the firmware starts our programs
changes    changes of files: each durable, and undone if a later one fails
installer  `install`
uninstaller  `uninstall`
"""
