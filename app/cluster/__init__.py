"""Embedding on several machines, over Ray: `python -m app index build DIR --ray ADDRESS`.

    schedule   which block of clips goes to whom, and again to another one where it is lost; knows no Ray
    workers    what runs on the other machines: cutting clips, encoding their windows; knows no Ray
    plan       what the nodes are told, and who belongs on which; knows no Ray
    address    whether there is a Ray cluster to talk to; knows no Ray
    connection a Ray cluster as the crew of a schedule

    clips -> blocks -> cutters (on processors) -> windows -> encoders (on GPUs or processors) -> embedded clips -> cache

Videos are read by every machine from the same path. Windows go from cutter to encoder through Ray, never through the
machine that hands out the work; that one alone writes the cache and the snapshot. Nothing here is imported by the
service. Why it is made so: docs/decisions/bulk-over-ray.md.
"""
