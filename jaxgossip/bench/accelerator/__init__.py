"""What an accelerator computes, how fast, and in how much memory, checked by one command in a few minutes.

Every section is a file with a function ``checks(sizes)``. :mod:`.run` runs them within a time budget, and :mod:`.table` prints
what they find.
"""
