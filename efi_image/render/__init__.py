"""Facts as text, drawings and JSON.

text             sizes, tables and trees
inspect_report   the lines of `inspect` and `diff`
layout_drawing   the layout of an image, in the terminal and as SVG
as_json          JSON of any values, in pieces
trace_table      a trace of VM exits as text
trace_picture    … as SVG and HTML
trace_perfetto   … for ui.perfetto.dev
"""
