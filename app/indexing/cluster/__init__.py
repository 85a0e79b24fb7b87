"""Embedding on several machines, over Ray: `python -m app index build DIR --ray ADDRESS`.

    schedule   assigns blocks of clips to workers, and again where a worker is lost; without Ray
    workers    what runs on the nodes: decoding clips, encoding their windows; without Ray
    plan       the configuration of workers, and how many of them a node gets; without Ray
    address    whether a Ray cluster answers; without Ray
    connection a Ray cluster as the worker pool of a schedule
    local      a small cluster on this machine, for tests and benchmarks

    clips -> blocks -> decoding workers (processors) -> windows -> encoding workers (GPUs or processors) -> embeddings

Every node reads the videos from the same path. Windows go from node to node through Ray, never through the driver, the
machine that runs the command; only the driver writes the cache and the snapshot. Nothing here is imported by the
service. Reasons: docs/decisions/bulk-over-ray.md.
"""
