"""Lints: what is allowed in a mapping, and likely not meant. Only `bridge check` asks for them. Pure.

`registry.LINTS` has them all. One lint is one function from a Subject (a compiled mapping, the alerts of its tests, and
what it is checked against) to its findings; docs/lints.md explains each.
"""
