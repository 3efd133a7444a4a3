"""Check a tree against the events it is of, against itself, and against checkpoints that were kept elsewhere.

findings.py   what can be found, and how it is said
quick.py      reading a block that is as it should be
blocks.py     reading and checking up to 16,384 leaves: the part that runs in several processes
classify.py   which change of a few leaves explains that a root no longer fits
verify.py     the whole tree, block after block
"""
