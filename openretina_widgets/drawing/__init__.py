"""What a browser draws, as plain data: colours, movies, curves, walls of fields, rows of a table.

Widgets send it, and exported pages carry it; nothing here needs a kernel, a widget or a page.
"""
