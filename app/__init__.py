"""The service: HTTP routes and command line over model and index."""
