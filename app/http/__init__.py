"""The HTTP API and the page: routes, what goes over the wire, limits, problem documents, metrics."""
