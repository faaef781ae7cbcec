"""Facts as text, drawings and JSON.

text             sizes, tables and trees
inspect_report   the lines of `inspect` and `diff`
layout_drawing   the layout of an image, in the terminal and as SVG
as_json          JSON of any values, in pieces
"""
