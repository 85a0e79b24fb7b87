"""What one replica of the service is made of, and how several share a data folder."""
