"""Decoding of untrusted videos in processes of their own, under limits of memory and time.

    server: pool -> decoder (one per process) <- socket -> worker :process

A process receives an open file and sends frames back: it gets no path, no key and no setting. What it sends is checked
like any untrusted input, because a video may have taken control of the process.
"""
