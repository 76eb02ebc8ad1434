"""How long a test waits for what has to come.

It keeps a test from hanging and proves nothing: a machine that is busy with many other things may
take long to start a process, and the test holds all the same.
"""

PATIENCE_S = 120.0
