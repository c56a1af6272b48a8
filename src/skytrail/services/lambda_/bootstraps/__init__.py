"""Programs that run in functions' processes, by their paths: nothing here is imported by the server."""
