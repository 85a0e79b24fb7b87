"""From a folder of videos to a published snapshot."""
