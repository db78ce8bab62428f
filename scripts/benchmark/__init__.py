"""What `scripts/bench` runs: vidfs and rclone side by side.

`rows` says what is measured, `systems` starts and stops what is measured, `measure` has the
clocks, `table` prints. `index_server` is what rclone mounts. Nothing here imports vidfs: it is
used as a person uses it, by its commands.
"""
