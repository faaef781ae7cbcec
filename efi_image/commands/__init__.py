"""The commands of zpp-image, one a module; each module's click command is named `command`."""
