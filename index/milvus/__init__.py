"""Search on a Milvus server: connection, rows, one collection per snapshot, leases."""
