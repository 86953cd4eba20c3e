"""The doctor: looks at one ServiceNow instance from end to end, step by step, and says what to do about what is wrong.

It reads. Only the write probe writes, when it is asked for, and nothing is ever deleted.
"""
