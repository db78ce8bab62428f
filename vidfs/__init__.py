"""vidfs: a video-host account as a directory."""
