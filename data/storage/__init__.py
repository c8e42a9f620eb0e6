"""Files: packed images, the cache, and how a file is written."""
