"""How released values are shown, kept and worked on: text, HTML, plots, files, ratios, combinations. All of it free.

Everything here reads a `Sheet`, and nothing that was not released.
"""
