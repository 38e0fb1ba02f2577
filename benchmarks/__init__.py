"""The benchmark beside other servers, `make bench`.

__main__    run, report, profile
command     the command lines, of the other benchmarks as well
session     one run: rounds over the servers, bounded in time
servers     the table of servers: command, environment, protocol
protocols   a body per server from the same records, and the numbers out of its answer
venvs       an environment per server, in .venvs/
workbench   a server on a model: started, checked, under load
processes   a server started on its core, and stopped with all that it started
proc        what /proc knows: process trees, memory, listening addresses
load        wrk
operating   what metrics and log cost, and goodput under overload: `make bench-operating`
inprocess   decode, engine and encode without a server
profiling   what a request's time is made of
columns     models with many columns
documents   results.json, read and written
results     medians, and ratios of neighbours in time
targets     what the project wants to reach, and whether it did
report      the documents' tables
plots       the documents' pictures
"""
