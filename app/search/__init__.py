"""From a video to hits: batches across callers, admission, the query cache, and the same offline."""
