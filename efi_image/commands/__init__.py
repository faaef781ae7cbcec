"""The commands of zpp-image, one a module; each module's click command is named `command`.

Beside them: `group`, which finds them; `making` and `plain`, which `make` does without click;
`echo` and `meter`, what they say.
"""
