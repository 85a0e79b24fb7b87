"""Untrusted videos are decoded in processes of their own, under limits of memory and time.

    server: pool -> decoder (one per process) <- socket -> worker :process

A process is given an open file and gives back frames: it is told no path, no key and no setting. What it sends is
checked like anything that comes from outside, because a video may have taken the process over.
"""
