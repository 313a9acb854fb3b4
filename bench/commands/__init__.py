"""What the commands do, as functions: each joins rooms that do not know of each other.

`bench` itself offers the public ones by name; `bench.cli` only reads arguments and prints.
"""
