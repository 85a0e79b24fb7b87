"""What goes over the wire, as plain pydantic models: the client imports them without the service."""
