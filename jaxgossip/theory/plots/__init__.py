"""One theory plot a file."""
