"""The batch door's benchmark, `make bench-batch`: PostgreSQL to PostgreSQL.

__main__    run, report
session     one run: rounds over the contestants, each a process of its own
tables      the flights of 2013, repeated, in PostgreSQL
contestants what is measured: its command, its environment
naive       the loop that people write
stages      reading, predicting or writing, each alone
measuring   a process: its seconds, its peak of memory
results     where results are kept, and medians
targets     what the project wants to reach, and whether it did
report      the documents' tables
"""
