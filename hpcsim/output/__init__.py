"""What a run leaves on disk: snapshots for viewers, time series, the run record, logs, and the tools that read them.

Nothing here gathers a full field on one rank: every rank writes its own boxes of a file whose layout rank 0 fixed.
"""
