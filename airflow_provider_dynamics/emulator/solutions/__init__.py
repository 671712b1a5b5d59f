"""Solutions: what belongs to one, its file made and read, imported with its validation, upgraded and uninstalled.

`registry` knows which component is whose, `package` is a solution as a value, `manifest` and `customizations` its two
XML files, `collecting` makes one of the environment, `applying` makes the environment like one.
"""
