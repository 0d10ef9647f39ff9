"""The command line: one module per command, each of which parses, calls and renders.

`main` runs it; `commands` lists what there is; a command's module is imported when it is used.
"""
