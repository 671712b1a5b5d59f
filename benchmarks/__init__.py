"""Benchmarks: what reading, exporting, importing and the emulator cost here, next to Microsoft's own SDK.

`python -m benchmarks` prints one table; nothing here is a test and nothing in the tests measures time.
"""
