"""Things counted one by one."""
