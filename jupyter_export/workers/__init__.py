"""Worker processes: everything that touches media runs in one."""
